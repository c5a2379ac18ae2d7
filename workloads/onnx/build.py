"""Towards a Graph, node by node: each tensor in the layouts that are asked for.

A tensor of the file keeps its name and the file's layout (NCHW for images). Operators over windows
read and write NHWC, the canonical layout; there the tensor is called `<name>@nhwc`. The one form is
made from the other where it is first asked for, by a transpose, so that layouts change at the
borders only. `Graph.source_view` says how to get the file's form of every `@nhwc` tensor.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal

import numpy as np

from simulator.errors import BitlaneError, IllegalGraph, Unsupported
from simulator.graph import Array, Graph, Node, Operator, QuantParams, Source, TensorType
from simulator.numeric.datapath import GRAPH_DATAPATH
from simulator.numeric.dialect import Dialect
from simulator.ops.reshape import Reshape
from simulator.ops.transpose import Transpose
from simulator.real_grids import known
from simulator.registry import operators
from workloads.onnx.model import Model, OnnxNode, storage
from workloads.source import decode

Layout = Literal["file", "nhwc"]
Shape = tuple[int, ...]

TO_NHWC: Final = (0, 2, 3, 1)
"""Axis k of NHWC is axis TO_NHWC[k] of NCHW."""
TO_NCHW: Final = (0, 3, 1, 2)
SUFFIX: Final = "@nhwc"


@dataclass(frozen=True)
class Grid:
    """What a converter knows of a tensor's values beyond its dtype."""

    quant: QuantParams | None = None
    bits: int | None = None


NO_GRID: Final = Grid()


@dataclass
class Builder:
    """The graph so far. Names are those of the graph; `kind` and `value` take a file's name."""

    model: Model
    dialect: Dialect
    tensors: dict[str, TensorType] = field(default_factory=dict)
    constants: dict[str, Array] = field(default_factory=dict)
    nodes: list[Node] = field(default_factory=list)

    def __post_init__(self) -> None:
        for name, value in self.model.constants.items():
            self.define(name, value, self.model.bits(name))
        for name in self.model.inputs:
            self.tensors[name] = self.declared(name)

    def declared(self, name: str, grid: Grid = NO_GRID) -> TensorType:
        """The type that the file gives a tensor, with what is known of its grid."""
        kind = self.model.types[name]
        dtype, bits = storage(kind.element)
        return TensorType(kind.shape, dtype, grid.bits or bits, grid.quant)

    def define(self, name: str, value: Array, bits: int, quant: QuantParams | None = None) -> str:
        """Add a constant; returns its name."""
        self.tensors[name] = TensorType(value.shape, value.dtype.name, bits, quant)
        self.constants[name] = value
        return name

    def kind(self, name: str) -> TensorType:
        """The type of a file's tensor in the file's layout; carrier and grid are the graph's."""
        if name in self.tensors:
            return self.tensors[name]
        other = self.tensors[name + SUFFIX]
        return replace(other, shape=tuple(other.shape[k] for k in TO_NCHW))

    def value(self, name: str) -> Array | None:
        """The value of a file's tensor where it is constant, in the file's layout."""
        if name in self.constants:
            return self.constants[name]
        other = self.constants.get(name + SUFFIX)
        return None if other is None else other.transpose(TO_NCHW)

    def constant(self, name: str, node: OnnxNode, what: str) -> Array:
        """The same, where it must be constant; raises Unsupported."""
        value = self.value(name)
        if value is None:
            raise Unsupported(
                f"{node.place}: {what} must be constant; '{name}' is computed at run time. "
                "Fold it before export."
            )
        return value

    def packed(self, name: str) -> bool:
        """Whether the runtime packs these weights before it runs: a constant of the file itself.

        What a DequantizeLinear makes of one is computed at run time.
        """
        return name in self.model.constants and self.dialect.form("weights", "") == "any sign"

    def on_grids(self, names: Sequence[str], channel_axis: int) -> bool:
        """Whether x and constant w (graph names) lie on grids that a product of codes takes."""
        x, w = (self.tensors[name] for name in names[:2])
        return names[1] in self.constants and known(x, w, channel_axis)

    def layout(self, names: Iterable[str]) -> Layout:
        """NHWC where one of the tensors exists in it alone, else the file's."""
        computed = [n for n in names if n and n not in self.constants]
        return "nhwc" if any(n not in self.tensors for n in computed) else "file"

    def at(self, name: str, layout: Layout, node: OnnxNode) -> str:
        """The graph's name of a file's tensor in a layout, made where it is missing."""
        if not name:
            return ""
        wanted = name + SUFFIX if layout == "nhwc" else name
        if wanted in self.tensors:
            return wanted
        held = name if layout == "nhwc" else name + SUFFIX
        if held not in self.tensors:
            raise IllegalGraph(f"{node.place}: tensor '{name}' is not known yet; export it again")
        kind = self.tensors[held]
        if len(kind.shape) != 4:
            raise Unsupported(
                f"{node.place}: only 2-D images are supported; '{name}' has shape {kind.shape}"
            )
        order = TO_NHWC if layout == "nhwc" else TO_NCHW
        self.move(node, order, held, wanted)
        return wanted

    def move(self, node: OnnxNode, order: Shape, source: str, target: str) -> None:
        """A transpose; a change of shape alone where no element changes place."""
        kind = self.tensors[source]
        shape = tuple(kind.shape[k] for k in order)
        long = [k for k in order if kind.shape[k] > 1]
        op: Operator = Reshape(shape) if long == sorted(long) else Transpose(order)
        quant = kind.quant
        if quant is not None and quant.axis is not None:
            quant = replace(quant, axis=order.index(quant.axis))
        self.put(node, op, (source,), {target: replace(kind, shape=shape, quant=quant)})

    def emit(
        self,
        node: OnnxNode,
        operator: str,
        inputs: Sequence[str],
        outputs: Mapping[str, TensorType],
        options: Mapping[str, Any] | None = None,
        grids: Mapping[int, QuantParams] | None = None,
    ) -> None:
        """Decode the operator of that kind and add it; inputs and outputs are graph names.

        `grids` gives inputs by position the scale and zero point that the node itself states.
        """
        stated = grids or {}
        kinds = [self.tensors[n] if n else None for n in inputs]
        for i, quant in stated.items():
            kind = kinds[i]
            assert kind is not None
            kinds[i] = replace(kind, quant=quant)
        source = Source(
            place=node.place,
            options=options or {},
            inputs=tuple(kinds),
            outputs=tuple(outputs.values()),
            constants=tuple(self.constants.get(n) for n in inputs),
            dialect=self.dialect,
        )
        self.put(node, decode(operators()[operator], source), inputs, outputs, source)

    def put(
        self,
        node: OnnxNode,
        op: Operator,
        inputs: Sequence[str],
        outputs: Mapping[str, TensorType],
        source: Source | None = None,
    ) -> None:
        """Add a node; one whose inputs are all constant is run here and becomes constants."""
        for name in outputs:
            if name in self.tensors:
                raise IllegalGraph(f"{node.place}: tensor '{name}' is written a second time")
        self.tensors.update(outputs)
        if all(name in self.constants for name in inputs if name):
            self._fold(node, op, inputs, outputs)
            return
        stem = f"{op.kind}_{node.index}"
        taken = {n.name for n in self.nodes}
        label = next(n for n in (stem, *(f"{stem}_{i}" for i in range(1, 999))) if n not in taken)
        self.nodes.append(Node(label, op, tuple(inputs), tuple(outputs), source))

    def _fold(
        self,
        node: OnnxNode,
        op: Operator,
        inputs: Sequence[str],
        outputs: Mapping[str, TensorType],
    ) -> None:
        kinds = [self.tensors[n] if n else None for n in inputs]
        try:
            op.check(kinds, tuple(outputs.values()))
            shapes = op.infer(kinds)
            with np.errstate(all="ignore"):  # constants follow IEEE 754, infinities and all
                values = op.run([self.constants.get(n) for n in inputs], GRAPH_DATAPATH)
        except BitlaneError as error:
            raise IllegalGraph(f"{node.place}: {error}") from None
        for (name, kind), shape, value in zip(outputs.items(), shapes, values, strict=True):
            if shape != kind.shape:
                raise IllegalGraph(f"{node.place}: '{name}' is {kind.shape}; it comes to {shape}")
            self.constants[name] = np.ascontiguousarray(value).reshape(shape)

    def graph(self) -> Graph:
        """The finished graph, outputs in the file's layout, without nodes that nobody reads."""
        for name in self.model.outputs:
            last = OnnxNode(len(self.model.nodes), "output", (), (), place=self.model.name)
            self.at(name, "file", last)
        nodes = _needed(self.nodes, self.model.outputs)
        used = {t for n in nodes for t in (*n.inputs, *n.outputs) if t}
        used |= {*self.model.inputs, *self.model.outputs}
        computed = [n for node in nodes for n in node.outputs if n.endswith(SUFFIX)]
        return Graph(
            name=self.model.name,
            nodes=nodes,
            tensors={name: kind for name, kind in self.tensors.items() if name in used},
            constants={name: value for name, value in self.constants.items() if name in used},
            inputs=self.model.inputs,
            outputs=self.model.outputs,
            dialect=self.dialect.name,
            source_view={name: (name.removesuffix(SUFFIX), TO_NCHW) for name in computed},
        )


def _needed(nodes: Sequence[Node], outputs: Iterable[str]) -> tuple[Node, ...]:
    """Nodes that reach an output."""
    wanted, kept = set(outputs), list[Node]()
    for node in reversed(nodes):
        if wanted.intersection(node.outputs):
            kept.append(node)
            wanted.update(node.inputs)
    return tuple(reversed(kept))
