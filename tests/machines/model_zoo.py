"""ST's model zoo on one Cortex-A7: three MobileNets of version 1 in 8 bits, of five classes."""

import csv
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from analysis.measurements import Measurement
from analysis.parameters import Parameter, parameter
from simulator.config import override
from simulator.document import Document
from simulator.work import Work
from tests import imagenet

IMAGENET, CLASSES = 1001, 5
PREFIX: Final = "kernels.tflite_2_11.integer"
STARTS: Final = {
    "per_multiply.convolution": 2.169,
    "per_multiply.pointwise": 2.169,
    "per_multiply.depthwise": 5.217,
    "per_output": 11.34,
}
"""The instructions that TFLite of 2018 takes on a Cortex-A73, which has the same vectors."""


def rows(shared: Path) -> tuple[Measurement, ...]:
    """The latencies of the Cortex-A7, its networks built by width and side."""
    found = []
    with (shared / "reference/silicon/silicon.csv").open(encoding="utf-8") as stream:
        for row in csv.DictReader(stream):
            if row["device_class"] == "CPU-A7" and row["source"] == "STM32 model zoo":
                _, width, side = row["workload"].split("_")
                found.append(
                    Measurement(
                        model=row["workload"],
                        works=_of_five_classes(imagenet.mobilenet_v1(int(side), float(width))),
                        cycles=float(row["latency_ms"]) * float(row["clock_MHz"]) * 1e3,
                        device=row["device"],
                        machine="cortex_a7",
                        source=f"{row['latency_ms']} ms, ST's model zoo, TFLite 2.11",
                    )
                )
    return tuple(found)


def _of_five_classes(works: Sequence[Work]) -> tuple[Work, ...]:
    """The last layer's 1001 classes as five, which the zoo's own counts of MACs give."""
    return tuple(
        replace(
            work,
            oc=CLASSES,
            weight_elements=CLASSES * work.ic,
            bias_elements=CLASSES,
            output_elements=CLASSES,
            requantizations=CLASSES,
        )
        if work.oc == IMAGENET
        else work
        for work in works
    )


def starts(document: Document) -> Document:
    """The core with the rates that are fitted at their starts."""
    return override(document, [(f"{PREFIX}.{name}", value) for name, value in STARTS.items()])


def parameters(document: Document) -> list[Parameter]:
    """Products, depthwise products and outputs."""
    bases = {"cortex_a7": document}
    tied = [f"{PREFIX}.per_multiply.pointwise"]
    return [
        parameter(bases, f"{PREFIX}.per_multiply.convolution", ties=tied),
        parameter(bases, f"{PREFIX}.per_multiply.depthwise"),
        parameter(bases, f"{PREFIX}.per_output"),
    ]
