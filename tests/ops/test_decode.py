"""What operators derive from a file's float32 scales: exact ratios, clamps, softmax constants."""

from fractions import Fraction
from itertools import islice
from math import floor
from random import Random
from typing import Any

import numpy as np
import pytest

from simulator.decode import activation_range
from simulator.errors import Unsupported
from simulator.numeric.dialect import DIALECTS
from tests.ops.build import OneOp, log_uniform, single, tensor, zero_point
from tests.ops.oracles import oracle_of
from tests.oracle.primitives import clamp, half_away, multiplier_of

BOUNDS: dict[str, tuple[int | None, int | None]] = {
    "NONE": (None, None),
    "RELU": (0, None),
    "RELU6": (0, 6),
    "RELU_N1_TO_1": (-1, 1),
}


def nearest_single(value: Fraction) -> Fraction:
    """The float32 nearest to a positive rational of normal size, ties to even."""
    exponent = 0
    while value >= 2**24:
        value, exponent = value / 2, exponent + 1
    while value < 2**23:
        value, exponent = value * 2, exponent - 1
    return Fraction(round(value)) * Fraction(2) ** exponent


def bound_code(real: int, scale: float, zero: int) -> int:
    if real == 0:
        return zero
    quotient = half_away(nearest_single(abs(real) / Fraction(scale)))
    return zero + (quotient if real > 0 else -quotient)


@pytest.mark.parametrize("name", BOUNDS)
def test_activation_ranges(name: str) -> None:
    rng = Random(name)
    below, above = BOUNDS[name]
    for _ in range(2000):
        scale, zero = log_uniform(rng, -12, 5), zero_point(rng)
        low = -128 if below is None else clamp(bound_code(below, scale, zero), -128, 2**40)
        high = 127 if above is None else clamp(bound_code(above, scale, zero), -(2**40), 127)
        assert activation_range("here", name, scale, zero, (-128, 127)) == (low, high), (
            scale,
            zero,
        )


def double(value: Fraction) -> float:
    """The nearest double (ties to even)."""
    return float(value)


def scales_of(one: OneOp) -> tuple[float, tuple[float, ...], float]:
    """(input, weights, output) scales of a weighted operator."""
    x, w = one.inputs[0], one.inputs[1]
    assert x is not None
    assert w is not None
    assert x.quant is not None
    assert w.quant is not None
    assert one.output.quant is not None
    return x.quant.scale[0], w.quant.scale, one.output.quant.scale[0]


@pytest.mark.parametrize("dialect", ["litert-ref", "tflm"])
@pytest.mark.parametrize("kind", ["conv_2d", "depthwise_conv_2d", "fully_connected"])
def test_weighted_scales_multiply_and_divide_in_double(kind: str, dialect: str) -> None:
    """Each operation rounds once (LiteRT kernel_util.cc:258).

    TFLM's fully connected layer too, with one scale as with several: tflite-micro
    0.dev20261023182759 gave the double product's outputs on 638 accumulators chosen where
    (double) f32(s_in s_w) / s_out would have given others.
    """
    for one in islice(oracle_of(kind).one_ops(Random(kind)), 60):
        x, weights, y = scales_of(one)
        expected = tuple(
            double(Fraction(double(Fraction(x) * Fraction(w))) / Fraction(y)) for w in weights
        )
        operator: Any = one.operator(DIALECTS[dialect])
        assert operator.weighted.requantize.scale == expected
        pairs = [multiplier_of(s) for s in expected]
        assert operator.weighted.requantize.multiplier == tuple(m for m, _ in pairs)
        assert operator.weighted.requantize.shift == tuple(s for _, s in pairs)


@pytest.mark.parametrize(
    ("kind", "dialect", "rounding"),
    [
        ("conv_2d", "litert-ref", "double_round"),
        ("conv_2d", "tflm", "double_round"),
        ("depthwise_conv_2d", "litert-ref", "double_round"),
        ("fully_connected", "litert-ref", "float64_away"),
        ("fully_connected", "tflm", "double_round"),
    ],
)
def test_dialects_choose_the_rounding(kind: str, dialect: str, rounding: str) -> None:
    operator: Any = next(oracle_of(kind).one_ops(Random(1))).operator(DIALECTS[dialect])
    assert operator.weighted.requantize.rounding == rounding


def test_addition_scales_divide_in_double() -> None:
    for one in islice(oracle_of("add").one_ops(Random("add")), 60):
        a, b = (k.quant.scale[0] for k in one.inputs if k is not None and k.quant is not None)
        assert one.output.quant is not None
        y = one.output.quant.scale[0]
        twice = 2 * max(Fraction(a), Fraction(b))
        operator: Any = one.operator()
        assert [r.scale for r in operator.rescale] == [
            (double(Fraction(a) / twice),),
            (double(Fraction(b) / twice),),
        ]
        assert operator.requantize.scale == (double(twice / (2**20 * Fraction(y))),)


def test_softmax_constants() -> None:
    """The multiplier of beta s 2^26, capped below 2^31, and -31 in units of the scaled input."""
    rng = Random("softmax")
    for _ in range(500):
        scale, beta = log_uniform(rng, -20, 12), single(rng.choice([0.25, 1.0, 3.0, 10.0]))
        operator: Any = OneOp(
            "SOFTMAX",
            {"beta": beta},
            (tensor((1, 4), scale),),
            tensor((1, 4), 1 / 256, -128),
            (None,),
        ).operator()
        real = min(double(Fraction(beta) * Fraction(scale) * 2**26), 2.0**31 - 1)
        multiplier, shift = multiplier_of(real)
        form = operator.function
        assert (form.multiplier, form.shift) == (multiplier, shift)
        assert form.smallest == -floor(Fraction(31 * 2**26, 2**shift))


@pytest.mark.parametrize("op", ["SOFTMAX", "LOG_SOFTMAX"])
@pytest.mark.parametrize("scale", [1e-37, 2.0**-45, 2.0**-27, 2.0**-26])
def test_softmax_of_steps_that_end_the_process(op: str, scale: float) -> None:
    """LiteRT checks that the step times 2^26 is above 1, and aborts."""
    softmax = op == "SOFTMAX"
    options = {"beta": 1.0} if softmax else {}
    y = tensor((1, 4), 1 / 256, -128) if softmax else tensor((1, 4), 1 / 16, 127)
    with pytest.raises(Unsupported, match=r"must be above 2\^-26; found .*\. Rescale it\.$"):
        OneOp(op, options, (tensor((1, 4), single(scale)),), y, (None,)).operator()
    above = float(np.nextafter(np.float32(2.0**-26), np.float32(1)))
    OneOp(op, options, (tensor((1, 4), above),), y, (None,)).operator()


def test_softmax_is_near_the_real_one() -> None:
    """Within one code of exp(x) / sum exp(x), which no shared mistake of constants would be."""
    rng = np.random.default_rng(5)
    for scale in (0.001, 0.02, 0.1, 0.7):
        x = rng.integers(-128, 128, (20, 10)).astype(np.int8)
        one = OneOp(
            "SOFTMAX",
            {"beta": 1.0},
            (tensor(x.shape, single(scale)),),
            tensor(x.shape, 1 / 256, -128),
            (x,),
        )
        exponentials = np.exp(x * scale - (x * scale).max(axis=1, keepdims=True))
        real = exponentials / exponentials.sum(axis=1, keepdims=True) * 256 - 128
        expected, _ = oracle_of("softmax").oracle(one.operator(), [x.tolist()])
        error = np.abs(np.array(expected).reshape(x.shape) - np.minimum(real, 127))
        assert error.max() <= 1.0
