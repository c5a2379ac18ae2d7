"""Concatenation, element by element."""

from collections.abc import Iterator, Sequence
from random import Random
from typing import Any

from simulator.ops.concatenation import Concatenation
from tests.ops.structure import (
    QUANTIZED,
    Case,
    Given,
    OneNode,
    cases_of,
    codes,
    kind_of,
    like,
    log_uniform,
    shape_of_rank,
    single,
    tensor_of,
    zero_point,
)
from tests.oracle.indexing import Index, at, build
from tests.oracle.nested import shape_of
from tests.oracle.rescale import affine


def one_ops(rng: Random, largest: int = 4) -> Iterator[OneNode]:
    """One to four inputs; uint8 ones on grids of their own, powers of two apart among them."""
    while True:
        rank, count = rng.randint(1, 4), rng.randint(1, 4)
        axis = rng.randrange(rank)
        shape = list(shape_of_rank(rng, rank, largest))
        dtype = rng.choice([*QUANTIZED, "uint8"])
        first = tensor_of(rng, tuple(shape), dtype)
        given = [first]
        for _ in range(count - 1):
            part = (*shape[:axis], rng.randint(1, largest), *shape[axis + 1 :])
            given.append(Given(like(first.kind, part), codes(rng, part, dtype)))
        output = first.kind
        if dtype == "uint8" and rng.random() < 0.8:
            given = [_moved(rng, g) for g in given]
            ends = log_uniform(rng, -4, 0), zero_point(rng, dtype)
            output = kind_of((), dtype, *ends) if rng.random() < 0.5 else given[0].kind
        total = sum(g.kind.shape[axis] for g in given)
        options = {"axis": axis - rng.choice([0, rank]), "fused_activation_function": "NONE"}
        whole = (*shape[:axis], total, *shape[axis + 1 :])
        yield OneNode("CONCATENATION", options, tuple(given), (like(output, whole),))


def _moved(rng: Random, given: Given) -> Given:
    """The same codes on a grid a little finer or coarser."""
    assert given.kind.quant is not None
    exponent = rng.choice([rng.randint(-2, 2), rng.uniform(-2, 2)])
    scale = single(given.kind.quant.scale[0] * 2.0**exponent)
    kind = kind_of(given.kind.shape, "uint8", scale, zero_point(rng, "uint8"))
    return Given(kind, given.value)


def cases(rng: Random) -> Iterator[Case]:
    """Decoded operators with types and values."""
    return cases_of(one_ops(rng))


def oracle(operator: Concatenation, inputs: Sequence[Any]) -> tuple[list[int], tuple[int, ...]]:
    """The element of the input that the index falls into."""
    axis, shapes = operator.axis, [shape_of(x) for x in inputs]

    def element(index: Index) -> int:
        place = index[axis]
        for x, shape, by in zip(inputs, shapes, operator.rescale, strict=True):
            if place < shape[axis]:
                code = at(x, (*index[:axis], place, *index[axis + 1 :]))
                return code if by is None else affine(code, by)
            place -= shape[axis]
        raise AssertionError(index)

    total = sum(shape[axis] for shape in shapes)
    return build((*shapes[0][:axis], total, *shapes[0][axis + 1 :]), element)
