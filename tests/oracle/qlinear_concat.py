"""QLinearConcat: each code in reals, then on the output's grid."""

from collections.abc import Iterator, Sequence
from random import Random
from typing import Any

from simulator.ops.qlinear_concat import QLinearConcat
from tests.ops.grids import Case, codes, decoded, ends, kind, scale, shape, zero
from tests.ops.structure import single as nearest
from tests.oracle.singles import Index, at, every, exact, on_grid, shape_of, single

GRIDS: dict[int, list[tuple[float, int]]] = {}
"""The grid of each input, then the output's, of every operator made here."""


def cases(rng: Random) -> Iterator[Case]:
    """Two or three inputs, some on the output's grid."""
    while True:
        dtype = rng.choice(["int8", "uint8"])
        whole, axis = shape(rng, 3), rng.randrange(3)
        y = (scale(rng), zero(rng, dtype))
        count = rng.randint(2, 3)
        grids = [
            rng.choice([y, (nearest(y[0] * 2 ** rng.uniform(-2, 2)), zero(rng, dtype))])
            for _ in range(count)
        ]
        shapes = [(*whole[:axis], rng.randint(1, 4), *whole[axis + 1 :]) for _ in range(count)]
        types = [kind(s, dtype, *g) for s, g in zip(shapes, grids, strict=True)]
        total = (*whole[:axis], sum(s[axis] for s in shapes), *whole[axis + 1 :])
        operator = decoded("qlinear_concat", {"axis": axis}, types, kind(total, dtype, *y))
        GRIDS[hash(operator)] = [*grids, y]
        yield operator, tuple(types), tuple(codes(rng, s, dtype) for s in shapes)


def oracle(operator: QLinearConcat, inputs: Sequence[Any]) -> tuple[list[int], Index]:
    """The element of whichever input holds the index, rescaled."""
    *grids, (s_y, z_y) = GRIDS[hash(operator)]
    axis = operator.axis
    first = shape_of(inputs[0])
    total = sum(shape_of(x)[axis] for x in inputs)
    whole = (*first[:axis], total, *first[axis + 1 :])
    low, high = ends(operator.dtype)
    flat = []
    for index in every(whole):
        place, chosen = index[axis], 0
        while place >= shape_of(inputs[chosen])[axis]:
            place -= shape_of(inputs[chosen])[axis]
            chosen += 1
        s, z = grids[chosen]
        inside = (*index[:axis], place, *index[axis + 1 :])
        code = at_exactly(inputs[chosen], inside)
        flat.append(on_grid(single(single(exact(s) * (code - z)) / exact(s_y)), z_y, low, high))
    return flat, whole


def at_exactly(nested: Any, index: Index) -> int:
    """The element, no broadcasting."""
    assert all(0 <= i < n for i, n in zip(index, shape_of(nested), strict=True))
    return int(at(nested, index))
