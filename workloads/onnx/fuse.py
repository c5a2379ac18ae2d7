"""QDQ graphs as ONNX Runtime fuses them: float operators between grids become QLinear*.

Facts: onnxruntime 1.31.1 core/optimizer/qdq_transformer (qdq_s8_to_u8.cc,
selectors_actions/qdq_selectors.cc, qdq_selector_action_transformer.cc), and its optimized graphs
looked at operator by operator. What it does not fuse (16-bit and 4-bit operands, int8 activations
with two readers on x86) stays float, node by node.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

import numpy as np

from workloads.onnx.model import Model, OnnxNode
from workloads.onnx.qdq import (
    DEQUANTIZE,
    QUANTIZE,
    Edges,
    drop_clamped,
    merge_matmul_add,
    propagate,
    quantize_biases,
    single_grid,
)
from workloads.onnx.real_weights import quantize_weights

MICROSOFT: Final = "com.microsoft"
LIFT: Final = 128
EIGHT_BITS: Final = ("int8", "uint8")
MOVES: Final = (
    *("Expand", "Flatten", "Gather", "Reshape", "Slice", "Squeeze", "Tile", "Transpose"),
    "Unsqueeze",
)
KEEPS_ORDER: Final = ("MaxPool", "ReduceMax", "ReduceMin")
UNARY: Final = ("AveragePool", "GlobalAveragePool", "LeakyRelu", "Sigmoid", "Softmax")
BINARY: Final = ("Add", "Mul")
ABSOLUTE, RELATIVE = np.float32(1e-6), np.float32(1e-2)
"""How far a bias scale of Conv may be from s_x s_w (found by bisection on the runtime)."""


def fuse(model: Model, *, unsigned: bool) -> None:
    """Rewrite `model` in place. With `unsigned` int8 activations are uint8 where x86 makes them so.

    Codes keep the type of the file; an operator whose bits depend on it has the attribute `lift`.
    """
    merge_matmul_add(model)
    drop_clamped(model)
    propagate(model)
    quantize_weights(model)
    quantize_biases(model)
    lifted = _lifted(model) if unsigned else frozenset[str]()
    _Fuser(model, lifted, int8=not unsigned).run()


def _lifted(model: Model) -> frozenset[str]:
    """int8 tensors that ONNX Runtime turns into uint8: one Q, one DQ, one reader, one grid."""
    edges = Edges(model)
    found = set()
    for node in model.nodes:
        name = node.outputs[0]
        if node.op != QUANTIZE or model.types[name].element != "int8" or name in model.outputs:
            continue
        readers = edges.consumers.get(name, [])
        if edges.readers_of_codes(node) != 1 or readers[0].op != DEQUANTIZE:
            continue
        zeros = [model.scalar(n.input(2)) for n in (node, readers[0])]
        if zeros[0] is not None and zeros[0] == zeros[1]:
            found.add(name)
    return frozenset(found)


class _Fuser:
    """One pass over the nodes; groups that were found are replaced as it goes."""

    def __init__(self, model: Model, lifted: frozenset[str], *, int8: bool) -> None:
        self.model = model
        self.edges = Edges(model)
        self.lifted = lifted
        self.int8 = int8
        self.gone: set[int] = set()

    def run(self) -> None:
        """Replace every target whose inputs come from DQ and whose outputs go to Q."""
        rules: dict[str, Callable[[OnnxNode], OnnxNode | None]] = {
            **dict.fromkeys(MOVES, self._move),
            **dict.fromkeys(KEEPS_ORDER, self._move),
            **dict.fromkeys(UNARY, self._unary),
            **dict.fromkeys(BINARY, self._binary),
            "Concat": self._concat,
            "Split": self._split,
            "Conv": self._conv,
            "MatMul": self._matmul,
            "Gemm": self._gemm,
        }
        nodes = list[OnnxNode]()
        for node in self.model.nodes:
            replaced = rules[node.op](node) if node.op in rules else None
            nodes.append(replaced or node)
        self.model.nodes = [n for n in nodes if n.index not in self.gone]

    def _sources(self, node: OnnxNode, count: int | None = None) -> list[OnnxNode] | None:
        """The DQ of each input (of the first `count`); None where one has another producer."""
        names = [name for name in node.inputs if name][: count or None]
        found = [self.edges.producers.get(name) for name in names]
        sources = [n for n in found if n is not None and n.op == DEQUANTIZE]
        return sources if len(sources) == len(names) else None

    def _sinks(self, node: OnnxNode) -> list[OnnxNode] | None:
        """The Q of each output, its only reader; None where there is another."""
        found = [self.edges.only_consumer(name) for name in node.outputs]
        sinks = [n for n in found if n is not None and n.op == QUANTIZE]
        return sinks if len(sinks) == len(node.outputs) else None

    def _types(self, sources: list[OnnxNode], sinks: list[OnnxNode]) -> list[str]:
        """Element types as the runtime sees them, inputs before outputs."""
        codes = [n.inputs[0] for n in sources] + [n.outputs[0] for n in sinks]
        kinds = [self.model.types[name].element for name in codes]
        return ["uint8" if n in self.lifted else k for n, k in zip(codes, kinds, strict=True)]

    def _replace(
        self,
        node: OnnxNode,
        sinks: list[OnnxNode],
        op: str,
        inputs: tuple[str, ...],
        attributes: dict[str, Any] | None = None,
        domain: str = MICROSOFT,
    ) -> OnnxNode:
        self.gone.update(n.index for n in sinks)
        outputs = tuple(n.outputs[0] for n in sinks) or node.outputs
        extra = attributes or {}
        if outputs[0] in self.lifted:
            extra = {"lift": LIFT, **extra}
        return replace(
            node,
            op=op,
            domain=domain,
            inputs=inputs,
            outputs=outputs,
            attributes={**node.attributes, **extra},
        )

    def _move(self, node: OnnxNode) -> OnnxNode | None:
        """Drop Q and DQ around an operator that keeps the grid: the codes themselves move."""
        sources, sinks = self._sources(node, 1), self._sinks(node)
        if sources is None or sinks is None:
            return None
        if not self._same_grid(sources[0], sinks[0]):
            return None
        kinds = self._types(sources, sinks)
        if kinds[0] != kinds[1] or (node.op in KEEPS_ORDER and kinds[0] not in EIGHT_BITS):
            return None
        if node.op == "MaxPool" and self.model.opset < 12:
            return None
        inputs = (sources[0].inputs[0], *node.inputs[1:])
        return self._replace(node, sinks, node.op, inputs, domain=node.domain)

    def _same_grid(self, dequantize: OnnxNode, quantize: OnnxNode) -> bool:
        grids = [single_grid(self.model, n) for n in (dequantize, quantize)]
        return grids[0] is not None and grids[0] == grids[1]

    def _split(self, node: OnnxNode) -> OnnxNode | None:
        sources, sinks = self._sources(node, 1), self._sinks(node)
        if sources is None or sinks is None:
            return None
        kinds = self._types(sources, sinks)
        if len(set(kinds)) != 1 or not all(self._same_grid(sources[0], q) for q in sinks):
            return None
        inputs = (sources[0].inputs[0], *node.inputs[1:])
        return self._replace(node, sinks, "Split", inputs, domain=node.domain)

    def _same_eight_bits(self, sources: list[OnnxNode], sinks: list[OnnxNode]) -> bool:
        kinds = set(self._types(sources, sinks))
        return len(kinds) == 1 and kinds.issubset(EIGHT_BITS)

    def _unary(self, node: OnnxNode) -> OnnxNode | None:
        sources, sinks = self._sources(node, 1), self._sinks(node)
        if sources is None or sinks is None or not self._same_eight_bits(sources, sinks):
            return None
        inputs = (*_operand(sources[0]), *_grid(sinks[0]))
        extra = {"opset": 13 if self.model.opset >= 13 else 1} if node.op == "Softmax" else {}
        return self._replace(node, sinks, f"QLinear{node.op}", inputs, extra)

    def _binary(self, node: OnnxNode) -> OnnxNode | None:
        sources, sinks = self._sources(node), self._sinks(node)
        if sources is None or sinks is None or len(sources) != 2:
            return None
        if not self._same_eight_bits(sources, sinks):
            return None
        inputs = (*_operand(sources[0]), *_operand(sources[1]), *_grid(sinks[0]))
        return self._replace(node, sinks, f"QLinear{node.op}", inputs)

    def _concat(self, node: OnnxNode) -> OnnxNode | None:
        sources, sinks = self._sources(node), self._sinks(node)
        if sources is None or sinks is None or not self._same_eight_bits(sources, sinks):
            return None
        operands = tuple(name for n in sources for name in _operand(n))
        return self._replace(node, sinks, "QLinearConcat", (*_grid(sinks[0]), *operands))

    def _weighted(self, sources: list[OnnxNode], sinks: list[OnnxNode], *, gemm: bool) -> bool:
        """Whether the types of x, w, bias and y are ones that a QLinear kernel takes."""
        x, w, *rest = self._types(sources, sinks)
        if x not in EIGHT_BITS or w not in EIGHT_BITS or sources[1].get("block_size", 0):
            return False
        if x == "int8" and (w != x or not (self.int8 or gemm)):
            return False
        if len(sources) == 3 and rest[0] != "int32":
            return False
        return not sinks or rest[-1] == x

    def _conv(self, node: OnnxNode) -> OnnxNode | None:
        sources, sinks = self._sources(node), self._sinks(node)
        if sources is None or sinks is None or not self._weighted(sources, sinks, gemm=False):
            return None
        if len(sources) == 3 and not self._bias_on_grid(*sources):
            return None
        bias = (sources[2].inputs[0],) if len(sources) == 3 else ()
        inputs = (*_operand(sources[0]), *_operand(sources[1]), *_grid(sinks[0]), *bias)
        return self._replace(node, sinks, "QLinearConv", inputs, domain="")

    def _bias_on_grid(self, x: OnnxNode, w: OnnxNode, bias: OnnxNode) -> bool:
        """Whether the bias has the scale s_x s_w and no zero point, as a fused kernel has it."""
        constants = self.model.constants
        scales = [constants.get(n.inputs[1]) for n in (x, w, bias)]
        zero = constants.get(bias.input(2)) if bias.input(2) else np.zeros(1)
        if zero is None or zero.any() or any(s is None for s in scales):
            return False
        s_x, s_w, s_b = (np.asarray(s, dtype=np.float32).reshape(-1) for s in scales)
        if s_b.size not in (1, s_w.size):
            return False
        expected = s_x * s_w
        return bool((np.abs(s_b - expected) <= ABSOLUTE + RELATIVE * np.abs(expected)).all())

    def _matmul(self, node: OnnxNode) -> OnnxNode | None:
        sources, sinks = self._sources(node), self._sinks(node)
        if sources is None or not self._weighted(sources, sinks or [], gemm=False):
            return None
        (x, w), readers = sources, self.edges.consumers.get(node.outputs[0], [])
        if sinks is not None:
            operands = (*_operand(x), *_operand(w), *_grid(sinks[0]))
            return self._replace(node, sinks, "QLinearMatMul", operands, domain="")
        if any(n.op == QUANTIZE for n in readers):
            return None
        codes, grids = (x.inputs[0], w.inputs[0]), (_operand(x)[1:], _operand(w)[1:])
        inputs = (*codes, grids[0][0], grids[1][0], grids[0][1], grids[1][1])
        return self._replace(node, [], "MatMulIntegerToFloat", inputs)

    def _gemm(self, node: OnnxNode) -> OnnxNode | None:
        sources, sinks = self._sources(node), self._sinks(node)
        readers = self.edges.consumers.get(node.outputs[0], [])
        if sources is None or (sinks is None and any(n.op == QUANTIZE for n in readers)):
            return None
        if not self._weighted(sources, sinks or [], gemm=True):
            return None
        # Found on the runtime: a zero point that is left out of x or w keeps a Gemm float.
        if not all(n.input(2) for n in sources[:2]):
            return None
        if len(sources) == 3 and node.get("beta", 1.0) != 1.0:
            return None
        bias = sources[2].inputs[0] if len(sources) == 3 else ""
        y = _grid(sinks[0]) if sinks else ()
        inputs = (*_operand(sources[0]), *_operand(sources[1]), bias, *y)
        return self._replace(node, sinks or [], "QGemm", inputs)


def _operand(dequantize: OnnxNode) -> tuple[str, str, str]:
    """(codes, scale, zero point) of a DQ; the last is empty where there is none."""
    return dequantize.inputs[0], dequantize.inputs[1], dequantize.input(2)


def _grid(quantize: OnnxNode) -> tuple[str, str]:
    """(scale, zero point) of a Q."""
    return quantize.inputs[1], quantize.input(2)
