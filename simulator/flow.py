"""What flows between the nodes of a graph, as integer arrays that scalar cost functions read.

Made once a graph and kept with it. A variable flows from each node that names it to the next: its
readers and writers keep their order on whatever units they run.
"""

from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from simulator.graph import Graph

Ints: TypeAlias = NDArray[np.int64]
MOST_BITS: Final = 2**62
"""What fits an int64; machines refuse tensors long before."""


@dataclass(frozen=True, eq=False)
class Flow:
    """L nodes over T tensors that are no constants (a variable counts once for each user).

    kinds : operator kind of each node.
    names : of each tensor.
    bits : int64 [T], of one inference.
    producers : int64 [T]; -1 where a tensor is there before the first node.
    kept : int64 [T]; 1 where it is wanted after the last node.
    reads_from, reads : int64 [L + 1] and [R]; ``reads[reads_from[i]:reads_from[i + 1]]`` are the
        tensors that node i reads, each once.
    """

    kinds: tuple[str, ...]
    names: tuple[str, ...]
    bits: Ints
    producers: Ints
    kept: Ints
    reads_from: Ints
    reads: Ints


def flow_of(graph: Graph) -> Flow:
    """The arrays of a graph, made at the first call."""
    return graph.kept(flow_of, None, lambda: _flow(graph))


def _flow(graph: Graph) -> Flow:
    names: list[str] = []
    producers: list[int] = []
    place: dict[str, int] = {}

    def appear(name: str, producer: int) -> None:
        place[name] = len(names)
        names.append(name)
        producers.append(producer)

    for name in (*graph.inputs, *graph.variables):
        appear(name, -1)
    reads: list[int] = []
    reads_from = [0]
    for index, node in enumerate(graph.nodes):
        wanted = [n for n in dict.fromkeys(node.inputs) if n and n not in graph.constants]
        reads += [place[name] for name in wanted]
        reads_from.append(len(reads))
        for name in (*node.outputs, *(n for n in wanted if n in graph.variables)):
            appear(name, index)
    kept = np.zeros(len(names), np.int64)
    for name in (*graph.outputs, *graph.variables):
        if name in place:
            kept[place[name]] = 1
    kinds = [graph.tensors[name] for name in names]
    return Flow(
        kinds=tuple(node.op.kind for node in graph.nodes),
        names=tuple(names),
        bits=np.array([min(kind.elements * kind.bits, MOST_BITS) for kind in kinds], np.int64),
        producers=np.array(producers, np.int64),
        kept=kept,
        reads_from=np.array(reads_from, np.int64),
        reads=np.array(reads, np.int64),
    )
