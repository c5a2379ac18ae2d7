"""Which tensors of a float network carry a quantizer: those that the integer network stores.

Krishnamoorthi 2018 (arXiv 1806.08342) section 3.2.1, Nagel et al. 2021 (arXiv 2106.08295) section
2.3: none between a layer and its fused activation or the addition of its bias; max pooling and
whatever only moves elements keep the grid; the operands of a concatenation share one.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from simulator.elementwise import Selection
from simulator.graph import Graph, Node
from simulator.ops.arithmetic import Arithmetic
from simulator.ops.float_resize import FloatResize
from simulator.ops.float_softmax import FloatSoftmax
from simulator.ops.float_unary import FloatUnary
from simulator.ops.pad import Pad
from workloads.float_graph import layer_of

MOVES: Final = frozenset(
    (
        *("batch_to_space_nd", "broadcast_to", "concatenation", "depth_to_space", "expand_dims"),
        *("gather", "gather_nd", "max_pool", "mirror_pad", "pack", "reshape", "slice"),
        *("space_to_batch_nd", "space_to_depth", "split", "split_v", "squeeze", "strided_slice"),
        *("tile", "transpose", "unpack"),
    )
)
"""Kinds whose outputs hold elements of their inputs."""
_SEVERAL: Final = frozenset(("concatenation", "pack"))
"""Those of them whose inputs all hold elements."""
_FUNCTIONS: Final = frozenset(
    ("clip", "elu", "hard_sigmoid", "hard_swish", "leaky_relu", "relu", "sigmoid", "tanh")
)
"""Functions of one tensor that integer networks look up or compute on codes."""
_SUMS: Final = frozenset(("add", "sub", "mul", "min", "max"))
_UNIT, _SIGNED_UNIT = (0.0, 1.0), (-1.0, 1.0)
_LIMITS: Final = {
    "logistic": _UNIT,
    "sigmoid": _UNIT,
    "softmax": _UNIT,
    "tanh": _SIGNED_UNIT,
}
"""The half-open range of outputs, by kind of operator or function."""


@dataclass(frozen=True)
class Places:
    """The quantizers of a network: each group of tensors has one, in order of execution.

    `known` has the half-open range of tensors that need no data: [0, 1) behind softmax and sigmoid,
    [-1, 1) behind tanh.
    """

    groups: tuple[tuple[str, ...], ...]
    known: Mapping[str, tuple[float, float]]

    @cached_property
    def tensors(self) -> tuple[str, ...]:
        """Every tensor that carries a quantizer."""
        return tuple(name for group in self.groups for name in group)

    def group_of(self, tensor: str) -> tuple[str, ...]:
        """The tensors on the grid of one; raises KeyError where it carries no quantizer."""
        return self._by_tensor[tensor]

    @cached_property
    def _by_tensor(self) -> dict[str, tuple[str, ...]]:
        return {name: group for group in self.groups for name in group}


def places(graph: Graph) -> Places:
    """The places of a graph whose batch norms are folded and whose activations are fused.

    A constant operand of a sum or product is a place like any tensor. Tensors that only operators
    without an integer form touch are none.
    """
    root = {name: name for name in _in_order(graph)}

    def find(name: str) -> str:
        while root[name] != name:
            name = root[name]
        return name

    for node in graph.nodes:
        tied = [name for name in tied_by(graph, node) if name in root]
        for name in tied[1:]:
            root[find(name)] = find(tied[0])
    touched = {
        find(name)
        for node in graph.nodes
        if integer_form(graph, node)
        for name in operands(graph, node)
        if name in root
    }
    groups = dict[str, list[str]]()
    for name in root:
        if find(name) in touched:
            groups.setdefault(find(name), []).append(name)
    listed = tuple(tuple(group) for group in groups.values())
    return Places(listed, _known(graph, listed))


def operands(graph: Graph, node: Node) -> tuple[str, ...]:
    """The tensors of a node that integers would stand for, weights and biases apart."""
    if layer_of(graph, node) is not None:
        return (node.inputs[0], *node.outputs)
    inputs = node.inputs if isinstance(node.op, Arithmetic | Selection) else node.inputs[:1]
    return (*(name for name in inputs if name), *node.outputs)


def tied_by(graph: Graph, node: Node) -> tuple[str, ...]:
    """The tensors that a node moves elements between, which so share a grid; () for others."""
    if not moves(node):
        return ()
    of_movement = node.inputs[getattr(node.op, "operand", 0) :][:1]
    given = node.inputs if node.op.kind in _SEVERAL else of_movement
    names = (*given, *node.outputs)
    return tuple(n for n in names if n and graph.tensors[n].dtype.startswith("float"))


def moves(node: Node) -> bool:
    """Whether a node's outputs hold elements of its inputs, or zeros."""
    op = node.op
    if isinstance(op, Pad):
        return op.fill == 0
    if isinstance(op, FloatResize):
        return bool(op.nearest)
    return op.kind in MOVES or op.kind == "resize_nearest_neighbor"


def integer_form(graph: Graph, node: Node) -> bool:
    """Whether integer networks compute what a node does, movement apart."""
    op = node.op
    if not graph.tensors[node.outputs[0]].dtype.startswith("float"):
        return False
    if isinstance(op, Arithmetic):
        return op.function in _SUMS and len(node.inputs) == 2
    if isinstance(op, FloatUnary):
        return op.function in _FUNCTIONS
    if isinstance(op, FloatSoftmax):
        return _limits(node) is not None
    if isinstance(op, Selection) or op.kind in _LIMITS:
        return True
    if op.kind in ("float_average_pool", "float_resize"):
        return True
    if op.kind == "float_reduce":
        return getattr(op, "function", "") == "mean"
    return layer_of(graph, node) is not None


def _in_order(graph: Graph) -> tuple[str, ...]:
    """Every real tensor that is no weight or bias, as execution comes to it."""
    held = {
        name
        for node in graph.nodes
        if isinstance(node.op, Arithmetic | Selection)
        for name in node.inputs
        if name in graph.constants
    }
    names = [*graph.inputs]
    for node in graph.nodes:
        names += [name for name in node.inputs if name in held]
        names += node.outputs
    real = (name for name in names if graph.tensors[name].dtype in ("float32", "float64"))
    return tuple(dict.fromkeys(real))


def _known(graph: Graph, groups: tuple[tuple[str, ...], ...]) -> dict[str, tuple[float, float]]:
    made = {name: node for node in graph.nodes for name in node.outputs}
    found = dict[str, tuple[float, float]]()
    for group in groups:
        makers = [made.get(name) for name in group]
        sources = {None if n is None else _limits(n) for n in makers if n is None or not moves(n)}
        (only,) = sources if len(sources) == 1 else (None,)
        if only is not None:
            found |= dict.fromkeys(group, only)
    return found


def _limits(node: Node) -> tuple[float, float] | None:
    """The half-open range of an operator's output, where it is the operator's own."""
    op = node.op
    if isinstance(op, FloatSoftmax):
        return None if op.logarithm else _UNIT
    return _LIMITS.get(op.function if isinstance(op, FloatUnary) else op.kind)
