"""Accumulators of 8 to 40 bits that wrap, saturate or trap, against plain integers.

The products of a real sum need about 25 bits, so biases near the ends of int32 stand in for the
long sums that reach the wide accumulators.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from random import Random
from typing import Any

import numpy as np
import pytest

from simulator.errors import IllegalValues
from simulator.graph import Array
from simulator.numeric.datapath import Datapath, Overflow
from tests.ops.build import OneOp, tensor
from tests.ops.oracles import accumulating_oracle_of, nested
from tests.oracle.primitives import Accumulator, TrapError

KINDS = ("conv_2d", "depthwise_conv_2d", "fully_connected")
Trial = tuple[Any, Sequence[Array | None], Accumulator, Datapath]


def datapath_of(accumulator: Accumulator, overflow: Overflow) -> Datapath:
    return Datapath(
        dot_width=accumulator.dot_width,
        accumulator_bits=accumulator.bits,
        overflow=overflow,
    )


def extreme_bias(rng: Random, values: Sequence[Array | None]) -> list[Array | None]:
    """The same inputs with a bias at the ends of int32 now and then."""
    changed = list(values)
    if len(values) == 3 and values[2] is not None and rng.random() < 0.5:
        ends = rng.choices([2**31 - 1, -(2**31), 2**31 - 5000], k=values[2].size)
        changed[2] = np.array(ends, dtype=np.int32)
    return changed


def trials(kind: str, overflow: Overflow, widths: range, count: int) -> Iterator[Trial]:
    """Random operators, values and accumulators; every width occurs."""
    rng = Random(f"{kind} {overflow} {widths}")
    for number, (operator, _, values) in enumerate(
        islice(accumulating_oracle_of(kind).cases(rng), count)
    ):
        bits = widths[number % len(widths)]
        accumulator = Accumulator(bits, overflow, rng.randint(1, 8))
        yield operator, extreme_bias(rng, values), accumulator, datapath_of(accumulator, overflow)


def assert_sums(kind: str, trial: Trial) -> None:
    operator, values, accumulator, datapath = trial
    expected = accumulating_oracle_of(kind).sums(operator, nested(values), accumulator)
    assert operator.accumulate(values, datapath).tolist() == expected, f"{accumulator}: {operator}"


@pytest.mark.parametrize("overflow", ["wrap", "saturate"])
@pytest.mark.parametrize("kind", KINDS)
def test_sums_equal_the_oracle(kind: str, overflow: Overflow) -> None:
    for trial in trials(kind, overflow, range(8, 33), 100):
        assert_sums(kind, trial)


@pytest.mark.parametrize("overflow", ["wrap", "saturate"])
@pytest.mark.parametrize("kind", KINDS)
def test_sums_beyond_32_bits_equal_the_oracle(kind: str, overflow: Overflow) -> None:
    for trial in trials(kind, overflow, range(33, 41), 80):
        assert_sums(kind, trial)


@pytest.mark.parametrize("overflow", ["wrap", "saturate"])
@pytest.mark.parametrize("kind", KINDS)
def test_outputs_equal_the_oracle(kind: str, overflow: Overflow) -> None:
    module = accumulating_oracle_of(kind)
    changed = 0
    for operator, values, accumulator, datapath in trials(kind, overflow, range(8, 33), 75):
        (got,) = operator.run(values, datapath)
        expected, shape = module.oracle(operator, nested(values), accumulator)
        assert got.shape == shape
        assert got.reshape(-1).tolist() == expected, f"{accumulator}: {operator}"
        changed += expected != module.oracle(operator, nested(values), Accumulator())[0]
    assert changed > 10, "the accumulators were never too narrow"


@dataclass(frozen=True)
class Trapping(Accumulator):
    """Notes every sum that would trap, by its number, instead of stopping at the first."""

    taps: dict[int, int | None] = field(default_factory=dict)
    count: list[int] = field(default_factory=list)

    def sum(self, start: int, products: list[int]) -> int:
        """0: only the notes matter."""
        try:
            super().sum(start, products)
        except TrapError as trap:
            self.taps[len(self.count)] = trap.tap
        self.count.append(0)
        return 0


def traps_of(kind: str, trial: Trial) -> dict[tuple[int, int], str]:
    """Where the oracle traps: (output position, channel) to what the message calls the tap."""
    operator, values, accumulator, _ = trial
    noting = Trapping(accumulator.bits, "trap", accumulator.dot_width)
    filters = len(accumulating_oracle_of(kind).sums(operator, nested(values), noting)[0])
    return {
        divmod(number, filters): "the bias" if tap is None else f"tap {tap}"
        for number, tap in noting.taps.items()
    }


TRAP = re.compile(
    r"the (\d+)-bit accumulator overflows at output position (\d+), channel (\d+), "
    r"(the bias|tap \d+); widen datapath\.accumulator\.bits or let it wrap or saturate"
)


@pytest.mark.parametrize("kind", KINDS)
def test_traps_where_the_oracle_does(kind: str) -> None:
    trapped = 0
    for trial in trials(kind, "trap", range(8, 41), 99):
        operator, values, accumulator, datapath = trial
        traps = traps_of(kind, trial)
        if not traps:
            wide = operator.accumulate(values, Datapath(accumulator_bits=48, overflow="saturate"))
            np.testing.assert_array_equal(operator.accumulate(values, datapath), wide)
            continue
        trapped += 1
        with pytest.raises(IllegalValues) as caught:
            operator.accumulate(values, datapath)
        found = TRAP.fullmatch(str(caught.value))
        assert found, str(caught.value)
        assert int(found[1]) == accumulator.bits
    assert 20 < trapped < 99


@pytest.mark.parametrize("dot_widths", ["one product", "several products"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_trap_names_its_place(kind: str, dot_widths: str) -> None:
    """Position, channel and the first tap of the group of products that does not fit."""
    for trial in trials(kind, "trap", range(8, 25), 99):
        operator, values, accumulator, datapath = trial
        if (accumulator.dot_width == 1) != (dot_widths == "one product"):
            continue
        traps = traps_of(kind, trial)
        if traps:
            with pytest.raises(IllegalValues) as caught:
                operator.accumulate(values, datapath)
            found = TRAP.fullmatch(str(caught.value))
            assert found
            place = int(found[2]), int(found[3])
            assert traps.get(place) == found[4], f"{place} {found[4]}: {operator}"


@pytest.mark.parametrize("kind", KINDS)
def test_wide_enough_is_the_graph_itself(kind: str) -> None:
    """A 32-bit wrapping accumulator and a wide saturating one give the reference's sums."""
    for operator, _, values in islice(accumulating_oracle_of(kind).cases(Random(kind)), 30):
        own = operator.run(values, Datapath())[0]
        wide = operator.run(values, Datapath(accumulator_bits=40, overflow="saturate"))[0]
        np.testing.assert_array_equal(own, wide)


@pytest.mark.parametrize("dot_width", range(1, 9))
def test_order_matters_to_saturation(dot_width: int) -> None:
    """Eight products of +127 * 127, then eight of -127 * 127, in 16 bits.

    Added one or two at a time the register clips at 32767 on the way up; eight at a time (129032)
    it clips there too, but the way down starts from the clipped value and ends at -32768.
    """
    from simulator.numeric.matmul import matmul

    x = np.full((1, 16), 127, dtype=np.int16)
    w = np.array([[127] * 8 + [-127] * 8], dtype=np.int16)
    bias = np.zeros(1, dtype=np.int32)
    products = [127 * 127] * 8 + [-127 * 127] * 8
    for overflow in ("wrap", "saturate"):
        datapath = Datapath(dot_width=dot_width, accumulator_bits=16, overflow=overflow)
        expected = Accumulator(16, overflow, dot_width).sum(0, products)
        assert matmul(x, w, bias, datapath).tolist() == [[expected]]


def test_a_trap_in_a_later_group_names_the_channel_of_the_layer() -> None:
    """Two groups of one filter; only the second has weights, so channel 1 is the one."""
    quiet, loud = tensor((1, 1, 1, 2), 1.0), tensor((2, 1, 1, 1), 1.0)
    node = OneOp(
        "CONV_2D",
        {
            "padding": "VALID",
            "stride_h": 1,
            "stride_w": 1,
            "dilation_h_factor": 1,
            "dilation_w_factor": 1,
            "fused_activation_function": "NONE",
        },
        (quiet, loud),
        tensor((1, 1, 1, 2), 1.0),
        (
            np.array([100, 100], np.int8).reshape(quiet.shape),
            np.array([0, 9], np.int8).reshape(loud.shape),
        ),
        frozenset({1}),
    )
    with pytest.raises(IllegalValues, match=r"at output position 0, channel 1, tap 0;"):
        node.operator().run(node.values, Datapath(accumulator_bits=8, overflow="trap"))
