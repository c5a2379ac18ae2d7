"""How wide each activation tensor is where nodes have datapaths of their own.

A tensor has one grid, and operators that only move codes need the same one on both sides: those
tensors form a group, and a group one width.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import TypeAlias

from simulator.graph import Graph, Node
from simulator.mac import MacOperator
from simulator.numeric.datapath import Datapath
from simulator.regrid import is_codes

Choose: TypeAlias = Callable[[Node], Datapath]
"""The datapath of a node."""


def activation_bits(graph: Graph, choose: Choose) -> tuple[dict[str, int], dict[str, str]]:
    """The bits of each tensor of activations by name, and the node that keeps it as it is, if any.

    The least of what the products ask that read the tensor or one that shares its grid; where none
    does, of those that write it; where none does either, of its other nodes. A node without
    `narrow` (or in the graph's own arithmetic, where it multiplies) keeps what it reads as it is,
    and so does an operator of fixed widths with all its tensors, or one with a constant code.
    """
    names = activations(graph)
    leader = _groups(graph, names)
    reading: dict[str, list[int]] = {}
    writing: dict[str, list[int]] = {}
    touching: dict[str, list[int]] = {}
    kept: dict[str, str] = {}
    for node in graph.nodes:
        datapath = choose(node)
        multiplies = isinstance(node.op, MacOperator)
        for name in _activations_of(node, names):
            group, wide = leader[name], graph.tensors[name].bits
            reads = name in node.inputs
            changes = not datapath.graph and (datapath.narrow or datapath.widen)
            if node.op.fixed_widths or _has_bare_codes(graph, node, name):
                kept[group] = node.name
            if not changes:
                if (multiplies and reads) or not (multiplies or datapath.graph):
                    kept[group] = node.name
                continue
            weights = multiplies and name == _operand(node, 1)
            asked = _asked(datapath, wide, weights=weights)
            place = touching if not multiplies else reading if reads else writing
            place.setdefault(group, []).append(asked)
    found: dict[str, int] = {}
    for name in names:
        group, wide = leader[name], graph.tensors[name].bits
        asked_by = reading.get(group) or writing.get(group) or touching.get(group) or [wide]
        found[name] = wide if group in kept else min(asked_by)
    return found, {name: kept[leader[name]] for name in names if leader[name] in kept}


def activations(graph: Graph) -> frozenset[str]:
    """Every tensor of codes but the constant weights of products."""
    weights = {
        name
        for node in graph.nodes
        if isinstance(node.op, MacOperator) and (name := _operand(node, 1)) in graph.constants
    }
    used = {t for node in graph.nodes for t in (*node.inputs, *node.outputs) if t}
    used |= {*graph.inputs, *graph.outputs}
    return frozenset(
        name
        for name in used - weights
        if is_codes(kind := graph.tensors[name]) and kind.quant and len(kind.quant.scale) == 1
    )


def dtype_of_codes(graph: Graph) -> Mapping[str, str]:
    """For a tensor that carries reals of a grid, the dtype of the codes it shares the grid with."""
    names = activations(graph)
    leader = _groups(graph, names)
    integers = {
        leader[n]: graph.tensors[n].dtype for n in names if graph.tensors[n].dtype != "float32"
    }
    return {
        n: integers[leader[n]]
        for n in names
        if graph.tensors[n].dtype == "float32" and leader[n] in integers
    }


def _asked(datapath: Datapath, wide: int, *, weights: bool) -> int:
    if weights:
        return min(wide, datapath.weight_bits) if datapath.narrow else wide
    bits = datapath.activation_bits
    return bits if (datapath.narrow if bits < wide else datapath.widen) else wide


def _operand(node: Node, index: int) -> str:
    """The name of the activations (0), weights (1) or bias (2) of a product; empty if none."""
    assert isinstance(node.op, MacOperator)
    position = node.op.positions[index]
    return node.inputs[position] if position < len(node.inputs) else ""


def _activations_of(node: Node, names: frozenset[str]) -> Iterable[str]:
    return [n for n in dict.fromkeys((*node.inputs, *node.outputs)) if n in names]


def _has_bare_codes(graph: Graph, node: Node, name: str) -> bool:
    """Whether a node has a constant of the tensor's dtype and no grid, as the fill of a PADV2."""
    dtype = graph.tensors[name].dtype
    kinds = (graph.tensors[n] for n in node.inputs if n in graph.constants)
    known = isinstance(node.op, MacOperator) or node.op.parameters_of
    return not known and any(k.quant is None and k.dtype == dtype for k in kinds)


def _groups(graph: Graph, names: frozenset[str]) -> dict[str, str]:
    """The name that stands for each tensor's group: those joined by operators that keep a grid."""
    leader = {name: name for name in names}

    def find(name: str) -> str:
        while leader[name] != name:
            leader[name] = leader[leader[name]]
            name = leader[name]
        return name

    for node in graph.nodes:
        if isinstance(node.op, MacOperator):
            continue
        first: dict[object, str] = {}
        for name in _activations_of(node, names):
            kind = graph.tensors[name]
            # LiteRT copies int16 codes into a concatenation whatever their grids.
            grid = "copied" if node.op.kind == "concatenation" else (kind.quant, kind.bits)
            leader[find(name)] = find(first.setdefault(grid, name))
    return {name: find(name) for name in names}
