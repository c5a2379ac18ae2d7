"""AQT's three forms against rational arithmetic, and what sets them apart."""

import numpy as np
import pytest
from numpy.typing import NDArray

from simulator.errors import BadConfig, IllegalValues
from tests.quantize.oracle import aqt_code
from workloads.quantize import aqt, per_channel
from workloads.quantize.aqt import AqtForm

FORMS: tuple[AqtForm, ...] = ("signed", "unsigned", "half_shift")


def edges(scale: float, bits: int) -> NDArray[np.float64]:
    """The floats nearest to each whole and half step, and those beside them."""
    near = np.arange(-(2**bits) - 3, 2 ** (bits + 1) + 4) / 2 / scale
    return np.concatenate([np.nextafter(near, -np.inf), near, np.nextafter(near, np.inf)])


@pytest.mark.parametrize(
    ("form", "bits"),
    [(f, b) for f in FORMS for b in (1, 2, 3, 4, 5, 6, 7, 8, 10) if (f, b) != ("signed", 1)],
)
def test_every_code_is_that_of_the_rationals(form: AqtForm, bits: int) -> None:
    for bound, epsilon in ((1.0, 0.0), (0.37, 2.0**-23), (5e-9, 2.0**-23)):
        grid = aqt(bound, bits=bits, form=form, epsilon=epsilon)
        x = edges(grid.scale[0], bits)
        wanted = [aqt_code(v, grid.scale[0], bits, form) for v in x.tolist()]
        assert grid.quantize(x).tolist() == wanted


@pytest.mark.parametrize("form", FORMS)
def test_sixteen_bits_near_the_ends(form: AqtForm) -> None:
    grid = aqt(0.7, bits=16, form=form)
    x = edges(grid.scale[0], 16)
    x = np.concatenate([x[::97], x[np.abs(np.abs(x) - 0.7) < 1e-3]])
    wanted = [aqt_code(v, grid.scale[0], 16, form) for v in x.tolist()]
    assert grid.quantize(x).tolist() == wanted


@pytest.mark.parametrize("form", FORMS)
def test_the_formulas_in_plain_floats(form: AqtForm) -> None:
    """On values that lie at no threshold the exact product and the rounded one agree."""
    x = np.random.default_rng(2).standard_normal(20_000)
    bound = 2.5
    for bits in (2, 4, 8):
        half = 2 ** (bits - 1)
        s = {"signed": half - 1, "unsigned": 2 * half, "half_shift": half}[form] / (bound + 2**-23)
        if form == "signed":
            real = np.floor(np.clip(x * s, 1 - half, half - 1) + 0.5) / s
        elif form == "unsigned":
            real = np.clip(np.floor(x * s), 0, 2 * half - 1) / s
        else:
            real = (np.floor(np.clip(x * s, 2**-7 - half, half - 2**-7)) + 0.5) / s
        assert aqt(bound, bits=bits, form=form).fake_quantize(x).tolist() == real.tolist()


def test_scales_and_codes_by_hand() -> None:
    """4 bits, bound 1 without epsilon: 7, 16 and 8 steps a unit."""
    signed, unsigned, shifted = (aqt(1.0, bits=4, form=f, epsilon=0) for f in FORMS)
    assert (signed.scale, unsigned.scale, shifted.scale) == ((7.0,), (16.0,), (8.0,))
    x = np.array([-2.0, -0.5, 0.0, 0.5, 0.99, 2.0])
    # -3.5 and 3.5 both go up; the unsigned form goes down; half_shift stands between whole steps.
    assert signed.quantize(x).tolist() == [-7, -3, 0, 4, 7, 7]
    assert unsigned.quantize(x).tolist() == [0, 0, 0, 8, 15, 15]
    assert (shifted.fake_quantize(x) * 8).tolist() == [-7.5, -3.5, 0.5, 4.5, 7.5, 7.5]


def test_biases_of_the_forms() -> None:
    """The unsigned form is low by half a step on average, as published; half_shift is even."""
    x = np.linspace(0, 1, 4097)[:-1]
    unsigned = aqt(1.0, bits=6, form="unsigned", epsilon=0)
    assert ((unsigned.fake_quantize(x) - x) * 64).mean() == pytest.approx(-0.5, abs=0.01)
    both = np.concatenate([-x[1:], x[1:]])
    shifted = aqt(1.0, bits=6, form="half_shift", epsilon=0)
    assert len(np.unique(shifted.quantize(both))) == 64
    assert 0 not in shifted.fake_quantize(both)
    assert len(np.unique(aqt(1.0, bits=6, epsilon=0).quantize(both))) == 63


def test_per_channel_and_a_channel_of_zeros() -> None:
    w = np.array([[0.5, -1.0], [0.0, 0.0], [3.0, 1.5]])
    grid = aqt(np.abs(w).max(axis=1), bits=8, layout=per_channel(0))
    # The epsilon moves 0.5 * 127 and 1.5 * 127 / 3 off their tie, downwards.
    assert grid.quantize(w).tolist() == [[63, -127], [0, 0], [127, 63]]
    exact = aqt(np.array([1.0, 1.0, 3.0]), bits=8, layout=per_channel(0), epsilon=0)
    assert exact.quantize(w).tolist() == [[64, -127], [0, 0], [127, 64]]


def test_what_is_no_bound_is_refused() -> None:
    with pytest.raises(IllegalValues, match="finite and not negative; found -1"):
        aqt(-1.0, bits=8)
    with pytest.raises(BadConfig, match="bits must be 2 to 16 for AQT's signed form; found 1"):
        aqt(1.0, bits=1)
    with pytest.raises(BadConfig, match="signed, unsigned, half_shift; found 'half'"):
        aqt(1.0, bits=8, form="half")  # type: ignore[arg-type]
