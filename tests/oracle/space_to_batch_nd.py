"""Space to batch, element by element."""

from collections.abc import Iterator, Sequence
from random import Random
from typing import Any

from simulator.ops.space_to_batch_nd import SpaceToBatchND
from tests.ops.structure import MOVED, Case, OneNode, cases_of, like, stored, tensor_of
from tests.oracle.indexing import at, build
from tests.oracle.nested import shape_of


def one_ops(rng: Random, largest: int = 4) -> Iterator[OneNode]:
    """Two spatial axes, or one; blocks of one to three; padding that fills the last block."""
    while True:
        axes = rng.choice([1, 2, 2])
        block = [rng.randint(1, 3) for _ in range(axes)]
        sizes = [rng.randint(1, min(2 * largest, 12)) for _ in range(axes)]
        pads = []
        for size, b in zip(sizes, block, strict=True):
            before = rng.choice([0, rng.randint(0, 3)])
            pads.append([before, -(size + before) % b])
        n, c = rng.randint(1, 2), rng.randint(1, 4)
        x = tensor_of(rng, (n, *sizes, c), rng.choice(MOVED))
        whole = zip(sizes, pads, block, strict=True)
        small = [(a + size + e) // b for size, (a, e), b in whole]
        images = n
        for b in block:
            images *= b
        output = like(x.kind, (images, *small, c))
        yield OneNode("SPACE_TO_BATCH_ND", {}, (x, stored(block), stored(pads)), (output,))


def cases(rng: Random) -> Iterator[Case]:
    """Decoded operators with types and values."""
    return cases_of(one_ops(rng))


def oracle(operator: SpaceToBatchND, inputs: Sequence[Any]) -> tuple[list[int], tuple[int, ...]]:
    """Image (offset in the block, row by row) * n + image, at the block's place."""
    x, block, pads = inputs
    n, *sizes, c = shape_of(x)
    images = n
    for b in block:
        images *= b
    small = [(a + s + e) // b for s, (a, e), b in zip(sizes, pads, block, strict=True)]

    def element(index: tuple[int, ...]) -> int:
        offset, image = divmod(index[0], n)
        place = []
        for size, b, (before, _), i in reversed(
            list(zip(sizes, block, pads, index[1:-1], strict=True))
        ):
            offset, within = divmod(offset, b)
            where = i * b + within - before
            if where not in range(size):
                return operator.fill
            place.append(where)
        return at(x, (image, *reversed(place), index[-1]))

    return build((images, *small, c), element)
