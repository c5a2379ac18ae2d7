"""Timeloop's figures, each mapping priced by Timeloop, by its conventions here, and by us.

`rows()` gives every row that carries its mapping. Our counts are of the same nest on a machine of
the same memories, widths and energies; `terms` lead from Timeloop's count to ours.
"""

import csv
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

import pytest

import hwconfigs
from simulator.errors import Unsupported
from simulator.machines.registry import machine_from
from simulator.machines.spatial import Spatial
from simulator.mapped import MappedLayer, cost_mapping, map_work
from simulator.mapping.loopnest import LoopNest
from simulator.work import Work
from tests.machines import timeloop_oracle as oracle
from tests.shared import absence, shared_folder
from workloads.mappings import read_printed

EYERISS: Final = "eyeriss_like"
SIMPLE: Final = "simple_ws"
NARROW_SUMS: Final = (
    ("datapath.accumulator.bits", 8),
    ("memory.0.bits_per_cycle", 16),
    ("memory.0.word_bits", 8),
)
"""Timeloop moves partial sums in words of 8 bits, though psum_spad holds one of 16 in each."""
LEAKS: Final = {
    EYERISS: {
        "psum_spad": 1452.29 / 126 / 86016,
        "weights_spad": 17254.12 / 126 / 86016,
        "ifmap_spad": 1094.64 / 126 / 86016,
        "shared_glb": 486.16 / 86016,
    },
    SIMPLE: {"pe_spad": 0.0, "shared_glb": 0.005353},
}
"""pJ an instance and cycle. Source: statistics that timeloop-accelergy-exercises ships for
eyeriss_like (leakage, instances in use, cycles), and simple_ws's table in the reference figures,
where pe_spad's is overwritten by another component's: it is left out."""
_REGISTER: Final[dict[str, Any]] = {
    "bytes": 2,
    "bits_per_cycle": 16,
    "ports": "read_write",
    "kind": "register",
    "read_pj": 0.144,
    "write_pj": 0.0,
}
SIMPLE_WS: Final[tuple[tuple[str, Any], ...]] = (
    ("mac_pj", 0.315),
    ("datapath.weight_bits", 16),
    ("datapath.activation_bits", 16),
    ("array.dimensions", {"x": {"size": 16}, "y": {"size": 16}}),
    (
        "memory",
        [
            {"name": "output_activation_reg", "holds": ["output"], **_REGISTER},
            {"name": "input_activation_reg", "holds": ["input"], **_REGISTER},
            {"name": "weight_reg", "holds": ["weight"], **_REGISTER},
            {
                "name": "pe_spad",
                "bytes": 384,
                "bits_per_cycle": 16,
                "holds": ["weight"],
                "ports": "read_write",
                "read_pj": 0.680237,
                "write_pj": 1.582678,
            },
            {
                "name": "shared_glb",
                "bytes": 131072,
                "bits_per_cycle": 256,
                "word_bits": 16,
                "holds": ["weight", "input", "output"],
                "shared_along": "all",
                "ports": "read_write",
                "read_pj": 4 * 32.377775,
                "write_pj": 4 * 26.156875,
            },
            {
                "name": "DRAM",
                "bytes": 1 << 30,
                "bits_per_cycle": 65536,
                "word_bits": 16,
                "holds": ["weight", "input", "output"],
                "shared_along": "all",
                "kind": "dram",
                "read_pj": 524288,
                "write_pj": 524288,
            },
        ],
    ),
)
"""simple_ws from its energy table in the reference figures; sizes as eyeriss_like's."""
GLB_WORDS: Final = 16
"""Operands that the global buffer moves in a cycle, each way."""


@dataclass(frozen=True)
class TimeloopRow:
    """One layer with Timeloop's mapping. Energies in pJ by component: memories and `mac`.

    cycles : ours by term (ideal, stall, onload, offload, drain); `cycles_by_rule` of Timeloop's
        rule, the slowest of computing and of the buffer's traffic, from counts made here.
    counted_pj : by Timeloop's conventions, counted here with its leakage.
    ours_pj : what our cost model says; `terms` is {name: {component: pJ}} from `counted_pj` to it.
    counted_words, our_words : words by (memory, operand, direction), by Timeloop's conventions and
        by our cost model.
    wide_pj : ours with sums of 16 bits outside the units as well, None where they do not fit.
    """

    architecture: str
    network: str
    layer: str
    macs: int
    their_cycles: int
    cycles_by_rule: int
    cycles: Mapping[str, int]
    their_pj: Mapping[str, float]
    counted_pj: Mapping[str, float]
    ours_pj: Mapping[str, float]
    terms: Mapping[str, Mapping[str, float]]
    counted_words: Mapping[oracle.Place, int]
    our_words: Mapping[oracle.Place, int]
    wide_pj: Mapping[str, float] | None

    @property
    def label(self) -> str:
        return f"{self.architecture} {self.network} {self.layer}"


@dataclass(frozen=True)
class Searched:
    """Timeloop's random search and ours on one layer, both nests priced by our cost model."""

    layer: str
    theirs: MappedLayer
    ours: MappedLayer
    objective: str


@cache
def source_rows() -> tuple[dict[str, str], ...]:
    folder = shared_folder()
    if folder is None:
        pytest.skip(absence())
    with (folder / "reference/peers/timeloop_reference.csv").open() as stream:
        return tuple(row for row in csv.DictReader(stream) if row["mapping"])


def work_of(row: Mapping[str, str]) -> Work:
    """The row's layer; Timeloop's inputs include what a convolution pads."""
    n, oc, ic, oy, ox, ky, kx = (int(row[name]) for name in "NMCPQRS")
    stride_y, stride_x = strides_of(row)
    height, width = (oy - 1) * stride_y + ky, (ox - 1) * stride_x + kx
    return Work(
        n=n,
        oy=oy,
        ox=ox,
        oc=oc,
        ky=ky,
        kx=kx,
        ic=ic,
        stride_y=stride_y,
        stride_x=stride_x,
        weight_bits=int(row["weight_bits"]),
        activation_bits=int(row["act_bits"]),
        output_bits=int(row["act_bits"]),
        input_elements=n * height * width * ic,
        weight_elements=oc * ic * ky * kx,
        output_elements=n * oy * ox * oc,
    )


def strides_of(row: Mapping[str, str]) -> tuple[int, int]:
    return int(row["stride_h"]), int(row["stride_w"])


def machine_of(architecture: str, narrow_sums: bool = True, *more: tuple[str, Any]) -> Spatial:
    """The architecture as a machine of ours."""
    sets = SIMPLE_WS if architecture == SIMPLE else (NARROW_SUMS if narrow_sums else ())
    if architecture == SIMPLE:
        sets = (*sets, ("array.unrollings", [{"y": {"oc": 4, "ic": 4}}]))
    made = machine_from(hwconfigs.document("timeloop_eyeriss_like"), [*sets, *more])
    assert isinstance(made, Spatial)
    return made


def unrolled_as(nest: LoopNest) -> tuple[str, Any]:
    """The machine's field that unrolls as a nest does."""
    unrolling: dict[str, dict[str, int]] = {}
    for dimension, loop, factor in nest.spatial:
        loops = unrolling.setdefault(dimension, {})
        loops[loop] = loops.get(loop, 1) * factor
    return "array.unrollings", [unrolling]


def holds_as(nest: oracle.Nest) -> tuple[tuple[str, Any], ...]:
    """What simple_ws's global buffer keeps: its mappings may leave any operand out."""
    return (("memory.4.holds", list(nest.keeps[nest.levels.index("shared_glb")])),)


def nest_of(row: Mapping[str, str], machine: Spatial) -> LoopNest:
    return read_printed(row["mapping"], machine, f"layer {row['layer']}")


def priced(words: Mapping[oracle.Place, int], machine: Spatial) -> dict[str, float]:
    """Energy in pJ of each memory."""
    found = {level.name: 0.0 for level in machine.memory}
    for (memory, _, way), count in words.items():
        if memory == oracle.ARITHMETIC:
            continue
        level = machine.memory[machine.levels.index(memory)]
        pj = level.read_pj if way.startswith("read") else level.write_pj
        assert pj is not None
        bits = level.word_bits or level.bits_per_cycle
        found[memory] += count * bits / level.bits_per_cycle * pj
    return found


def leakage(row: Mapping[str, str], nest: oracle.Nest, cycles: int) -> dict[str, float]:
    """Energy in pJ of each memory: Timeloop's units leak where they are used, the buffer always."""
    units = int(row["computes"]) / nest.cycles
    return {
        memory: pj * cycles * (1 if memory == "shared_glb" else units)
        for memory, pj in LEAKS[row["architecture"]].items()
    }


def compared(row: Mapping[str, str]) -> TimeloopRow:
    """One row by Timeloop, by its conventions counted here, and by our cost model."""
    architecture, macs = row["architecture"], int(row["computes"])
    nest = oracle.parse(row["mapping"], strides_of(row))
    held = holds_as(nest) if architecture == SIMPLE else ()
    ours_nest = nest_of(row, machine_of(architecture, True, *held))
    machine = machine_of(architecture, True, unrolled_as(ours_nest), *held)
    found = cost_mapping(work_of(row), machine, ours_nest)
    kinds = oracle.conventions()
    counted = [priced(oracle.words(nest, kind), machine) for _, kind in kinds]
    rule = oracle.cycles(nest, oracle.words(nest), {"shared_glb": GLB_WORDS})
    leaks = leakage(row, nest, int(row["cycles"]))
    terms: dict[str, dict[str, float]] = {"leakage left out": {m: -pj for m, pj in leaks.items()}}
    for (name, _), before, after in zip(kinds[1:], counted, counted[1:], strict=False):
        terms[name] = {m: after[m] - before[m] for m in after if after[m] != before[m]}
    mac = {"mac": macs * (machine.mac_pj or 0.0)}
    theirs = json.loads(row["fJ_per_compute_by_component_json"])
    wide = with_wide_sums(row, ours_nest) if architecture == EYERISS else None
    return TimeloopRow(
        architecture,
        row["network"],
        row["layer"],
        macs,
        int(row["cycles"]),
        rule,
        found.cycles,
        {name: fj * macs / 1000 for name, fj in theirs.items()},
        mac | {m: pj + leaks.get(m, 0.0) for m, pj in counted[0].items()},
        mac | priced(found.words, machine),
        {name: term for name, term in terms.items() if term},
        oracle.words(nest),
        found.words,
        mac | wide if wide else None,
    )


def with_wide_sums(row: Mapping[str, str], nest: LoopNest) -> dict[str, float] | None:
    """Energy in pJ of each memory with sums of 16 bits everywhere; None where they do not fit."""
    machine = machine_of(EYERISS, False, unrolled_as(nest))
    try:
        return priced(cost_mapping(work_of(row), machine, nest).words, machine)
    except Unsupported:
        return None


@cache
def rows() -> tuple[TimeloopRow, ...]:
    """Every row of the reference figures that carries its mapping."""
    return tuple(compared(row) for row in source_rows())


def searched(row: Mapping[str, str], objective: str) -> Searched:
    """Our best nest of a layer beside Timeloop's, on the machine's own unrollings and the row's."""
    base = machine_of(EYERISS)
    theirs = nest_of(row, base)
    own = unrolled_as(theirs)
    ours_sets = [("mapping.objective", objective)]
    alike = machine_of(EYERISS, True, own)
    either = machine_of(EYERISS, True, *ours_sets)
    found = map_work(work_of(row), either)
    same = map_work(work_of(row), machine_of(EYERISS, True, own, *ours_sets))
    score = {"energy": lambda m: m.energy_fj, "edp": lambda m: m.energy_fj * m.latency}[objective]
    best = min(found, same, key=score)
    return Searched(row["layer"], cost_mapping(work_of(row), alike, theirs), best, objective)


@cache
def searches(objective: str) -> tuple[Searched, ...]:
    """AlexNet's layers: the nest of Timeloop's random search and the best of ours."""
    return tuple(
        searched(row, objective)
        for row in source_rows()
        if row["architecture"] == EYERISS and row["network"] == "alexnet"
    )
