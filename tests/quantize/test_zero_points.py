"""The four terms equal the direct sums, on integers; what folds into a bias, and the tap bound."""

from fractions import Fraction
from random import Random

import numpy as np
import pytest

from simulator.errors import IllegalValues
from simulator.numeric.audit import prove
from workloads.quantize.quantizer import Array
from workloads.quantize.zero_points import (
    expand,
    folded_bias,
    max_taps,
    quantize_bias,
    real_sums,
    windows,
)

SHAPES = 1000


def direct(
    x: Array,
    w: Array,
    zeros: tuple[int, list[int]],
    strides: tuple[int, int],
    dilations: tuple[int, int],
    padding: tuple[tuple[int, int], tuple[int, int]],
) -> list[list[list[list[int]]]]:
    """Convolution in loops of (w - zw)(x - zx), taps outside x left out: the real zero padding."""
    (n, height, width, _), (channels, ky, kx, _) = x.shape, w.shape
    counts = [
        (size + sum(pad) - (k - 1) * d - 1) // s + 1
        for size, pad, k, d, s in zip(
            (height, width), padding, (ky, kx), dilations, strides, strict=True
        )
    ]
    codes, weights = x.tolist(), w.tolist()

    def at(image: int, oy: int, ox: int, oc: int) -> int:
        total = 0
        for i in range(ky):
            y = oy * strides[0] + i * dilations[0] - padding[0][0]
            for j in range(kx):
                z = ox * strides[1] + j * dilations[1] - padding[1][0]
                if 0 <= y < height and 0 <= z < width:
                    pairs = zip(codes[image][y][z], weights[oc][i][j], strict=True)
                    total += sum((a - zeros[0]) * (b - zeros[1][oc]) for a, b in pairs)
        return total

    return [
        [
            [[at(i, oy, ox, oc) for oc in range(channels)] for ox in range(counts[1])]
            for oy in range(counts[0])
        ]
        for i in range(n)
    ]


def test_the_expansion_of_a_thousand_convolutions() -> None:
    """Widths of 1 to 16 bits, strides, dilations, padding of every side, zero points a channel."""
    rng = Random(11)
    padded = erring = 0
    for _ in range(SHAPES):
        kernel = rng.randint(1, 3), rng.randint(1, 3)
        strides, dilations = ((rng.randint(1, 2), rng.randint(1, 2)) for _ in range(2))
        first, second = ((rng.randint(0, 2), rng.randint(0, 2)) for _ in range(2))
        padding = first, second
        size = [(k - 1) * d + rng.randint(1, 3) for k, d in zip(kernel, dilations, strict=True)]
        ic, oc = rng.randint(1, 4), rng.randint(1, 4)
        x_bits, w_bits = rng.randint(1, 16), rng.randint(1, 16)
        seeded = np.random.default_rng(rng.getrandbits(32))
        x = seeded.integers(0, 2**x_bits, (rng.randint(1, 2), *size, ic))
        w = seeded.integers(-(2 ** (w_bits - 1)), 2 ** (w_bits - 1), (oc, *kernel, ic))
        x_zero = rng.randint(0, 2**x_bits - 1)
        w_zero = [rng.randint(-(2 ** (w_bits - 1)), 2 ** (w_bits - 1) - 1) for _ in range(oc)]
        loops = direct(x, w, (x_zero, w_zero), strides, dilations, padding)
        wanted = np.array(loops, dtype=np.int64)
        taps = windows(
            x,
            kernel,
            strides=strides,
            dilations=dilations,
            padding=padding,
            fill=x_zero,
        )
        rows, flat = taps.reshape(*taps.shape[:3], -1), w.reshape(oc, -1)
        terms = expand(rows, flat)
        assert terms.total(x_zero, np.array(w_zero)).tolist() == wanted.tolist()
        # The same through the bias: raw products, the folded bias, and zw sum x left to subtract.
        bias = seeded.integers(-1000, 1000, oc)
        folded = folded_bias(bias, flat, x_zero, np.array(w_zero), bits=64)
        total = terms.products - np.array(w_zero) * terms.activation_sums + folded
        assert total.tolist() == (wanted + bias).tolist()
        padded += any(map(any, padding))
        # As printed, without n: wrong by (n - 1) zw zx.
        printed = terms.total(x_zero, np.array(w_zero), erratum_eq6=True)
        lost = (terms.taps - 1) * x_zero * np.array(w_zero)
        assert (printed + lost).tolist() == wanted.tolist()
        erring += bool(np.any(lost))
    assert padded > 900
    assert erring > 700


def test_symmetric_weights_fold_wholly() -> None:
    """With zw = 0 nothing is left to do at run time (Nagel et al. 2021 section 2.4.1)."""
    rng = np.random.default_rng(5)
    x, w = rng.integers(0, 256, (7, 30)), rng.integers(-127, 128, (4, 30))
    bias = rng.integers(-(2**20), 2**20, 4)
    folded = folded_bias(bias, w, 131)
    assert (x @ w.T + folded).tolist() == ((x - 131) @ w.T + bias).tolist()


def test_a_bias_that_leaves_its_width_is_refused() -> None:
    bias, w = np.array([0, 2**31 - 101]), np.array([[0], [-1]])
    assert folded_bias(bias, w, 100).tolist() == [0, 2**31 - 1]
    with pytest.raises(IllegalValues, match=r"channel 1: .* is 2147483648, which 32 bits"):
        folded_bias(bias, w, 101)


def test_codes_that_are_none_are_refused() -> None:
    with pytest.raises(IllegalValues, match="integer codes; found float64"):
        expand(np.zeros((1, 2)), np.zeros((1, 2), dtype=np.int8))
    with pytest.raises(IllegalValues, match="agree in their last axis"):
        expand(np.zeros((1, 2), dtype=np.int8), np.zeros((1, 3), dtype=np.int8))
    with pytest.raises(IllegalValues, match="of 16 bits"):
        expand(np.full((1, 2), 2**17), np.zeros((1, 2), dtype=np.int8))


def test_sums_in_reals_and_the_erratum_of_equation_5() -> None:
    x, w = np.array([[3, 5]]), np.array([[1, -2], [0, 7]])
    scales = np.array([0.5, 0.25])
    real = (x - 4) * 0.125 @ ((w - np.array([[1], [2]])) * scales[:, None]).T
    terms = expand(x, w)
    assert real_sums(terms, 4, np.array([1, 2]), 0.125, scales).tolist() == real.tolist()
    printed = real_sums(terms, 4, np.array([1, 2]), 0.125, scales, erratum_eq5=True)
    assert printed.tolist() == (real / (0.125 * scales)).tolist()


def test_a_quantized_bias_is_the_nearest() -> None:
    rng = np.random.default_rng(9)
    bias, scales = rng.standard_normal(50) * 3, rng.uniform(1e-4, 1e-2, 50)
    x_scale = float(np.float32(0.0235))
    found = quantize_bias(bias, x_scale, scales)
    for b, s, q in zip(bias.tolist(), scales.tolist(), found.tolist(), strict=True):
        step = Fraction(x_scale) * Fraction(s)
        assert abs(Fraction(b) - q * step) <= step / 2
    ties = quantize_bias(np.array([0.5, 1.5, -2.5, 1e12]), 1.0, np.ones(1))
    assert ties.tolist() == [0, 2, -2, 2**31 - 1]
    wide = quantize_bias(np.array([1e12, -1e15]), 1.0, np.ones(1), bits=48)
    assert wide.tolist() == [10**12, -(2**47)]
    with pytest.raises(IllegalValues, match="must be finite"):
        quantize_bias(np.array([np.inf]), 1.0, np.ones(1))


@pytest.mark.parametrize(
    ("w_bits", "x_bits", "bits", "taps"),
    [
        (8, 8, 32, 66311),
        (8, 8, 24, 259),
        (8, 8, 16, 1),
        (4, 4, 16, 312),
        (16, 8, 32, 257),
        (16, 16, 32, 1),
    ],
)
def test_the_bound_of_taps_is_tight(w_bits: int, x_bits: int, bits: int, taps: int) -> None:
    """Restricted symmetric weights, unsigned activations; against the audit's proof at K, K + 1."""
    half, top = 2 ** (w_bits - 1) - 1, 2**x_bits - 1
    assert max_taps((-half, half), (0, top), bits) == taps
    for count, fits in ((taps, True), (taps + 1, False)):
        w = np.full((1, count), half, dtype=np.int16)
        if top < 2**15:
            proved = prove(w, np.zeros(1, dtype=np.int64), 0, top, 1)
            assert (int(proved.final_bits[0]) <= bits) == fits
        assert (count * half * top < 2 ** (bits - 1)) == fits


def test_the_bound_of_taps_minds_signs_and_the_bias() -> None:
    assert max_taps((-128, 127), (-128, 127), 32) == (2**31 - 1) // 2**14
    assert max_taps((0, 1), (-1, 0), 8) == 128
    assert max_taps((-1, 1), (0, 1), 8, bias=100) == 27
    assert max_taps((-1, 1), (0, 1), 8, bias=-100) == 28
    assert max_taps((-7, 7), (0, 15), 32) == 20_452_225
    with pytest.raises(IllegalValues, match="alone leaves 8 bits"):
        max_taps((-1, 1), (0, 1), 8, bias=128)
    with pytest.raises(IllegalValues, match="every product is 0"):
        max_taps((0, 0), (0, 1), 8)
