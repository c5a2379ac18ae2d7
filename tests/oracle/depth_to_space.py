"""Depth to space, element by element."""

from collections.abc import Iterator, Sequence
from random import Random
from typing import Any

from simulator.ops.depth_to_space import DepthToSpace
from tests.ops.structure import Case, OneNode, cases_of, like, shape_of_rank, tensor_of
from tests.oracle.indexing import at, build
from tests.oracle.nested import shape_of


def one_ops(rng: Random, largest: int = 4) -> Iterator[OneNode]:
    """Blocks of one to three."""
    while True:
        block = rng.randint(1, 3)
        n, h, w, c = shape_of_rank(rng, 4, largest)
        x = tensor_of(rng, (n, h, w, c * block * block), rng.choice(["int8", "uint8", "int32"]))
        output = like(x.kind, (n, h * block, w * block, c))
        yield OneNode("DEPTH_TO_SPACE", {"block_size": block}, (x,), (output,))


def cases(rng: Random) -> Iterator[Case]:
    """Decoded operators with types and values."""
    return cases_of(one_ops(rng))


def oracle(operator: DepthToSpace, inputs: Sequence[Any]) -> tuple[list[int], tuple[int, ...]]:
    """Inside a block the channels of its elements follow each other, row by row."""
    (x,), b = inputs, operator.block
    n, h, w, c = shape_of(x)
    channels = c // (b * b)

    def element(index: tuple[int, ...]) -> int:
        image, row, column, channel = index
        member = row % b * b + column % b
        return at(x, (image, row // b, column // b, member * channels + channel))

    return build((n, h * b, w * b, channels), element)
