"""MAESTRO's layers: does the runtime move as on a spatial machine with its unrolling?"""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import hwconfigs
from simulator.machines.spatial import Spatial
from simulator.mapped import map_work
from simulator.work import Work
from tests.validation.rows import (
    Row,
    Section,
    group_table,
    grouped,
    percent,
    section_of,
    shared_file,
)

FILE = "reference/peers/maestro_public.csv"
MACHINE = Path(__file__).with_name("maestro.yaml")
BLOCKS = {2: (3, 64, 56), 3: (4, 128, 28), 4: (6, 256, 14), 5: (3, 512, 7)}
"""Of a stage of ResNet-50: blocks, width, side (He et al., arXiv 1512.03385, table 1)."""
VGG_SIDES = (224, 224, 112, 112, 56, 56, 56, 28, 28, 28, 14, 14, 14)
VGG_CHANNELS = (3, 64, 64, 128, 128, 256, 256, 256, 512, 512, 512, 512, 512, 512)
Figures = Mapping[str, str]


def unrolling(mapping: str, units: int) -> dict[str, dict[str, int]] | None:
    """The loops that a mapping spreads over so many units; its utilization columns show them."""
    return {
        "kcp_ws": {"a": {"oc": units // 64}, "b": {"ic": 64}},
        "ckp_ws": {"a": {"ic": units // 64}, "b": {"oc": 64}},
        "yxp_os": {"a": {"oy": units // 8}, "b": {"ox": 8}},
        "xp_ws": {"a": {"ox": units}},
        "nlr": {"a": {"ic": units}},
    }.get(mapping)


@cache
def layers() -> dict[tuple[str, str], Work]:
    """Convolutions by network and layer, without padding as MAESTRO takes them."""
    found = {("Resnet50", "CONV1"): _convolution(3, 64, 224, 7, 2)}
    channels = 64
    for stage, (blocks, width, side) in BLOCKS.items():
        for block in range(1, blocks + 1):
            first = block == 1 and stage > 2
            name = ("Resnet50", f"CONV{stage}_{block}_")
            stride = 2 if first else 1
            made = (
                _convolution(channels, width, side * stride, 1, stride),
                _convolution(width, width, side, 3, 1),
                _convolution(width, 4 * width, side, 1, 1),
            )
            for number, work in enumerate(made, 1):
                found[name[0], f"{name[1]}{number}"] = work
            channels = 4 * width
    for number, side in enumerate(VGG_SIDES):
        ic, oc = VGG_CHANNELS[number : number + 2]
        found["vgg16", f"CONV{number + 1}"] = _convolution(ic, oc, side, 3, 1)
    return found


def _convolution(ic: int, oc: int, side: int, taps: int, stride: int) -> Work:
    out = (side - taps) // stride + 1
    return Work(
        oy=out,
        ox=out,
        oc=oc,
        ky=taps,
        kx=taps,
        ic=ic,
        stride_y=stride,
        stride_x=stride,
        input_elements=side * side * ic,
        weight_elements=taps * taps * ic * oc,
        output_elements=out * out * oc,
        input_rows=side,
        input_columns=side,
    )


@cache
def _machine(mapping: str, units: int) -> Spatial:
    spread = unrolling(mapping, units)
    assert spread is not None
    sizes: dict[str, Any] = {
        name: {"size": next(iter(loops.values()))} for name, loops in spread.items()
    }
    sets = [("array.dimensions", sizes), ("array.unrollings", [spread])]
    machine = hwconfigs.load(MACHINE, sets)
    assert isinstance(machine, Spatial)
    return machine


@cache
def _cycles(work: Work, mapping: str, units: int) -> tuple[int, int]:
    found = map_work(work, _machine(mapping, units))
    return found.latency, found.cycles["ideal"]


@dataclass(frozen=True)
class Compared:
    """A row with MAESTRO's utilized units and ours, and its MACs."""

    row: Row
    their_units: float
    our_units: float
    macs: int


def compared() -> tuple[list[Compared], dict[str, int]]:
    """Each layer whose MACs are those of its shape; how many others there are, by why."""
    rows, left = [], {"no shape at hand": 0, "MACs of another shape": 0}
    with shared_file(FILE).open(encoding="utf-8") as stream:
        for figures in csv.DictReader(stream):
            work = layers().get((figures["network"], figures["layer"]))
            if work is None:
                left["no shape at hand"] += 1
                continue
            if work.macs != int(figures["num_macs"]):
                left["MACs of another shape"] += 1
                continue
            mapping, units = figures["mapping"], int(figures["num_pes"])
            latency, ideal = _cycles(work, mapping, units)
            name = f"{figures['network']} {figures['layer']}, {mapping}, {units} units"
            theirs = float(figures["runtime_cycles"])
            row = Row(f"cycles, {units} units", name, theirs, float(latency), mapping)
            used = float(figures["avg_utilized_pes"])
            rows.append(Compared(row, used, work.macs / ideal, work.macs))
    return rows, left


def off(found: Sequence[Compared]) -> str:
    """What the rows that differ by more than 5 % have in common, by MAESTRO's own columns."""
    far = [each for each in found if abs(each.row.error) > 0.05]
    slots = [each.row.theirs * each.their_units / each.macs for each in far]
    idle = [
        s for each, s in zip(far, slots, strict=True) if each.their_units > 0.95 * each.our_units
    ]
    fewer = len(far) - len(idle)
    low, high = min(idle, default=1), max(idle, default=1)
    return (
        f"{len(far)} of {len(found)} rows differ by more than 5 %. In {len(idle)} of them MAESTRO "
        f"uses as many units as we do, and its cycles times its units are {low:.2f} to "
        f"{high:.2f} of its own MACs: it has cycles in which they wait. In {fewer} it uses "
        "fewer units than the layer's loops would fill."
    )


def section() -> Section:
    """Rank correlation by number of units and by mapping."""
    found, left = compared()
    rows = [each.row for each in found]
    why = ", ".join(f"{count} {reason}" for reason, count in left.items() if count)
    taps = grouped(rows, lambda row: _taps(row.name))
    split = ", ".join(
        f"{name} {percent(sum(abs(r.error) for r in part) / len(part))}"
        for name, part in taps.items()
    )
    return section_of(
        title="MAESTRO, trends",
        compares=(
            "Cycles of convolutions of ResNet-50 and VGG-16 under five mappings on 256 and 1024 "
            "units. Trends alone: MAESTRO enforces no buffer, and its MACs of one mapping depend "
            "on the number of units."
        ),
        source=f"MAESTRO 4eb08d1 (Kwon et al., MICRO 2019) runs; `{FILE}`",
        machine=(
            "`tests/validation/maestro.yaml` with `array.dimensions` and `array.unrollings` "
            "of each "
            "mapping, as the rows' utilization shows it"
        ),
        basis="no: the unrolling is read from the figures' utilization, nothing is fitted",
        name="maestro",
        rows=rows,
        misses=[
            f"By mapping:\n\n{group_table(rows, 'mapping')}",
            f"By taps: {split}.",
            off(found),
            f"Rows left out: {why}.",
        ],
    )


def _taps(name: str) -> str:
    network, layer = name.split(",")[0].split()
    work = layers()[network, layer]
    return f"{work.ky} x {work.kx}"
