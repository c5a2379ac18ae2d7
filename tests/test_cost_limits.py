"""Counts and energies that int64 cannot hold are refused with layer and value, never wrapped."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import hwconfigs
from simulator.cost import count, estimate, evaluate_designs, price
from simulator.designs import largest_count
from simulator.errors import Unsupported
from simulator.graph import Graph, TensorType
from simulator.machines.actions import TOO_MANY, TOO_MUCH_ENERGY, TOTAL_REFUSAL, TOTAL_REFUSED_LAYER
from simulator.mapping.layout import NEST_LOOPS, TEMPORAL, empty_tables
from simulator.mapping.tiling import MOST_FACTORS, split_loops
from tests.machines.works import OPERATORS, conv, machine
from tests.ops.build import OneOp, tensor
from tests.ops.models import ACTIVATION, load

MACHINES = ("cortex_m4", "hvx_1024", "systolic_16x16")
NAMES = pytest.mark.parametrize("name", MACHINES)


def adding(folder: Path, *shape: int) -> Graph:
    """A model that adds two tensors of a shape that nothing can hold."""
    kind = tensor(shape, 0.5)
    return load(OneOp("ADD", ACTIVATION, (kind, kind), kind, (None, None)).model(), folder)


def test_elements_are_counted_without_wrapping() -> None:
    assert TensorType((1 << 31, 1 << 31, 1 << 31), "int8", 8).elements == 1 << 93


@NAMES
def test_a_huge_layer_is_refused_with_its_value(name: str, tmp_path: Path) -> None:
    graph = adding(tmp_path, 1 << 30, 1 << 30, 8)
    target = hwconfigs.load(name)
    work = graph.work[0]
    value, most, what = largest_count(work, target)
    assert value > most
    place = rf"^m\.tflite, add_0 \(add\) on {name}: "
    message = rf"{place}{value} {what} are more than are counted exactly here \({most}\); split"
    with pytest.raises(Unsupported, match=message):
        estimate(graph, target)
    with pytest.raises(Unsupported, match=message):
        count(graph, target)


@NAMES
@pytest.mark.parametrize("axis", ["n", "oc", "ic"])
def test_the_largest_counts_that_are_taken_do_not_wrap(name: str, axis: str) -> None:
    """Just below the limit, cycles and bytes are still what they must at least be."""
    target = machine(name)
    base = conv((8, 8), 16, (1, 1), 8)
    for log in range(10, 45):
        work = replace(base, **{axis: 1 << log, "input_elements": 1 << log})
        value, most, _ = largest_count(work, target)
        found = evaluate_designs([work], [target], per_layer=True)
        if value > most:
            assert found.totals[0, TOTAL_REFUSAL] == TOO_MANY
            assert np.isnan(found.latency_s[0])
            assert found.area_mm2[0] > 0
            continue
        assert found.totals[0, TOTAL_REFUSAL] in (0, TOO_MUCH_ENERGY)
        if found.totals[0, TOTAL_REFUSAL] == 0:
            assert found.actions[0, 0].min() >= 0
            assert found.totals[0, 0] >= work.macs // target.peak_macs_per_cycle
    assert value > most


def test_energies_that_add_up_beyond_int64_are_refused() -> None:
    """9223 J: one layer of 2^43 elements is some 2 kJ of DRAM; the fifth passes the limit."""
    target = machine("systolic_16x16")
    work = replace(OPERATORS["reshape"], input_elements=1 << 40, output_elements=1 << 40)
    alone = evaluate_designs([work], [target], per_layer=True)
    energy = int(alone.energy_fj[0, 0].sum())
    assert energy == int(alone.totals[0, 4]) > 0
    fits = (2**63 - 1) // energy
    most = evaluate_designs([work] * fits, [target])
    assert int(most.totals[0, 4]) == pytest.approx(fits * energy, rel=1e-6)
    over = evaluate_designs([work] * (fits + 2), [target])
    assert over.totals[0, TOTAL_REFUSAL] == TOO_MUCH_ENERGY
    assert over.totals[0, TOTAL_REFUSED_LAYER] in (fits, fits + 1)


def test_a_dear_technology_is_refused_too(tmp_path: Path) -> None:
    graph = adding(tmp_path, 1 << 20, 1 << 15, 8)
    target = hwconfigs.load("systolic_16x16")
    layers = count(graph, target)
    dear = tuple(replace(layer, actions=tuple(a << 20 for a in layer.actions)) for layer in layers)
    with pytest.raises(Unsupported, match=r"^add_0 \(add\) on systolic_16x16: its energy, or the"):
        price(dear, target)


def test_other_designs_and_their_order_stay() -> None:
    """A design that refuses a count stands beside one that takes it, area and all."""
    slow, fast = machine("cortex_m4", core__cycles_per_instruction=16.0), machine("cortex_m4")
    huge = replace(OPERATORS["add"], elementwise=1 << 62)
    limits = [largest_count(huge, target)[1] for target in (slow, fast)]
    assert limits[0] < limits[1]
    work = replace(huge, elementwise=sum(limits) // 2)
    found = evaluate_designs([work], [slow, fast, slow], per_layer=True)
    assert found.refused.tolist() == [True, False, True]
    alone = evaluate_designs([work], [fast], per_layer=True)
    assert found.totals[1].tolist() == alone.totals[0].tolist()
    assert found.actions[1].tolist() == alone.actions[0].tolist()
    assert found.area_mm2[0] == found.area_mm2[1] > 0


def test_a_platform_refuses_what_int64_cannot_hold(tmp_path: Path) -> None:
    """A count beyond 2^63 itself, which no row of a unit holds."""
    graph = adding(tmp_path, 1 << 30, 1 << 30, 1 << 20)
    assert graph.work[0].input_elements >= 1 << 63
    with pytest.raises(Unsupported, match=r"add_0 \(add\) on systolic_and_m4: .* counted exactly"):
        estimate(graph, hwconfigs.load("systolic_and_m4"))


def test_more_primes_than_a_nest_has_loops_are_joined() -> None:
    """Eight bounds of 2^20: 160 primes in tables of `NEST_LOOPS`, none lost."""
    ints, reals = empty_tables()
    ints[TEMPORAL, :8] = 1 << 20
    loops, factors = np.zeros(MOST_FACTORS, np.int64), np.ones(MOST_FACTORS, np.int64)
    found = split_loops(ints, reals, 1 << 60, loops, factors)
    assert found <= NEST_LOOPS
    for loop in range(8):
        assert math.prod(factors[:found][loops[:found] == loop].tolist()) == 1 << 20


def test_a_search_over_a_huge_batch_ends_in_a_line() -> None:
    """2^32 images: once, the tables of the search were written beyond their end."""
    found = evaluate_designs(
        [replace(conv((4, 4), 2, (2, 2), 1), n=1 << 32)], [hwconfigs.load("tpu_like")]
    )
    assert found.refused.tolist() == [True]
