"""What a model holds: its operators, shapes, grids and work, without running it."""

from dataclasses import asdict
from typing import Any

from analysis.text import grouped, table
from simulator.graph import Graph, Node, TensorType
from simulator.memory import ALIGNMENT, plan_arena, variable_bytes
from simulator.work import Work


def describe(graph: Graph) -> dict[str, Any]:
    """The document of schema `bitlane.inspect/1`."""
    return {
        "schema": "bitlane.inspect/1",
        "model": graph.name,
        "dialect": graph.dialect,
        "macs": sum(w.macs for w in graph.work),
        "weight_bytes": _weight_bytes(graph),
        "inputs": [_tensor(graph, name) for name in graph.inputs],
        "outputs": [_tensor(graph, name) for name in graph.outputs],
        "layers": [
            _layer(graph, node, work) for node, work in zip(graph.nodes, graph.work, strict=True)
        ],
        "memory": _memory(graph),
    }


def to_text(graph: Graph) -> str:
    """The same for a terminal."""
    rows = [
        (node.name, _result(graph, node), work.macs, work.weight_elements)
        for node, work in zip(graph.nodes, graph.work, strict=True)
    ]
    lines = [
        f"{graph.name} ({graph.dialect})",
        *(f"input   {_port(graph, name)}" for name in graph.inputs),
        *(f"output  {_port(graph, name)}" for name in graph.outputs),
        "",
        table(("node", "output", "MACs", "weights"), rows),
        "",
        f"{grouped(sum(w.macs for w in graph.work))} MACs, "
        f"{grouped(_weight_bytes(graph))} bytes of weights and biases",
        "",
        *_arena_lines(graph),
    ]
    return "\n".join(lines)


def _memory(graph: Graph) -> dict[str, Any]:
    """The arena of one inference: each activation at its offset, and what no plan can beat."""
    arena = plan_arena(graph)
    return {
        "alignment": ALIGNMENT,
        "arena_bytes": arena.bytes,
        "live_bytes": arena.live_bytes,
        "fragmentation": arena.fragmentation,
        "variable_bytes": variable_bytes(graph),
        "tensors": [asdict(placement) for placement in arena.placements],
    }


def _arena_lines(graph: Graph) -> list[str]:
    arena = plan_arena(graph)
    rows = [
        (p.name, p.offset, p.bytes, p.first, p.last, p.in_place_of or "-") for p in arena.placements
    ]
    state = variable_bytes(graph)
    return [
        table(("tensor", "offset", "bytes", "from node", "to node", "in place of"), rows),
        "",
        f"{grouped(arena.bytes)} bytes of arena, {grouped(arena.live_bytes)} alive at once "
        f"({arena.fragmentation:.1%} lost to fragmentation and alignment)",
        *([f"{grouped(state)} bytes of state between inferences"] if state else []),
    ]


def _weight_bytes(graph: Graph) -> int:
    return sum(
        -(-w.weight_elements * w.weight_bits // 8) - (-w.bias_elements * w.bias_bits // 8)
        for w in graph.work
    )


def _layer(graph: Graph, node: Node, work: Work) -> dict[str, Any]:
    return {
        "name": node.name,
        "op": node.op.kind,
        "inputs": list(node.inputs),
        "outputs": [_tensor(graph, name) for name in node.outputs],
        "macs": work.macs,
        "weight_elements": work.weight_elements,
        "elementwise": work.elementwise,
        "requantizations": work.requantizations,
        "reference": node.op.reference,
    }


def _tensor(graph: Graph, name: str) -> dict[str, Any]:
    kind = graph.tensors[name]
    quant = kind.quant
    return {
        "name": name,
        "index": graph.source_index.get(name),
        "shape": list(kind.shape),
        "dtype": kind.dtype,
        "bits": kind.bits,
        "scale": list(quant.scale) if quant else None,
        "zero_point": list(quant.zero_point) if quant else None,
    }


def _port(graph: Graph, name: str) -> str:
    kind = graph.tensors[name]
    grid = ""
    if kind.quant and len(kind.quant.scale) == 1:
        grid = f", scale {kind.quant.scale[0]:.9g}, zero point {kind.quant.zero_point[0]}"
    return f"{name}: {_shape(kind)}{grid}"


def _result(graph: Graph, node: Node) -> str:
    """The first output; what only assigns a variable has none."""
    return _shape(kinds[0]) if (kinds := graph.output_types(node)) else "-"


def _shape(kind: TensorType) -> str:
    return f"{kind.dtype}[{'x'.join(str(d) for d in kind.shape)}]"
