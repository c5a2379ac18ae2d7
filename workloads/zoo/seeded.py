"""A described network as a float32 graph with drawn weights: it runs, and nothing was trained.

Layers are as they stand before a converter folds them: convolution, batch normalization,
activation. For the steps of quantization, for time and memory; never for accuracy.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np

from simulator.graph import Array, Graph, Node, Source, TensorType
from simulator.numeric.dialect import dialect
from simulator.registry import find
from workloads.tflite.numbers import TO_FILTERS_FIRST, options_of, registered_name
from workloads.zoo.description import Description, Layer
from workloads.zoo.drawn import EPSILON, Drawn, Norm, Values

_REAL: Final = ("float32", 32)
_SAME: Final = {"fused_activation_function": "NONE"}


def seeded(network: Description, seed: int) -> Graph:
    """The graph; its name says that the weights are seeded. The same bits for the same seed."""
    return _Seeded(network, Drawn(network, seed)).graph()


class _Seeded:
    """The tensors and nodes made so far."""

    def __init__(self, network: Description, drawn: Drawn) -> None:
        self.network = network
        self.drawn = drawn
        self.rules = dialect("litert-ref")
        self.nodes: list[Node] = []
        self.constants: dict[str, Array] = {}
        self.tensors = {
            name: TensorType(shape, *(("int32", 32) if name in network.indices else _REAL))
            for name, shape in network.inputs.items()
        }

    def graph(self) -> Graph:
        """Every layer in order."""
        for layer in self.network.layers:
            self._layer(layer, self.drawn.values(layer))
        inputs, outputs = tuple(self.network.inputs), self.network.outputs
        name = f"{self.network.name} (seeded weights)"
        return Graph(name, tuple(self.nodes), self.tensors, self.constants, inputs, outputs)

    def _layer(self, layer: Layer, values: Values) -> None:
        names = []
        for operand in layer.operands:
            if isinstance(operand, str):
                names.append(operand)
            elif operand.role in values.weights:
                value = values.weights[operand.role]
                if layer.op == "DEPTHWISE_CONV_2D" and operand.role == "filters":
                    value = np.ascontiguousarray(value.transpose(TO_FILTERS_FIRST))
                names.append(self._constant(f"{layer.name}.{operand.role}", value))
        if layer.norm != "none" and values.norm is not None:
            self._normalized(layer, names, values.norm)
        elif layer.op == "GELU":
            self._gelu(layer, names[0])
        elif layer.op == "BATCH_MATMUL" and layer.options["adj_y"]:
            self._product_of_turned(layer, names)
        else:
            self._operator(layer.name, layer.op, names, layer, layer.name)

    def _normalized(self, layer: Layer, names: list[str], norm: Norm) -> None:
        """The layer, its normalization, and the activation that is fused with both later."""
        sums, out = f"{layer.name}/sums", layer.name
        self._operator(sums, layer.op, names, layer, layer.name, _SAME)
        vectors = [self._constant(f"{out}.{role}", v) for role, v in norm._asdict().items()]
        options = {"axis": len(layer.shape) - 1, "epsilon": EPSILON}
        activation = str(layer.options["fused_activation_function"])
        made = out if activation == "NONE" else f"{out}/normalized"
        node = f"{out}/norm"
        self._node(node, "onnx:BatchNormalization", [sums, *vectors], made, layer.shape, options)
        if activation != "NONE":
            self._operator(out, activation, [made], layer, f"{out}/{activation.lower()}")

    def _gelu(self, layer: Layer, x: str) -> None:
        """Nodes for x (1 + erf(x / sqrt(2))) / 2 (Hendrycks and Gimpel, arXiv 1606.08415)."""
        out = layer.name
        root, one, half = (
            self._constant(f"{out}.{role}", np.array([value], np.float32))
            for role, value in (("root", 0.5**0.5), ("one", 1.0), ("half", 0.5))
        )
        steps = [f"{out}/{step}" for step in ("scaled", "erf", "lifted", "gated")]
        self._operator(steps[0], "MUL", [x, root], layer, steps[0], _SAME)
        function = {"function": "erf", "parameters": ()}
        self._node(steps[1], "onnx:Erf", [steps[0]], steps[1], layer.shape, function)
        self._operator(steps[2], "ADD", [steps[1], one], layer, steps[2], _SAME)
        self._operator(steps[3], "MUL", [x, steps[2]], layer, steps[3], _SAME)
        self._operator(out, "MUL", [steps[3], half], layer, out, _SAME)

    def _product_of_turned(self, layer: Layer, names: list[str]) -> None:
        """The product with the last two axes of the second operand exchanged before it."""
        shape = self.tensors[names[1]].shape
        order = (*range(len(shape) - 2), len(shape) - 1, len(shape) - 2)
        turned = f"{layer.name}/turned"
        axes = self._constant(f"{turned}.axes", np.array(order, np.int32))
        moved = tuple(shape[k] for k in order)
        self._node(turned, "tflite:TRANSPOSE", [names[1], axes], turned, moved, {})
        straight = {"adj_y": False}
        self._operator(layer.name, layer.op, [names[0], turned], layer, layer.name, straight)

    def _operator(
        self,
        output: str,
        op: str,
        names: Sequence[str],
        layer: Layer,
        node: str,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        """An operator of TFLite on reals, with a layer's options, settings and shape."""
        settings = [
            self._constant(f"{layer.name}.setting{index}", np.array(values, np.int32))
            for index, values in enumerate(layer.settings)
        ]
        given = {**layer.options, **(options or {})}
        self._node(node, f"tflite:{op}", [*names, *settings], output, layer.shape, given)

    def _node(
        self,
        node: str,
        name: str,
        names: Sequence[str],
        output: str,
        shape: tuple[int, ...],
        options: Mapping[str, Any],
    ) -> None:
        """A node that gives `output`, decoded as a file's operator `name` would be."""
        kind = TensorType(shape, *_REAL)
        self.tensors[output] = kind
        source = Source(
            place=f"{self.network.name}, {node}",
            options=options,
            inputs=tuple(self.tensors[n] for n in names),
            outputs=(kind,),
            constants=tuple(self.constants.get(n) for n in names),
            dialect=self.rules,
        )
        registered, source = _on_numbers(name, source)
        operator = find(registered, source.place).decode(source)
        self.nodes.append(Node(node, operator, tuple(names), (output,), source))

    def _constant(self, name: str, value: Array) -> str:
        self.constants[name] = value
        self.tensors[name] = TensorType(value.shape, value.dtype.name, 32)
        return name


def _on_numbers(name: str, source: Source) -> tuple[str, Source]:
    """The name that an operator on reals is registered under, and what it is decoded from."""
    file_format, _, op = name.partition(":")
    if file_format != "tflite":
        return name, source
    registered = registered_name(op, "float32")
    if registered == op:
        return name, source
    return f"tflite:{registered}", replace(source, options=options_of(op, source))
