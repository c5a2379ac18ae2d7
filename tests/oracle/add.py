"""Addition on three grids, element by element, shapes broadcast by index arithmetic."""

from collections.abc import Iterator, Sequence
from itertools import product
from random import Random
from typing import Any

from simulator.ops.add import Add
from tests.ops.build import (
    ACTIVATIONS,
    Case,
    OneOp,
    cases_of,
    codes,
    log_uniform,
    single,
    tensor,
    zero_point,
)
from tests.oracle.nested import shape_of
from tests.oracle.primitives import requantize


def _shapes(rng: Random, largest: int) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
    """(first, second, result): equal, or with dimensions of one and missing leading ones."""
    whole = tuple(rng.randint(1, largest) for _ in range(rng.randint(1, 4)))
    if rng.random() < 0.5:
        return whole, whole, whole
    kept = [rng.choice(["both", "first", "second"]) for _ in whole]
    first = tuple(1 if k == "second" else n for k, n in zip(kept, whole, strict=True))
    second = tuple(1 if k == "first" else n for k, n in zip(kept, whole, strict=True))
    drop = rng.randint(0, len(whole) - 1)
    if drop and all(kept[i] == "first" for i in range(drop)):
        second = second[drop:]
    return first, second, whole


def one_ops(rng: Random, largest: int = 5) -> Iterator[OneOp]:
    """Scales equal, close, or twenty octaves apart."""
    while True:
        a, b, y = _shapes(rng, largest)
        a_scale = log_uniform(rng, -10, 4)
        apart = rng.choice([0, 1, 6, 20])
        b_scale = single(a_scale * 2 ** rng.uniform(-apart, apart))
        y_scale = single(max(a_scale, b_scale) * 2 ** rng.choice([0, rng.uniform(-6, 6)]))
        extreme = rng.random() < 0.2
        yield OneOp(
            "ADD",
            {"fused_activation_function": rng.choice(ACTIVATIONS)},
            (tensor(a, a_scale, zero_point(rng)), tensor(b, b_scale, zero_point(rng))),
            tensor(y, y_scale, zero_point(rng)),
            (codes(rng, a, extreme=extreme), codes(rng, b, extreme=extreme)),
        )


def cases(rng: Random) -> Iterator[Case]:
    """Decoded operators with types and values."""
    return cases_of(one_ops(rng))


def _at(nested: Any, index: tuple[int, ...]) -> int:
    """The element a broadcast index reads: missing leading axes and axes of one read all alike."""
    for i in index[len(index) - len(shape_of(nested)) :]:
        nested = nested[i if len(nested) > 1 else 0]
    assert isinstance(nested, int)
    return nested


def oracle(operator: Add, inputs: Sequence[Any]) -> tuple[list[int], tuple[int, ...]]:
    """Each operand times 2^20 brought onto the common grid, added, requantized."""
    shapes = [shape_of(x) for x in inputs]
    rank = max(map(len, shapes))
    padded = [(1,) * (rank - len(s)) + s for s in shapes]
    shape = tuple(n if m == 1 else m for m, n in zip(*padded, strict=True))
    flat = []
    for index in product(*map(range, shape)):
        total = 0
        for x, zero, rescale in zip(inputs, operator.zero_points, operator.rescale, strict=True):
            total += requantize((_at(x, index) - zero) * 2**20, rescale)
        flat.append(requantize(total, operator.requantize))
    return flat, shape
