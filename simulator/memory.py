"""Tensor lifetimes of a graph run in node order, and the arena that holds its activations.

Counts activations only: constants stay where the machine keeps its weights, variables where it
keeps state. Greedy by size, as TFLM's GreedyMemoryPlanner (Pisarchyk and Lee, arXiv 2001.03288,
section 5.2); not optimal, so that the arena stands beside the bound that no plan can beat.
"""

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from simulator.graph import Graph, TensorType

ALIGNMENT: Final = 16
"""Bytes to which a tensor of the arena is aligned: TFLM's MicroArenaBufferAlignment."""


@dataclass(frozen=True)
class Placement:
    """A tensor in the arena: where, how large, and the first and last node that need it.

    `in_place_of` is the tensor whose memory it takes over, written over or seen in another shape.
    """

    name: str
    offset: int
    bytes: int
    first: int
    last: int
    in_place_of: str | None


@dataclass(frozen=True)
class Arena:
    """Every activation at its offset; `bytes` is the extent, `live_bytes` the least of any plan.

    The bound is for these buffers: operators that can write over their input do.
    """

    placements: tuple[Placement, ...]
    bytes: int
    live_bytes: int

    @property
    def fragmentation(self) -> float:
        """Share of the arena that is neither used nor needed when most is alive: 0 is perfect."""
        return 1 - self.live_bytes / self.bytes if self.bytes else 0.0


def lifetimes(graph: Graph, chained: Iterable[range] = ()) -> dict[str, tuple[int, int]]:
    """First and last node index at which each activation tensor must exist, both included.

    Graph inputs exist from the first node on, graph outputs until the last. Nodes that are
    `chained` run a tile at a time: what only they use never exists, what they share lives while
    they run.
    """
    last = max(len(graph.nodes) - 1, 0)
    spans = dict.fromkeys(graph.inputs, (0, 0))
    for index, node in enumerate(graph.nodes):
        for name in node.inputs:
            if name in spans:
                spans[name] = (spans[name][0], index)
        spans.update((name, (index, index)) for name in node.outputs)
    for name in graph.outputs:
        if name in spans:
            spans[name] = (spans[name][0], last)
    for nodes in chained:
        for index in nodes[:-1]:
            del spans[graph.nodes[index].outputs[0]]
        for index in nodes:
            for name in {*graph.nodes[index].inputs, *graph.nodes[index].outputs} & set(spans):
                first, end = spans[name]
                spans[name] = min(first, nodes[0]), max(end, nodes[-1])
    return spans


def plan_arena(
    graph: Graph,
    batch: int = 1,
    operand_bits: int | None = None,
    alignment: int = ALIGNMENT,
    chained: Mapping[range, int] = MappingProxyType({}),
) -> Arena:
    """Place the activations of `batch` inferences, in place where an operator allows it.

    `operand_bits` caps the width of quantized operands, as a datapath that narrows them does.
    `chained` nodes run a tile at a time, in buffers of so many bytes, and never in place.
    """
    alive = lifetimes(graph, chained)
    sizes = {n: stored_bytes(graph.tensors[n], batch, operand_bits) for n in alive}
    tiled = {index for nodes in chained for index in nodes}
    owner, taken = _buffers(graph, alive, sizes, tiled)
    spans: dict[str, tuple[int, int, int]] = {}
    for name, (first, last) in alive.items():
        size, begin, end = spans.get(owner[name], (0, first, last))
        spans[owner[name]] = (max(size, sizes[name]), min(begin, first), max(end, last))
    numbers = {name: index for index, name in enumerate(spans)}
    every = [*spans.values(), *((size, n[0], n[-1]) for n, size in chained.items())]
    offsets, extent = pack(dict(enumerate(every)), alignment)
    live = [0] * max(len(graph.nodes), 1)
    for size, first, last in every:
        for index in range(first, last + 1):
            live[index] += size
    placements = tuple(
        Placement(name, offsets[numbers[owner[name]]], sizes[name], *alive[name], taken.get(name))
        for name in alive
    )
    return Arena(placements, extent, max(live))


def peak_memory_bytes(
    graph: Graph,
    batch: int = 1,
    operand_bits: int | None = None,
    chained: Mapping[range, int] = MappingProxyType({}),
) -> int:
    """Bytes of the arena that holds every activation, for `batch` inferences at once."""
    return plan_arena(graph, batch, operand_bits, ALIGNMENT, chained).bytes


def constant_bytes(graph: Graph) -> int:
    """Bytes of all weights and biases, each packed at its own width."""
    return sum(stored_bytes(graph.tensors[name]) for name in graph.constants)


def variable_bytes(graph: Graph) -> int:
    """Bytes of the state that a graph keeps from one inference to the next."""
    return sum(stored_bytes(graph.tensors[name]) for name in graph.variables)


def pack(spans: Mapping[int, tuple[int, int, int]], alignment: int) -> tuple[dict[int, int], int]:
    """Offsets of (bytes, first, last) so that no two alive together overlap; and their extent.

    The largest first, each at the least offset where it fits.
    """
    placed: list[tuple[int, int, int, int]] = []
    offsets: dict[int, int] = {}
    for index, (size, first, last) in sorted(spans.items(), key=lambda s: (-s[1][0], s[0])):
        offsets[index] = offset = first_fit(placed, size, first, last)
        end = -(-(offset + size) // alignment) * alignment
        placed.append((offset, end, first, last))
    return offsets, max((end for _, end, _, _ in placed), default=0)


def first_fit(placed: Sequence[tuple[int, int, int, int]], size: int, first: int, last: int) -> int:
    """The least offset where `size` bytes miss every (begin, end, first, last) alive with them."""
    offset = 0
    for begin, end, born, dead in sorted(placed):
        if born <= last and first <= dead:
            if offset + size <= begin:
                break
            offset = max(offset, end)
    return offset


def stored_bytes(kind: TensorType, batch: int = 1, operand_bits: int | None = None) -> int:
    """Bytes of `batch` tensors packed at their own width, or at the datapath's where it narrows."""
    bits = kind.bits
    if operand_bits is not None and kind.quant is not None and bits <= 16:
        bits = min(bits, operand_bits)
    return -(-batch * kind.elements * bits // 8)


def _buffers(
    graph: Graph,
    alive: Mapping[str, tuple[int, int]],
    sizes: Mapping[str, int],
    tiled: Container[int],
) -> tuple[dict[str, str], dict[str, str]]:
    """The tensor whose memory each one lies in, and for those in place the one they take over."""
    owner = {name: name for name in alive}
    taken: dict[str, str] = {}
    last = {name: span[1] for name, span in alive.items()}
    for index, node in enumerate(graph.nodes):
        if node.op.in_place == "never" or len(node.outputs) != 1 or index in tiled:
            continue
        (output,) = node.outputs
        for name in node.inputs:
            if name not in alive or sizes[name] != sizes[output]:
                continue
            home = owner[name]
            if node.op.in_place == "elementwise":
                # Other views of the same memory must be read at the same places as they are lost.
                shapes = {graph.tensors[n].shape for n in node.inputs if owner.get(n) == home}
                same = shapes == {graph.tensors[output].shape}
                if last[home] > index or not same:
                    continue
            owner[output], taken[output] = home, name
            last[home] = max(last[home], last[output])
            break
    return owner, taken
