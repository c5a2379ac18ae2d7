"""The mapping search beside every order of its factors, one by one: bounds lose nothing."""

import itertools
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import hwconfigs
from simulator.errors import Unsupported
from simulator.machines.actions import COMPUTE_CYCLES
from simulator.machines.hierarchy import read_layer, read_rates, unroll_layer
from simulator.machines.spatial import Spatial
from simulator.mapped import _tables, map_work
from simulator.mapping.latency import cost_of_nest
from simulator.mapping.layout import CUT, DEPTH, ENERGY, LATENCY, PORT_KINDS, RESULT
from simulator.mapping.nest import push, start_nest
from simulator.mapping.tiling import MOST_FACTORS, NO_ROOM, allocate, fits, split_loops
from simulator.work import Work
from tests.machines.works import conv

EVERY = ["weight", "input", "output"]
BUDGET = 60


def scored(objective: str, latency: float, energy: float, leak: float) -> float:
    """`leak` is what a step of the array's clock costs by itself."""
    whole = energy + leak * latency
    return {"latency": latency, "energy": whole, "edp": latency * whole}[objective]


def best_of_all_orders(work: Work, machine: Spatial, objective: str) -> float:
    """Each distinct order with both cuts, filled anew and costed in full."""
    ints, reals, prices = _tables(machine)
    row, memories, best = machine.row(), len(machine.memory), math.inf
    read_rates(work.row(), row, prices, ints, reals)
    read_layer(work.row(), row, ints)
    for choice in range(len(machine.array.unrollings)):
        unroll_layer(row, prices, choice, ints, reals)
        loops = np.zeros(MOST_FACTORS, np.int64)
        factors = np.ones(MOST_FACTORS, np.int64)
        count = split_loops(ints, reals, BUDGET, loops, factors)
        pairs = list(zip(loops[:count].tolist(), factors[:count].tolist(), strict=True))
        for order in set(itertools.permutations(pairs)):
            start_nest(ints, reals, count)
            for place, (loop, factor) in enumerate(order):
                push(ints, reals, place, loop, factor)
            for half in (False, True):
                if allocate(ints, reals, memories, half) == NO_ROOM:
                    continue
                cuts = [ints[CUT + o, : ints[DEPTH, o]].tolist() for o in range(3)]
                assert all(c == sorted(c) and c[-1] == count for c in cuts)
                assert fits(ints, reals, memories)
                cost_of_nest(ints, reals)
                leak = prices[COMPUTE_CYCLES] * machine.array.step_cycles
                found = scored(objective, reals[RESULT, LATENCY], reals[RESULT, ENERGY], leak)
                best = min(best, found)
    return best


@st.composite
def machines(draw: st.DrawFn) -> tuple[str, list[tuple[str, Any]]]:
    """A shipped machine or one of our own, its memories drawn."""
    timing = draw(st.sampled_from(["physical", "zigzag"]))
    objective = draw(st.sampled_from(["latency", "energy", "edp"]))
    pairs: list[tuple[str, Any]] = [
        ("timing", timing),
        ("mapping.objective", objective),
        ("mapping.orders", BUDGET),
        ("technology", draw(st.sampled_from(["horowitz_45nm", "synthesized_45nm"]))),
    ]
    name = draw(st.sampled_from(["drawn", "drawn", "eyeriss_like", "gemmini_like", "tpu_like"]))
    if name != "drawn":
        return name, pairs
    memories = []
    for index, kind in enumerate(["register", "sram", "sram", "dram"]):
        holds = EVERY
        if index < 3:
            holds = draw(st.lists(st.sampled_from(EVERY), min_size=1, max_size=3, unique=True))
        rate = draw(st.sampled_from([8, 32, 64, 256]))
        along: Any = draw(st.sampled_from([[], ["b"], "all"])) if index == 0 else "all"
        size = [draw(st.sampled_from([4, 8, 64])), draw(st.sampled_from([64, 512, 4096])), 32768]
        memories.append(
            {
                "name": f"m{index}",
                "bytes": [*size, 1 << 32][index],
                "bits_per_cycle": rate,
                "word_bits": draw(st.sampled_from([8, rate])),
                "holds": holds,
                "shared_along": along,
                "ports": draw(st.sampled_from(PORT_KINDS)),
                "request_cycles": draw(st.sampled_from([0, 0, 5])),
                "kind": kind,
            }
        )
    pairs += [
        ("array.dimensions", {"a": {"size": 6}, "b": {"size": 4}}),
        (
            "array.unrollings",
            [{"a": {"oy": draw(st.sampled_from([1, 3, 5]))}, "b": {"ic": 2, "ky": 2}}],
        ),
        ("memory", memories),
    ]
    return "tpu_like", pairs


@st.composite
def layers(draw: st.DrawFn) -> Work:
    size = st.sampled_from([1, 2, 3, 5, 7, 8, 12, 13])
    taps = st.sampled_from([1, 2, 3])
    return conv((draw(size), draw(size)), draw(size), (draw(taps), draw(taps)), draw(size))


@given(case=machines(), work=layers())
@settings(max_examples=150, deadline=None, derandomize=True)
def test_the_search_finds_the_best_of_all_orders(case: Any, work: Work) -> None:
    name, pairs = case
    machine = hwconfigs.load(name, pairs)
    assert isinstance(machine, Spatial)
    objective = machine.mapping.objective
    best = best_of_all_orders(work, machine, objective)
    if best == math.inf:
        with pytest.raises(Unsupported, match="no loop nest fits the memories"):
            map_work(work, machine)
        return
    found = map_work(work, machine)
    again = map_work(work, machine)
    leak = _tables(machine)[2][COMPUTE_CYCLES] * machine.array.step_cycles
    score = scored(objective, found.latency, found.energy_fj, leak)
    assert score == pytest.approx(best, rel=1e-12)
    assert found.nest == again.nest
    assert found.costed <= found.decided
