"""Which activations stay on chip between layers, and which are spilled to DRAM.

A machine that keeps part of an SRAM for activations (`resident_bytes`) saves the outermost traffic
of every tensor that finds room there for all its life; the others are written out and read back.
Most uses a byte first, each at the least offset: a heuristic, as every arena planner's.
"""

from dataclasses import dataclass, replace
from operator import attrgetter

from simulator.coding import coded_weight_bits
from simulator.fusion import Pair, fused_works, fusible
from simulator.graph import Graph, Node
from simulator.machines.base import Machine
from simulator.memory import ALIGNMENT, first_fit, lifetimes, stored_bytes
from simulator.work import Work


@dataclass(frozen=True)
class Retention:
    """What a machine keeps on chip: fused tensors, and others up to so many bytes.

    `operand_bits` is the width that its datapath narrows operands to, if it does; `coded` whether
    it keeps weights coded.
    """

    fused: bool
    resident_bytes: int
    operand_bits: int | None
    coded: bool = False


def retention_of(machine: Machine) -> Retention:
    """What a machine's YAML says."""
    bits = machine.datapath.activation_bits if machine.datapath.narrow else None
    room = int(attrgetter(machine.resident)(machine)) if machine.resident else 0
    fused = machine.fusion == "elementwise"
    return Retention(fused, room, bits if room else None, machine.codes_weights)


def works_on(
    graph: Graph, keeps: Retention, batch: int = 1, nodes: frozenset[int] | None = None
) -> tuple[Work, ...]:
    """The work of one inference, with what stays on chip between `nodes` (all of them if None).

    `batch` inferences at once need as many times the room.
    """
    key = (keeps, batch if keeps.resident_bytes else 1, nodes)
    return graph.kept(works_on, key, lambda: _works(graph, keeps, batch, nodes))


def residents(
    graph: Graph, keeps: Retention, batch: int = 1, nodes: frozenset[int] | None = None
) -> dict[str, int]:
    """Tensors that stay on chip, and the offset of each; fused ones need no room."""
    fused = {pair.tensor for pair in _fused(graph, keeps, nodes)}
    alive = lifetimes(graph)
    users = _users(graph)
    candidates = []
    for index, node in enumerate(graph.nodes):
        for name in node.outputs:
            readers = users.get(name, [])
            inside = nodes is None or {index, *readers} <= nodes
            if name not in fused and inside and _whole(graph, name, index, readers):
                size = stored_bytes(graph.tensors[name], batch, keeps.operand_bits)
                candidates.append((-len(readers), index, name, size))
    placed: list[tuple[int, int, int, int]] = []
    kept: dict[str, int] = {}
    for _, _, name, size in sorted(candidates):
        offset = first_fit(placed, size, *alive[name])
        end = -(-(offset + size) // ALIGNMENT) * ALIGNMENT
        if end <= keeps.resident_bytes:
            placed.append((offset, end, *alive[name]))
            kept[name] = offset
    return kept


def notes_on(graph: Graph, keeps: Retention, batch: int = 1) -> list[str]:
    """What stays on chip and what does not, in a sentence; none where nothing is kept."""
    if not keeps.fused and not keeps.resident_bytes:
        return []
    inner = {name for node in graph.nodes for name in node.outputs} - set(graph.outputs)
    kept = {*residents(graph, keeps, batch), *(p.tensor for p in _fused(graph, keeps, None))}
    sizes = [
        sum(stored_bytes(graph.tensors[name], batch, keeps.operand_bits) for name in names)
        for names in (kept, inner - kept)
    ]
    return [
        f"{len(kept)} of {len(inner)} activations stay on chip between layers, {sizes[0]} bytes; "
        f"the other {len(inner - kept)}, {sizes[1]} bytes, are spilled to DRAM"
    ]


def _works(
    graph: Graph, keeps: Retention, batch: int, nodes: frozenset[int] | None
) -> tuple[Work, ...]:
    works = list(fused_works(graph, _fused(graph, keeps, nodes)))
    if keeps.coded:
        for at, bits in enumerate(coded_weight_bits(graph)):
            works[at] = replace(works[at], coded_weight_bits=bits)
    if not keeps.resident_bytes:
        return tuple(works)
    users = _users(graph)
    producers = {name: i for i, node in enumerate(graph.nodes) for name in node.outputs}
    for name in residents(graph, keeps, batch, nodes):
        elements = graph.tensors[name].elements
        at = producers[name]
        works[at] = replace(works[at], kept_outputs=works[at].kept_outputs + elements)
        for reader in users[name]:
            more = works[reader].kept_inputs + elements
            works[reader] = replace(works[reader], kept_inputs=more)
    return tuple(works)


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
