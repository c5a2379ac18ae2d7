"""A network as data: layers with names, what they read, their shapes and the shapes of weights.

Read `Weight`, `Layer`, `Description`, then `Builder`, which makes one. A layer is an operator of
TFLite with that format's options; a batch normalization that a convolution takes is noted on it.
`workloads.zoo.lowering` makes a graph of it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any, Final, Literal, TypeAlias

from simulator.decode import Padding, window

Shape: TypeAlias = tuple[int, ...]
Norm: TypeAlias = Literal["none", "shift", "scale_and_shift"]
"""Which trainable vectors a batch normalization has; it always has a mean and a variance."""
_VECTORS: Final[Mapping[Norm, int]] = {"none": 0, "shift": 1, "scale_and_shift": 2}
_STATISTICS: Final = 2
PROBABILITIES: Final = ("SOFTMAX", "LOGISTIC")
"""Operators whose outputs lie from 0 to 1."""


@dataclass(frozen=True)
class Weight:
    """A constant of a layer. `trained` is False for a bias that only folding brings about."""

    role: str
    shape: Shape
    trained: bool = True

    @property
    def elements(self) -> int:
        """Number of elements."""
        return prod(self.shape)


@dataclass(frozen=True)
class Layer:
    """One operator: `operands` are layers or inputs by name, and weights, in the operator's order.

    `settings` are constants that shape the operator (axes, sizes), in the places behind the
    operands. `norm` is the batch normalization that is folded into weights and bias, of
    `channels` channels; `statistics` are moving averages of one that stands alone.
    """

    name: str
    op: str
    operands: tuple[str | Weight, ...]
    shape: Shape
    options: Mapping[str, Any] = field(default_factory=dict)
    settings: tuple[Shape, ...] = ()
    norm: Norm = "none"
    statistics: int = 0

    @property
    def weights(self) -> tuple[Weight, ...]:
        """The constants among the operands."""
        return tuple(operand for operand in self.operands if isinstance(operand, Weight))

    @property
    def parameters(self) -> int:
        """Trained values, the vectors of a normalization among them, its statistics not."""
        held = sum(weight.elements for weight in self.weights if weight.trained)
        return held + _VECTORS[self.norm] * (self.shape[-1] if self.norm != "none" else 0)

    @property
    def averages(self) -> int:
        """Moving averages of normalizations, folded or not: no training step updates them."""
        folded = _STATISTICS * self.shape[-1] if self.norm != "none" else 0
        return folded + self.statistics


@dataclass(frozen=True)
class Description:
    """A network: its inputs by name with their shapes (integers are `indices`), and its layers."""

    name: str
    inputs: Mapping[str, Shape]
    layers: tuple[Layer, ...]
    outputs: tuple[str, ...]
    indices: tuple[str, ...] = ()

    @property
    def parameters(self) -> int:
        """Trained values of all layers (what PyTorch counts)."""
        return sum(layer.parameters for layer in self.layers)

    @property
    def variables(self) -> int:
        """Parameters and the moving averages of normalizations (what Keras counts)."""
        return self.parameters + sum(layer.averages for layer in self.layers)


@dataclass(frozen=True)
class _Windows:
    """Windows that slide over an image."""

    kernel: tuple[int, int]
    stride: int
    dilation: int
    padding: Padding

    def output(self, x: Shape, channels: int) -> Shape:
        """(n, oy, ox, channels) of an input (n, h, w, c)."""
        step, rate = (self.stride, self.stride), (self.dilation, self.dilation)
        return x[0], *window(x[1], x[2], self.kernel, step, rate, self.padding).output, channels


class Builder:
    """A network being described: every method appends a layer and gives its name."""

    def __init__(self, name: str, norm: Norm = "scale_and_shift", activation: str = "RELU") -> None:
        self.name, self.norm, self.activation = name, norm, activation
        self.scope = ""
        self.inputs: dict[str, Shape] = {}
        self.indices: list[str] = []
        self.layers: dict[str, Layer] = {}

    def input(self, shape: Shape, name: str = "image", *, index: bool = False) -> str:
        """An input of the network."""
        self.inputs[name] = shape
        if index:
            self.indices.append(name)
        return name

    def image(self, side: int) -> str:
        """A colour image."""
        return self.input((1, side, side, 3))

    def shape(self, name: str) -> Shape:
        """The shape of a layer's output, or of an input."""
        return self.inputs[name] if name in self.inputs else self.layers[name].shape

    def channels(self, name: str) -> int:
        """The last axis."""
        return self.shape(name)[-1]

    def done(self, *outputs: str) -> Description:
        """The description, with these outputs."""
        layers = tuple(self.layers.values())
        return Description(self.name, self.inputs, layers, outputs, tuple(self.indices))

    def layer(self, op: str, operands: Sequence[str | Weight], shape: Shape, **rest: Any) -> str:
        """Any operator; `rest` are the other fields of `Layer`."""
        name = f"{self.scope}{op.lower()}_{len(self.layers)}"
        self.layers[name] = Layer(name, op, tuple(operands), shape, **rest)
        return name

    def conv(
        self,
        x: str,
        filters: int,
        kernel: int | tuple[int, int] = 1,
        stride: int = 1,
        *,
        padding: Padding = "SAME",
        dilation: int = 1,
        groups: int = 1,
        bias: bool = False,
        norm: Norm | None = None,
        activation: str | None = None,
    ) -> str:
        """A convolution, its normalization folded and its activation fused.

        `norm` and `activation` are the network's where they are None.
        """
        ky, kx = (kernel, kernel) if isinstance(kernel, int) else kernel
        given = Weight("filters", (filters, ky, kx, self.channels(x) // groups))
        over = _Windows((ky, kx), stride, dilation, padding)
        return self._windowed("CONV_2D", (x, given), filters, over, bias, norm, activation)

    def depthwise(
        self,
        x: str,
        kernel: int = 3,
        stride: int = 1,
        *,
        dilation: int = 1,
        norm: Norm | None = None,
    ) -> str:
        """A depthwise convolution of one filter a channel."""
        filters = self.channels(x)
        given = Weight("filters", (1, kernel, kernel, filters))
        over = _Windows((kernel, kernel), stride, dilation, "SAME")
        return self._windowed("DEPTHWISE_CONV_2D", (x, given), filters, over, False, norm, None)

    def _windowed(
        self,
        op: str,
        operands: tuple[str, Weight],
        filters: int,
        over: "_Windows",
        bias: bool,
        norm: Norm | None,
        activation: str | None,
    ) -> str:
        norm = self.norm if norm is None else norm
        given: list[str | Weight] = [*operands]
        if bias or norm != "none":
            given.append(Weight("bias", (filters,), trained=bias))
        options = {
            "stride_h": over.stride,
            "stride_w": over.stride,
            "dilation_h_factor": over.dilation,
            "dilation_w_factor": over.dilation,
            "padding": over.padding,
            "depth_multiplier": 1,
            "fused_activation_function": self.activation if activation is None else activation,
        }
        shape = over.output(self.shape(operands[0]), filters)
        return self.layer(op, given, shape, options=options, norm=norm)

    def pool(
        self,
        x: str,
        kernel: int,
        stride: int,
        *,
        average: bool = False,
        padding: Padding = "SAME",
    ) -> str:
        """The maximum or the average of windows."""
        over = _Windows((kernel, kernel), stride, 1, padding)
        shape = over.output(self.shape(x), self.channels(x))
        options = {
            "filter_height": kernel,
            "filter_width": kernel,
            "stride_h": stride,
            "stride_w": stride,
            "padding": padding,
            "fused_activation_function": "NONE",
        }
        op = "AVERAGE_POOL_2D" if average else "MAX_POOL_2D"
        return self.layer(op, [x], shape, options=options)

    def mean(self, x: str, *axes: int, keep_dims: bool = False) -> str:
        """The mean over axes."""
        given = self.shape(x)
        kept = tuple(1 if k in axes else size for k, size in enumerate(given))
        gone = tuple(size for k, size in enumerate(given) if k not in axes)
        shape = kept if keep_dims else gone
        return self.layer("MEAN", [x], shape, settings=(axes,), options={"keep_dims": keep_dims})

    def dense(
        self, x: str, units: int, *, bias: bool = True, activation: str = "NONE", rows: bool = False
    ) -> str:
        """A fully connected layer on all elements, or with `rows` on each row of the last axis."""
        given = self.shape(x)
        taps = given[-1] if rows else prod(given)
        operands: list[str | Weight] = [x, Weight("filters", (units, taps))]
        if bias:
            operands.append(Weight("bias", (units,)))
        options = {"fused_activation_function": activation, "keep_num_dims": rows}
        shape = (*given[:-1], units) if rows else (1, units)
        return self.layer("FULLY_CONNECTED", operands, shape, options=options)

    def classify(self, x: str, classes: int) -> str:
        """A global average, a fully connected layer and a softmax."""
        return self.softmax(self.dense(self.mean(x, 1, 2), classes))

    def pointwise(
        self, op: str, x: str, other: "str | Weight | None" = None, activation: str = "NONE"
    ) -> str:
        """An operator on each element, of one tensor or of two that broadcast to the first."""
        operands = [x] if other is None else [x, other]
        options = {} if other is None else {"fused_activation_function": activation}
        return self.layer(op, operands, self.shape(x), options=options)

    def add(self, x: str, other: str, activation: str = "NONE") -> str:
        """The sum of two tensors of one shape."""
        return self.pointwise("ADD", x, other, activation)

    def normalize(self, x: str, activation: str = "RELU") -> str:
        """A batch normalization that no convolution takes: a product, then a sum, by channel."""
        channels = (self.channels(x),)
        scaled = self.layer(
            "MUL", [x, Weight("scale", channels)], self.shape(x), statistics=2 * channels[0]
        )
        return self.pointwise("ADD", scaled, Weight("shift", channels), activation)

    def concat(self, parts: Sequence[str], axis: int = -1) -> str:
        """The parts one after the other along an axis."""
        given = self.shape(parts[0])
        axis %= len(given)
        size = sum(self.shape(part)[axis] for part in parts)
        shape = (*given[:axis], size, *given[axis + 1 :])
        return self.layer("CONCATENATION", parts, shape, options={"axis": axis})

    def resize(self, x: str, size: tuple[int, int]) -> str:
        """Bilinear interpolation to a height and width."""
        n, _, _, channels = self.shape(x)
        shape = (n, *size, channels)
        return self.layer("RESIZE_BILINEAR", [x], shape, settings=(size,))

    def softmax(self, x: str) -> str:
        """Over the last axis."""
        return self.layer("SOFTMAX", [x], self.shape(x), options={"beta": 1.0})

    def reshape(self, x: str, *shape: int) -> str:
        """The same elements under another shape."""
        return self.layer("RESHAPE", [x], shape, settings=(shape,))

    def transpose(self, x: str, *order: int) -> str:
        """The axes in another order."""
        given = self.shape(x)
        return self.layer("TRANSPOSE", [x], tuple(given[k] for k in order), settings=(order,))

    def slice(self, x: str, begin: int, size: int) -> str:
        """`size` elements of the last axis from `begin` on."""
        given = self.shape(x)
        shape = (*given[:-1], size)
        start = (*(0,) * (len(given) - 1), begin)
        return self.layer("SLICE", [x], shape, settings=(start, shape))

    def row(self, x: str, index: int) -> str:
        """One row of the second axis, which stays with length 1."""
        n, _, size = self.shape(x)
        settings = ((0, index, 0), (n, 1, size))
        return self.layer("SLICE", [x], (n, 1, size), settings=settings)

    def pad_channels(self, x: str, channels: int) -> str:
        """Zeros behind the last axis up to so many channels."""
        *lead, given = self.shape(x)
        pads = (*(0, 0) * len(lead), 0, channels - given)
        return self.layer("PAD", [x], (*lead, channels), settings=(pads,))

    def matmul(self, x: str, y: str, *, transposed: bool = False) -> str:
        """The matrix product of the last two axes, with `transposed` of the second's swapped."""
        columns = self.shape(y)[-2 if transposed else -1]
        options = {"adj_x": False, "adj_y": transposed}
        return self.layer("BATCH_MATMUL", [x, y], (*self.shape(x)[:-1], columns), options=options)

    def lookup(self, indices: str, rows: int, size: int, role: str) -> str:
        """Rows of a trained table, one for each index."""
        table = Weight(role, (rows, size))
        shape = (*self.shape(indices), size)
        return self.layer("GATHER", [table, indices], shape, options={"axis": 0, "batch_dims": 0})
