"""Elementwise operators against plain integers: every code, and every pair of codes of 8 bits."""

from collections.abc import Mapping, Sequence
from random import Random
from typing import Any, Final

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from simulator.graph import Array
from simulator.numeric.datapath import GRAPH_DATAPATH
from simulator.numeric.dialect import DIALECTS
from tests.ops.structure import Given, OneNode, kind_of, log_uniform
from tests.oracle.pointwise import ELEMENTS, RANGES, Grid, single

BYTES: Final = ("int8", "uint8")
ALL: Final = (*BYTES, "int16")
UNARY: Final[Mapping[str, tuple[str, ...]]] = {
    "abs": ("int8", "int16"),
    "hard_swish": BYTES,
    "leaky_relu": ALL,
    "neg": ("int8", "int16"),
    "quantize": ALL,
    "relu": ALL,
    "relu6": ALL,
    "relu_n1_to_1": BYTES,
}
BINARY: Final[Mapping[str, tuple[str, ...]]] = {
    "add": ALL,
    "maximum": ALL,
    "minimum": ALL,
    "mul": ALL,
    "prelu": BYTES,
    "squared_difference": ("int8",),
    "sub": ALL,
}
# An int16 sum of power-of-two scales has a form of its own; these operands are told not to.
OPTIONS: Final = {"pot_scale_int16": False, "fused_activation_function": "NONE"}
BOUNDED = settings(max_examples=40, deadline=None, derandomize=True, database=None)

UNARY_CASES: Final = [(kind, dtype) for kind, dtypes in UNARY.items() for dtype in dtypes]
BINARY_CASES: Final = [(kind, dtype) for kind, dtypes in BINARY.items() for dtype in dtypes]
SIGNED_PAIRS: Final = [case for case in BINARY_CASES if case[1] == "int8"]
BYTE_PAIRS: Final = [case for case in BINARY_CASES if case[1] != "int16"]


def outputs(
    kind: str, dtype: str, grids: Sequence[Grid], operands: Sequence[Array], alpha: float
) -> list[int]:
    """The operator decoded as an importer would and run."""
    kinds = [kind_of(operands[0].shape, dtype, grid.scale, grid.zero) for grid in grids]
    given = tuple(Given(k, v) for k, v in zip(kinds[:-1], operands, strict=True))
    node = OneNode(kind.upper(), {**OPTIONS, "alpha": alpha}, given, (kinds[-1],))
    operator: Any = node.operator(DIALECTS["litert-ref"])
    (got,) = operator.run(node.values, GRAPH_DATAPATH)
    assert got.dtype == np.dtype(dtype)
    found: list[int] = got.tolist()
    return found


def assert_equal(
    kind: str, dtype: str, grids: Sequence[Grid], codes: Sequence[Sequence[int]], alpha: float
) -> None:
    operands = [np.array(column, dtype=dtype) for column in codes]
    got = outputs(kind, dtype, grids, operands, alpha)
    element = ELEMENTS[kind](tuple(grids), dtype, alpha)
    expected = [element(pair) for pair in zip(*codes, strict=True)]
    if got != expected:
        pairs = zip(zip(*codes, strict=True), got, expected, strict=True)
        pytest.fail(f"{kind} {grids}: {next((c, g, e) for c, g, e in pairs if g != e)}")


def grid(rng: Random, dtype: str) -> Grid:
    """A scale over six octaves; int16 has zero point 0."""
    low, high = RANGES[dtype]
    return Grid(log_uniform(rng, -8, -2), 0 if dtype == "int16" else rng.randint(low, high))


def every_code(dtype: str) -> range:
    low, high = RANGES[dtype]
    return range(low, high + 1)


@pytest.mark.parametrize(("kind", "dtype"), UNARY_CASES)
def test_every_code(kind: str, dtype: str) -> None:
    rng = Random(f"{kind} {dtype}")
    for _ in range(1 if dtype == "int16" else 10):
        grids = (grid(rng, dtype), grid(rng, dtype))
        alpha = single(rng.uniform(-1, 1))
        assert_equal(kind, dtype, grids, [list(every_code(dtype))], alpha)


def every_pair(dtype: str) -> list[list[int]]:
    codes = every_code(dtype)
    return [[a for a in codes for _ in codes], [b for _ in codes for b in codes]]


@pytest.mark.parametrize(("kind", "dtype"), SIGNED_PAIRS)
def test_every_pair_of_codes(kind: str, dtype: str) -> None:
    """2^16 cases."""
    rng = Random(f"{kind} {dtype} pairs")
    grids = tuple(grid(rng, dtype) for _ in range(3))
    assert_equal(kind, dtype, grids, every_pair(dtype), 0.0)


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "dtype"), BYTE_PAIRS)
def test_every_pair_of_codes_on_many_grids(kind: str, dtype: str) -> None:
    """2^16 cases a grid, 16 grids: 2^20."""
    rng, codes = Random(f"{kind} {dtype} many"), every_pair(dtype)
    for _ in range(16):
        grids = tuple(grid(rng, dtype) for _ in range(3))
        assert_equal(kind, dtype, grids, codes, 0.0)


@st.composite
def drawn_grids(draw: st.DrawFn, dtype: str, count: int) -> tuple[Grid, ...]:
    """Scales equal, powers of two, or anything over twelve octaves."""
    low, high = RANGES[dtype]
    base = draw(st.floats(2.0**-9, 2.0**-2).map(single))
    scales = st.sampled_from([base, 2.0**-7, 2.0**-4]) | st.floats(2.0**-10, 4.0).map(single)
    zeros = (
        st.just(0) if dtype == "int16" else st.sampled_from([low, high, 0]) | st.integers(low, high)
    )
    return tuple(Grid(draw(scales), draw(zeros)) for _ in range(count))


@BOUNDED
@pytest.mark.parametrize(("kind", "dtype"), [*UNARY_CASES, *BINARY_CASES])
@given(data=st.data(), alpha=st.floats(-2, 2).map(single))
def test_any_grids(kind: str, dtype: str, data: st.DataObject, alpha: float) -> None:
    operands = 2 if kind in BINARY else 1
    grids = data.draw(drawn_grids(dtype, operands + 1))
    # Beyond this ratio HARD_SWISH is refused.
    assume(kind != "hard_swish" or grids[0].scale < 2**7 * grids[1].scale)
    codes = st.sampled_from(RANGES[dtype]) | st.integers(*RANGES[dtype])
    size = data.draw(st.integers(1, 6))
    columns = [data.draw(st.lists(codes, min_size=size, max_size=size)) for _ in range(operands)]
    assert_equal(kind, dtype, grids, columns, alpha)
