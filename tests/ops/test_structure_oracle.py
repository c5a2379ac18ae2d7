"""Pooling, reduction, movement, resize and product operators against plain integers: 0 differing.

Here operators have any number of outputs, of any dtype.
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
from tests.ops.structure import Case
from tests.oracle.primitives import Accumulator

MOVEMENT = (
    "batch_to_space_nd",
    "broadcast_to",
    "concatenation",
    "depth_to_space",
    "expand_dims",
    "gather",
    "gather_nd",
    "mirror_pad",
    "pack",
    "pad",
    "slice",
    "space_to_batch_nd",
    "space_to_depth",
    "split",
    "split_v",
    "squeeze",
    "strided_slice",
    "tile",
    "transpose",
    "unpack",
)
REDUCTION = ("arg_max", "arg_min", "max_pool_2d", "mean", "reduce_max", "reduce_min", "sum")
RESIZE = ("resize_bilinear", "resize_nearest_neighbor")
PRODUCT = ("batch_matmul", "transpose_conv")
KINDS = (*MOVEMENT, *REDUCTION, *RESIZE, *PRODUCT)


def module_of(kind: str) -> Any:
    return importlib.import_module(f"tests.oracle.{kind}")


def nested(values: tuple[Array | None, ...]) -> list[Any]:
    return [None if value is None else value.tolist() for value in values]


def trials(kind: str, count: int, seed: str = "structure") -> Iterator[Case]:
    return islice(module_of(kind).cases(Random(f"{kind} {seed}")), count)


def expected(kind: str, case: Case) -> list[tuple[list[int], tuple[int, ...]]]:
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
            assert result.flags.c_contiguous


@pytest.mark.parametrize("kind", KINDS)
def test_legal_types_pass_the_check_and_inputs_are_left_alone(kind: str) -> None:
    for operator, types, values in trials(kind, 10):
        copies = [None if v is None else v.copy() for v in values]
        results = operator.run(values, GRAPH_DATAPATH)
        operator.check(types, [TensorType(r.shape, r.dtype.name, 8) for r in results])
        for value, copy in zip(values, copies, strict=True):
            assert value is None or copy is None or (value == copy).all()


@pytest.mark.parametrize("kind", KINDS)
def test_work_counts_what_is_read_and_written(kind: str) -> None:
    for operator, types, values in trials(kind, 10):
        results = operator.run(values, GRAPH_DATAPATH)
        outputs = [TensorType(r.shape, r.dtype.name, 8) for r in results]
        work = operator.work(types, outputs)
        assert work.output_elements == sum(r.size for r in results)
        assert work.input_elements > 0
        assert (work.macs > 0) == (kind in PRODUCT)


@pytest.mark.parametrize("overflow", ["wrap", "saturate"])
@pytest.mark.parametrize("kind", PRODUCT)
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


@pytest.mark.parametrize("kind", KINDS)
def test_cases_reach_many_values(kind: str) -> None:
    """Outputs that are all clamped would hide every error."""
    seen: set[int] = set()
    for case in trials(kind, 60):
        for flat, _ in expected(kind, case):
            seen.update(flat)
    assert len(seen) > (3 if kind.startswith("arg_") else 60)
