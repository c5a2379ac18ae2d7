"""QuantizeLinear and DequantizeLinear as edges: who feeds whom, on which grid.

What ONNX Runtime does to them before it fuses: it carries them across operators that only move
elements, quantizes real biases, and drops activations that the next grid clamps anyway. Facts:
onnxruntime 1.31.1 core/optimizer/qdq_transformer (qdq_propagation.cc, weight_bias_quantization.cc,
qdq_util.cc IsClipMadeRedundantByQ), its optimized graphs looked at operator by operator.
"""

from dataclasses import replace
from typing import Final

import numpy as np

from workloads.onnx.model import Model, OnnxNode, Tensor, renamed, storage

QUANTIZE: Final = "QuantizeLinear"
DEQUANTIZE: Final = "DequantizeLinear"
CARRIED_ACROSS: Final = ("MaxPool", "Reshape", "Transpose", "Squeeze", "Unsqueeze", "Slice")


class Edges:
    """Producers and consumers of a model as it is now; make it anew after a change."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self.producers = model.producers()
        self.consumers = model.consumers()

    def only_consumer(self, name: str) -> OnnxNode | None:
        """The one node that reads a tensor; None where there are none, several, or the user."""
        readers = self.consumers.get(name, [])
        return readers[0] if len(readers) == 1 and name not in self.model.outputs else None

    def readers_of_codes(self, quantize: OnnxNode) -> int:
        """Consumers of a quantized tensor, one DequantizeLinear for each of its own readers."""
        total = 0
        for node in self.consumers.get(quantize.outputs[0], []):
            values = node.outputs[0]
            readers = len(self.consumers.get(values, [])) + (values in self.model.outputs)
            total += max(readers, 1) if node.op == DEQUANTIZE else 1
        return total


def single_grid(model: Model, node: OnnxNode) -> tuple[float, int] | None:
    """Scale and zero point of a Q or DQ that has constant ones for the whole tensor."""
    scale = model.scalar(node.input(1))
    zero = model.scalar(node.input(2)) if node.input(2) else 0
    if scale is None or zero is None or not np.isfinite(zero):
        return None
    return float(scale), int(zero)


def merge_matmul_add(model: Model) -> None:
    """MatMul of matrices plus a constant row becomes Gemm (matmul_add_fusion.cc)."""
    edges = Edges(model)
    merged: dict[int, OnnxNode] = {}
    dropped = set()
    for node in model.nodes:
        add = edges.only_consumer(node.outputs[0]) if node.op == "MatMul" else None
        if (
            add is None
            or add.op != "Add"
            or any(len(model.types[name].shape) != 2 for name in node.inputs)
        ):
            continue
        bias = next((n for n in add.inputs if n != node.outputs[0]), "")
        columns = model.types[node.inputs[1]].shape[1]
        if bias not in model.constants or model.types[bias].shape not in ((columns,), (1, columns)):
            continue
        merged[node.index] = replace(
            node, op="Gemm", inputs=(*node.inputs, bias), outputs=add.outputs, attributes={}
        )
        dropped.add(add.index)
    model.nodes = [merged.get(n.index, n) for n in model.nodes if n.index not in dropped]


def drop_clamped(model: Model) -> None:
    """Leave out a Relu or Clip whose only reader is a Q that clamps at least as much."""
    edges = Edges(model)
    names: dict[str, str] = {}
    kept = []
    for node in model.nodes:
        reader = edges.only_consumer(node.outputs[0]) if node.op in ("Relu", "Clip") else None
        if reader is not None and reader.op == QUANTIZE and _clamps(model, node, reader):
            names[node.outputs[0]] = names.get(node.inputs[0], node.inputs[0])
        else:
            kept.append(renamed(node, names))
    model.nodes = kept


def _clamps(model: Model, node: OnnxNode, quantize: OnnxNode) -> bool:
    grid = single_grid(model, quantize)
    if grid is None:
        return False
    scale, zero = grid
    element = model.types[quantize.outputs[0]].element
    bits = storage(element)[1]
    least = 0 if element.startswith("u") else -(1 << (bits - 1))
    if node.op == "Relu":
        return zero == least
    bounds = []
    for position, name, missing in ((1, "min", -np.inf), (2, "max", np.inf)):
        given = model.scalar(node.input(position)) if node.input(position) else None
        if node.input(position) and given is None:
            return False
        bounds.append(float(given if given is not None else node.get(name, missing)))
    greatest = least + (1 << bits) - 1
    return bounds[0] <= scale * (least - zero) and bounds[1] >= scale * (greatest - zero)


def _can_carry(model: Model, node: OnnxNode) -> bool:
    return node.op in CARRIED_ACROSS and (node.op != "MaxPool" or model.opset >= 12)


def propagate(model: Model) -> None:
    """Insert Q and DQ on the far side of operators that only move elements."""
    for node in [n for n in model.nodes if n.op == QUANTIZE]:
        if single_grid(model, node) is not None:
            _carry_back(model, node)
    for node in [n for n in model.nodes if n.op == DEQUANTIZE]:
        if single_grid(model, node) is not None:
            _carry_forward(model, node)


def _carry_back(model: Model, quantize: OnnxNode) -> None:
    edges = Edges(model)
    below = quantize
    while True:
        mover = edges.producers.get(below.inputs[0])
        if mover is None or not _can_carry(model, mover):
            return
        if edges.only_consumer(below.inputs[0]) is None:
            return
        source = mover.inputs[0]
        producer = edges.producers.get(source)
        if producer is not None and producer.op == DEQUANTIZE:
            return
        if producer is not None and edges.only_consumer(source) is None:
            return
        if source in model.constants:
            return
        _insert(model, source, quantize, [mover])
        below = mover


def _carry_forward(model: Model, dequantize: OnnxNode) -> None:
    edges = Edges(model)
    mover = edges.only_consumer(dequantize.outputs[0])
    waiting = [] if mover is None else [mover]
    while waiting:
        mover = waiting.pop()
        if not _can_carry(model, mover):
            continue
        name = mover.outputs[0]
        edges = Edges(model)
        readers = edges.consumers.get(name, [])
        if name in model.outputs and readers:
            continue
        targets = [node for node in readers if node.op != QUANTIZE]
        if targets or name in model.outputs:
            _insert(model, name, dequantize, targets)
        waiting += targets


def _insert(model: Model, name: str, like: OnnxNode, readers: list[OnnxNode]) -> None:
    """Q then DQ on the grid of `like` between a tensor and some of its readers, or the output."""
    codes, values = model.fresh(f"{name}_codes"), model.fresh(f"{name}_values")
    element = model.types[like.inputs[0] if like.op == DEQUANTIZE else like.outputs[0]].element
    kind = model.types[name]
    model.types[codes], model.types[values] = Tensor(element, kind.shape), kind
    before = name
    if not readers:
        # A graph output keeps its name: what computed it gets another.
        before = model.fresh(f"{name}_before")
        model.types[before] = kind
        model.nodes = [
            replace(n, outputs=tuple(before if o == name else o for o in n.outputs))
            for n in model.nodes
        ]
        values = name
    grid, attributes = like.inputs[1:], like.attributes
    index = max(n.index for n in model.nodes) + 1
    place = f"{like.place}, carried"
    quantize = OnnxNode(index, QUANTIZE, (before, *grid), (codes,), attributes, "", place)
    again = OnnxNode(index + 1, DEQUANTIZE, (codes, *grid), (values,), attributes, "", place)
    moved = {node.index for node in readers}
    nodes = list[OnnxNode]()
    for node in model.nodes:
        nodes.append(renamed(node, {name: values}) if node.index in moved else node)
    at = next(
        (i + 1 for i, n in enumerate(nodes) if before in n.outputs),
        0,
    )
    model.nodes = [*nodes[:at], quantize, again, *nodes[at:]]


def quantize_biases(model: Model) -> None:
    """Give real constant biases the grid s_x s_w: round(b / f32(s_x s_w)) in int32."""
    edges = Edges(model)
    extra: dict[int, OnnxNode] = {}
    for node in model.nodes:
        if node.op not in ("Conv", "Gemm") or node.input(2) not in model.constants:
            continue
        x, w = (edges.producers.get(node.inputs[i]) for i in (0, 1))
        if x is None or w is None or x.op != DEQUANTIZE or w.op != DEQUANTIZE:
            continue
        if not ends_on_grid(edges, node):
            continue
        x_scale, w_scale = (model.constants.get(n.input(1)) for n in (x, w))
        bias = model.constants[node.input(2)]
        if x_scale is None or w_scale is None or x_scale.size != 1 or bias.ndim != 1:
            continue
        if w_scale.size not in (1, bias.size) or w_scale.ndim > 1 or w.get("block_size", 0):
            continue
        scale = (x_scale.reshape(()) * w_scale).astype(np.float32)
        codes = np.rint(bias / scale).astype(np.float64)
        # Beyond int32 the runtime's cast gives the least, as x86 converts.
        codes = np.where((codes >= -(2**31)) & (codes < 2**31), codes, -(2**31))
        extra[node.index] = _define_bias(model, node, codes.astype(np.int32), scale)
    nodes = list[OnnxNode]()
    for node in model.nodes:
        if node.index in extra:
            bias_node = extra[node.index]
            node = replace(node, inputs=(*node.inputs[:2], bias_node.outputs[0]))
            nodes.append(bias_node)
        nodes.append(node)
    model.nodes = nodes


def _define_bias(
    model: Model,
    node: OnnxNode,
    codes: "np.ndarray[tuple[int, ...], np.dtype[np.int32]]",
    scale: "np.ndarray[tuple[int, ...], np.dtype[np.float32]]",
) -> OnnxNode:
    """Constants of a quantized bias, and the DQ that stands for its real values."""
    names = [model.fresh(f"{node.input(2)}_{what}") for what in ("codes", "scale", "values")]
    for name, value, element in ((names[0], codes, "int32"), (names[1], scale, "float")):
        model.constants[name] = value
        model.types[name] = Tensor(element, value.shape)
    model.types[names[2]] = Tensor("float", codes.shape)
    index = max(n.index for n in model.nodes) + 1 + node.index
    place = f"{node.place}, bias"
    return OnnxNode(index, DEQUANTIZE, (names[0], names[1]), (names[2],), {"axis": 0}, "", place)


def ends_on_grid(edges: Edges, node: OnnxNode) -> bool:
    """Whether the only reader is a Q, with Relu and Clip at most between."""
    reader = edges.only_consumer(node.outputs[0])
    while reader is not None and reader.op in ("Relu", "Clip"):
        reader = edges.only_consumer(reader.outputs[0])
    return reader is not None and reader.op == QUANTIZE
