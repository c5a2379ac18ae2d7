"""Quantized networks through NN-API on a Pixel 3's Hexagon 685."""

import numpy as np

import hwconfigs
from simulator.machines.base import Machine
from tests.machines.table7 import works as table7_works
from tests.validation.networks import inception_v1
from tests.validation.rows import Row, Section, by_group, level_and_shape, percent, section_of
from tests.validation.silicon import figures, left_out, milliseconds, mobilenet

SHIPPED = "Pixel 3 ms, as shipped"
WARM = "Pixel 3 ms, no time to start"


def section_rows() -> list[Row]:
    """Each network with the fitted time to start an inference, and without any."""
    machines = {
        SHIPPED: hwconfigs.load("hvx_1024"),
        WARM: hwconfigs.load("hvx_1024", [("dispatch.cycles_per_inference", 0)]),
    }
    return [row for name, machine in machines.items() for row in _on(machine, name)]


def _on(machine: Machine, quantity: str) -> list[Row]:
    rows = []
    for row in figures("TFLite hosted models", "Pixel3 NNAPI"):
        name = row["workload"]
        works = mobilenet(row)
        if name == "InceptionV3":
            works = list(table7_works("inception_v3", 8))
        elif name == "InceptionV1":
            works = inception_v1()
        if works is not None:
            group = name.rpartition("_")[0] or name
            ours = milliseconds(works, machine)
            rows.append(Row(quantity, name, float(row["latency_ms"]), ours, group))
    return rows


def line(rows: list[Row]) -> str:
    """Theirs as a start and a multiple of ours, by least squares of relative errors."""
    theirs, ours = (np.array([getattr(row, side) for row in rows]) for side in ("theirs", "ours"))
    slope, start = np.polyfit(ours, theirs, 1, w=1 / theirs)
    left = float(np.abs((start + slope * ours) / theirs - 1).mean())
    return f"{start:.1f} ms and {slope:.2f} times ours leave a MAPE of {percent(left)}"


def section() -> Section:
    """A later chip with later software."""
    rows = section_rows()
    warm = [row for row in rows if row.quantity == WARM]
    return section_of(
        title="Pixel 3, Hexagon through NN-API",
        compares="Latency of int8 networks on the signal processor of a Pixel 3.",
        source="TensorFlow Lite's hosted models, Pixel 3 (Snapdragon 845); `silicon.csv`",
        machine=(
            "`hvx_1024` (Hexagon 680, a generation before), as shipped and with "
            "`--set dispatch.cycles_per_inference=0`"
        ),
        basis="transferred: its time to start is fitted to one row of a Pixel 2, nothing else",
        name="hexagon",
        rows=rows,
        misses=[
            "As shipped each inference starts in 12.7 ms, the fit to a Pixel 2 of 2018; the "
            "smallest network here takes "
            f"{min(row.theirs for row in rows):g} ms in all, so the level is the older software's.",
            f"Without it: {level_and_shape(warm)}; {line(warm)}. By network: {by_group(warm)}.",
            left_out(
                "TFLite hosted models", "Pixel3 NNAPI", rows, "their layers are not in the zoo"
            ),
        ],
    )
