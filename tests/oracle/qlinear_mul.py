"""QLinearMul from its definition."""

from collections.abc import Iterator, Sequence
from random import Random
from typing import Any

from simulator.ops.qlinear_mul import QLinearMul
from tests.ops.grids import Case, codes, decoded, kind, scale, shape, zero
from tests.ops.structure import single as nearest
from tests.oracle.singles import Index, at, broadcast, every, exact, on_grid, single


def cases(rng: Random) -> Iterator[Case]:
    """Any grids, broadcasting, lifted codes."""
    while True:
        dtype = rng.choice(["int8", "uint8"])
        y = shape(rng, 3)
        b = rng.choice([y, y[1:], (1, *y[1:])])
        s_a, s_b = scale(rng), scale(rng)
        s_y = nearest(s_a * s_b * 2 ** rng.uniform(3, 10))
        grids = zip((y, b, y), (s_a, s_b, s_y), strict=True)
        types = [kind(s, dtype, v, zero(rng, dtype)) for s, v in grids]
        lift = 128 if dtype == "int8" and rng.random() < 0.5 else 0
        operator = decoded("qlinear_mul", {"lift": lift}, types[:2], types[2])
        yield operator, tuple(types[:2]), (codes(rng, y, dtype), codes(rng, b, dtype))


def oracle(operator: QLinearMul, inputs: Sequence[Any]) -> tuple[list[int], Index]:
    """The exact product, scaled in float32, the zero point added in float32, rounded."""
    a, b = inputs
    z_a, z_b, z_y = operator.zero_points
    lift, scale_ = operator.lift, exact(operator.scale)
    whole = broadcast(a, b)
    flat = []
    for i in every(whole):
        real = single(single((at(a, i) - z_a) * (at(b, i) - z_b)) * scale_)
        code = on_grid(single(real + z_y + lift), 0, operator.low + lift, operator.high + lift)
        flat.append(code - lift)
    return flat, whole
