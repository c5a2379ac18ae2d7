"""Samples of a float network's inputs, given out a batch at a time."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from math import prod
from typing import Final

import numpy as np

from simulator.errors import IllegalValues
from simulator.graph import Array, Graph
from simulator.types import DTYPE_BITS

BATCH_BYTES: Final = 1 << 26
"""What the tensors of a batch may take together."""
LARGEST_BATCH: Final = 64


@dataclass(frozen=True, eq=False)
class Samples:
    """N samples by the name of the input, [N, *shape], of any real dtype; `batch` at a time.

    A walk over it may be repeated. Each batch is converted by itself to `dtypes`.
    """

    arrays: Mapping[str, Array]
    dtypes: Mapping[str, str]
    batch: int = 32

    def __len__(self) -> int:
        return len(next(iter(self.arrays.values())))

    def __iter__(self) -> Iterator[dict[str, Array]]:
        for first in range(0, len(self), self.batch):
            yield {
                name: np.ascontiguousarray(value[first : first + self.batch], self.dtypes[name])
                for name, value in self.arrays.items()
            }

    def part(self, first: int, last: int) -> "Samples":
        """The samples from `first` up to `last`; nothing is copied."""
        return replace(self, arrays={n: v[first:last] for n, v in self.arrays.items()})


def samples_of(graph: Graph, arrays: Mapping[str, Array]) -> Samples:
    """Samples of a graph's inputs, [N, *shape of the input], in batches that fit `BATCH_BYTES`.

    Raises IllegalValues where an input is missing or the numbers of samples differ.
    """
    missing = [name for name in graph.inputs if name not in arrays]
    counts = {len(arrays[name]) for name in graph.inputs if name in arrays}
    if missing or len(counts) != 1 or 0 in counts:
        raise IllegalValues(
            f"{graph.name}: every input needs the same number of samples, 1 or more; found "
            f"{sorted(counts)}" + (f", none of '{missing[0]}'" if missing else "")
        )
    held = (k for name, k in graph.tensors.items() if name not in graph.constants)
    each = sum(prod(kind.shape) * DTYPE_BITS[kind.dtype] // 8 for kind in held)
    size = max(1, min(LARGEST_BATCH, BATCH_BYTES // max(each, 1)))
    dtypes = {name: graph.tensors[name].dtype for name in graph.inputs}
    return Samples({name: arrays[name] for name in graph.inputs}, dtypes, size)
