"""The rows of ZigZag's figures as works, machines and mappings of ours."""

import csv
import json
from collections.abc import Mapping
from functools import cache
from typing import Any

import pytest

import hwconfigs
from simulator.machines.spatial import Spatial
from simulator.mapping.loopnest import LoopNest
from simulator.work import Work
from tests.shared import absence, shared_folder
from workloads.mappings import ZIGZAG_LOOPS, from_zigzag

MACHINES = {
    "tpu_like": "tpu_like",
    "meta_prototype": "meta_prototype",
    "gemm_l1": "gemm_l1",
    "eyeriss_like(own row-stationary mapping)": "eyeriss_like",
}
"""Our machine by the name in the column `hardware`."""
MEMORIES = {
    "tpu_like": ("rf_128B", "rf_2B", "sram_2MB", "dram"),
    "meta_prototype": (
        "rf_1B",
        "rf_2B",
        "sram_64KB",
        "sram_32KB",
        "sram_1MB_A",
        "sram_1MB_W",
        "dram",
    ),
    "eyeriss_like": (
        "rf_64B_A",
        "rf_64B_W",
        "rf_16B",
        "sram_8KB",
        "sram_64KB",
        "sram_1M",
        "dram",
    ),
    "gemm_l1": ("reg_O", "l1", "l1"),
}
"""ZigZag's names of our memories, in the same order."""
OPERANDS = {"weight": "W", "input": "I", "output": "O"}
WAYS = {
    "read_to_below": "RD_OUT_TO_LOW",
    "written_from_below": "WR_IN_BY_LOW",
    "read_to_above": "RD_OUT_TO_HIGH",
    "written_from_above": "WR_IN_BY_HIGH",
}
ALEXNET_PADDING = {11: 0, 5: 2, 3: 1, 1: 0}
"""Zeros on each side, by filter size: Krizhevsky et al. (2012), as ZigZag's workload has it."""
Row = Mapping[str, str]


@cache
def rows() -> tuple[Row, ...]:
    folder = shared_folder()
    if folder is None:
        pytest.skip(absence())
    with (folder / "reference/peers/zigzag_public.csv").open() as stream:
        return tuple(csv.DictReader(stream))


def work_of(row: Row) -> Work:
    """The layer. Its input is read but for the padding; ResNet's inputs are stride x outputs."""
    get = {name: int(row[name]) for name in ("B", "G", "K", "C", "OY", "OX", "FY", "FX")}
    stride = int(row["stride_y"])
    sides = []
    for outputs, taps in (("OY", "FY"), ("OX", "FX")):
        if row["network"] == "resnet18":
            sides.append(get[outputs] * stride)
        else:
            padding = ALEXNET_PADDING[get[taps]]
            sides.append((get[outputs] - 1) * stride + get[taps] - 2 * padding)
    pixels = get["B"] * get["OY"] * get["OX"]
    return Work(
        n=get["B"],
        groups=get["G"],
        oc=get["K"],
        ic=get["C"],
        oy=get["OY"],
        ox=get["OX"],
        ky=get["FY"],
        kx=get["FX"],
        stride_y=stride,
        stride_x=int(row["stride_x"]),
        weight_bits=int(row["bits_W"]),
        activation_bits=int(row["bits_I"]),
        output_bits=int(row["bits_O_final"]),
        input_elements=get["B"] * get["G"] * get["C"] * sides[0] * sides[1],
        weight_elements=get["G"] * get["K"] * get["C"] * get["FY"] * get["FX"],
        output_elements=pixels * get["G"] * get["K"],
        input_rows=sides[0],
        input_columns=sides[1],
    )


@cache
def machine_of(name: str, objective: str = "latency", orders: int = 720) -> Spatial:
    """Our machine, its edge folds counted as ZigZag counts them, its own unrolling alone."""
    document = hwconfigs.document(name)
    unrolling = document.root.child("array").child("unrollings").child(0).plain()  # type: ignore[union-attr]
    sets: list[tuple[str, Any]] = [
        ("timing", "zigzag"),
        ("array.unrollings", [unrolling]),
        ("mapping.objective", objective),
        ("mapping.orders", orders),
    ]
    machine = hwconfigs.load(name, sets)
    assert isinstance(machine, Spatial)
    return machine


def nest_of(row: Row, machine: Spatial) -> LoopNest:
    gemm = {"D0": "n", "D1": "oc", "D2": "ic"}
    loops = gemm if row["hardware"] == "gemm_l1" else ZIGZAG_LOOPS
    return from_zigzag(row["temporal_mapping"], machine.chains(), loops)


def word_accesses(row: Row) -> dict[tuple[str, str, str], int]:
    """ZigZag's accesses in words of the port: {(memory, operand, way): count}."""
    return {
        (*place.split("/"), way): int(count)
        for place, ways in json.loads(row["word_accesses_json"]).items()
        for way, count in ways.items()
    }
