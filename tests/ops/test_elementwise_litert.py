"""Elementwise and row operators as one-op models: 0 values differ from LiteRT's BUILTIN_REF.

Unary operators see every code of 8 bits and of 16; binary ones pairs over the whole range.
"""

from collections.abc import Mapping
from pathlib import Path
from random import Random
from typing import Any, Final

import numpy as np
import pytest

import workloads
from simulator.execute import run
from simulator.graph import Array
from tests.ops.litert import requires_litert, run_reference
from workloads.tflite.writer import OperatorSpec, TensorSpec, write_model

pytestmark = requires_litert

INT8: Final = ("int8", "uint8")
Grid = tuple[float, int]

# Operator -> (dtypes, options, output grid that the kernel fixes or None).
UNARY: Final[Mapping[str, tuple[tuple[str, ...], dict[str, Any], Grid | None]]] = {
    "ABS": (("int8", "int16"), {}, None),
    "ELU": (("int8",), {}, None),
    "EXP": (("int8", "int16"), {}, None),
    "NEG": (("int8",), {}, None),
    "GELU": (("int8",), {"approximate": False}, None),
    "HARD_SWISH": (INT8, {}, None),
    "LEAKY_RELU": ((*INT8, "int16"), {"alpha": 0.3}, None),
    "LOGISTIC": (INT8, {}, (1 / 256, -128)),
    "LOG_SOFTMAX": (("int8",), {}, (16 / 256, 127)),
    "L2_NORMALIZATION": (("int8",), {"fused_activation_function": "NONE"}, (1 / 128, 0)),
    "QUANTIZE": ((*INT8, "int16"), {}, None),
    "RELU": ((*INT8, "int16"), {}, None),
    "RELU6": ((*INT8, "int16"), {}, None),
    "RELU_0_TO_1": (INT8, {}, None),
    "RELU_N1_TO_1": (INT8, {}, None),
    "TANH": (INT8, {}, (1 / 128, 0)),
}
BINARY: Final[Mapping[str, tuple[tuple[str, ...], dict[str, Any], bool]]] = {
    "MAXIMUM": ((*INT8, "int16"), {}, True),
    "MINIMUM": ((*INT8, "int16"), {}, True),
    "MUL": ((*INT8, "int16"), {"fused_activation_function": "NONE"}, False),
    "PRELU": (INT8, {}, False),
    "SQUARED_DIFFERENCE": (("int8",), {}, False),
    "SUB": ((*INT8, "int16"), {"fused_activation_function": "NONE"}, False),
    "ADD": ((*INT8, "int16"), {"fused_activation_function": "RELU"}, False),
}


def grid(rng: Random, dtype: str) -> Grid:
    """A scale over five octaves; int16 has zero point 0."""
    scale = float(np.float32(2 ** rng.uniform(-8, -3)))
    info = np.iinfo(dtype)
    return scale, 0 if dtype == "int16" else rng.randint(info.min, info.max)


def every_code(dtype: str) -> Array:
    info = np.iinfo(dtype)
    return np.arange(info.min, info.max + 1).astype(dtype).reshape(1, -1, 16)


def shifted(fixed: Grid, dtype: str) -> Grid:
    """The fixed grid of an int8 output, in the codes of another 8-bit dtype."""
    return fixed[0], fixed[1] + (128 if dtype == "uint8" else 0)


def differing(
    model: bytes, values: list[Array], folder: Path, resolver: str = "BUILTIN_REF"
) -> int:
    path = folder / "one.tflite"
    path.write_bytes(model)
    graph = workloads.load(path)
    outputs, _ = run(graph, dict(zip(graph.inputs, values, strict=True)))
    got, reference = outputs[graph.outputs[0]], run_reference(model, values, resolver)
    assert (got.dtype, got.shape) == (reference.dtype, reference.shape)
    return int(np.count_nonzero(got != reference))


# BUILTIN_REF registers no ELU: its table is that of the default kernels.
RESOLVER: Final = {"ELU": "BUILTIN_WITHOUT_DEFAULT_DELEGATES"}

UNARY_CASES: Final = [(op, dtype) for op, (dtypes, _, _) in UNARY.items() for dtype in dtypes]
BINARY_CASES: Final = [(op, dtype) for op, (dtypes, _, _) in BINARY.items() for dtype in dtypes]


@pytest.mark.parametrize(("op", "dtype"), UNARY_CASES)
def test_every_code(op: str, dtype: str, tmp_path: Path) -> None:
    rng = Random(f"{op} {dtype}")
    _, options, fixed = UNARY[op]
    x = every_code(dtype)
    for _ in range(3 if dtype == "int16" else 25):
        x_grid = grid(rng, dtype)
        y_grid = shifted(fixed, dtype) if fixed else grid(rng, dtype)
        kinds = [
            TensorSpec(name, x.shape, dtype, (scale,), (zero,))
            for name, (scale, zero) in (("x", x_grid), ("y", y_grid))
        ]
        model = write_model(kinds, [OperatorSpec(op, (0,), (1,), options)], [0], [1])
        resolver = RESOLVER.get(op, "BUILTIN_REF")
        assert differing(model, [x], tmp_path, resolver) == 0, (x_grid, y_grid)


@pytest.mark.parametrize(("op", "dtype"), BINARY_CASES)
def test_pairs(op: str, dtype: str, tmp_path: Path) -> None:
    rng, draw = Random(f"{op} {dtype}"), np.random.default_rng(len(op))
    _, options, one_grid = BINARY[op]
    info = np.iinfo(dtype)
    for _ in range(15):
        a_grid = grid(rng, dtype)
        b_grid, y_grid = (a_grid, a_grid) if one_grid else (grid(rng, dtype), grid(rng, dtype))
        shapes = [(1, 8, 8, 16), (1, 8, 8, 16), (1, 8, 8, 16)]
        if op == "PRELU":
            shapes[1] = (1, 1, 1, 16)
        values = [
            draw.integers(info.min, info.max, shape, dtype=dtype, endpoint=True)
            for shape in shapes[:2]
        ]
        kinds = [
            TensorSpec(name, shape, dtype, (scale,), (zero,))
            for name, shape, (scale, zero) in zip(
                "abY", shapes, (a_grid, b_grid, y_grid), strict=True
            )
        ]
        model = write_model(kinds, [OperatorSpec(op, (0, 1), (2,), options)], [0, 1], [2])
        assert differing(model, values, tmp_path) == 0, (a_grid, b_grid, y_grid)


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16"])
def test_quantize_and_dequantize_floats(dtype: str, tmp_path: Path) -> None:
    draw = np.random.default_rng(3)
    scale, zero = grid(Random(dtype), dtype)
    real = TensorSpec("x", (1, 64, 64), "float32")
    code = TensorSpec("y", (1, 64, 64), dtype, (scale,), (zero,))
    halves = (draw.integers(-400, 400, (1, 64, 64)) * np.float32(scale / 2)).astype(np.float32)
    model = write_model([real, code], [OperatorSpec("QUANTIZE", (0,), (1,))], [0], [1])
    assert differing(model, [halves], tmp_path) == 0
    info = np.iinfo(dtype)
    codes = draw.integers(info.min, info.max, (1, 64, 64), dtype=dtype, endpoint=True)
    model = write_model([real, code], [OperatorSpec("DEQUANTIZE", (1,), (0,))], [1], [0])
    assert differing(model, [codes], tmp_path) == 0


@pytest.mark.parametrize("to", INT8)
@pytest.mark.parametrize("dtype", INT8)
def test_requantize_in_the_default_resolver(dtype: str, to: str, tmp_path: Path) -> None:
    """XNNPACK where the sign stays, LiteRT's vector code and what it leaves over where not."""
    rng = Random(f"{dtype} {to}")
    for _ in range(40):
        x = every_code(dtype).reshape(1, -1)[:, : rng.randint(200, 256)]
        (scale, zero), (_, out_zero) = grid(rng, dtype), grid(rng, to)
        step = float(np.float32(scale * 2 ** rng.uniform(-7, 7)))
        kinds = [
            TensorSpec("x", x.shape, dtype, (scale,), (zero,)),
            TensorSpec("y", x.shape, to, (step,), (out_zero,)),
        ]
        path = tmp_path / "one.tflite"
        model = write_model(kinds, [OperatorSpec("QUANTIZE", (0,), (1,), {})], [0], [1])
        path.write_bytes(model)
        graph = workloads.load(path, "litert-xnnpack")
        outputs, _ = run(graph, {graph.inputs[0]: x})
        reference = run_reference(model, [x], "BUILTIN")
        assert int(np.count_nonzero(outputs[graph.outputs[0]] != reference)) == 0
