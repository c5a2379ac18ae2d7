"""Reductions: nodes that reduce axes, and which elements fall together."""

from collections.abc import Iterator, Sequence
from random import Random
from typing import Any

import tflite

from tests.ops.structure import (
    QUANTIZED,
    Given,
    OneNode,
    kind_of,
    like,
    shape_of_rank,
    single,
    stored,
    tensor_of,
    zero_point,
)
from tests.oracle.indexing import Index, at, every
from tests.oracle.nested import shape_of


def reduced(shape: Index, axes: Sequence[int], keep_dims: bool) -> Index:
    """The output's shape."""
    if keep_dims:
        return tuple(1 if k in axes else n for k, n in enumerate(shape))
    return tuple(n for k, n in enumerate(shape) if k not in axes)


def groups(x: Any, axes: Sequence[int]) -> list[list[int]]:
    """The elements of each output, outputs in order."""
    shape = shape_of(x)
    found: dict[Index, list[int]] = {}
    for index in every(shape):
        key = tuple(i for k, i in enumerate(index) if k not in axes)
        found.setdefault(key, []).append(at(x, index))
    return [found[key] for key in sorted(found)]


def _geometry(rng: Random, largest: int) -> tuple[Index, list[int], Given, bool]:
    rank = rng.randint(1, 4)
    shape = shape_of_rank(rng, rank, largest)
    axes = sorted(rng.sample(range(rank), rng.randint(1, rank)))
    named = [k - rng.choice([0, rank]) for k in axes]
    given = stored(named if len(named) > 1 or rng.random() < 0.5 else named[0])
    return shape, axes, given, rng.random() < 0.5


def extremes(rng: Random, op: str, largest: int) -> Iterator[OneNode]:
    """Input and output on one grid."""
    while True:
        shape, axes, named, keep = _geometry(rng, largest)
        x = tensor_of(rng, shape, rng.choice(QUANTIZED))
        output = like(x.kind, reduced(shape, axes, keep))
        yield OneNode(op, {"keep_dims": keep}, (x, named), (output,))


def totals(rng: Random, op: str, largest: int) -> Iterator[OneNode]:
    """Grids of any ratio; powers of two among them make ties."""
    while True:
        shape, axes, named, keep = _geometry(rng, largest)
        dtype = rng.choice(QUANTIZED)
        x = tensor_of(rng, shape, dtype)
        assert x.kind.quant is not None
        exponent = rng.choice([rng.randint(-1, 5), rng.uniform(-1, 5)])
        y_scale = single(x.kind.quant.scale[0] * 2.0**exponent)
        y_shape = reduced(shape, axes, keep)
        output = kind_of(y_shape, dtype, y_scale, zero_point(rng, dtype))
        yield OneNode(op, {"keep_dims": keep}, (x, named), (output,))


def args(rng: Random, op: str, largest: int) -> Iterator[OneNode]:
    """Few different codes, so that the extreme often stands in several places."""
    while True:
        rank = rng.randint(1, 4)
        shape = shape_of_rank(rng, rank, largest)
        axis = rng.randrange(rank)
        x = tensor_of(rng, shape, rng.choice(["int8", "uint8"]))
        if rng.random() < 0.5:
            x = Given(x.kind, x.value // 100, x.stored)
        dtype = rng.choice(["int32", "int64"])
        output = kind_of(tuple(n for k, n in enumerate(shape) if k != axis), dtype)
        named = stored(axis - rng.choice([0, rank]))
        yield OneNode(
            op, {"output_type": getattr(tflite.TensorType, dtype.upper())}, (x, named), (output,)
        )
