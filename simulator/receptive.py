"""Which pixels each layer of a chain makes and takes, tile by tile, from windows alone.

Read `Layer` first, then `Trace`, which follows a chain from its last node backwards.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from simulator.graph import Graph, Node
from simulator.machines.base import DepthFirst
from simulator.memory import ALIGNMENT, pack
from simulator.tiles import Ints, Slide, Taken, cut, joined, most_held, taken
from simulator.work import Work

_SAME: Final = (1, 1, 0)
"""Reach, step and padding of what takes each pixel from its own place."""


@dataclass(frozen=True)
class Layer:
    """A node that makes pixels from windows: its output, and the two slides over each operand."""

    output: str
    size: tuple[int, int]
    operands: Mapping[str, tuple[Slide, Slide]]


@dataclass(frozen=True)
class Room:
    """What a machine has for chains: their tiles, and the sizes that decide what fits.

    tile : tile rows and columns, the overlap, the objective.
    activation_bytes : for what waits between layers.
    weight_bits : for weights that stay while all tiles run.
    operand_bits, narrow_bits : widths that activations and weights are narrowed to, if they are.
    scale_bits : of each scale of a requantization, read with the biases.
    """

    tile: DepthFirst
    activation_bytes: int
    weight_bits: int
    operand_bits: int | None = None
    narrow_bits: int | None = None
    scale_bits: int = 0


class Trace:
    """A chain from its last node backwards: which pixels each layer makes and takes, by tile."""

    def __init__(self, graph: Graph, last: int, room: Room, batch: int, fused: Collection[str]):
        self.graph, self.room, self.batch, self.fused = graph, room, batch, fused
        self.cached = room.tile.overlap == "cache"
        self.layers = layers_of(graph)
        self.made: dict[int, tuple[Taken, Taken]] = {}
        self.taken: dict[tuple[int, str], tuple[Taken, Taken]] = {}
        self.inner: dict[str, int] = {}
        self.first = last
        height, width = self.layer_of(last).size
        rows, columns = cut(height, room.tile.tile_rows), cut(width, room.tile.tile_columns)
        self.tiles = len(rows), len(columns)
        self._enter(last, *(np.stack([r[:, 0], *r.T], axis=1) for r in (rows, columns)))

    def extend(self) -> None:
        """Put the node before the first one in front."""
        self.first -= 1
        name = self.layer_of(self.first).output
        readers = [key for key in self.taken if key[1] == name]
        rows = joined([self.taken[key][0] for key in readers], self.cached)
        columns = joined([self.taken[key][1] for key in readers], self.cached)
        self._enter(self.first, rows, columns)
        width = self.layer_of(self.first).size[1]
        if name in self.fused:
            pixels = 0
        elif self.cached:
            pixels = most_held(rows, columns, width, True)
        else:
            pixels = int(_lengths(rows).max() * _lengths(columns).max())
        self.inner[name] = self._bits(name, pixels)

    def _enter(self, node: int, rows: Taken, columns: Taken) -> None:
        self.made[node] = rows, columns
        for name, slides in self.layer_of(node).operands.items():
            tiles = rows[:, 1:], columns[:, 1:]
            found = [taken(s, t, self.cached) for s, t in zip(slides, tiles, strict=True)]
            self.taken[node, name] = found[0], found[1]

    def layer_of(self, node: int) -> Layer:
        """The windows of a node that is part of the chain."""
        layer = self.layers[node]
        assert layer is not None
        return layer

    def _bits(self, name: str, pixels: int) -> int:
        kind = self.graph.tensors[name]
        lines = kind.shape[0] * kind.shape[3] * self.batch * pixels
        return lines * stored_bits(self.graph, name, self.room.operand_bits)

    def streams(self) -> Iterator[tuple[tuple[int, str], Taken, Taken]]:
        """What each node takes of tensors made before the chain."""
        for key, (rows, columns) in self.taken.items():
            if key[1] not in self.inner:
                yield key, rows, columns

    def read_bits(self) -> int:
        """Bits that come from beyond the chip."""
        return sum(
            self._bits(name, fresh_pixels(rows, columns))
            for (_, name), rows, columns in self.streams()
        )

    def buffers(self) -> dict[str, int]:
        """Bytes on chip of each tensor: of one that is read twice from beyond, of both."""
        found = {name: _bytes(bits) for name, bits in self.inner.items() if bits}
        for (node, name), rows, columns in self.streams():
            if self.cached:
                width = self.layer_of(node).operands[name][1].length
                bits = self._bits(name, most_held(rows, columns, width, False))
                if bits:
                    found[name] = found.get(name, 0) + _bytes(bits)
        return found

    def peak_bytes(self) -> int:
        """Bytes of the arena of all buffers: lines stay for all tiles, others from use to use."""
        made = {self.layer_of(node).output: node for node in self.made}
        spans = {}
        for place, (name, size) in enumerate(self.buffers().items()):
            readers = [node for node, read in self.taken if read == name]
            always = self.cached or name not in made
            span = (self.first, max(self.made)) if always else (made[name], max(readers))
            spans[place] = (size, *span)
        return pack(spans, ALIGNMENT)[1]


def layers_of(graph: Graph) -> tuple[Layer | None, ...]:
    """Of each node its windows, None where it has none; made at the first call."""
    return graph.kept(layers_of, None, lambda: _layers(graph))


def _layers(graph: Graph) -> tuple[Layer | None, ...]:
    return tuple(_layer(graph, n, w) for n, w in zip(graph.nodes, graph.work, strict=True))


def _layer(graph: Graph, node: Node, work: Work) -> Layer | None:
    """The windows of a node that makes one image; its work must divide by pixels."""
    named = [name for name in node.inputs if name and name not in graph.constants]
    if len(node.outputs) != 1 or set(named) & set(graph.variables) or len(set(named)) < len(named):
        return None
    y = graph.tensors[node.outputs[0]]
    kinds = [graph.tensors[name] for name in named]
    over = node.op.window_of(graph.types(node.inputs))
    if len(y.shape) != 4 or not named or any(len(kind.shape) != 4 for kind in kinds):
        return None
    size = y.shape[1], y.shape[2]
    if over is not None:
        if len(named) > 1 or node.inputs[0] != named[0] or over.output != size:
            return None
        reach = [(k - 1) * d + 1 for k, d in zip(over.kernel, over.dilation, strict=True)]
        axes = list(zip(reach, over.stride, over.padding, strict=True))
    elif node.op.in_place == "elementwise" and {kind.shape for kind in kinds} == {y.shape}:
        axes = [_SAME, _SAME]
    else:
        return None
    if not _divides(work, y.elements, sum(k.elements for k in kinds), size):
        return None
    if work.output_bits != y.bits or {kind.bits for kind in kinds} != {work.activation_bits}:
        return None
    operands = {}
    for name, kind in zip(named, kinds, strict=True):
        slides = [Slide(*a, kind.shape[1 + i], size[i]) for i, a in enumerate(axes)]
        operands[name] = slides[0], slides[1]
    return Layer(node.outputs[0], size, operands)


def _divides(work: Work, outputs: int, inputs: int, size: tuple[int, int]) -> bool:
    pixels = size[0] * size[1]
    return (
        pixels > 0
        and work.output_elements == outputs
        and work.input_elements == inputs
        and work.elementwise % pixels == work.requantizations % pixels == 0
        and (work.macs == 0 or (work.oy, work.ox) == size)
    )


def fresh_pixels(rows: Taken, columns: Taken) -> int:
    """Pixels that all tiles together take and have not had."""
    return int((rows[:, 2] - rows[:, 1]).sum() * (columns[:, 2] - columns[:, 1]).sum())


def stored_bits(graph: Graph, name: str, operand_bits: int | None) -> int:
    """The width of an element as a datapath stores it."""
    kind = graph.tensors[name]
    if operand_bits is not None and kind.quant is not None and kind.bits <= 16:
        return min(kind.bits, operand_bits)
    return kind.bits


def _lengths(made: Taken) -> Ints:
    return made[:, 2] - made[:, 1]


def _bytes(bits: int) -> int:
    return -(-bits // 8)
