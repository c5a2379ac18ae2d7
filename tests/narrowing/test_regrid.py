"""New grids and the values on them, against fractions."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.decode import value_range
from simulator.errors import Unsupported
from simulator.graph import QuantParams, TensorType
from simulator.regrid import (
    activation_type,
    convert,
    convert_bias,
    signed_type,
    weight_type,
)
from tests.narrowing.oracle import Grid, ends, moved, narrower, single, symmetric

SCALES = st.floats(2.0**-14, 8.0, width=32).filter(lambda s: s > 0)
POWERS = st.integers(-15, 3).map(lambda k: 2.0**k)
WIDTHS = {"int8": 8, "uint8": 8, "int16": 16, "uint16": 16}


def tensor(dtype: str, scale: float, zero: int, bits: int | None = None) -> TensorType:
    """A vector with room for every code of up to 8 bits."""
    quant = QuantParams((scale,), (zero,))
    return TensorType((256,), dtype, bits or WIDTHS[dtype], quant)


def grid(kind: TensorType, channel: int = 0) -> Grid:
    """A tensor's grid for the oracle."""
    assert kind.quant is not None
    least, greatest = value_range(kind)
    quant = kind.quant
    return Grid(Fraction(quant.scale[channel]), quant.zero_point[channel], least, greatest)


def codes_of(dtype: str) -> list[int]:
    """Every code of 8 bits; of 16 bits the ends, the middle and some between."""
    least, greatest = ends(WIDTHS[dtype], signed=not dtype.startswith("u"))
    return [*range(least, greatest + 1, 1 if WIDTHS[dtype] == 8 else 257), greatest]


@given(st.sampled_from(sorted(WIDTHS)), SCALES | POWERS, st.data())
@settings(max_examples=150, deadline=None)
def test_activations_keep_their_real_values(dtype: str, scale: float, data: st.DataObject) -> None:
    width, signed = WIDTHS[dtype], not dtype.startswith("u")
    fewer = data.draw(st.integers(1, width - 1))
    zero = data.draw(st.integers(*ends(width, signed=signed)))
    old = tensor(dtype, scale, zero)
    new = activation_type(old, fewer)
    expected = narrower(grid(old), width, fewer, signed=signed)
    assert (new.dtype, new.bits, grid(new)) == (dtype, fewer, expected)
    codes = codes_of(dtype)
    found = convert(np.array(codes, dtype), old, new)
    assert found.dtype == np.dtype(dtype)
    assert found.tolist() == [moved(code, grid(old), expected) for code in codes]
    at_zero = convert(np.array([zero], dtype), old, new)
    assert at_zero.tolist() == [expected.zero], "zero must stay a code"


def test_ties_go_to_the_even_code() -> None:
    old = tensor("int8", 2.0**-4, 0)
    new = activation_type(old, 4)
    assert grid(new) == Grid(Fraction(1), 0, -8, 7)
    halves = np.array([8, 24, 40, -8, -24, -40, 9, 127], np.int8)
    assert convert(halves, old, new).tolist() == [0, 2, 2, 0, -2, -2, 1, 7]


@given(st.sampled_from(("int8", "uint8")), SCALES | POWERS, st.data())
@settings(max_examples=100, deadline=None)
def test_more_bits_change_no_value_and_no_bound(
    dtype: str, scale: float, data: st.DataObject
) -> None:
    signed = dtype == "int8"
    zero = data.draw(st.integers(*ends(8, signed=signed)))
    bits = data.draw(st.integers(9, 16))
    old = tensor(dtype, scale, zero)
    new = activation_type(old, bits)
    assert (new.dtype, new.bits, grid(new).zero) == ("int16", bits, 0)
    codes = np.array(codes_of(dtype), dtype)
    found = convert(codes, old, new)
    assert [int(q) * grid(new).scale for q in found] == [
        (int(q) - zero) * Fraction(scale) for q in codes
    ]
    assert value_range(new) == (int(found.min()), int(found.max())), "a range may stand for a RELU"
    least, greatest = ends(bits, signed=True)
    reach = 2 * int(found.max()) > greatest or 2 * int(found.min()) < least
    assert reach, "one more bit would have fitted"
    assert convert(found, new, activation_type(old, 8)).tolist() == codes.tolist()


@given(st.lists(SCALES, min_size=1, max_size=4), st.integers(2, 7))
@settings(max_examples=100, deadline=None)
def test_weights_keep_their_ends_channel_by_channel(scales: list[float], fewer: int) -> None:
    quant = QuantParams(tuple(scales), (0,) * len(scales), 1 if len(scales) > 1 else None)
    old = TensorType((256, len(scales)), "int8", 8, quant)
    new = weight_type(old, fewer, "here")
    codes = np.arange(-128, 128, dtype=np.int8)
    found = convert(np.repeat(codes[:, None], len(scales), axis=1), old, new)
    for channel in range(len(scales)):
        expected = symmetric(grid(old, channel), 8, fewer)
        assert grid(new, channel) == expected
        column = [moved(int(code), grid(old, channel), expected) for code in codes]
        assert found[:, channel].tolist() == column
        top = 2 ** (fewer - 1) - 1
        assert (column[1], column[0], column[-1]) == (-top, -top, top)


@given(SCALES, st.integers(0, 255), st.integers(1, 7))
@settings(max_examples=60, deadline=None)
def test_weights_with_a_zero_point_keep_their_range(scale: float, zero: int, fewer: int) -> None:
    old = tensor("uint8", scale, zero)
    new = weight_type(old, fewer, "here")
    expected = Grid(
        single(Fraction(scale) * Fraction(255, 2**fewer - 1)),
        narrower(grid(old), 8, fewer, signed=False).zero,
        0,
        2**fewer - 1,
    )
    if Fraction(scale).numerator & (Fraction(scale).numerator - 1):
        assert grid(new) == expected
    found = convert(np.arange(256, dtype=np.uint8), old, new)
    assert found.tolist() == [moved(code, grid(old), grid(new)) for code in range(256)]


def test_unsigned_weights_become_signed_without_a_change() -> None:
    old = tensor("uint8", 0.25, 131)
    new = signed_type(old)
    codes = np.arange(256, dtype=np.uint8)
    found = convert(codes, old, new)
    assert (new.dtype, grid(new).zero, found.dtype.name) == ("int8", 3, "int8")
    assert (found.astype(int) - 3 == codes.astype(int) - 131).all()


@given(
    st.lists(st.integers(-(2**31), 2**31 - 1), min_size=1, max_size=6),
    SCALES,
    SCALES,
    st.integers(1, 8),
    st.integers(2, 8),
)
@settings(max_examples=100, deadline=None)
def test_bias_is_exact(
    bias: list[int], x_scale: float, w_scale: float, x_bits: int, w_bits: int
) -> None:
    x, w = tensor("int8", x_scale, 0), tensor("int8", w_scale, 0)
    new_x, new_w = activation_type(x, x_bits), weight_type(w, w_bits, "here")
    assert new_x.quant is not None
    assert new_w.quant is not None
    after = (new_x.quant.scale[0], new_w.quant.scale)
    found = convert_bias(np.array(bias, np.int32), (x_scale, (w_scale,)), after)
    ratio = Fraction(x_scale) * Fraction(w_scale) / Fraction(after[0]) / Fraction(after[1][0])
    assert found == [round(value * ratio) for value in bias]


def test_the_same_width_is_the_same_type() -> None:
    kind = tensor("int8", 0.3, -5)
    assert activation_type(kind, 8) is kind
    assert weight_type(kind, 8, "here") is kind


def test_restricted_weights_and_reals() -> None:
    kind = TensorType((4,), "float32", 8, QuantParams((0.5,), (0,)))
    values = np.array([-64.0, -63.5, 0.5, 63.5], np.float32)
    new = weight_type(kind, 4, "here")
    assert new.dtype == "float32"
    assert new.quant is not None
    step = np.float32(new.quant.scale[0])
    assert convert(values, kind, new).tolist() == [-7 * step, -7 * step, 0, 7 * step]
    assert convert(values, kind, kind, -127).tolist() == [-63.5, -63.5, 0.5, 63.5]


def test_one_bit_has_no_symmetric_grid() -> None:
    with pytest.raises(Unsupported) as caught:
        weight_type(tensor("int8", 0.5, 0), 1, "net, conv")
    assert str(caught.value) == (
        "net, conv: symmetric weights need 2 bits; found datapath.weight_bits = 1. Set it to 2, or "
        "give a model with bipolar weights"
    )
