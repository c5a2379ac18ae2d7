"""TFLite operators on floats and plain integers: 0 values differ from LiteRT, in both resolvers."""

from pathlib import Path
from random import Random

import numpy as np
import pytest

import workloads
from simulator.errors import Unsupported
from simulator.graph import Array
from tests.ops.litert import requires_litert
from tests.ops.structure import Given, OneNode, kind_of, shape_of_rank
from tests.ops.test_structure_litert import assert_equal

RESOLVERS = (("litert-ref", "BUILTIN_REF"), ("litert-xnnpack", "BUILTIN"))
BINARY = ("ADD", "SUB", "MUL", "DIV", "FLOOR_DIV")
UNARY = ("ABS", "FLOOR", "RELU", "RELU6", "RELU_N1_TO_1", "SQRT")
NONE = {"fused_activation_function": "NONE"}


def numbers(draw: np.random.Generator, shape: tuple[int, ...], dtype: str) -> Array:
    """Reals with many halves; integers of both signs, none of them 0."""
    if dtype == "float32":
        halves: Array = draw.integers(-40, 40, shape) + 0.5
        values = np.where(draw.random(shape) < 0.3, halves, draw.normal(0, 9, shape))
        return np.asarray(values, dtype=dtype)
    whole: Array = (draw.integers(1, 1000, shape) * draw.choice([-1, 1], shape)).astype(dtype)
    return whole


def given(values: Array, *, stored: bool = False) -> Given:
    return Given(kind_of(values.shape, str(values.dtype)), values, stored)


@requires_litert
@pytest.mark.parametrize("dtype", ["float32", "int32"])
@pytest.mark.parametrize("op", BINARY)
def test_arithmetic(op: str, dtype: str, tmp_path: Path) -> None:
    """With broadcasting, of equal and of unequal ranks."""
    rng, draw = Random(f"{op} {dtype}"), np.random.default_rng(3)
    for _ in range(12):
        shape = shape_of_rank(rng, rng.randint(1, 4), 5)
        other = rng.choice([shape, shape[-1:], tuple(rng.choice([1, n]) for n in shape)])
        a, b = (given(numbers(draw, s, dtype)) for s in (shape, other))
        node = OneNode(op, {} if op == "FLOOR_DIV" else NONE, (a, b), (kind_of(shape, dtype),))
        for dialect, resolver in RESOLVERS:
            assert_equal(node, tmp_path, dialect, resolver)


@requires_litert
@pytest.mark.parametrize("op", UNARY)
def test_functions(op: str, tmp_path: Path) -> None:
    draw = np.random.default_rng(5)
    values = numbers(draw, (3, 4, 50), "float32")
    x = given(np.abs(values) if op == "SQRT" else values)
    node = OneNode(op, {}, (x,), (x.kind,))
    assert_equal(node, tmp_path, *RESOLVERS[0])
    if op != "SQRT":  # XNNPACK's is 1 unit in the last place off at times
        assert_equal(node, tmp_path, *RESOLVERS[1])


@requires_litert
@pytest.mark.parametrize("to", ["float32", "int8", "uint8", "int16", "int32", "int64"])
@pytest.mark.parametrize("dtype", ["float32", "int8", "uint8", "int32", "int64"])
def test_casts(dtype: str, to: str, tmp_path: Path) -> None:
    """Values that both dtypes hold."""
    low = 0 if "uint8" in (dtype, to) else -128
    draw = np.random.default_rng(7)
    values = draw.integers(low, 128, (2, 60)).astype(dtype)
    if dtype == "float32":
        values += draw.integers(0, 4, (2, 60)).astype(dtype) / 4
        values = np.clip(values, low, 127)
    node = OneNode("CAST", {}, (given(values),), (kind_of((2, 60), to),))
    assert_equal(node, tmp_path, *RESOLVERS[0])


def test_an_unknown_fused_activation_is_refused(tmp_path: Path) -> None:
    x = given(np.ones((2, 2), dtype=np.float32))
    path = tmp_path / "one.tflite"
    path.write_bytes(
        OneNode("ADD", {"fused_activation_function": "TANH"}, (x, x), (x.kind,)).model()
    )
    with pytest.raises(Unsupported, match=r"node 0 \(ADD\): the fused activation .* found TANH"):
        workloads.load(path)
