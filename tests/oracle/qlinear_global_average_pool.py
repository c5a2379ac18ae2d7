"""QLinearGlobalAveragePool from its definition: an integer sum and one float32 factor."""

from collections.abc import Iterator, Sequence
from random import Random
from typing import Any

from simulator.ops.qlinear_global_average_pool import QLinearGlobalAveragePool
from tests.ops.grids import Case, codes, decoded, kind, scale, zero
from tests.ops.structure import single as nearest
from tests.oracle.singles import Index, exact, on_grid, single


def cases(rng: Random) -> Iterator[Case]:
    """Any grids, up to 36 elements a channel."""
    while True:
        dtype = rng.choice(["int8", "uint8"])
        x = (rng.randint(1, 2), rng.randint(1, 6), rng.randint(1, 6), rng.randint(1, 5))
        s_x = scale(rng)
        s_y = rng.choice([s_x, nearest(s_x * 2 ** rng.uniform(-2, 1))])
        types = (kind(x, dtype, s_x, zero(rng, dtype)),)
        output = kind((x[0], 1, 1, x[3]), dtype, s_y, zero(rng, dtype))
        values = (codes(rng, x, dtype),)
        yield decoded("qlinear_global_average_pool", {}, types, output), types, values


def oracle(operator: QLinearGlobalAveragePool, inputs: Sequence[Any]) -> tuple[list[int], Index]:
    """round(f32(f32(sum) k)) + z."""
    (x,) = inputs
    by = operator.requantize
    flat = []
    for image in x:
        for c in range(len(image[0][0])):
            total = sum(pixel[c] - operator.x_zero for row in image for pixel in row)
            real = single(single(total) * exact(by.scale[0]))
            flat.append(on_grid(real, by.zero_point, by.low, by.high))
    return flat, (len(x), 1, 1, len(x[0][0][0]))
