"""Layers measured one by one on a Cortex-M33: profiles of Silicon Labs' MLTK as works.

Networks have no file: each layer is built from the shapes that its row gives.
"""

import csv
from dataclasses import dataclass
from math import prod
from pathlib import Path

from analysis.measurements import Measurement
from simulator.work import Work

OPERATORS = ("conv_2d", "average_pool_2d", "fully_connected")
"""What a work is built for; reshape and softmax move or look up, and are costed as dispatch."""


@dataclass(frozen=True)
class Profile:
    """A layer, the cycles that a core alone took for it, and whether a device measured them."""

    model: str
    layer: int
    operator: str
    work: Work
    cycles: float
    measured: bool
    clock_mhz: float


def profiles(shared: Path) -> tuple[Profile, ...]:
    """Every layer without accelerator that has cycles and one of `OPERATORS`."""
    found = []
    path = shared / "reference/silicon/layer_profiles_silabs_mltk.csv"
    with path.open(encoding="utf-8") as stream:
        for row in csv.DictReader(stream):
            if row["accelerator"] == "None" and row["op"] in OPERATORS and row["cpu_cycles"]:
                found.append(
                    Profile(
                        model=row["model"],
                        layer=int(row["layer"]),
                        operator=row["op"],
                        work=_work(row["op"], row["input_shape"], row["output_shape"]),
                        cycles=float(row["cpu_cycles"]),
                        measured=row["source_kind"] == "device",
                        clock_mhz=float(row["clock_hz"]) / 1e6,
                    )
                )
    return tuple(found)


def rows(shared: Path) -> tuple[Measurement, ...]:
    """Those that a device measured, as measurements of a Cortex-M33: TFLM with CMSIS-NN."""
    return tuple(
        Measurement(
            model=f"{p.model}, layer {p.layer} ({p.operator})",
            works=(p.work,),
            cycles=p.cycles,
            device="EFR32xG24",
            overrides=(("software", "tflm_cmsis_nn"), ("clock_mhz", f"{p.clock_mhz:g}")),
            machine="cortex_m33",
            source="Silicon Labs MLTK, mltk/examples/profile_model.ipynb",
        )
        for p in profiles(shared)
        if p.measured
    )


def _work(operator: str, inputs: str, output: str) -> Work:
    first, *rest = [tuple(map(int, shape.split("x"))) for shape in inputs.split(",")]
    last = tuple(map(int, output.split("x")))
    counts = {"input_elements": prod(first), "output_elements": prod(last)}
    if operator == "average_pool_2d":
        taps = (first[1] // last[1]) * (first[2] // last[2])
        counts |= {"elementwise": prod(last) * taps, "requantizations": prod(last)}
        return Work(oy=last[1], ox=last[2], oc=last[3], **counts)
    counts |= {"weight_elements": prod(rest[0]), "bias_elements": rest[0][0]}
    counts["requantizations"] = prod(last)
    if operator == "fully_connected":
        return Work(oc=last[1], ky=1, kx=1, ic=first[1], **counts)
    oc, ky, kx, ic = rest[0]
    return Work(oy=last[1], ox=last[2], oc=oc, ky=ky, kx=kx, ic=ic, **counts)
