"""Space to depth, element by element."""

from collections.abc import Iterator, Sequence
from random import Random
from typing import Any

from simulator.ops.space_to_depth import SpaceToDepth
from tests.ops.structure import Case, OneNode, cases_of, like, shape_of_rank, tensor_of
from tests.oracle.indexing import at, build
from tests.oracle.nested import shape_of


def one_ops(rng: Random, largest: int = 4) -> Iterator[OneNode]:
    """Blocks of one to three."""
    while True:
        block = rng.randint(1, 3)
        n, h, w, c = shape_of_rank(rng, 4, largest)
        x = tensor_of(rng, (n, h * block, w * block, c), rng.choice(["int8", "uint8", "int32"]))
        output = like(x.kind, (n, h, w, c * block * block))
        yield OneNode("SPACE_TO_DEPTH", {"block_size": block}, (x,), (output,))


def cases(rng: Random) -> Iterator[Case]:
    """Decoded operators with types and values."""
    return cases_of(one_ops(rng))


def oracle(operator: SpaceToDepth, inputs: Sequence[Any]) -> tuple[list[int], tuple[int, ...]]:
    """Channels come element by element of the block, row by row."""
    (x,), b = inputs, operator.block
    n, h, w, c = shape_of(x)

    def element(index: tuple[int, ...]) -> int:
        image, row, column, depth = index
        member, channel = divmod(depth, c)
        return at(x, (image, row * b + member // b, column * b + member % b, channel))

    return build((n, h // b, w // b, c * b * b), element)
