"""Re-quantizing a graph node by node: new types, new constants, operators decoded again.

`simulator.narrow.requantized` is the way in.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias, cast

import numpy as np

from simulator.decode import value_range
from simulator.errors import IllegalGraph, Unsupported
from simulator.graph import STORAGE, Array, Graph, Node, QuantParams, TensorType
from simulator.mac import MacOperator
from simulator.numeric.datapath import GRAPH_DATAPATH, Datapath, Requantizer
from simulator.numeric.requantizer import override
from simulator.regrid import (
    activation_type,
    convert,
    convert_bias,
    is_codes,
    signed_type,
    weight_type,
)
from simulator.widths import activation_bits, dtype_of_codes

Datapaths: TypeAlias = Datapath | Mapping[str, Datapath] | None
OperandGrids: TypeAlias = tuple[QuantParams | None, QuantParams | None]
"""Of activations and weights."""
Role: TypeAlias = Literal["weights", "activations", "constants"]

_PLAIN = ("reshape", "transpose")
"""Operators without a parameter that a grid decides: they need no decoding again."""


@dataclass(frozen=True)
class Change:
    """One tensor that was re-quantized; `clamped` counts weights at the code that is left out."""

    tensor: str
    role: Role
    bits: int
    new_bits: int
    clamped: int = 0


def datapath_of(node: Node, datapath: Datapaths) -> Datapath:
    """A node's datapath; nodes that a mapping leaves out follow the graph's own arithmetic."""
    if isinstance(datapath, Mapping):
        return datapath.get(node.name, GRAPH_DATAPATH)
    return datapath or GRAPH_DATAPATH


class Narrowing:
    """A graph being re-quantized: new types and values by name, filled node by node."""

    def __init__(self, graph: Graph, datapath: Datapaths) -> None:
        self.graph = graph
        self.datapath = datapath
        self.bits, self.kept = activation_bits(graph, lambda node: datapath_of(node, datapath))
        self.codes = dtype_of_codes(graph)
        self.readers: dict[str, int] = {}
        for node in graph.nodes:
            for name in node.inputs:
                self.readers[name] = self.readers.get(name, 0) + 1
        self.tensors: dict[str, TensorType] = dict(graph.tensors)
        self.constants: dict[str, Array] = dict(graph.constants)
        self.variables: dict[str, Array] = dict(graph.variables)
        self.changes: list[Change] = []

    def result(self) -> tuple[Graph, tuple[Change, ...]]:
        """The new graph and what was changed: types first, then nodes in order."""
        for name, kind in self.graph.tensors.items():
            if name in self.bits:
                self._activation(name, kind)
        nodes = tuple(self._node(node) for node in self.graph.nodes)
        if all(new is old for new, old in zip(nodes, self.graph.nodes, strict=True)):
            return self.graph, ()
        used = {t for node in nodes for t in (*node.inputs, *node.outputs)}
        used |= {*self.graph.inputs, *self.graph.outputs, *self.variables}
        made = replace(
            self.graph,
            nodes=nodes,
            tensors={n: kind for n, kind in self.tensors.items() if n in used},
            constants={n: value for n, value in self.constants.items() if n in used},
            variables=self.variables,
        )
        return made, tuple(self.changes)

    def _activation(self, name: str, old: TensorType) -> None:
        new = self._type(name, old)
        if new is old:
            return
        self.tensors[name] = new
        role: Role = "activations"
        for held in (self.constants, self.variables):
            if name in held:
                role = "constants" if held is self.constants else role
                held[name] = convert(held[name], old, new)
        self.changes.append(Change(name, role, old.bits, new.bits))

    def _type(self, name: str, kind: TensorType) -> TensorType:
        """The new type of an activation tensor, as the graph or as one node states its grid."""
        if name not in self.bits or self.bits[name] == kind.bits:
            return kind
        if kind.dtype == "float32" and name not in self.codes:
            raise Unsupported(
                f"{self.graph.name}: tensor '{name}' carries reals whose codes are in no tensor "
                f"and cannot have {self.bits[name]} bits; set datapath.activation_bits to "
                f"{kind.bits}"
            )
        return activation_type(kind, self.bits[name], self.codes.get(name))

    def _node(self, node: Node) -> Node:
        """The node on its new tensors, and with the machine's requantizer."""
        datapath = datapath_of(node, self.datapath)
        self._check_fixed(node, datapath)
        source = node.source
        given = source.inputs if source else self.graph.types(node.inputs)
        made = source.outputs if source else self.graph.output_types(node)
        names, kinds = list(node.inputs), list(given)
        for i, (name, kind) in enumerate(zip(node.inputs, given, strict=True)):
            kinds[i] = kind if kind is None else self._type(name, kind)
        if isinstance(node.op, MacOperator) and not datapath.graph:
            self._operands(node, node.op, datapath, names, kinds)
        outputs = [self._type(n, kind) for n, kind in zip(node.outputs, made, strict=False)]
        changed = any(a is not b for a, b in zip((*given, *made), (*kinds, *outputs), strict=False))
        if changed or names != list(node.inputs):
            node = self._decoded(node, names, kinds, outputs)
        if isinstance(node.op, MacOperator) and datapath.narrow and not datapath.graph:
            self._check_operands(node, node.op, datapath, names)
        if isinstance(node.op, MacOperator) and datapath.requantize and not datapath.graph:
            return _requantized(node, node.op, datapath.requantize)
        return node

    def _check_operands(
        self, node: Node, op: MacOperator, datapath: Datapath, names: list[str]
    ) -> None:
        """Refuse operands that stayed wider than the datapath, and say why they did."""
        limits = (("activation", datapath.activation_bits), ("weight", datapath.weight_bits))
        for at, (what, limit) in zip(op.positions, limits, strict=False):
            found = self.tensors[names[at]].bits
            if found <= limit:
                continue
            keeper = self.kept.get(names[at])
            reason = "there is no grid to narrow them on"
            if keeper is not None:
                reason = f"{keeper} keeps the grid that it shares with them"
            raise Unsupported(
                f"{self.graph.name}, {node.name}: its {what}s have {found} bits, the datapath "
                f"{limit}, and {reason}; widen datapath.{what}_bits for this layer"
            )

    def _check_fixed(self, node: Node, datapath: Datapath) -> None:
        """Refuse an operator of fixed widths whose first operands are wider than the datapath."""
        if not node.op.fixed_widths or datapath.graph or not datapath.narrow:
            return
        codes = [(n, self.graph.tensors[n]) for n in node.inputs if n]
        operands = [(n in self.graph.constants, kind.bits) for n, kind in codes if is_codes(kind)]
        for constant, limit in ((False, datapath.activation_bits), (True, datapath.weight_bits)):
            least = min((bits for held, bits in operands if held == constant), default=0)
            if least > limit:
                raise Unsupported(
                    f"{self.graph.name}, {node.name}: {node.op.kind} has operands of {least} bits, "
                    f"the datapath {limit}; it cannot be narrowed: {node.op.fixed_widths}. Widen "
                    "the datapath for this layer, or choose a model without it"
                )

    def _operands(
        self,
        node: Node,
        op: MacOperator,
        datapath: Datapath,
        names: list[str],
        kinds: list[TensorType | None],
    ) -> None:
        """Put the new weights and bias of a product into `names` and `kinds`."""
        x_at, w_at, bias_at = op.positions
        given = node.source.inputs if node.source else self.graph.types(node.inputs)
        x, w, new_x, new_w = given[x_at], given[w_at], kinds[x_at], kinds[w_at]
        if x is None or w is None or new_x is None or new_w is None:
            return
        if w.quant and names[w_at] in self.graph.constants:
            new_w = kinds[w_at] = self._weights(node, datapath, names, (w_at, w, new_x))
        bias = kinds[bias_at] if bias_at < len(kinds) else None
        before, after = (x.quant, w.quant), (new_x.quant, new_w.quant)
        if bias is not None and bias.dtype in ("int32", "int64") and before != after:
            wide = new_x.dtype != x.dtype or bias.dtype == "int64"
            kind = replace(bias, dtype="int64" if wide else "int32", bits=64 if wide else 32)
            kinds[bias_at] = self._bias(node, names, bias_at, kind, (before, after))

    def _bias(
        self,
        node: Node,
        names: list[str],
        at: int,
        kind: TensorType,
        grids: tuple[OperandGrids, OperandGrids],
    ) -> TensorType:
        """The bias on the grid of the new products; its type, its new name in `names`."""
        if names[at] not in self.graph.constants:
            raise Unsupported(
                f"{self.graph.name}, {node.name}: its bias is computed at run time and cannot be "
                "re-quantized; fold it before export"
            )
        scales = [(x.scale[0], w.scale) for x, w in grids if x is not None and w is not None]
        old, (x_scale, w_scales) = scales
        value = self.graph.constants[names[at]]
        codes = np.array(convert_bias(value, old, (x_scale, w_scales)), kind.dtype)
        if kind.quant is not None:
            products = tuple(float(np.float32(x_scale * s)) for s in w_scales)
            axis = 0 if len(products) > 1 else None
            kind = replace(kind, quant=QuantParams(products, (0,) * len(products), axis))
        names[at] = self._place(names[at], node, kind, codes.reshape(value.shape))
        return kind

    def _weights(
        self,
        node: Node,
        datapath: Datapath,
        names: list[str],
        operands: tuple[int, TensorType, TensorType],
    ) -> TensorType:
        """Narrow and restrict constant weights; their new type, their new name in `names`."""
        at, stated, x = operands
        old = stated
        name, place = names[at], f"{self.graph.name}, {node.name}"
        stored = self.graph.tensors[name].quant
        if old.quant is not None and stored is not None and old.quant.axis != stored.axis:
            # A node may state its scales in the file's layout; the values are in the graph's.
            old = replace(old, quant=replace(old.quant, axis=stored.axis))
        # int16 operators take signed weights alone.
        new = signed_type(old) if x.dtype == "int16" and old.dtype == "uint8" else old
        if datapath.narrow and datapath.weight_bits < new.bits:
            new = weight_type(new, datapath.weight_bits, place)
        values = self.graph.constants[name]
        codes = values if new is old else convert(values, old, new)
        clamped = 0
        if datapath.restricted_weights:
            least = value_range(new)[0] + 1
            within = convert(codes, new, new, least)
            clamped = int(np.count_nonzero(within != codes))
            codes = within if clamped else codes
        if clamped and not datapath.narrow:
            raise Unsupported(
                f"{place}: {clamped} of its weights have the code {least - 1}, which "
                "datapath.restricted_weights leaves out; set datapath.narrow: true to move them up "
                "by one"
            )
        if new is old and not clamped:
            return stated
        names[at] = self._place(name, node, new, codes)
        self.changes.append(Change(name, "weights", old.bits, new.bits, clamped))
        return replace(new)

    def _place(self, name: str, node: Node, kind: TensorType, value: Array) -> str:
        """Store a node's own constant: under its name, or under a new one where others read it."""
        if self.readers[name] > 1 or name in self.graph.outputs:
            name = f"{name}@{node.name}"
        self.tensors[name], self.constants[name] = kind, value
        return name

    def _decoded(
        self,
        node: Node,
        names: list[str],
        kinds: list[TensorType | None],
        outputs: list[TensorType],
    ) -> Node:
        """The node's operator decoded again; raises Unsupported where it does not follow."""
        op, source, place = node.op, node.source, f"{self.graph.name}, {node.name}"
        if source is None and op.kind in _PLAIN:
            return node
        reason = op.fixed_widths if source else "it was made in memory, and not read from a file"
        if reason or source is None:
            raise Unsupported(
                f"{place}: {op.kind} cannot be re-quantized: {reason}. Set datapath.narrow: false "
                "and widen the datapath, or choose a model without it"
            )
        if op.parameters_of:
            self._parameters(node, names, kinds[0] if op.parameters_of == "input" else outputs[0])
        new = replace(
            source,
            inputs=tuple(kinds),
            outputs=tuple(outputs),
            constants=tuple(self.constants.get(name) for name in names),
        )
        try:
            return Node(node.name, type(op).decode(new), tuple(names), node.outputs, new)
        except (IllegalGraph, Unsupported) as error:
            rule = str(error).removeprefix(f"{source.place}: ").split(". ")[0]
            raise Unsupported(
                f"{place}: {op.kind} cannot be re-quantized: {rule}. Choose other widths, or leave "
                "datapath.narrow and datapath.widen false"
            ) from None

    def _parameters(self, node: Node, names: list[str], codes: TensorType | None) -> None:
        """Scale and zero point (inputs 1 and 2) as values of the new grid."""
        if codes is None or codes.quant is None:
            return
        values: tuple[tuple[int, float], ...] = (
            (1, codes.quant.scale[0]),
            (2, codes.quant.zero_point[0]),
        )
        for at, value in values:
            name = names[at] if at < len(names) else ""
            if not name:
                continue
            kind = self.graph.tensors[name]
            if at == 2:
                kind = replace(kind, dtype=codes.dtype, bits=codes.bits)
            held = np.full(kind.shape, value, dtype=STORAGE.get(kind.dtype, kind.dtype))
            names[at] = self._place(name, node, kind, held)


def _requantized(node: Node, op: MacOperator, by: Requantizer) -> Node:
    requantize = override(op.weighted.requantize, by)
    if requantize == op.weighted.requantize:
        return node
    # Every final product is a dataclass with this field.
    made: MacOperator = replace(cast(Any, op), weighted=replace(op.weighted, requantize=requantize))
    return replace(node, op=made)
