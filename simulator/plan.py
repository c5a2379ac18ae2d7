"""A graph made ready to run on one datapath: operators prepared, buffers laid out in an arena.

Tensors whose operators are prepared live in one block of memory, where each place is used again as
soon as its tensor is dead; the scratch is that of the operator that needs most. Beside these there
are the weights in their lane layout. All of it is the same for every number of samples.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from threading import local
from typing import Any, Final

import numpy as np

from simulator.graph import STORAGE, Array, Graph, Node
from simulator.narrowing import datapath_of
from simulator.numeric.datapath import Datapath
from simulator.prepared import Prepared, Scratch, ScratchSizes

ALIGNMENT: Final = 64
"""Bytes to which every tensor of the arena is aligned: a cache line, a vector."""


@dataclass(frozen=True)
class Step:
    """One node: its operator prepared or as it is; places of its tensors in the list of values."""

    node: Node
    prepared: Prepared | None
    datapath: Datapath
    inputs: tuple[int, ...]
    results: tuple[int, ...]
    frees: tuple[int, ...]


class Workspace:
    """What one thread computes in: the arena with a window for each tensor in it, and scratch."""

    def __init__(self, plan: "Plan") -> None:
        self.arena = np.empty(plan.arena_bytes + ALIGNMENT, dtype=np.uint8)
        self.scratch = Scratch.of(plan.scratch)
        start = -self.arena.ctypes.data % ALIGNMENT
        self.windows: list[Array | None] = [None] * len(plan.steps)
        for index, offset in plan.offsets.items():
            kind = plan.output_type(index)
            size = kind.itemsize * int(np.prod(plan.shapes[index], dtype=np.int64))
            window = self.arena[start + offset : start + offset + size]
            self.windows[index] = window.view(kind).reshape(plan.shapes[index])


class Plan:
    """The steps of a graph on one datapath, or one for each node name."""

    def __init__(self, graph: Graph, datapath: Datapath | Mapping[str, Datapath] | None) -> None:
        self.names: Final = tuple(graph.tensors)
        self.place: Final = {name: i for i, name in enumerate(self.names)}
        self.missing: Final = len(self.names)
        self.shapes: dict[int, tuple[int, ...]] = {}
        self._types: dict[int, np.dtype[Any]] = {}
        prepared = [_prepare(graph, n, datapath_of(n, datapath)) for n in graph.nodes]
        last = _last_uses(graph, prepared)
        self.steps: Final = tuple(
            self._step(index, node, prepared[index], datapath_of(node, datapath), graph, last)
            for index, node in enumerate(graph.nodes)
        )
        self.scratch = ScratchSizes()
        for ready in prepared:
            self.scratch = self.scratch.union(ready.scratch) if ready else self.scratch
        spans: dict[int, tuple[int, int, int]] = {}
        for index, (node, ready) in enumerate(zip(graph.nodes, prepared, strict=True)):
            if ready:
                kind = graph.tensors[node.outputs[0]]
                stored = np.dtype(STORAGE[kind.dtype])
                self.shapes[index], self._types[index] = kind.shape, stored
                size = kind.elements * stored.itemsize
                spans[index] = (size, index, last[node.outputs[0]])
        self.offsets, self.arena_bytes = _pack(spans)
        self._local = local()

    @property
    def weights_bytes(self) -> int:
        """What the prepared operators keep: weights in their lane layout, offsets, tables."""
        return sum(step.prepared.kept_bytes for step in self.steps if step.prepared)

    def output_type(self, index: int) -> "np.dtype[Any]":
        """The dtype of a prepared step's output."""
        return self._types[index]

    @property
    def workspace(self) -> Workspace:
        """That of the calling thread."""
        if not hasattr(self._local, "workspace"):
            self._local.workspace = Workspace(self)
        workspace: Workspace = self._local.workspace
        return workspace

    def _step(
        self,
        index: int,
        node: Node,
        prepared: Prepared | None,
        datapath: Datapath,
        graph: Graph,
        last: Mapping[str, int],
    ) -> Step:
        seen = {name for name in (*node.inputs, *node.outputs) if name}
        held = {*graph.constants, *graph.variables, *graph.outputs}
        return Step(
            node=node,
            prepared=prepared,
            datapath=datapath,
            inputs=tuple(self.place[n] if n else self.missing for n in node.inputs),
            results=tuple(self.place[n] for n in (*node.outputs, *node.updates)),
            frees=tuple(sorted(self.place[n] for n in seen - held if last[n] == index)),
        )


def _prepare(graph: Graph, node: Node, datapath: Datapath) -> Prepared | None:
    if len(node.outputs) != 1 or node.updates:
        return None
    constants = [graph.constants.get(name) for name in node.inputs]
    return node.op.prepare(graph.types(node.inputs), constants, datapath)


def _last_uses(graph: Graph, prepared: Sequence[Prepared | None]) -> dict[str, int]:
    """The last node that may look at a tensor's memory.

    An operator that is not prepared may answer with a window on its input, which then lives as
    long as the answer. Outputs and variables live to the end.
    """
    end = len(graph.nodes)
    last = dict.fromkeys((*graph.outputs, *graph.variables), end)
    for index, node in reversed(list(enumerate(graph.nodes))):
        answers = [last.setdefault(n, index) for n in (*node.outputs, *node.updates)]
        until = index if prepared[index] else max((index, *answers))
        for name in node.inputs:
            last[name] = max(last.get(name, index), until)
    return last


def _pack(spans: Mapping[int, tuple[int, int, int]]) -> tuple[dict[int, int], int]:
    """Offsets of (bytes, first, last) so that no two alive together overlap; and their extent.

    The largest first, each at the least offset where it fits.
    """
    placed: list[tuple[int, int, int, int]] = []
    offsets: dict[int, int] = {}
    for index, (size, first, last) in sorted(spans.items(), key=lambda s: (-s[1][0], s[0])):
        offset = 0
        for begin, end, born, dead in sorted(placed):
            if born <= last and first <= dead:
                if offset + size <= begin:
                    break
                offset = max(offset, end)
        offsets[index] = offset
        end = -(-(offset + size) // ALIGNMENT) * ALIGNMENT
        placed.append((offset, end, first, last))
    return offsets, max((end for _, end, _, _ in placed), default=0)
