"""Table, root and row operators against exact rationals: every code, rows drawn by Hypothesis."""

from collections.abc import Callable, Mapping
from random import Random
from typing import Any, Final

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.graph import Array
from simulator.numeric.datapath import GRAPH_DATAPATH
from simulator.numeric.dialect import DIALECTS
from tests.ops.structure import Given, OneNode, kind_of, log_uniform
from tests.oracle import logarithm, tables
from tests.oracle.pointwise import RANGES, Grid, single
from tests.oracle.tables import SINGLE, Codes, Real

BOUNDED = settings(max_examples=60, deadline=None, derandomize=True, database=None)
ALIKE: Final[Mapping[str, Real]] = {
    "elu": SINGLE.elu,
    "exp": SINGLE.exp,
    "gelu": SINGLE.gelu,
    "logistic": SINGLE.logistic,
    "tanh": SINGLE.tanh,
}
FIXED: Final = {"logistic": Grid(2.0**-8, -128), "tanh": Grid(2.0**-7, 0)}
"""Output grids of int8 that the kernel prescribes."""
BYTES: Final = [
    *((kind, "int8") for kind in (*ALIKE, "log")),
    *((kind, "uint8") for kind in ("gelu", "logistic", "tanh")),
]


def computed(
    kind: str, dtype: str, x: Grid, y: Grid, codes: Array, output: str = "", **options: Any
) -> Any:
    """The operator decoded as an importer would and run."""
    given = Given(kind_of(codes.shape, dtype, x.scale, x.zero), codes.astype(dtype))
    out = kind_of(codes.shape, output or dtype, *((y.scale, y.zero) if output != "float32" else ()))
    node = OneNode(kind.upper(), {"approximate": True, **options}, (given,), (out,))
    operator: Any = node.operator(DIALECTS["litert-ref"])
    return operator.run(node.values, GRAPH_DATAPATH)[0].tolist()


def every_code(dtype: str, least: int | None = None) -> range:
    low, high = RANGES[dtype]
    return range(low if least is None else least, high + 1)


def grid(rng: Random, dtype: str) -> Grid:
    low, high = RANGES[dtype]
    return Grid(log_uniform(rng, -8, -3), 0 if dtype == "int16" else rng.randint(low, high))


def real_function(kind: str, y: Grid, dtype: str) -> Real:
    return ALIKE[kind] if kind in ALIKE else tables.bounded_log(y, dtype)


@pytest.mark.parametrize(("kind", "dtype"), BYTES)
def test_every_byte(kind: str, dtype: str) -> None:
    rng = Random(f"{kind} {dtype}")
    for _ in range(4):
        x, y = grid(rng, dtype), grid(rng, dtype)
        if kind in FIXED:
            y = Grid(FIXED[kind].scale, FIXED[kind].zero + (128 if dtype == "uint8" else 0))
        code = tables.by_byte_table(real_function(kind, y, dtype), x, y, dtype)
        got = computed(kind, dtype, x, y, np.array(every_code(dtype)))
        assert got == [code(q) for q in every_code(dtype)], (x, y)


@pytest.mark.parametrize("kind", ["exp", "gelu", "log"])
def test_every_code_of_16_bits(kind: str) -> None:
    x = Grid(single(2.0**-13 * 1.3), 0)
    y = Grid(single({"exp": 210.0, "gelu": 5.3, "log": 9.0}[kind] / 2**15), 0)
    entries = tables.table_of_513(real_function(kind, y, "int16"), x, y, SINGLE)
    got = computed(kind, "int16", x, y, np.array(every_code("int16")))
    assert got == [tables.interpolated(entries, q) for q in every_code("int16")]


@pytest.mark.parametrize("dtype", ["int8", "int16"])
def test_every_root(dtype: str) -> None:
    """Of codes from the zero point on."""
    rng = Random(f"roots {dtype}")
    for _ in range(1 if dtype == "int16" else 6):
        x, y = grid(rng, dtype), grid(rng, dtype)
        codes = every_code(dtype, x.zero)[:: 7 if dtype == "int16" else 1]
        makers: list[tuple[str, Codes]] = [("sqrt", tables.sqrt(x, y, dtype))]
        if dtype == "int8":
            makers.append(("rsqrt", tables.rsqrt(x, y)))
        for kind, code in makers:
            assert computed(kind, dtype, x, y, np.array(codes)) == [code(q) for q in codes], (x, y)


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16"])
def test_every_real_value(dtype: str) -> None:
    """Dequantized: the product with the scale, rounded once to float32."""
    x = grid(Random(dtype), dtype)
    codes = every_code(dtype)
    got = computed("dequantize", dtype, x, x, np.array(codes), "float32")
    assert got == [single(x.scale * (q - x.zero)) for q in codes]


def rows_of(dtype: str) -> st.SearchStrategy[list[int]]:
    codes = st.sampled_from(RANGES[dtype]) | st.integers(*RANGES[dtype])
    return st.lists(codes, min_size=1, max_size=40)


def assert_row(kind: str, dtype: str, grids: tuple[Grid, Grid], row: list[int], by: Any) -> None:
    options: dict[str, Any] = {"fused_activation_function": "NONE", "beta": 1.0}
    got = computed(kind, dtype, *grids, np.array([row]), **options)
    assert got == [by(row)], (grids, row)


@BOUNDED
@pytest.mark.parametrize("dtype", ["int8", "uint8"])
@given(data=st.data())
def test_normalized_rows(dtype: str, data: st.DataObject) -> None:
    zero = data.draw(st.integers(*RANGES[dtype]))
    row = data.draw(rows_of(dtype))
    y = Grid(2.0**-7, 128 if dtype == "uint8" else 0)
    normalize: Callable[[list[int]], list[int]] = lambda r: tables.normalized(r, zero, dtype)  # noqa: E731
    assert_row("l2_normalization", dtype, (Grid(0.25, zero), y), row, normalize)


@pytest.fixture(scope="module")
def both_tables() -> tuple[list[int], list[int]]:
    return tables.softmax_tables()


@BOUNDED
@given(row=rows_of("int16"), scale=st.floats(2.0**-14, 2.0**-9).map(single))
def test_softmax_of_16_bits(
    both_tables: tuple[list[int], list[int]], row: list[int], scale: float
) -> None:
    def softmax(row: list[int]) -> list[int]:
        return tables.softmax_16(row, scale, *both_tables)

    assert_row("softmax", "int16", (Grid(scale, 0), Grid(2.0**-15, 0)), row, softmax)


@BOUNDED
@pytest.mark.parametrize("dtype", ["int8", "uint8"])
@given(data=st.data(), scale=st.floats(2.0**-10, 4.0).map(single), zero=st.integers(0, 127))
def test_log_softmax_of_bytes(dtype: str, data: st.DataObject, scale: float, zero: int) -> None:
    """The input's zero point does not matter."""

    def log_softmax(row: list[int]) -> list[int]:
        return logarithm.log_softmax(row, scale, dtype)

    y = Grid(2.0**-4, RANGES[dtype][1])
    assert_row("log_softmax", dtype, (Grid(scale, zero), y), data.draw(rows_of(dtype)), log_softmax)
