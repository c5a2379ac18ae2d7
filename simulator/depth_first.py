"""Chains of layers that run a tile at a time, so that the tensors between them never exist whole.

Alwani et al. (MICRO 2016) fuse convolutions so, MCUNetV2 (Lin et al., NeurIPS 2021) by patches;
DeFiNES (Mei et al., HPCA 2023) names what is done with the overlap of neighbouring windows: kept
(`cache`) or made again (`recompute`). A chain is a run of nodes whose inner tensors have no reader
outside it: pixels follow from windows. Tiles are those of its last output, in raster order; each
layer makes what the next ones need of it. Batched inferences run side by side, tile by tile.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from simulator.fusion import Pair
from simulator.graph import Graph
from simulator.memory import stored_bytes
from simulator.receptive import Room, Trace, layers_of
from simulator.tiles import Ints, Taken, classes
from simulator.work import Work


@dataclass(frozen=True)
class Chain:
    """Nodes `first` to `last` of a graph, run depth first.

    tiles : how many, down and across.
    buffers : bytes that wait on chip of each tensor: lines of inner ones, and overlaps of inputs.
    peak_bytes : what they take together at most.
    keeps_weights : whether the weights of all layers stay; else each tile loads them again.
    bits : what it moves beyond the chip at least, and what its layers would one after another.
    """

    first: int
    last: int
    tiles: tuple[int, int]
    buffers: Mapping[str, int]
    peak_bytes: int
    keeps_weights: bool
    bits: tuple[int, int]

    @property
    def nodes(self) -> range:
        """Their indices."""
        return range(self.first, self.last + 1)


@dataclass(frozen=True)
class ChainCost:
    """A chain as a report names it: its layers in order, and what running them by tiles takes.

    `peak_bytes` wait on chip at most; `weights` are "kept" or "reloaded" by each of the
    `tiles_down` x `tiles_across`; `recomputed_macs` are those done more than once. Bytes are the
    least that the chain moves beyond the chip, and that its layers would one after another.
    """

    layers: tuple[str, ...]
    tiles_down: int
    tiles_across: int
    peak_bytes: int
    weights: str
    recomputed_macs: int
    outer_bytes: int
    layer_by_layer_bytes: int


def chain_cost(graph: Graph, chain: Chain, macs: Sequence[int], batch: int) -> ChainCost:
    """A chain for a report; `macs` are those that each node of the graph did."""
    once = sum(batch * graph.work[index].macs for index in chain.nodes)
    return ChainCost(
        layers=tuple(graph.nodes[index].name for index in chain.nodes),
        tiles_down=chain.tiles[0],
        tiles_across=chain.tiles[1],
        peak_bytes=chain.peak_bytes,
        weights="kept" if chain.keeps_weights else "reloaded",
        recomputed_macs=sum(macs[index] for index in chain.nodes) - once,
        outer_bytes=-(-chain.bits[0] // 8),
        layer_by_layer_bytes=-(-chain.bits[1] // 8),
    )


def plan_chains(
    graph: Graph,
    room: Room,
    batch: int,
    pairs: tuple[Pair, ...],
    declined: frozenset[tuple[int, int]] = frozenset(),
) -> tuple[Chain, ...]:
    """The chains that move the fewest bits beyond the chip, each within its room, in order.

    Dynamic programming over where chains end; a chain of one layer is a plain one. `pairs` are
    fused, `declined` are chains, as (first, last), that are not wanted. Counts each operand once a
    tile: what a machine fetches again beyond that is its cost function's.
    """
    plain = _plain_bits(graph, room, batch, pairs)
    best: list[int] = [0]
    chosen: list[Chain | None] = [None]
    for last in range(len(graph.nodes)):
        best.append(best[last] + plain[last])
        chosen.append(None)
        for chain in chains_to(graph, last, room, batch, pairs):
            moved = best[chain.first] + chain.bits[0]
            if moved < best[-1] and (chain.first, last) not in declined:
                best[-1], chosen[-1] = moved, chain
    found: list[Chain] = []
    at = len(graph.nodes)
    while at > 0:
        ending = chosen[at]
        found += [ending] if ending else []
        at = ending.first if ending else at - 1
    return tuple(reversed(found))


def chains_to(
    graph: Graph, last: int, room: Room, batch: int, pairs: tuple[Pair, ...]
) -> Iterator[Chain]:
    """Every chain that ends at a node and fits, the shortest first."""
    layers, fused = layers_of(graph), {pair.tensor for pair in pairs}
    ends, plain = _last_readers(graph), _plain_bits(graph, room, batch, pairs)
    output = graph.nodes[last].outputs[0]
    if layers[last] is None or output in fused:
        return
    trace = Trace(graph, last, room, batch, fused)
    written = _tensor_bits(graph, output, room, batch)
    weights = _weight_bits(graph.work[last], room)
    for first in range(last - 1, -1, -1):
        if layers[first] is None or not first < ends[first] <= last:
            return
        trace.extend()
        peak = trace.peak_bytes()
        if peak > room.activation_bytes:
            return
        weights += _weight_bits(graph.work[first], room)
        if any(key[1] in fused for key, _, _ in trace.streams()):
            # It runs with the layer before the chain, pixel by pixel.
            continue
        stays = weights <= room.weight_bits
        loads = 1 if stays else trace.tiles[0] * trace.tiles[1]
        bits = trace.read_bits() + loads * weights + written
        yield Chain(
            first, last, trace.tiles, trace.buffers(), peak, stays,
            (bits, sum(plain[first : last + 1])),
        )  # fmt: skip


def traced(graph: Graph, chain: Chain, room: Room, batch: int, pairs: tuple[Pair, ...]) -> Trace:
    """The pixels of a chain's layers, tile by tile."""
    trace = Trace(graph, chain.last, room, batch, {pair.tensor for pair in pairs})
    while trace.first > chain.first:
        trace.extend()
    return trace


def tile_works(
    graph: Graph,
    chain: Chain,
    room: Room,
    batch: int,
    pairs: tuple[Pair, ...],
    kept: Collection[str],
) -> dict[int, list[Work]]:
    """The works of each layer of a chain: one for every kind of tile, with how often it is done.

    `kept` are tensors that stay on chip whole. The first tile loads the weights of a chain that
    keeps them.
    """
    trace = traced(graph, chain, room, batch, pairs)
    return {node: _parts(trace, node, chain, kept) for node in chain.nodes}


def _parts(trace: Trace, node: int, chain: Chain, kept: Collection[str]) -> list[Work]:
    """Rows and columns of tiles are alike in classes; their products are the kinds of tiles."""
    names = list(trace.layer_of(node).operands)
    own = trace.made[node]
    axes = [[own[k], *(trace.taken[node, name][k] for name in names)] for k in range(2)]
    spans = [classes(*(_lengths_of(ranges) for ranges in axis)) for axis in axes]
    parts: list[Work] = []
    for rows, row_times in spans[0]:
        for columns, column_times in spans[1]:
            if rows[1] * columns[1] == 0:
                continue
            part = replace(_part(trace, node, names, rows, columns, kept), more=1)
            times = row_times * column_times
            if chain.keeps_weights and not parts:
                # The first tile that makes anything loads the weights of the layer.
                parts.append(part)
                times -= 1
            if times:
                stay = int(chain.keeps_weights)
                parts.append(replace(part, kept_weights=stay, times=times))
    parts[-1] = replace(parts[-1], more=0)
    return parts


def _part(
    trace: Trace,
    node: int,
    names: list[str],
    rows: tuple[int, ...],
    columns: tuple[int, ...],
    kept: Collection[str],
) -> Work:
    """A tile of a layer: (all, new) rows and columns of its output, then of each operand."""
    graph, work = trace.graph, trace.graph.work[node]
    layer = trace.layer_of(node)
    y = graph.tensors[layer.output]
    pixels, whole = rows[1] * columns[1], layer.size[0] * layer.size[1]
    inputs = kept_inputs = 0
    for place, name in enumerate(names, 1):
        kind = graph.tensors[name]
        each = kind.shape[0] * kind.shape[3]
        region = each * rows[2 * place] * columns[2 * place]
        new = each * rows[2 * place + 1] * columns[2 * place + 1]
        stays = name in trace.inner or name in kept
        inputs, kept_inputs = inputs + region, kept_inputs + (region if stays else region - new)
    outputs = pixels * y.shape[0] * y.shape[3]
    found = replace(
        work,
        input_elements=inputs,
        output_elements=outputs,
        elementwise=work.elementwise // whole * pixels,
        requantizations=work.requantizations // whole * pixels,
        lookups=work.lookups // whole * pixels,
        real_multiplications=work.real_multiplications // whole * pixels,
        real_additions=work.real_additions // whole * pixels,
        kept_inputs=kept_inputs,
        kept_outputs=outputs if layer.output in (*trace.inner, *kept) else 0,
    )
    if work.macs == 0:
        return found
    found = replace(found, oy=rows[1], ox=columns[1])
    if work.input_rows == 0:
        return found
    return replace(found, input_rows=rows[2], input_columns=columns[2])


def _lengths_of(ranges: Taken) -> Ints:
    """All rows of each tile, and the new ones: int64 [T, 2]."""
    return ranges[:, 2:] - ranges[:, :2]


def _last_readers(graph: Graph) -> list[int]:
    """Of each node the last that reads its output: itself where none does, none behind outputs."""
    return graph.kept(_last_readers, None, lambda: _ends(graph))


def _ends(graph: Graph) -> list[int]:
    ends = list(range(len(graph.nodes)))
    made = {name: i for i, node in enumerate(graph.nodes) for name in node.outputs}
    for index, node in enumerate(graph.nodes):
        for name in node.inputs:
            if name in made:
                ends[made[name]] = index
    for name in graph.outputs:
        if name in made:
            ends[made[name]] = len(graph.nodes)
    return ends


def _weight_bits(work: Work, room: Room) -> int:
    width = work.weight_bits
    if room.narrow_bits is not None and width <= 16:
        width = min(width, room.narrow_bits)
    scales = work.requantizer_scales * room.scale_bits
    return work.weight_elements * width + work.bias_elements * work.bias_bits + scales


def _tensor_bits(graph: Graph, name: str, room: Room, batch: int) -> int:
    return 8 * stored_bytes(graph.tensors[name], batch, room.operand_bits)


def _plain_bits(graph: Graph, room: Room, batch: int, pairs: tuple[Pair, ...]) -> list[int]:
    """What each node moves beyond the chip at least where layers run one after another."""
    key = (room, batch, pairs)
    return graph.kept(_plain_bits, key, lambda: _plain(graph, room, batch, pairs))


def _plain(graph: Graph, room: Room, batch: int, pairs: tuple[Pair, ...]) -> list[int]:
    fused = {pair.tensor for pair in pairs}
    moved = []
    for node, work in zip(graph.nodes, graph.work, strict=True):
        names = [n for n in node.inputs if n and n not in graph.constants]
        names = [n for n in (*names, *node.outputs) if n and n not in fused]
        bits = sum(_tensor_bits(graph, name, room, batch) for name in names)
        moved.append(bits + _weight_bits(work, room))
    return moved
