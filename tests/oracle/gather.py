"""Gather, element by element."""

from collections.abc import Iterator, Sequence
from random import Random
from typing import Any

import numpy as np

from simulator.ops.gather import Gather
from tests.ops.structure import (
    MOVED,
    Case,
    Given,
    OneNode,
    cases_of,
    kind_of,
    like,
    shape_of_rank,
    tensor_of,
)
from tests.oracle.indexing import Index, at, build
from tests.oracle.nested import shape_of


def one_ops(rng: Random, largest: int = 4) -> Iterator[OneNode]:
    """Indices of rank 1 or 2, stored or computed, with and without batch axes."""
    while True:
        shape = shape_of_rank(rng, rng.randint(1, 4), largest)
        axis = rng.randrange(len(shape))
        batch = rng.choice([0, 0, rng.randint(0, axis)])
        lead = shape[:batch]
        picked = shape_of_rank(rng, rng.randint(1, 2), 4)
        count = 1
        for n in (*lead, *picked):
            count *= n
        values = [rng.randrange(shape[axis]) for _ in range(count)]
        dtype = rng.choice(["int32", "int64"])
        indices = np.array(values, dtype=dtype).reshape(*lead, *picked)
        x = tensor_of(rng, shape, rng.choice(MOVED))
        output = like(x.kind, (*shape[:axis], *picked, *shape[axis + 1 :]))
        given = Given(kind_of(indices.shape, dtype), indices, rng.random() < 0.5)
        options = {"axis": axis - rng.choice([0, len(shape)]), "batch_dims": batch}
        yield OneNode("GATHER", options, (x, given), (output,))


def cases(rng: Random) -> Iterator[Case]:
    """Decoded operators with types and values."""
    return cases_of(one_ops(rng))


def oracle(operator: Gather, inputs: Sequence[Any]) -> tuple[list[int], tuple[int, ...]]:
    """The element whose index along the axis the index tensor names."""
    x, indices = inputs
    axis, batch = operator.axis, operator.batch_dims
    shape, picked = shape_of(x), shape_of(indices)[batch:]

    def element(index: Index) -> int:
        where = index[axis : axis + len(picked)]
        chosen = at(indices, (*index[:batch], *where))
        return at(x, (*index[:axis], chosen, *index[axis + len(picked) :]))

    return build((*shape[:axis], *picked, *shape[axis + 1 :]), element)
