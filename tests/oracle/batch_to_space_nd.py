"""Batch to space, element by element."""

from collections.abc import Iterator, Sequence
from random import Random
from typing import Any

from simulator.ops.batch_to_space_nd import BatchToSpaceND
from tests.ops.structure import MOVED, Case, OneNode, cases_of, like, stored, tensor_of
from tests.oracle.indexing import at, build
from tests.oracle.nested import shape_of


def one_ops(rng: Random, largest: int = 4) -> Iterator[OneNode]:
    """Two spatial axes, or one; blocks of one to three; crops that leave something."""
    while True:
        axes = rng.choice([1, 2, 2])
        block = [rng.randint(1, 3) for _ in range(axes)]
        sizes = [rng.randint(1, min(largest, 8)) for _ in range(axes)]
        crops = []
        for size, b in zip(sizes, block, strict=True):
            first = rng.choice([0, rng.randrange(size * b)])
            crops.append([first, rng.choice([0, rng.randrange(size * b - first)])])
        n, c = rng.randint(1, 2), rng.randint(1, 4)
        images = n
        for b in block:
            images *= b
        x = tensor_of(rng, (images, *sizes, c), rng.choice(MOVED))
        grown = zip(sizes, block, crops, strict=True)
        output = like(x.kind, (n, *(s * b - f - e for s, b, (f, e) in grown), c))
        yield OneNode("BATCH_TO_SPACE_ND", {}, (x, stored(block), stored(crops)), (output,))


def cases(rng: Random) -> Iterator[Case]:
    """Decoded operators with types and values."""
    return cases_of(one_ops(rng))


def oracle(operator: BatchToSpaceND, inputs: Sequence[Any]) -> tuple[list[int], tuple[int, ...]]:
    """The image whose offset in the block is the element's, at the block's place."""
    x, block, crops = inputs
    images, *sizes, c = shape_of(x)
    n = images
    for b in block:
        n //= b
    grown = [s * b - f - e for s, b, (f, e) in zip(sizes, block, crops, strict=True)]

    def element(index: tuple[int, ...]) -> int:
        offset = 0
        place = []
        for i, b, (first, _) in zip(index[1:-1], block, crops, strict=True):
            at_block, within = divmod(i + first, b)
            offset = offset * b + within
            place.append(at_block)
        return at(x, (offset * n + index[0], *place, index[-1]))

    return build((n, *grown, c), element)
