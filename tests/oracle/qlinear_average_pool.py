"""QLinearAveragePool from its definition: a float32 sum in the order of the window."""

from collections.abc import Iterator, Sequence
from fractions import Fraction
from random import Random
from typing import Any

from simulator.ops.qlinear_average_pool import QLinearAveragePool
from tests.ops.grids import Case, codes, decoded, kind, scale, window, zero
from tests.ops.structure import single as nearest
from tests.oracle.singles import Index, exact, on_grid, pooled_shape, single, windows


def cases(rng: Random) -> Iterator[Case]:
    """Equal and other scales, padding counted or not, lifted codes."""
    while True:
        dtype = rng.choice(["int8", "uint8"])
        x = (rng.choice([1, 2]), rng.randint(4, 6), rng.randint(4, 6), rng.randint(1, 3))
        s_x = scale(rng)
        s_y = rng.choice([s_x, nearest(s_x * 2 ** rng.uniform(-1, 1))])
        types = (kind(x, dtype, s_x, zero(rng, dtype)),)
        options = {
            **window(rng),
            "count_padding": rng.random() < 0.5,
            "lift": 128 if dtype == "int8" and rng.random() < 0.5 else 0,
        }
        output = kind(x, dtype, s_y, zero(rng, dtype))
        yield (
            decoded("qlinear_average_pool", options, types, output),
            types,
            (codes(rng, x, dtype),),
        )


def oracle(operator: QLinearAveragePool, inputs: Sequence[Any]) -> tuple[list[int], Index]:
    """Every element in reals, added one by one, divided, divided again, shifted, rounded."""
    (x,) = inputs
    (s_x, z_x), (s_y, z_y), lift = operator.x_grid, operator.y_grid, operator.lift
    low, high = operator.low + lift, operator.high + lift
    flat = []
    for image, taps in windows(operator, x):
        inside = [place for _, _, place in taps if place is not None]
        for c in range(len(image[0][0])):
            total = Fraction(0)
            for row, column in inside:
                total = single(total + single(exact(s_x) * (image[row][column][c] - z_x)))
            mean = single(total / (len(taps) if operator.count_padding else len(inside)))
            real = single(single(mean / exact(s_y)) + z_y + lift)
            flat.append(on_grid(real, 0, low, high) - lift)
    return flat, pooled_shape(operator, x)
