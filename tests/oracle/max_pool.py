"""MaxPool from its definition."""

from collections.abc import Iterator, Sequence
from random import Random
from typing import Any

from simulator.ops.max_pool import MaxPool
from tests.ops.grids import Case, codes, decoded, kind, reals, window
from tests.oracle.singles import Index, pooled_shape, windows


def cases(rng: Random) -> Iterator[Case]:
    """Integers and reals, padding, dilation."""
    while True:
        dtype = rng.choice(["int8", "uint8", "int16", "float32"])
        x = (rng.choice([1, 2]), rng.randint(5, 7), rng.randint(4, 7), rng.randint(1, 3))
        values = reals(rng, x) if dtype == "float32" else codes(rng, x, dtype)
        types = (kind(x, dtype),)
        yield decoded("max_pool", window(rng), types, kind(x, dtype)), types, (values,)


def oracle(operator: MaxPool, inputs: Sequence[Any]) -> tuple[list[float], Index]:
    """The largest element inside each window."""
    (x,) = inputs
    flat = []
    for image, taps in windows(operator, x):
        inside = [place for _, _, place in taps if place is not None]
        for c in range(len(image[0][0])):
            flat.append(max(image[row][column][c] for row, column in inside))
    return flat, pooled_shape(operator, x)
