"""Whole networks on a Coral Dev Board's Edge TPU."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import hwconfigs
from simulator.work import Work
from tests import imagenet
from tests.validation.networks import inception_v1, squeezenet, vgg
from tests.validation.rows import (
    Row,
    Section,
    by_group,
    grouped,
    level_and_shape,
    percent,
    section_of,
)
from tests.validation.silicon import figures, left_out, milliseconds

ON_CHIP = 8 << 20
"""Bytes that the chip keeps of a model's parameters (Coral, Edge TPU compiler): about 8 MB."""
LIKE = "ms, ZigZag's array"
CHIP = "ms, 64 x 64 array"
CACHED = ("memory.dram.bytes_per_cycle", 64)
NETWORKS: dict[str, Callable[[], list[Work]]] = {
    "MobileNet v1 224": imagenet.mobilenet_v1,
    "MobileNet v2 224": imagenet.mobilenet_v2,
    "MobileNet v1 SSD 224": lambda: imagenet.mobilenet_v1_ssd(224),
    "Inception v1 224": inception_v1,
    "SqueezeNet 224": squeezenet,
    "ResNet-50 V1 299": lambda: imagenet.resnet(50, 1, 299),
    "ResNet-50 V2 299": lambda: imagenet.resnet(50, 2, 299),
    "ResNet-152 V2 299": lambda: imagenet.resnet(152, 2, 299),
    "VGG16 224": lambda: vgg(16),
    "VGG19 224": lambda: vgg(19),
}


def parameter_bytes(works: Sequence[Work]) -> int:
    """Bytes of weights and biases."""
    return sum(work.weight_elements + 4 * work.bias_elements for work in works)


def on_chip(work: Work) -> Work:
    """A layer whose input and output stay on the chip where both fit it together."""
    if work.input_elements + work.output_elements > ON_CHIP:
        return work
    return replace(work, kept_inputs=work.input_elements, kept_outputs=work.output_elements)


def section_rows() -> list[Row]:
    """Each network that can be built, on ZigZag's array and on the chip's own description."""
    like = hwconfigs.load("edge_tpu_like")
    streamed = hwconfigs.load("edge_tpu_coral")
    cached = hwconfigs.load("edge_tpu_coral", [CACHED])
    rows = []
    for row in figures("Coral", "Dev Board"):
        if row["workload"] not in NETWORKS:
            continue
        works = NETWORKS[row["workload"]]()
        fits = parameter_bytes(works) <= ON_CHIP
        group = "parameters on chip" if fits else "parameters streamed"
        kept = [on_chip(work) for work in works]
        ours = milliseconds(kept, cached if fits else streamed), milliseconds(works, like)
        theirs = float(row["latency_ms"])
        for quantity, found in zip((CHIP, LIKE), ours, strict=True):
            rows.append(Row(quantity, row["workload"], theirs, found, group))
    return sorted(rows, key=lambda row: row.quantity != CHIP)


def depthwise_share() -> float:
    """Of our time of MobileNet v1, with parameters on chip, what depthwise layers take."""
    machine = hwconfigs.load("edge_tpu_coral", [CACHED])
    works = [on_chip(work) for work in imagenet.mobilenet_v1()]
    depthwise = [work for work in works if work.depthwise]
    return milliseconds(depthwise, machine) / milliseconds(works, machine)


def section() -> Section:
    """By whether a network's parameters fit the chip."""
    rows = section_rows()
    by_machine = grouped(rows, lambda row: row.quantity)
    chip = by_machine[CHIP]
    beyond = [row.name for row in chip if row.group == "parameters streamed"]
    return section_of(
        title="Edge TPU",
        compares="Latency of whole int8 networks on a Coral Dev Board.",
        source="Coral, Edge TPU performance benchmarks, table 1; `silicon.csv`",
        machine=(
            "`edge_tpu_coral`, written from what is published of the chip; "
            f"`--set {CACHED[0]}={CACHED[1]}` where a network's parameters fit its 8 MB, "
            "which then "
            "stay there between inferences; activations stay on chip where they fit. Beside it "
            "`edge_tpu_like` as shipped: ZigZag's 1024 units at an assumed 800 MHz with 6.4 GB/s"
        ),
        basis="no: uncalibrated, and the chip's array is unpublished",
        name="edge_tpu",
        rows=rows,
        misses=[
            f"{CHIP}: {by_group(chip)}. {level_and_shape(chip)}.",
            f"{LIKE}: {by_group(by_machine[LIKE])}. {level_and_shape(by_machine[LIKE])}. It has "
            "none of the chip's PCIe, which streams the parameters of "
            f"{', '.join(beyond)} in each inference.",
            left_out("Coral", "Dev Board", rows, "their layers are not in the zoo"),
            f"Of our cycles of MobileNet v1 on the first machine {percent(depthwise_share())} are "
            "in depthwise layers, of which each group uses one column in 64. The detector's boxes "
            "are sorted on the host, which neither machine has.",
        ],
    )
