"""Mirror padding by walking to the edge and back."""

from collections.abc import Iterator, Sequence
from random import Random
from typing import Any

from simulator.ops.mirror_pad import MirrorPad
from tests.ops.structure import (
    QUANTIZED,
    Case,
    OneNode,
    cases_of,
    like,
    shape_of_rank,
    stored,
    tensor_of,
)
from tests.oracle.indexing import at, build
from tests.oracle.nested import shape_of


def one_ops(rng: Random, largest: int = 4) -> Iterator[OneNode]:
    """Both modes, as wide as a mirror reaches."""
    while True:
        rank = rng.randint(1, 4)
        shape = shape_of_rank(rng, rank, largest)
        mode = rng.choice(["REFLECT", "SYMMETRIC"])
        reach = [n - (mode == "REFLECT") for n in shape]
        pads = [[rng.randint(0, r), rng.randint(0, r)] for r in reach]
        x = tensor_of(rng, shape, rng.choice(QUANTIZED[:2]))
        output = like(x.kind, tuple(a + n + b for n, (a, b) in zip(shape, pads, strict=True)))
        yield OneNode("MIRROR_PAD", {"mode": mode}, (x, stored(pads)), (output,))


def cases(rng: Random) -> Iterator[Case]:
    """Decoded operators with types and values."""
    return cases_of(one_ops(rng))


def _seen(index: int, size: int, mode: str) -> int:
    """Which element a mirror shows at `index`: one step at a time, turning at the edges."""
    edge = 1 if mode == "reflect" else 0
    if index < 0:
        return -index - 1 + edge
    if index >= size:
        return 2 * size - index - 1 - edge
    return index


def oracle(operator: MirrorPad, inputs: Sequence[Any]) -> tuple[list[int], tuple[int, ...]]:
    """The mirrored element on each axis."""
    x, pads = inputs[0], inputs[1]
    shape = shape_of(x)

    def element(index: tuple[int, ...]) -> int:
        axes = zip(index, pads, shape, strict=True)
        return at(x, tuple(_seen(i - a, n, operator.mode) for i, (a, _), n in axes))

    return build(tuple(n + a + b for n, (a, b) in zip(shape, pads, strict=True)), element)
