"""Fit the shipped cores again: `python -m tests.machines.refit [DATE]`.

First a common fit: instructions of each software generation, cycles an instruction of each core.
Then each core's own kernels within a quarter of those, which is what a compiler differs by. The
YAML files of `hwconfigs/machines` are written with what they were fitted to and how far off.
"""

import sys
from collections.abc import Sequence
from dataclasses import replace
from math import isnan
from pathlib import Path
from typing import Any

import numpy as np

import hwconfigs
from analysis.calibrate import Fit, error_percent, fit, left_out, mape, with_values
from analysis.calibrated import to_yaml
from analysis.measurements import Measurement
from analysis.parameters import at_start
from analysis.problems import Floats
from simulator.config import override
from simulator.document import Document
from simulator.machines.registry import machine_from
from tests.machines import layer_profiles, model_zoo, table7
from tests.machines.silicon import (
    GROUPS,
    board_rows,
    devices_left_out,
    family_of,
    fitted,
    float_rows,
    rows_left_out,
    software_of,
    split,
    submissions_left_out,
    tinyengine_rows,
)
from tests.machines.single_fits import OWN, float32, interpreted
from tests.machines.transfer import (
    ALIASES,
    HALE,
    Records,
    float_kernels,
    with_vectors,
    without_dsp,
)
from tests.shared import shared_folder

FOLDER = Path(hwconfigs.__file__).parent / "machines"
INTERPRETER = {"CMSIS-NN": "tflm_cmsis_nn"}
VECTORS = ("cortex_m55", "cortex_m85")
VECTOR_RECORD = {
    "fields": ["kernels.cmsis_nn.integer"],
    "note": "not measured: from the instruction set alone",
}


def cores(rows: Sequence[Measurement]) -> dict[str, Document]:
    """Every core of the rows with the values of the common fit, then of its own."""
    bases, common = fitted(rows)
    documents = {name: with_values(base, name, common) for name, base in bases.items()}
    documents = {name: _carried(name, document, common) for name, document in documents.items()}
    for family in dict.fromkeys(map(family_of, rows)):
        part = [m for m in rows if family_of(m) == family]
        name, software = part[0].machine, software_of(part[0])
        own = _own(documents[name], name, software, part, common)
        documents[name] = with_values(documents[name], name, own)
    return documents


def _carried(name: str, document: Document, common: Fit) -> Document:
    """Kernels measured on other cores only, as they are there."""
    pairs = [
        (path, float(f"{value:.4g}"))
        for p, value in zip(common.parameters, common.values, strict=True)
        if name not in p.machines and p.path.startswith("kernels.")
        for path in (p.path, *p.ties)
        if _holds(document, path.rpartition(".integer.")[0])
    ]
    return override(document, pairs)


def _holds(document: Document, path: str) -> bool:
    at = document.root
    for step in path.split("."):
        below = at.child(step)
        if below is None:
            return False
        at = below
    return True


def _own(
    document: Document, name: str, software: str, rows: Sequence[Measurement], common: Fit
) -> Fit:
    chosen = [
        at_start(replace(p, machines=(name,)), float(f"{value:.4g}"))
        for p, value in zip(common.parameters, common.values, strict=True)
        if p.path.startswith(f"kernels.{software}.")
    ]
    return fit({name: document}, rows, chosen, OWN)


def records(
    documents: dict[str, Document], rows: Sequence[Measurement], date: str
) -> dict[str, Records]:
    """For each core its records by software: what was fitted, to which rows, how far off."""
    devices, submissions = devices_left_out(rows), submissions_left_out(rows)
    found: dict[str, Records] = {}
    for name, document in documents.items():
        found[name] = {}
        for software in document.root.plain()["kernels"]:
            which = np.array([family_of(m) == f"{name} {software}" for m in rows])
            found[name][software] = _record(
                document, software, rows, which, devices, submissions, date
            )
    return found


def write(document: Document, kernels: Any, found: Records, date: str) -> None:
    """Write a core's YAML with its kernels and their records."""
    plain = document.root.plain()
    path = FOLDER / f"{plain['name']}.yaml"
    first = path.read_text(encoding="utf-8").split("\n", 1)[0].removeprefix("# ")
    plain["technology"] = plain["technology"]["name"]
    for field in ("kernels", "aliases", "calibration"):
        plain.pop(field, None)
    plain["kernels"] = {name: kernels[name] for name in sorted(kernels)}
    aliases = {name: at for name, at in ALIASES.items() if at in kernels}
    if aliases:
        plain["aliases"] = aliases
        plain["source"]["aliases"] = (
            "a software without a version is its newest; versions fitted together are one"
        )
    plain["calibration"] = {name: {"date": date, **found[name]} for name in sorted(found)}
    path.write_text(to_yaml(plain, first), encoding="utf-8")


def _record(
    document: Document,
    software: str,
    rows: Sequence[Measurement],
    which: np.ndarray[Any, np.dtype[np.bool_]],
    devices: Floats,
    submissions: Floats,
    date: str,
) -> dict[str, Any]:
    fields = [f"kernels.{software}.integer"]
    part = [m for m, mine in zip(rows, which, strict=True) if mine]
    if not part:
        others = sorted({m.device for m in rows if software_of(m) == software})
        if not others:
            return {
                "date": date,
                "fields": fields,
                "transferred": True,
                "note": "not measured: where fits start",
            }
        return {
            "date": date,
            "fields": fields,
            "transferred": True,
            "devices": others,
            "note": "instructions measured on another core with the same instruction set",
        }
    machines = {m.overrides: machine_from(document, m.overrides) for m in part}
    own = error_percent(_predicted(machines, part), part)
    error = {"fitted_percent": round(mape(own), 1)}
    record: dict[str, Any] = {
        "date": date,
        "fields": fields,
        "devices": sorted({m.device for m in part}),
        "rows": [m.row for m in part],
        "error": error,
    }
    if not isnan(mape(devices[which])):
        error["leave_one_device_out_percent"] = round(mape(devices[which]), 1)
        record["note"] = "left out: predicted from this software on other cores"
    elif not isnan(mape(submissions[which])):
        error["leave_one_device_out_percent"] = round(mape(submissions[which]), 1)
        record["note"] = "one board: left out a submission at a time, the weaker test"
    else:
        record["note"] = "one submission: left out a network at a time"
        alone = mape(rows_left_out(rows, part))
        if isnan(alone):
            record["note"] = "one row: nothing to leave out"
        else:
            error["leave_one_row_out_percent"] = round(alone, 1)
    return record


def _predicted(machines: dict[Any, Any], rows: Sequence[Measurement]) -> Floats:
    from simulator.designs import evaluate_designs
    from simulator.machines.actions import TOTAL_CYCLES

    return np.array(
        [evaluate_designs(m.works, [machines[m.overrides]]).totals[0, TOTAL_CYCLES] for m in rows],
        np.float64,
    )


def write_application_core(date: str) -> None:
    """Fit the Cortex-A73 to half of the whitepaper's table 7 and write its YAML."""
    name = "cortex_a73"
    document = table7.starts(hwconfigs.document(name))
    records: dict[str, Any] = {}
    for width in table7.WIDTHS:
        rows = table7.rows(width, table7.CALIBRATED)
        others = table7.rows(width, [n for n in table7.CPU_MS if n not in table7.CALIBRATED])
        chosen = table7.parameters(document, width)
        found = fit({"": document}, rows, chosen)
        each = [str(i) for i in range(len(rows))]
        alone = error_percent(left_out({"": document}, rows, chosen, each), rows)
        document = with_values(document, "", found)
        made = {m.overrides: machine_from(document, m.overrides) for m in others}
        unseen = error_percent(_predicted(made, others), others)
        records[f"tflite_2018.{width}"] = {
            "date": date,
            "fields": [path for p in chosen for path in (p.path, *p.ties)],
            "devices": ["Pixel 2"],
            "rows": [m.row for m in rows],
            "error": {
                "fitted_percent": round(mape(error_percent(found.predicted, rows)), 1),
                "leave_one_row_out_percent": round(mape(alone), 1),
            },
            "note": f"the other four rows of the table: {mape(unseen):.1f} %",
        }
    _write_fitted(document, records)


def write_small_application_core(shared: Path, date: str) -> None:
    """Fit the Cortex-A7 to three networks and write its YAML."""
    document = model_zoo.starts(hwconfigs.document("cortex_a7"))
    rows, chosen = model_zoo.rows(shared), model_zoo.parameters(document)
    bases = {"cortex_a7": document}
    found = fit(bases, rows, chosen)
    alone = error_percent(left_out(bases, rows, chosen, [m.model for m in rows]), rows)
    record = {
        "date": date,
        "fields": [path for p in chosen for path in (p.path, *p.ties)],
        "devices": sorted({m.device for m in rows}),
        "rows": [m.row for m in rows],
        "error": {
            "fitted_percent": round(mape(error_percent(found.predicted, rows)), 1),
            "leave_one_row_out_percent": round(mape(alone), 1),
        },
        "note": "one board: left out a network at a time",
    }
    _write_fitted(with_values(document, "cortex_a7", found), {"tflite_2_11": record})


def _write_fitted(document: Document, records: dict[str, Any]) -> None:
    plain = document.root.plain()
    path = FOLDER / f"{plain['name']}.yaml"
    first = path.read_text(encoding="utf-8").split("\n", 1)[0].removeprefix("# ")
    plain["technology"] = plain["technology"]["name"]
    plain["calibration"] = records
    path.write_text(to_yaml(plain, first), encoding="utf-8")


def write_cores(shared: Path, date: str) -> None:
    """Fit every group of cores, carry their kernels to what was not measured, write the YAMLs."""
    documents: dict[str, Document] = {}
    found: dict[str, Records] = {}
    for rows in split(board_rows(shared)):
        group = cores(rows)
        documents |= group
        found |= records(group, rows, date)
    dsp = {name: documents[name] for name in GROUPS[0]}
    layers = (*layer_profiles.rows(shared), *tinyengine_rows(shared, INTERPRETER))
    dsp, more_of = interpreted(dsp, layers, date)
    documents |= dsp
    for name in dsp:
        found[name] |= more_of[name]
    kernels = {name: document.root.plain()["kernels"] for name, document in documents.items()}
    m4 = documents["cortex_m4"]
    for name in VECTORS:
        documents[name] = hwconfigs.document(name)
        kernels[name], found[name] = with_vectors(documents[name], m4)
        found[name]["cmsis_nn"] = VECTOR_RECORD
    name = "cortex_m0plus"
    kernels[name], more = without_dsp(documents[name], m4, documents["riscv_rv32imac"])
    found[name] = {software: found[name][software] for software in HALE} | more
    measured = float_rows(shared)
    core = measured[0].machine
    tuned, own = float32(documents[core], measured, date)
    for name, document in documents.items():
        if name.startswith("cortex"):
            lanes = document.root.plain()["core"]["simd"]["float32"]["lanes"]
            kernels[name], more = float_kernels(name, kernels[name], tuned, lanes)
            found[name] |= {**more, **(own if name == core else {})}
        write(document, kernels[name], found[name], date)


def main() -> None:
    """Refit every shipped core from the shared measurements."""
    shared = shared_folder()
    if shared is None:
        sys.exit("the shared folder is absent; set BITLANE_SHARED")
    date = sys.argv[1] if len(sys.argv) > 1 else "undated"
    write_application_core(date)
    write_small_application_core(shared, date)
    write_cores(shared, date)


if __name__ == "__main__":
    main()
