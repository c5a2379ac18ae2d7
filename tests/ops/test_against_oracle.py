"""Every registered operator against its oracle in plain integers: 0 differing values."""

import ast
import inspect
from itertools import islice
from pathlib import Path
from random import Random
from typing import Final

import numpy as np
import pytest

from simulator.graph import TensorType
from simulator.numeric.datapath import GRAPH_DATAPATH
from simulator.registry import operators
from tests import oracle as oracle_package
from tests.ops.oracles import has_oracle, nested, one_op_kinds, oracle_of

CASES = 90
KINDS = one_op_kinds()

# Operators in real numbers, or whose rounding is a runtime's float, are judged by that runtime;
# elementwise ones on every code by `tests.oracle.pointwise` and `tests.oracle.tables` besides.
CHECKED_ELSEWHERE: Final = {
    "aqt_quantize": "test_onnx_oracle.py",
    "arithmetic": "test_onnx_floats.py",
    "batch_normalization": "test_onnx_floats.py",
    "bipolar_quant": "../conformance/test_onnx_models.py",
    "cast": "test_onnx_floats.py",
    "conv_integer": "test_onnx_qoperators.py",
    "dequantize_linear": "test_onnx_floats.py",
    "dynamic_quantize_linear": "test_onnx_floats.py",
    "float_average_pool": "test_onnx_floats.py",
    "float_conv_2d": "test_onnx_floats.py",
    "float_matmul": "test_onnx_floats.py",
    "float_reduce": "test_onnx_floats.py",
    "float_softmax": "test_onnx_floats.py",
    "float_unary": "test_onnx_floats.py",
    "grid_conv_2d": "../conformance/test_onnx_models.py",
    "grid_matmul": "../conformance/test_onnx_models.py",
    "matmul_integer": "test_onnx_qoperators.py",
    "max_pool": "test_onnx_floats.py",
    "multi_threshold": "../conformance/test_onnx_models.py",
    "qlinear_add": "test_onnx_qoperators.py",
    "qlinear_average_pool": "test_onnx_qoperators.py",
    "qlinear_concat": "test_onnx_qoperators.py",
    "qlinear_global_average_pool": "test_onnx_qoperators.py",
    "qlinear_leaky_relu": "test_onnx_qoperators.py",
    "qlinear_mul": "test_onnx_qoperators.py",
    "qlinear_sigmoid": "test_onnx_qoperators.py",
    "qlinear_softmax": "test_onnx_qoperators.py",
    "quant": "../conformance/test_onnx_models.py",
    "quantize_linear": "test_onnx_floats.py",
    "requant_shift": "../conformance/test_onnx_models.py",
    "requantize_linear": "test_onnx_qdq.py",
    "trunc": "../conformance/test_onnx_models.py",
    "abs": "test_elementwise_oracle.py",
    "dequantize": "test_tables_oracle.py",
    "elu": "test_tables_oracle.py",
    "exp": "test_tables_oracle.py",
    "gelu": "test_tables_oracle.py",
    "hard_swish": "test_elementwise_oracle.py",
    "l2_normalization": "test_tables_oracle.py",
    "leaky_relu": "test_elementwise_oracle.py",
    "log": "test_tables_oracle.py",
    "log_softmax": "test_tables_oracle.py",
    "logistic": "test_tables_oracle.py",
    "maximum": "test_elementwise_oracle.py",
    "minimum": "test_elementwise_oracle.py",
    "mul": "test_elementwise_oracle.py",
    "neg": "test_elementwise_oracle.py",
    "prelu": "test_elementwise_oracle.py",
    "quantize": "test_elementwise_oracle.py",
    "relu": "test_elementwise_oracle.py",
    "relu6": "test_elementwise_oracle.py",
    "relu_n1_to_1": "test_elementwise_oracle.py",
    "rsqrt": "test_tables_oracle.py",
    "sqrt": "test_tables_oracle.py",
    "relu_0_to_1": "test_elementwise_litert.py",
    "squared_difference": "test_elementwise_oracle.py",
    "sub": "test_elementwise_oracle.py",
    "tanh": "test_tables_oracle.py",
}


@pytest.mark.parametrize("kind", KINDS)
def test_operator_equals_its_oracle(kind: str) -> None:
    module = oracle_of(kind)
    for number, (operator, types, values) in enumerate(
        islice(module.cases(Random(f"{kind} oracle")), CASES)
    ):
        (shape,) = operator.infer(types)
        operator.check(types, (TensorType(shape, "int8", 8),))
        (got,) = operator.run(values, GRAPH_DATAPATH)
        expected, expected_shape = module.oracle(operator, nested(values))
        assert shape == expected_shape == got.shape, f"case {number}: {operator}"
        assert got.dtype == np.int8
        assert got.reshape(-1).tolist() == expected, f"case {number}: {operator}"


@pytest.mark.parametrize("kind", KINDS)
def test_cases_reach_many_values(kind: str) -> None:
    """Outputs that are all clamped would hide every error."""
    seen = set()
    for operator, _, values in islice(oracle_of(kind).cases(Random(kind)), CASES):
        seen.update(operator.run(values, GRAPH_DATAPATH)[0].reshape(-1).tolist())
    assert len(seen) > 100


@pytest.mark.parametrize("kind", KINDS)
def test_inputs_are_left_alone(kind: str) -> None:
    operator, _, values = next(oracle_of(kind).cases(Random(kind)))
    copies = [None if v is None else v.copy() for v in values]
    operator.run(values, GRAPH_DATAPATH)
    for value, copy in zip(values, copies, strict=True):
        assert (value is None) == (copy is None)
        assert value is None or copy is None or (value == copy).all()


def test_oracles_share_nothing_with_what_they_judge() -> None:
    """No oracle imports the kernels or numba, and `oracle` and `sums` compute without numpy."""
    (folder,) = map(Path, oracle_package.__path__)
    for path in folder.glob("*.py"):
        tree = ast.parse(path.read_text())
        for node in ast.walk(tree):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            names += [a.name for a in node.names] if isinstance(node, ast.Import) else []
            for name in names:
                assert not name.startswith(("simulator.numeric", "numba")), f"{path.name}: {name}"
        for function in ast.walk(tree):
            if isinstance(function, ast.FunctionDef) and function.name in ("oracle", "sums"):
                used = {n.id for n in ast.walk(function) if isinstance(n, ast.Name)}
                assert "np" not in used, f"{path.name}: {function.name} uses numpy"


@pytest.mark.parametrize("kind", sorted(operators()))
def test_every_operator_is_judged(kind: str) -> None:
    """By an oracle in plain integers, or by a runtime in the test that is named here."""
    if has_oracle(kind):
        return
    assert kind in CHECKED_ELSEWHERE, f"operator '{kind}' has no oracle: write tests.oracle.{kind}"
    path = Path(__file__).parent / CHECKED_ELSEWHERE[kind]
    assert path.exists(), f"{kind}: {path.name} does not exist"


@pytest.mark.parametrize("kind", sorted(operators()))
def test_reference_and_meaning_are_stated(kind: str) -> None:
    """Docstring in reals, and the runtime whose bits are reproduced."""
    operator = operators()[kind]
    assert operator.kind == kind
    assert inspect.getdoc(operator)
    assert operator.reference
    assert all(":" in name for name in operator.formats)
