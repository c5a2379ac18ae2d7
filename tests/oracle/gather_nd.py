"""GatherNd, element by element."""

from collections.abc import Iterator, Sequence
from random import Random
from typing import Any

import numpy as np

from simulator.ops.gather_nd import GatherNd
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
    """Index vectors of every length, stored or computed, in arrays of rank 1 to 3."""
    while True:
        shape = shape_of_rank(rng, rng.randint(1, 4), largest)
        depth = rng.randint(1, len(shape))
        lead = shape_of_rank(rng, rng.randint(1, 2), 4)
        dtype = rng.choice(["int32", "int64"])
        columns = [[rng.randrange(n) for n in shape[:depth]] for _ in range(int(np.prod(lead)))]
        indices = np.array(columns, dtype=dtype).reshape(*lead, depth)
        x = tensor_of(rng, shape, rng.choice(MOVED))
        given = Given(kind_of(indices.shape, dtype), indices, rng.random() < 0.5)
        yield OneNode("GATHER_ND", {}, (x, given), (like(x.kind, (*lead, *shape[depth:])),))


def cases(rng: Random) -> Iterator[Case]:
    """Decoded operators with types and values."""
    return cases_of(one_ops(rng))


def oracle(operator: GatherNd, inputs: Sequence[Any]) -> tuple[list[int], tuple[int, ...]]:
    """The element whose leading indices an index vector names."""
    x, indices = inputs
    *lead, depth = shape_of(indices)

    def element(index: Index) -> int:
        vector = [at(indices, (*index[: len(lead)], k)) for k in range(depth)]
        return at(x, (*vector, *index[len(lead) :]))

    return build((*lead, *shape_of(x)[depth:]), element)
