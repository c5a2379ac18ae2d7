"""Dots of bit planes against plain integer dots: 0 mismatches; real dots against rationals."""

import os
import subprocess
import sys
from fractions import Fraction
from typing import Any, get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from simulator.decode import window
from simulator.jit import JIT_DISABLED
from simulator.numeric.bitplane import (
    AT_ONCE,
    Planes,
    pack,
    pack_filters,
    pack_windows,
    plane_dots,
    weighted_dots,
)
from simulator.numeric.bitplane_lanes import BLOCKS, CHANNELS, ROWS
from simulator.numeric.levels import CodeSet
from tests.shared import ROOT

SETS = get_args(CodeSet)
Codes = NDArray[np.uint8]

code_sets = st.sampled_from(SETS)
edges = st.sampled_from([1, 2, 63, 64, 65, 127, 128, 129, 511, 512, 513, 1030]) | st.integers(
    0, 200
)
fills = st.sampled_from(["random", "zeros", "ones", "striped"])


def drawn(rng: np.random.Generator, shape: tuple[int, ...], bits: int, fill: str) -> Codes:
    """Codes below 2^bits: random, all the least, all the greatest, or the two in turn."""
    top = 2**bits - 1
    if fill == "random":
        return np.asarray(rng.integers(0, top, shape, endpoint=True), dtype=np.uint8)
    if fill == "striped":
        flat = np.arange(int(np.prod(shape))) % 2 * top
        return np.asarray(flat.reshape(shape), dtype=np.uint8)
    return np.full(shape, top if fill == "ones" else 0, dtype=np.uint8)


def values(codes: Codes, plane: int, code_set: str) -> NDArray[np.int64]:
    """What the bits of a plane stand for."""
    bits: NDArray[np.int64] = codes.astype(np.int64) // 2**plane % 2
    return bits if code_set == "binary" else 2 * bits - 1


def differing(
    x: Codes, w: Codes, packed: tuple[Planes, Planes], valid: NDArray[np.int64] | None = None
) -> int:
    """Plane dots unlike the plain integer ones of rows; `valid` is 0 where there is no code."""
    found = 0
    for i in range(packed[1].bits):
        for j in range(packed[0].bits):
            true = values(x, j, packed[0].codes)
            true = (true if valid is None else true * valid) @ values(w, i, packed[1].codes).T
            dots = plane_dots(*packed, i, j)
            assert dots.shape == true.shape
            found += int(np.count_nonzero(dots != true))
    return found


@settings(max_examples=60 if JIT_DISABLED else 250, deadline=None)
@given(
    rows=st.sampled_from([0, 1, ROWS, ROWS + 1, 2 * ROWS + 3]) | st.integers(0, 12),
    channels=st.sampled_from([1, CHANNELS, BLOCKS * CHANNELS, BLOCKS * CHANNELS + 1])
    | st.integers(0, 40),
    taps=edges,
    widths=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    sets=st.tuples(code_sets, code_sets),
    kinds=st.tuples(fills, fills),
    seed=st.integers(0, 2**32 - 1),
)
def test_plane_dots_equal_plain_integer_dots(
    rows: int,
    channels: int,
    taps: int,
    widths: tuple[int, int],
    sets: tuple[CodeSet, CodeSet],
    kinds: tuple[str, str],
    seed: int,
) -> None:
    """No rows, no taps, whole and broken words, whole and broken tiles; codes of any fill."""
    rng = np.random.default_rng(seed)
    x = drawn(rng, (rows, taps), widths[0], kinds[0])
    w = drawn(rng, (channels, taps), widths[1], kinds[1])
    packed = pack(x, widths[0], sets[0]), pack(w, widths[1], sets[1])
    assert differing(x, w, packed) == 0


def test_bits_behind_the_last_tap_are_zero() -> None:
    """Of both operands, so that neither logic counts them."""
    packed = pack(np.ones((3, 70), dtype=np.uint8), 1, "bipolar")
    assert packed.words.shape == (1, 3, 2)
    assert packed.words[0, 0].tolist() == [2**64 - 1, 2**6 - 1]
    assert packed.ones.tolist() == [[70] * 3]


@settings(max_examples=25 if JIT_DISABLED else 120, deadline=None)
@given(
    size=st.tuples(st.integers(1, 2), st.integers(3, 7), st.integers(3, 7)),
    channels=st.sampled_from([1, 3, 63, 64, 65]),
    filters=st.integers(1, 12),
    kernel=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    stride=st.tuples(st.integers(1, 2), st.integers(1, 3)),
    dilation=st.tuples(st.integers(1, 2), st.just(1)),
    padding=st.sampled_from([(0, 0, 0, 0), (1, 1, 1, 1), (0, 0, 1, 2), (2, 1, 0, 0), "SAME"]),
    sets=st.tuples(code_sets, code_sets),
    seed=st.integers(0, 2**32 - 1),
)
def test_windows_equal_plain_integer_dots(
    size: tuple[int, int, int],
    channels: int,
    filters: int,
    kernel: tuple[int, int],
    stride: tuple[int, int],
    dilation: tuple[int, int],
    padding: Any,
    sets: tuple[CodeSet, CodeSet],
    seed: int,
) -> None:
    """A padding of zeros adds nothing, whether or not 0 has a code."""
    rng = np.random.default_rng(seed)
    over = window(size[1], size[2], kernel, stride, dilation, padding)
    if min(over.output) < 1:
        return
    x = rng.integers(0, 4, (*size, channels), dtype=np.uint8)
    w = rng.integers(0, 8, (filters, *kernel, channels), dtype=np.uint8)
    rows, inside = [], []
    for image in x:
        for oy in range(over.output[0]):
            for ox in range(over.output[1]):
                row: list[int] = []
                here: list[int] = []
                for ky in range(kernel[0]):
                    for kx in range(kernel[1]):
                        y = oy * stride[0] + ky * dilation[0] - over.padding[0]
                        z = ox * stride[1] + kx * dilation[1] - over.padding[1]
                        known = 0 <= y < size[1] and 0 <= z < size[2]
                        row.extend(image[y, z].tolist() if known else [0] * channels)
                        here.extend([int(known)] * channels)
                rows.append(row)
                inside.append(here)
    packed = pack_windows(x, 2, sets[0], over), pack_filters(w, 3, sets[1])
    taken = np.array(rows, dtype=np.uint8)
    assert differing(taken, w.reshape(filters, -1), packed, np.array(inside)) == 0
    padded = 0 in np.array(inside)
    assert (packed[0].valid is not None) == (padded and sets[0] == "bipolar")


def exact_dot(codes: list[int], others: list[int], bases: Any, sets: tuple[str, str]) -> Fraction:
    """Sum over taps of the two real values, in rationals."""

    def real(code: int, basis: Any, code_set: str) -> Fraction:
        bits = [code // 2**k % 2 for k in range(len(basis))]
        signs = bits if code_set == "binary" else [2 * b - 1 for b in bits]
        return sum((Fraction(float(v)) * s for v, s in zip(basis, signs, strict=True)), Fraction(0))

    taps = zip(codes, others, strict=True)
    return sum(
        (real(a, bases[0], sets[0]) * real(b, bases[1], sets[1]) for a, b in taps), Fraction(0)
    )


@pytest.mark.parametrize("sets", [(a, b) for a in SETS for b in SETS])
def test_real_dots_are_within_1e_9_of_rationals(sets: tuple[CodeSet, CodeSet]) -> None:
    """Every pair of widths up to 4, bases of one channel or of each."""
    worst = 0.0
    rng = np.random.default_rng(7)
    for wide in range(1, 5):
        for narrow in range(1, 5):
            taps = int(rng.integers(1, 300))
            x = rng.integers(0, 2**wide, (3, taps), dtype=np.uint8)
            w = rng.integers(0, 2**narrow, (5, taps), dtype=np.uint8)
            u, v = rng.normal(size=wide), rng.normal(size=(5, narrow))
            found = weighted_dots(pack(x, wide, sets[0]), pack(w, narrow, sets[1]), u, v)
            for r in range(3):
                for c in range(5):
                    true = exact_dot(x[r].tolist(), w[c].tolist(), (u, v[c]), sets)
                    if true:
                        worst = max(worst, abs(float((Fraction(float(found[r, c])) - true) / true)))
    print(f"\n{sets}: worst relative error {worst:.1e}")
    assert 0 < worst < 1e-9


def test_integer_bases_give_the_exact_integer_product() -> None:
    """Powers of two: the codes' own product, in int64, in chunks of rows too."""
    rng = np.random.default_rng(5)
    x, w = rng.integers(0, 16, (300, 90), np.uint8), rng.integers(0, 8, (40, 90), np.uint8)
    u, v = 2 ** np.arange(4), np.broadcast_to(2 ** np.arange(3), (40, 3))
    found = weighted_dots(pack(x, 4, "binary"), pack(w, 3, "binary"), u, v)
    assert found.dtype == np.int64
    assert np.array_equal(found, x.astype(np.int64) @ w.astype(np.int64).T)
    many = rng.integers(0, 2, (AT_ONCE // 40 + 200, 9), np.uint8)
    one = pack(rng.integers(0, 2, (40, 9), np.uint8), 1, "bipolar")
    whole = weighted_dots(pack(many, 1, "bipolar"), one, np.ones(1), np.ones((40, 1)))
    assert np.array_equal(whole, plane_dots(pack(many, 1, "bipolar"), one, 0, 0))


@pytest.mark.skipif(JIT_DISABLED, reason="this is the run without the JIT")
def test_the_same_without_the_jit() -> None:
    """Every test of this file in Python alone, warnings being errors."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(ROOT / __file__)]
    environment = {**os.environ, "NUMBA_DISABLE_JIT": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:]
