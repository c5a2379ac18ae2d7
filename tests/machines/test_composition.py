"""Compositions: one multiplier against its definition, then machines by hand and by laws."""

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from simulator.machines import composition as composed
from simulator.machines.actions import ACTIONS, MULTIPLIER_CYCLES
from simulator.machines.base import Machine
from simulator.work import Work
from tests.machines.composition_oracle import cycles_of_a_product, steps
from tests.machines.test_cpu import PLAIN
from tests.machines.works import MACHINES, OPERATORS, conv, cost, gemm, machine

COMPOSITIONS = ("fixed", "fused", "linear", "serial", "activation", "bitplane")
COMPOSED = COMPOSITIONS[1:]
FREE: dict[str, dict[str, Any]] = {
    "systolic_16x16": {
        f"memory__{name}__bytes_per_cycle": 2**20
        for name in ("ifmap_sram", "weight_sram", "ofmap_sram", "dram")
    },
    "hvx_1024": {"memory__l2__bytes_per_cycle": 2**20, "memory__dram__bytes_per_cycle": 2**20},
    "cortex_m4": {},
    "cortex_a73": {
        "memory__cache__bytes_per_cycle": 2**20,
        "memory__dram__bytes_per_cycle": 2**20,
    },
}


def fields(name: str, unit: tuple[int, int] = (8, 8)) -> dict[str, Any]:
    """The paths that give a machine one of COMPOSITIONS."""
    changes: dict[str, Any] = {
        "datapath__weight_bits": unit[0],
        "datapath__activation_bits": unit[1],
        "datapath__composition": "serial" if name == "activation" else name,
    }
    if name == "activation":
        changes["datapath__serial_operand"] = "activation"
    return changes


def made(kind: str, name: str, unit: tuple[int, int] = (8, 8), **more: Any) -> Machine:
    return machine(kind, **fields(name, unit), **more)


def widths(w: int, a: int) -> dict[str, Any]:
    return {"weight_bits": w, "activation_bits": a, "output_bits": a}


# Products a cycle of a multiplier of 8 x 8 bits, by hand from each composition's source.
PRODUCTS: dict[str, dict[tuple[int, int], Fraction | int]] = {
    "fused": {(8, 8): 1, (4, 4): 4, (8, 4): 2, (4, 8): 2, (2, 2): 16, (2, 8): 4, (3, 8): 2},
    "linear": {(8, 8): 1, (4, 4): 2, (8, 4): 1, (4, 8): 1, (2, 2): 2},
    "serial": {(8, 8): 1, (4, 4): 4, (8, 4): 2, (1, 1): 64, (3, 8): Fraction(8, 3)},
    "activation": {(8, 8): 1, (4, 4): 2, (8, 4): 2, (4, 8): 1, (8, 5): Fraction(8, 5)},
    "bitplane": {(8, 8): 1, (4, 4): 4, (1, 2): 32, (2, 2): 16, (3, 3): Fraction(64, 9)},
    "fixed": {(8, 8): 1, (4, 4): 1, (2, 8): 1, (1, 1): 1},
}
PASSES: dict[str, dict[tuple[int, int], Fraction | int]] = {
    "fused": {(16, 8): 2, (8, 16): 2, (16, 16): 4, (4, 16): 1},
    "linear": {(16, 8): 2, (8, 16): 2, (16, 16): 2, (4, 16): 2},
    "serial": {(16, 8): 2, (16, 16): 4, (12, 8): Fraction(3, 2)},
    "activation": {(16, 8): 2, (9, 8): 2, (8, 16): 2, (16, 16): 4},
    "bitplane": {(16, 8): 2, (16, 16): 4},
}


@pytest.mark.parametrize("name", COMPOSITIONS)
def test_products_of_one_multiplier(name: str) -> None:
    row = made("systolic_16x16", name).row()
    for (w, a), products in PRODUCTS[name].items():
        assert Fraction(*composed.rate(row, w, a)) == products
        assert composed.partial_products(row, w, a) == 1
    for (w, a), passes in PASSES.get(name, {}).items():
        assert 1 / Fraction(*composed.rate(row, w, a)) == passes
        assert composed.partial_products(row, w, a) == -(-passes // 1)


@given(
    name=st.sampled_from(COMPOSED),
    unit=st.tuples(st.integers(1, 16), st.integers(1, 16)),
    w=st.integers(1, 16),
    a=st.integers(1, 16),
    taps=st.integers(0, 300),
    width=st.integers(1, 8),
)
@settings(max_examples=300, deadline=None)
def test_rates_are_their_definitions(
    name: str, unit: tuple[int, int], w: int, a: int, taps: int, width: int
) -> None:
    built = made("systolic_16x16", name, unit)
    row = built.row()
    expected = cycles_of_a_product(name, unit, w, a)
    assert 1 / Fraction(*composed.rate(row, w, a)) == expected
    assert expected <= built.most_passes
    found = composed.reduction_steps(row, w, a, taps, width)
    assert found == steps(name, unit, w, a, taps, width)
    assert composed.multiplier_cycles(row, w, a, taps) == -(-taps * expected // 1)


@pytest.mark.parametrize("name", COMPOSED)
@pytest.mark.parametrize(("w", "a"), [(8, 8), (4, 4), (8, 4), (2, 2), (16, 8), (16, 16)])
def test_an_output_stationary_array_by_hand(name: str, w: int, a: int) -> None:
    # One fold of 16 x 16 sums: the taps stream, 30 cycles of skew, 16 of drain.
    built = made(
        "systolic_16x16",
        name,
        array__dataflow="output_stationary",
        dispatch__cycles_per_op=1,
        **FREE["systolic_16x16"],
    )
    taps = 640
    counted = cost(built, gemm(16, 16, taps, **widths(w, a)))
    assert counted["compute_cycles"] == steps(name, (8, 8), w, a, taps, 1) + 30 + 16
    assert counted["macs"] == 16 * 16 * taps
    assert counted["multiplier_cycles"] == 16 * 16 * taps * cycles_of_a_product(name, (8, 8), w, a)


@pytest.mark.parametrize("name", COMPOSED)
def test_a_signal_processor_by_hand(name: str) -> None:
    # 32 filters fill the lanes; 64 channels, four multipliers abreast; two multiplies a packet.
    quiet: dict[str, Any] = {
        "vector__contexts": 1,
        "dispatch__cycles_per_op": 1,
        "vector__memory_slots": 16,
    }
    built = made("hvx_1024", name, **quiet, **FREE["hvx_1024"])
    for w, a in ((8, 8), (4, 4), (4, 8), (16, 8)):
        counted = cost(built, conv((8, 8), 32, (3, 3), 64, **widths(w, a)))
        multiplies = 64 * 9 * steps(name, (8, 8), w, a, 64, 4)
        requantize = 64 * 8 // 2
        assert counted["compute_cycles"] == max(-(-multiplies // 2), requantize)


@pytest.mark.parametrize("name", COMPOSED)
def test_a_processor_by_hand(name: str) -> None:
    # 8-bit vectors of two products: three instructions each, and ten and a quarter an output.
    plain: dict[str, Any] = dict(PLAIN)
    built = made("cortex_m4", name, **plain)
    for w, a in ((8, 8), (4, 4), (2, 8), (16, 16)):
        counted = cost(built, conv((4, 4), 8, (3, 3), 7, **widths(w, a)))
        sums = 4 * 4 * 8
        assert counted["compute_cycles"] == sums * (3 * steps(name, (8, 8), w, a, 63, 2) + 10.25)


@pytest.mark.parametrize("kind", MACHINES)
@pytest.mark.parametrize("name", [c for c in COMPOSED if c != "bitplane"])
@pytest.mark.parametrize("operator", sorted(OPERATORS))
def test_at_its_own_widths_a_composition_takes_the_time_of_fixed(
    kind: str, name: str, operator: str
) -> None:
    plain, other = made(kind, "fixed"), made(kind, name)
    counted, found = cost(plain, OPERATORS[operator]), cost(other, OPERATORS[operator])
    for what in ("cycles", "macs", "multiplier_cycles", "accumulations", "tree_additions"):
        assert found[what] == counted[what]
    for level in plain.levels:
        assert found[f"{level}_read"] == counted[f"{level}_read"]
        assert found[f"{level}_write"] == counted[f"{level}_write"]


@pytest.mark.parametrize("kind", MACHINES)
def test_wider_operands_pass_several_times_or_are_refused(kind: str) -> None:
    work = conv((4, 4), 8, (3, 3), 8, **widths(16, 16))
    assert cost(made(kind, "fixed"), work)["refusal"] == 1
    narrowed = cost(made(kind, "fixed", datapath__narrow=True), work)
    assert narrowed["refusal"] == 0
    for name in COMPOSED:
        found = cost(made(kind, name), work)
        assert found["refusal"] == 0
        assert found["macs"] == work.macs
        passes = found["multiplier_cycles"] // work.macs
        assert passes == (2 if name == "linear" else 4)
        assert found["accumulations"] + found["tree_additions"] == passes * work.macs
        # Narrowed operands go through in one pass.
        assert cost(made(kind, name, datapath__narrow=True), work)["multiplier_cycles"] == work.macs


@st.composite
def shapes(draw: st.DrawFn) -> dict[str, Any]:
    """A convolution of any kind: dense, grouped, depthwise, fully connected."""
    small = st.integers(1, 40)
    groups = draw(st.sampled_from([1, 1, 3, 17]))
    return {
        "pixels": (draw(st.integers(1, 6)), draw(st.integers(1, 6))),
        "oc": draw(small),
        "kernel": (draw(st.integers(1, 3)), draw(st.integers(1, 3))),
        "ic": draw(st.sampled_from([1, 3, 8, 33, 64])),
        "groups": groups,
    }


BITS = st.integers(1, 16)


@given(
    kind=st.sampled_from(MACHINES),
    name=st.sampled_from(COMPOSITIONS),
    shape=shapes(),
    wide=st.tuples(BITS, BITS),
    narrow=st.tuples(BITS, BITS),
    flow=st.sampled_from(["weight_stationary", "output_stationary", "input_stationary"]),
    dot=st.sampled_from([1, 1, 2, 4]),
    rate=st.sampled_from([1, 2, 8, 64, 1024]),
)
@settings(max_examples=250, deadline=None)
def test_fewer_bits_never_cost_more(
    kind: str,
    name: str,
    shape: dict[str, Any],
    wide: tuple[int, int],
    narrow: tuple[int, int],
    flow: str,
    dot: int,
    rate: int,
) -> None:
    few = tuple(map(min, wide, narrow))
    more: dict[str, Any] = dict.fromkeys(FREE[kind], rate)
    if kind == "systolic_16x16":
        more |= {"array__dataflow": flow, "datapath__dot_width": dot}
    built = made(kind, name, **more)
    works = [conv(**shape, **widths(*bits)) for bits in (few, wide)]
    less, most = (cost(built, work) for work in works)
    assume(most["refusal"] == 0)
    assert less["refusal"] == 0
    for what in ("cycles", "multiply_fj", "accumulate_fj", "energy_fj", "multiplier_cycles"):
        assert less[what] <= most[what], what
    for level in built.levels:
        assert less[f"{level}_read"] <= most[f"{level}_read"]
        assert less[f"{level}_write"] <= most[f"{level}_write"]
    for work, found in zip(works, (less, most), strict=True):
        assert found["macs"] == work.macs
        assert found["multiplier_cycles"] <= found["cycles"] * built.peak_macs_per_cycle


@pytest.mark.parametrize("kind", MACHINES)
@pytest.mark.parametrize("name", COMPOSITIONS)
@pytest.mark.parametrize(
    "operator", ["conv_2d", "depthwise_conv_2d", "grouped_conv_2d", "fully_connected"]
)
def test_weights_of_four_bits_are_half_the_bytes_of_eight(
    kind: str, name: str, operator: str
) -> None:
    work = OPERATORS[operator]
    plain = {"bias_elements": 0, "input_elements": 0, "output_elements": 0}
    level = "flash" if kind == "cortex_m4" else "dram"
    read = [
        cost(made(kind, name), Work(**{**vars(work), **plain, "weight_bits": bits}))[
            f"{level}_read"
        ]
        for bits in (4, 8)
    ]
    assert 2 * read[0] == read[1] >= work.weight_elements


@pytest.mark.parametrize("kind", MACHINES)
@pytest.mark.parametrize("name", COMPOSITIONS)
def test_energy_is_the_sum_of_counts_times_prices(kind: str, name: str) -> None:
    built = made(kind, name)
    prices = np.zeros(ACTIONS)
    built.design_prices(built.row(), built.technology.row(), prices)
    for bits in (4, 8):
        counted = cost(built, conv((4, 4), 8, (3, 3), 8, **widths(bits, bits)))
        expected = counted["multiplier_cycles"] * prices[MULTIPLIER_CYCLES]
        assert abs(counted["multiply_fj"] - expected) <= 0.5 + 1e-9 * expected
        parts = [value for key, value in counted.items() if key.endswith("_fj")]
        assert counted["energy_fj"] == sum(parts) - counted["energy_fj"]
