"""Fit the shipped cores again: `python -m tests.machines.refit [DATE]`.

First a common fit: instructions of each software generation, cycles an instruction of each core.
Then each core's own kernels within a quarter of those, which is what a compiler differs by. The
YAML files of `hwconfigs/machines` are written with what they were fitted to and how far off.
"""

import sys
from collections.abc import Sequence
from dataclasses import replace
from math import isnan, log
from pathlib import Path
from typing import Any

import numpy as np

import hwconfigs
from analysis.calibrate import Fit, Floats, error_percent, fit, left_out, mape, with_values
from analysis.calibrated import to_yaml
from analysis.measurements import Measurement
from analysis.parameters import at_start
from simulator.config import override
from simulator.document import Document
from simulator.machines.registry import machine_from
from tests.machines import table7
from tests.machines.silicon import (
    board_rows,
    devices_left_out,
    family_of,
    fitted,
    software_of,
    split,
    submissions_left_out,
)
from tests.shared import shared_folder

OWN = log(1.25)
"""Width of the prior with which a core's own kernels may leave the common ones."""
FOLDER = Path(hwconfigs.__file__).parent / "machines"


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
        if _holds(document, path)
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


def write(documents: dict[str, Document], rows: Sequence[Measurement], date: str) -> None:
    """Write the YAML of each core with its records."""
    devices, submissions = devices_left_out(rows), submissions_left_out(rows)
    for name, document in documents.items():
        path = FOLDER / f"{name}.yaml"
        first = path.read_text(encoding="utf-8").split("\n", 1)[0].removeprefix("# ")
        plain = document.root.plain()
        plain["technology"] = plain["technology"]["name"]
        plain.pop("calibration", None)
        records: dict[str, Any] = {}
        for software in plain["kernels"]:
            which = np.array([family_of(m) == f"{name} {software}" for m in rows])
            records[software] = _record(document, software, rows, which, devices, submissions, date)
        plain["calibration"] = records
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
        record["note"] = "one submission: nothing to leave out"
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
    path = FOLDER / f"{name}.yaml"
    first = path.read_text(encoding="utf-8").split("\n", 1)[0].removeprefix("# ")
    plain = document.root.plain()
    plain["technology"] = plain["technology"]["name"]
    plain["calibration"] = records
    path.write_text(to_yaml(plain, first), encoding="utf-8")


def main() -> None:
    """Refit every shipped core from the shared measurements."""
    shared = shared_folder()
    if shared is None:
        sys.exit("the shared folder is absent; set BITLANE_SHARED")
    date = sys.argv[1] if len(sys.argv) > 1 else "undated"
    write_application_core(date)
    for rows in split(board_rows(shared)):
        write(cores(rows), rows, date)


if __name__ == "__main__":
    main()
