"""NVDLA's published performance sheet: array cycles and cycles of each layer."""

import csv
from collections.abc import Mapping
from typing import Any

import hwconfigs
from simulator.machines.spatial import Spatial
from simulator.mapped import map_work
from simulator.work import Work
from tests.validation.maestro import MACHINE
from tests.validation.rows import Row, Section, group_table, percent, section_of, shared_file

FILE = "reference/silicon/nvdla_model_layers.csv"
DRAM_BITS = 80
SETS: list[tuple[str, Any]] = [
    ("array.dimensions", {"a": {"size": 32}, "b": {"size": 64}}),
    ("array.unrollings", [{"a": {"oc": 32}, "b": {"ic": 64}}]),
    ("memory.3.bytes", 512 << 10),
    ("memory.4.bits_per_cycle", DRAM_BITS),
]
"""2048 units, 512 KB of buffer and 10 GB/s at 1 GHz, as the sheet has them; 32 filters by 64
channels are the atoms of nv_full (NVDLA hardware manual)."""
BATCH = 16
"""Images that share weights where the sheet's cycles do not move them: it takes a 16th."""
ARRAY, LAYER = "array cycles of a layer", "cycles of a layer"
PARTS = ("Input", "Weight", "Output")
Figures = Mapping[str, str]


def work_of(row: Figures) -> Work:
    """The layer, padded so that its outputs are the sheet's."""
    ic, oc = int(row["#input feature maps C"]), int(row["#output feature maps K"])
    height, width = int(row["Input Height H"]), int(row["Input Width W"])
    taps, stride = int(row["Filter Height R"]), int(row["Vertical  Conv Srtide H"])
    out = int(row["Height after Conv P"])
    # KB at 10 GB/s and 1 GHz take 100 cycles: fewer than the weights alone, and images share them.
    images = BATCH if 100 * float(row["Weight data size"]) > float(row["MAX Cycle"]) else 1
    return Work(
        n=images,
        oy=out,
        ox=out,
        oc=oc,
        ky=taps,
        kx=taps,
        ic=ic,
        stride_y=stride,
        stride_x=stride,
        input_elements=images * ic * height * width,
        weight_elements=oc * ic * taps * taps,
        output_elements=images * oc * out * out,
        input_rows=height,
        input_columns=width,
    )


def section_rows() -> tuple[list[Row], list[float], int]:
    """Direct convolutions and products; how far each is above what its DRAM traffic takes.

    Last, how many others the sheet computes by Winograd.
    """
    machine = hwconfigs.load(MACHINE, SETS)
    assert isinstance(machine, Spatial)
    rows, above, winograd = [], [], 0
    with shared_file(FILE).open(encoding="utf-8") as stream:
        for row in csv.DictReader(stream):
            if row["Winograd"] == "True":
                winograd += 1
                continue
            work = work_of(row)
            found = map_work(work, machine)
            group = {"conv + elwise": "convolution and addition", "fc": "fully connected"}.get(
                row["Layer attribute"], "convolution"
            )
            if work.ic == 3:
                group = "convolution of 3 channels"
            words = sum(count for (memory, _, _), count in found.words.items() if memory == "dram")
            above.append(found.latency / (words * 8 / DRAM_BITS) - 1)
            name = f"{row['net']} {row['Layer'].split()[0]}"
            pairs = [
                (ARRAY, float(row["MAC cycles"]), found.cycles["ideal"] / work.n),
                (LAYER, float(row["MAX Cycle"]), found.latency / work.n),
            ]
            rows += [Row(what, name, a, b, group) for what, a, b in pairs]
    return rows, above, winograd


def traffic() -> str:
    """The sheet's traffic by the bytes of image, weights and result, for convolutions alone."""
    ratios = []
    with shared_file(FILE).open(encoding="utf-8") as stream:
        for row in csv.DictReader(stream):
            if row["Layer attribute"] == "conv" and row["Winograd"] != "True":
                least = sum(float(row[f"{what} data size"]) for what in PARTS)
                ratios.append(float(row["DRAM Traffic"]) / least)
    once = sum(ratio < 1.05 for ratio in ratios)
    return f"In {once} of {len(ratios)} convolutions the sheet moves image, weights and result once"


def section() -> Section:
    """By kind of layer."""
    rows, above, winograd = section_rows()
    fast, most = sum(share < 0 for share in above), min(above)
    array, layer = ([row for row in rows if row.quantity == what] for what in (ARRAY, LAYER))
    return section_of(
        title="NVDLA, its sheet",
        compares=(
            "Cycles of layers of AlexNet and ResNet-50 on 2048 units: of the array alone, and the "
            "slower of array and DRAM. The sheet is its designers' model, no silicon."
        ),
        source=f"nvdla/hw, perf/NVDLA_OpenSource_Performance.xlsx; `{FILE}`",
        machine=(
            "`tests/validation/maestro.yaml` with `--set array.dimensions, array.unrollings` of "
            "32 filters by 64 channels, `memory.3.bytes=524288`, `memory.4.bits_per_cycle=80`"
        ),
        basis="no: sizes and rates are the sheet's",
        name="nvdla",
        rows=rows,
        misses=[
            f"Array cycles:\n\n{group_table(array, 'kind')}",
            f"Cycles:\n\n{group_table(layer, 'kind')}",
            "The sheet packs several taps of an image of 3 channels into the 64 of a word; the "
            "unrolling here leaves 61 idle. It adds the second operand of an addition to a "
            "layer's traffic; here that is an operator of its own.",
            f"{traffic()}. In {fast} of {len(layer)} layers our latency is below our own DRAM "
            f"traffic over the port's rate, by up to {percent(-most)}: the stalls of a port that "
            "operands share are counted as ZigZag counts them, whose own figures show the same.",
            f"Not compared: {winograd} layers that the sheet computes by Winograd's transform.",
        ],
    )
