"""Sum over groups of elements."""

from collections.abc import Iterator, Sequence
from random import Random
from typing import Any

from simulator.ops.sum import Sum
from tests.ops.structure import Case, OneNode, cases_of
from tests.oracle.indexing import at, every
from tests.oracle.nested import shape_of
from tests.oracle.primitives import wrap
from tests.oracle.reductions import groups, reduced, totals
from tests.oracle.rescale import affine, rescale


def one_ops(rng: Random, largest: int = 4) -> Iterator[OneNode]:
    """Any axes, kept or dropped."""
    return totals(rng, "SUM", largest)


def cases(rng: Random) -> Iterator[Case]:
    """Decoded operators with types and values."""
    return cases_of(one_ops(rng))


def codes_of(operator: Sum, x: Any) -> list[int]:
    """The sums as codes."""
    by: Any = operator.rescale
    zero = operator.input_zero_point
    if operator.single_precision:
        return [affine(sum(group), by) for group in groups(x, operator.axes)]
    return [
        rescale(wrap(sum(group) - len(group) * zero, 32), by) for group in groups(x, operator.axes)
    ]


def rebuilt(flat: list[int], shape: tuple[int, ...]) -> Any:
    """Nested lists of a shape out of its elements in order."""
    if not shape:
        return flat[0]
    part = len(flat) // shape[0]
    return [rebuilt(flat[k * part : (k + 1) * part], shape[1:]) for k in range(shape[0])]


def oracle(operator: Sum, inputs: Sequence[Any]) -> tuple[list[int], tuple[int, ...]]:
    """The outputs in order, and their shape; where dtypes are mistaken, through their bytes."""
    x = inputs[0]
    shape = reduced(shape_of(x), operator.axes, operator.keep_dims)
    if not operator.as_bytes:
        return codes_of(operator, x), shape
    width = 1 if operator.dtype == "int8" else 2
    flat = [at(x, index) for index in every(shape_of(x))]
    data = b"".join(v.to_bytes(width, "little", signed=True) for v in flat)
    codes = codes_of(operator, rebuilt(list(data[: len(flat)]), shape_of(x)))
    written = bytes(codes) + bytes(len(codes) * (width - 1))
    starts = range(0, len(written), width)
    return [int.from_bytes(written[k : k + width], "little", signed=True) for k in starts], shape
