"""Fits of one core's own rows beside the common fit: float32, and layers measured one by one."""

from collections.abc import Mapping, Sequence
from math import isnan, log
from typing import Any, Final

import numpy as np

from analysis.calibrate import error_percent, fit, left_out, mape, with_values
from analysis.measurements import Measurement
from analysis.parameters import parameter
from analysis.problems import problem_of
from simulator.config import override
from simulator.document import Document
from tests.machines.silicon import software_of
from tests.machines.transfer import CLASSES, Records

INTERPRETED: Final = (
    "per_multiply.depthwise",
    "per_multiply.one_channel",
    "per_multiply.fully_connected",
    "per_output",
    "per_requantize",
    "per_elementwise",
)
OWN: Final = log(1.25)
"""Width of the prior with which a core's own kernels may leave the common ones."""


def float32(document: Document, rows: Sequence[Measurement], date: str) -> tuple[Any, Records]:
    """HALE's float32 rates on the core that was measured, and their record."""
    software, prefix = "hale_2024", "kernels.hale_2024.float32"
    classes = dict.fromkeys(CLASSES, 4.0)
    start = {"per_output": 10.0, "per_requantize": 4.0, "per_elementwise": 6.0}
    base = override(document, [(prefix, {"per_multiply": classes, **start})])
    bases = {rows[0].machine: base}
    tied = [f"{prefix}.per_multiply.{name}" for name in ("pointwise", "one_channel")]
    chosen = [
        parameter(bases, f"{prefix}.per_multiply.convolution", ties=tied),
        parameter(bases, f"{prefix}.per_multiply.depthwise"),
        parameter(bases, f"{prefix}.per_multiply.fully_connected"),
    ]
    found = fit(bases, rows, chosen)
    made = with_values(base, rows[0].machine, found)
    alone = error_percent(left_out(bases, rows, chosen, [m.model for m in rows]), rows)
    error = {"fitted_percent": round(mape(error_percent(found.predicted, rows)), 1)}
    if not isnan(mape(alone)):
        error["leave_one_row_out_percent"] = round(mape(alone), 1)
    record = {
        "date": date,
        "fields": [path for p in chosen for path in (p.path, *p.ties)],
        "devices": sorted({m.device for m in rows}),
        "rows": [m.row for m in rows],
        "error": error,
        "note": "one submission",
    }
    rates = made.root.plain()["kernels"][software]["float32"]
    return rates, {f"{software}.float32": record}


def interpreted(
    documents: Mapping[str, Document], measured: Sequence[Measurement], date: str
) -> tuple[dict[str, Document], dict[str, Records]]:
    """CMSIS-NN under TensorFlow Lite for Microcontrollers, on all cores that share kernels.

    It starts from CMSIS-NN as another engine calls it, fitted to whole networks on a Cortex-M4.
    """
    software = software_of(measured[0])
    prefix = f"kernels.{software}.integer"
    start = documents["cortex_m4"].root.plain()["kernels"]["cmsis_nn"]
    start = {name: start[name] for name in ("pixel_block", "channel_block", "integer")}
    bases = {
        name: override(document, [(f"kernels.{software}", start)])
        for name, document in documents.items()
    }
    tied = [f"{prefix}.per_multiply.pointwise"]
    chosen = [parameter(bases, f"{prefix}.per_multiply.convolution", ties=tied)]
    chosen += [parameter(bases, f"{prefix}.{rate}") for rate in INTERPRETED]
    found = fit(bases, measured, chosen)
    starts = np.array([[p.start for p in chosen]])
    groups = [m.device for m in measured]
    errors = {
        "start": problem_of(bases, measured, chosen).predict(starts)[0],
        "fitted": found.predicted,
        "unseen": left_out(bases, measured, chosen, groups),
    }
    percent = {name: error_percent(cycles, measured) for name, cycles in errors.items()}
    made = {name: with_values(base, name, found) for name, base in bases.items()}
    records: dict[str, Records] = {}
    for name in documents:
        mine = np.array([m.machine == name for m in measured])
        mean = {kind: round(mape(values[mine]), 1) for kind, values in percent.items()}
        record: dict[str, Any] = {
            "date": date,
            "fields": [prefix],
            "devices": sorted(set(groups)),
        }
        if mine.any():
            part = [m for m in measured if m.machine == name]
            record["devices"] = sorted({m.device for m in part})
            record["rows"] = [m.row for m in part]
            record["error"] = {
                "fitted_percent": mean["fitted"],
                "leave_one_device_out_percent": mean["unseen"],
            }
            record["note"] = (
                f"cmsis_nn of a Cortex-M4, where the fit starts, is {mean['start']} % off"
            )
        else:
            record |= {"transferred": True, "note": "instructions measured on other cores"}
        records[name] = {software: record}
    return made, records
