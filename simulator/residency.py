"""Which activations stay on chip between layers, and which are spilled to DRAM.

A machine that keeps part of an SRAM for activations (`resident_bytes`) saves the outermost traffic
of every tensor that finds room there for all its life; the others are written out and read back.
Most uses a byte first, each at the least offset: a heuristic, as every arena planner's.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from operator import attrgetter

from simulator.coding import coded_weight_bits
from simulator.depth_first import Chain, plan_chains, tile_works
from simulator.fusion import Pair, fusible
from simulator.graph import Graph, Node
from simulator.machines.base import Machine
from simulator.memory import ALIGNMENT, first_fit, lifetimes, stored_bytes
from simulator.receptive import Room
from simulator.work import Work


@dataclass(frozen=True)
class Retention:
    """What a machine keeps on chip: fused tensors, and others up to so many bytes.

    `operand_bits` is the width that its datapath narrows operands to, if it does; `coded` whether
    it keeps weights coded; `chains` what it has for chains of layers that run a tile at a time, in
    the same bytes.
    """

    fused: bool
    resident_bytes: int
    operand_bits: int | None
    coded: bool = False
    chains: Room | None = None


def retention_of(machine: Machine) -> Retention:
    """What a machine's YAML says."""
    narrow = machine.datapath.narrow
    bits = machine.datapath.activation_bits if narrow else None
    room = int(attrgetter(machine.resident)(machine)) if machine.resident else 0
    chains = None
    if room and machine.depth_first.tile_rows:
        w_bits = machine.datapath.weight_bits if narrow else None
        held, scales = machine.held_weight_bits, machine.datapath.scale_bits
        chains = Room(machine.depth_first, room, held, bits, w_bits, scales)
    fused, coded = machine.fusion == "elementwise", machine.codes_weights
    return Retention(fused, room, bits if room else None, coded, chains)


def chains_on(
    graph: Graph,
    keeps: Retention,
    batch: int = 1,
    declined: frozenset[tuple[int, int]] = frozenset(),
) -> tuple[Chain, ...]:
    """The chains of a graph that a machine may run depth first, but for those declined."""
    room = keeps.chains
    if room is None:
        return ()
    pairs = _fused(graph, keeps, None)
    key = (keeps, batch, declined)
    return graph.kept(chains_on, key, lambda: plan_chains(graph, room, batch, pairs, declined))


def works_on(
    graph: Graph,
    keeps: Retention,
    batch: int = 1,
    nodes: frozenset[int] | None = None,
    chains: tuple[Chain, ...] = (),
) -> tuple[Work, ...]:
    """The work of one inference, with what stays on chip between `nodes` (all of them if None).

    `batch` inferences at once need as many times the room. A layer of one of the `chains` is
    several works, one for each kind of tile; all but the last say so (`more`).
    """
    places = tuple((chain.first, chain.last) for chain in chains)
    key = (keeps, batch if keeps.resident_bytes else 1, nodes, places)
    return graph.kept(works_on, key, lambda: _works(graph, keeps, batch, nodes, chains))


def residents(
    graph: Graph,
    keeps: Retention,
    batch: int = 1,
    nodes: frozenset[int] | None = None,
    chains: Sequence[Chain] = (),
) -> dict[str, int]:
    """Tensors that stay on chip whole, and the offset of each; fused ones need no room.

    The buffers of `chains` lie below them while these run.
    """
    fused = {pair.tensor for pair in _fused(graph, keeps, nodes)}
    alive = lifetimes(graph, [chain.nodes for chain in chains])
    users = _users(graph)
    candidates = []
    for index, node in enumerate(graph.nodes):
        for name in node.outputs:
            readers = users.get(name, [])
            inside = nodes is None or {index, *readers} <= nodes
            apart = name in alive and name not in fused
            if apart and inside and _whole(graph, name, index, readers):
                size = stored_bytes(graph.tensors[name], batch, keeps.operand_bits)
                candidates.append((-len(readers), index, name, size))
    placed = [(0, chain.peak_bytes, chain.first, chain.last) for chain in chains]
    kept: dict[str, int] = {}
    for _, _, name, size in sorted(candidates):
        offset = first_fit(placed, size, *alive[name])
        end = -(-(offset + size) // ALIGNMENT) * ALIGNMENT
        if end <= keeps.resident_bytes:
            placed.append((offset, end, *alive[name]))
            kept[name] = offset
    return kept


def notes_on(
    graph: Graph, keeps: Retention, batch: int = 1, chains: Sequence[Chain] = ()
) -> list[str]:
    """What stays on chip and what does not, in a sentence; none where nothing is kept."""
    if not keeps.fused and not keeps.resident_bytes:
        return []
    inner = {name for node in graph.nodes for name in node.outputs} - set(graph.outputs)
    kept = {*residents(graph, keeps, batch, None, chains), *_fused_tensors(graph, keeps, None)}
    tiled = inner_tensors(graph, chains)
    sizes = [
        sum(stored_bytes(graph.tensors[name], batch, keeps.operand_bits) for name in names)
        for names in (kept - tiled, tiled, inner - kept - tiled)
    ]
    said = f"{len(kept - tiled)} of {len(inner)} activations stay on chip between layers, "
    said += f"{sizes[0]} bytes; "
    if chains:
        said += f"{len(tiled)}, {sizes[1]} bytes, are made and used a tile at a time; "
    rest = len(inner - kept - tiled)
    return [f"{said}the other {rest}, {sizes[2]} bytes, are spilled to DRAM"]


def inner_tensors(graph: Graph, chains: Sequence[Chain]) -> set[str]:
    """The tensors that never exist whole."""
    return {graph.nodes[index].outputs[0] for chain in chains for index in chain.nodes[:-1]}


def _works(
    graph: Graph,
    keeps: Retention,
    batch: int,
    nodes: frozenset[int] | None,
    chains: tuple[Chain, ...],
) -> tuple[Work, ...]:
    kept = _fused_tensors(graph, keeps, nodes)
    if keeps.resident_bytes:
        kept |= set(residents(graph, keeps, batch, nodes, chains))
    coded = coded_weight_bits(graph) if keeps.coded else (0,) * len(graph.nodes)
    works: dict[int, Sequence[Work]] = {}
    for index, (node, work) in enumerate(zip(graph.nodes, graph.work, strict=True)):
        inputs = sum(graph.tensors[name].elements for name in node.inputs if name in kept)
        outputs = sum(graph.tensors[name].elements for name in node.outputs if name in kept)
        works[index] = [
            replace(work, kept_inputs=inputs, kept_outputs=outputs, coded_weight_bits=coded[index])
        ]
    if keeps.chains is not None:
        pairs = _fused(graph, keeps, nodes)
        for chain in chains:
            works |= tile_works(graph, chain, keeps.chains, batch, pairs, kept)
    return tuple(part for index in range(len(graph.nodes)) for part in works[index])


def _fused_tensors(graph: Graph, keeps: Retention, nodes: frozenset[int] | None) -> set[str]:
    return {pair.tensor for pair in _fused(graph, keeps, nodes)}


def _fused(graph: Graph, keeps: Retention, nodes: frozenset[int] | None) -> tuple[Pair, ...]:
    if not keeps.fused:
        return ()
    return tuple(p for p in fusible(graph) if nodes is None or {p.producer, p.consumer} <= nodes)


def _users(graph: Graph) -> dict[str, list[int]]:
    users: dict[str, list[int]] = {}
    for index, node in enumerate(graph.nodes):
        for name in node.inputs:
            users.setdefault(name, []).append(index)
    return users


def _whole(graph: Graph, name: str, producer: int, readers: list[int]) -> bool:
    """Whether a tensor is made and read whole, once by each reader, at one width."""
    if not readers or len(set(readers)) < len(readers) or name in graph.outputs:
        return False
    kind = graph.tensors[name]
    works = graph.work
    return (
        len(graph.nodes[producer].outputs) == 1
        and works[producer].output_bits == kind.bits
        and works[producer].output_elements == kind.elements
        and all(
            works[reader].activation_bits == kind.bits
            and works[reader].input_elements == _read(graph, graph.nodes[reader])
            for reader in readers
        )
    )


def _read(graph: Graph, node: Node) -> int:
    """Elements of a node's activation operands."""
    return sum(
        graph.tensors[name].elements
        for name in node.inputs
        if name and name not in graph.constants and name not in graph.variables
    )
