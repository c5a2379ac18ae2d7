"""Rows of the public silicon figures, the networks they name, and latencies of machines."""

import csv
import re
from collections.abc import Iterator, Mapping, Sequence

from simulator.designs import evaluate_designs
from simulator.machines.base import Machine
from simulator.work import Work
from tests.validation.networks import mobilenet_v1_of, mobilenet_v2_of
from tests.validation.rows import Row, shared_file

FILE = "reference/silicon/silicon.csv"
Figures = Mapping[str, str]
_MOBILENET = re.compile(r"MobileNetV([12])_([\d.]+)_(\d+)(_imagenet)?$")


def figures(source: str = "", device: str = "") -> Iterator[Figures]:
    """Rows whose source and device begin so."""
    with shared_file(FILE).open(encoding="utf-8") as stream:
        for row in csv.DictReader(stream):
            if row["source"].startswith(source) and row["device"].startswith(device):
                yield row


def mobilenet(row: Figures, classes: int = 1001) -> list[Work] | None:
    """The works of a row that names a MobileNet v1 or v2 with width and side; else None."""
    match = _MOBILENET.match(row["workload"])
    if match is None:
        return None
    version, width, side, imagenet = match.groups()
    build = mobilenet_v1_of if version == "1" else mobilenet_v2_of
    bits = 32 if row["precision"] == "fp32" else 8
    return build(float(width), int(side), 1000 if imagenet else classes, bits)


def left_out(source: str, device: str, rows: Sequence[Row], why: str) -> str:
    """A sentence on the rows of a source whose networks are not among those compared."""
    used = {row.name.partition(",")[0] for row in rows}
    names = [row["workload"] for row in figures(source, device)]
    missing = list(dict.fromkeys(name for name in names if name not in used))
    count = sum(name not in used for name in names)
    return f"Not compared, because {why}: {count} of {len(names)} rows ({', '.join(missing)})."


def fitted_to(machine: Machine, software: str, device: str) -> bool:
    """Whether a record of the machine's calibration of a software names such a device."""
    return any(
        device in name
        for key, record in machine.calibration.items()
        if key.split(".")[0] == software
        for name in record.devices
    )


def milliseconds(works: Sequence[Work], machine: Machine) -> float:
    """Latency of a network; raises ValueError where the machine refuses it."""
    found = evaluate_designs(works, [machine])
    if found.refused[0]:
        raise ValueError(f"{machine.name} refuses the network")
    return 1e3 * float(found.latency_s[0])
