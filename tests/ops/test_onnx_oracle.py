"""Operators of the ONNX importer against plain integers and exact rationals: 0 differing.

Real values are compared to the last bit.
"""

import importlib
from collections.abc import Iterator
from itertools import islice
from random import Random
from typing import Any

import numpy as np
import pytest

from simulator.graph import Array, TensorType
from simulator.mac import MacOperator, sum_products
from simulator.numeric.datapath import GRAPH_DATAPATH, Datapath, Overflow
from simulator.registry import operators
from tests.ops.grids import Case
from tests.oracle.primitives import Accumulator
from tests.shared import ROOT

PRODUCT = ("conv_integer", "matmul_integer")
ON_GRIDS = ("grid_conv_2d", "grid_matmul")
POINTWISE = (
    "aqt_quantize",
    *("quantize_linear", "dequantize_linear", "dynamic_quantize_linear", "requantize_linear"),
    *("qlinear_add", "qlinear_mul", "qlinear_average_pool", "qlinear_global_average_pool"),
    *("qlinear_sigmoid", "qlinear_leaky_relu", "qlinear_softmax", "qlinear_concat"),
    *("max_pool", "requant_shift", "quant", "bipolar_quant", "trunc", "multi_threshold", "cast"),
)
KINDS = (*PRODUCT, *POINTWISE)
ELSEWHERE = (
    *("arithmetic", "batch_normalization", "float_average_pool", "float_conv_2d"),
    *("float_matmul", "float_reduce", "float_resize", "float_softmax", "float_unary", *ON_GRIDS),
)


def module_of(kind: str) -> Any:
    return importlib.import_module(f"tests.oracle.{kind}")


def nested(values: tuple[Array | None, ...]) -> list[Any]:
    return [None if value is None else value.tolist() for value in values]


def trials(kind: str, count: int, seed: str = "onnx") -> Iterator[Case]:
    return islice(module_of(kind).cases(Random(f"{kind} {seed}")), count)


def expected(kind: str, case: Case) -> list[tuple[list[float], tuple[int, ...]]]:
    operator, _, values = case
    found = module_of(kind).oracle(operator, nested(values))
    return found if isinstance(found, list) else [found]


@pytest.mark.parametrize("kind", KINDS)
def test_operator_equals_its_oracle(kind: str) -> None:
    for number, case in enumerate(trials(kind, 100)):
        operator, types, values = case
        got = operator.run(values, GRAPH_DATAPATH)
        shapes = operator.infer(types)
        for result, shape, (flat, true_shape) in zip(
            got, shapes, expected(kind, case), strict=True
        ):
            assert result.shape == shape == true_shape, f"case {number}: {operator}"
            assert result.reshape(-1).tolist() == flat, f"case {number}: {operator}"


@pytest.mark.parametrize("kind", [*KINDS, *ON_GRIDS])
def test_legal_types_pass_the_check_and_inputs_are_left_alone(kind: str) -> None:
    for operator, types, values in trials(kind, 10):
        copies = [None if v is None else v.copy() for v in values]
        results = operator.run(values, GRAPH_DATAPATH)
        operator.check(types, [TensorType(r.shape, r.dtype.name, 8) for r in results])
        for value, copy in zip(values, copies, strict=True):
            assert value is None or copy is None or (value == copy).all()


@pytest.mark.parametrize("kind", [*KINDS, *ON_GRIDS])
def test_work_counts_what_is_read_and_written(kind: str) -> None:
    for operator, types, values in trials(kind, 10):
        results = operator.run(values, GRAPH_DATAPATH)
        outputs = [TensorType(r.shape, r.dtype.name, 8) for r in results]
        work = operator.work(types, outputs)
        assert work.output_elements == results[0].size
        assert work.input_elements > 0
        assert (work.macs > 0) == (kind in (*PRODUCT, *ON_GRIDS))


@pytest.mark.parametrize("overflow", ["wrap", "saturate"])
@pytest.mark.parametrize("kind", [*PRODUCT, *ON_GRIDS])
def test_sums_in_any_accumulator_equal_the_oracle(kind: str, overflow: Overflow) -> None:
    rng = Random(f"{kind} {overflow}")
    for operator, _, values in trials(kind, 60, "accumulators"):
        assert isinstance(operator, MacOperator)
        accumulator = Accumulator(rng.randint(8, 40), overflow, rng.randint(1, 8))
        datapath = Datapath(
            dot_width=accumulator.dot_width,
            accumulator_bits=accumulator.bits,
            overflow=overflow,
        )
        true = module_of(kind).sums(operator, nested(values), accumulator)
        assert operator.accumulate(values, datapath).tolist() == true, f"{accumulator}: {operator}"


@pytest.mark.parametrize("kind", PRODUCT)
def test_fast_sums_equal_the_blocks_of_products(kind: str) -> None:
    for operator, _, values in trials(kind, 60, "blocks"):
        assert isinstance(operator, MacOperator)
        folded = Datapath(accumulator_bits=32, zero_point="folded")
        fast = operator.accumulate(values, GRAPH_DATAPATH)
        assert np.array_equal(fast, sum_products(operator, values, GRAPH_DATAPATH))
        wrapped = operator.accumulate(values, Datapath())
        assert np.array_equal(wrapped, sum_products(operator, values, folded))


@pytest.mark.parametrize("kind", ON_GRIDS)
def test_sums_of_codes_are_the_real_sums(kind: str) -> None:
    """A wide accumulator gives what the float32 sum approximates; folded zero points the same."""
    for operator, _, values in trials(kind, 40, "reals"):
        (real,) = operator.run(values, GRAPH_DATAPATH)
        for zero_point in ("subtracted", "folded"):
            by_codes = Datapath(accumulator_bits=40, zero_point=zero_point)
            (got,) = operator.run(values, by_codes)
            np.testing.assert_allclose(got, real, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_cases_reach_many_values(kind: str) -> None:
    """Outputs that are all clamped would hide every error."""
    seen: set[float] = set()
    for case in trials(kind, 60):
        for flat, _ in expected(kind, case):
            seen.update(flat)
    assert len(seen) > 60


def test_every_operator_of_the_importer_is_judged() -> None:
    """An oracle each, or the name of the test that stands for it."""
    ours = ("onnx:", "aqt:")
    names = {k for k, op in operators().items() if any(f.startswith(ours) for f in op.formats)}
    assert names == {*KINDS, *ELSEWHERE}
    for kind in ELSEWHERE:
        assert (ROOT / module_of(kind).INSTEAD).is_file()
