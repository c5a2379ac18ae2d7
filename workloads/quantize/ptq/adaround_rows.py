"""What AdaRound fits a layer on: a seeded sample of the rows that its products multiply.

A row is one input of the product: the patch under the window for one output pixel of one image, or
one vector of a matrix product. Its target is what the float layer gives there.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from simulator.errors import IllegalValues
from simulator.graph import Array, Graph
from simulator.ops.float_conv_2d import FloatConv2D
from workloads.float_graph import Layer
from workloads.quantize.ptq.simulate import forward

Singles: TypeAlias = NDArray[np.float32]
Numbers: TypeAlias = NDArray[np.int64]
Batches: TypeAlias = Iterable[Mapping[str, Array]]


@dataclass(frozen=True)
class Rows:
    """Inputs (groups, rows, taps) on the quantized network, targets (groups, rows, outputs)."""

    inputs: Singles
    targets: Singles

    @classmethod
    def empty(cls, groups: int, rows: int, taps: int, outputs: int) -> "Rows":
        """Room for so many, not yet filled."""
        shapes = (groups, rows, taps), (groups, rows, outputs)
        return cls(*(np.empty(shape, np.float32) for shape in shapes))

    @property
    def count(self) -> int:
        """Number of rows."""
        return int(self.inputs.shape[1])


@dataclass(frozen=True)
class Choice:
    """Which rows: for each its sample, counted over all batches, and its place in the output."""

    samples: Numbers
    places: Numbers


def as_matrices(layer: Layer, values: Array) -> Array:
    """Weights, or anything of their shape, as (groups, outputs of a group, taps)."""
    moved = np.moveaxis(values, layer.filter_axis, 0)
    return moved.reshape(layer.groups, len(moved) // layer.groups, -1)


def from_matrices(layer: Layer, matrices: Array, shape: tuple[int, ...]) -> Array:
    """`as_matrices` backwards."""
    axis = layer.filter_axis
    moved = (shape[axis], *(n for a, n in enumerate(shape) if a != axis))
    return np.ascontiguousarray(np.moveaxis(matrices.reshape(moved), 0, axis))


def count_samples(batches: Batches) -> int:
    """Samples of all batches; raises IllegalValues for none, and for what can be read only once."""
    if iter(batches) is batches:
        raise IllegalValues("calibration batches are read again for each layer; give a list")
    count = sum(len(next(iter(batch.values()))) for batch in batches)
    if not count:
        raise IllegalValues("AdaRound needs calibration samples; found none")
    return count


def choose(
    samples: int, places: int, rows: int, held_out: float, seed: int
) -> tuple[Choice, Choice]:
    """(rows to fit on, rows to judge by), of other samples: a share `held_out` of them.

    Uniform over the outputs of `places` a sample, at most `rows` to fit on and a quarter of them to
    judge by, in random order.
    """
    rng = np.random.default_rng(seed)
    order = rng.permutation(samples)
    held = min(round(held_out * samples), samples - 1)
    found = list[Choice]()
    for part, most in ((order[held:], rows), (order[:held], -(-rows // 4))):
        outputs = len(part) * places
        drawn = rng.choice(outputs, min(most, outputs), replace=False) if outputs else np.zeros(0)
        at, place = np.divmod(drawn.astype(np.int64), places)
        found.append(Choice(part[at].astype(np.int64), place))
    return found[0], found[1]


def collect(
    graph: Graph, quantized: Graph, layer: Layer, batches: Batches, choices: Sequence[Choice]
) -> tuple[Rows, ...]:
    """The chosen rows of a layer: inputs as `quantized` has them, targets of the float `graph`.

    Either network goes over the batches once, with one of them in memory at a time.
    """
    weights = graph.constants[layer.weights]
    taps = as_matrices(layer, weights).shape[2]
    outputs = weights.shape[layer.filter_axis] // layer.groups
    found = tuple(Rows.empty(layer.groups, len(c.samples), taps, outputs) for c in choices)
    node = next(n for n in quantized.nodes if n.name == layer.node.name)
    source, start = node.inputs[0], 0
    passes = (forward(graph, batches, [layer.output]), forward(quantized, batches, [source]))
    for real, held in zip(*passes, strict=True):
        y, x = real[layer.output], held[source]
        y = y.reshape(len(y), -1, outputs * layer.groups)
        for rows, choice in zip(found, choices, strict=True):
            (at,) = np.nonzero((choice.samples >= start) & (choice.samples < start + len(x)))
            samples, places = choice.samples[at] - start, choice.places[at]
            rows.targets[:, at] = _by_group(y[samples, places], layer.groups)
            rows.inputs[:, at] = _inputs(layer, x, samples, places)
        start += len(x)
    return found


def _inputs(layer: Layer, x: Array, samples: Numbers, places: Numbers) -> Array:
    """Rows (groups, rows, taps) of an input [samples, *shape]."""
    op = layer.node.op
    if not isinstance(op, FloatConv2D):
        return x.reshape(len(x), -1, x.shape[-1])[samples, places][None]
    window = op.windows.over(x.shape[1:])
    image, pixel = np.divmod(places, window.output[0] * window.output[1])
    corner = np.divmod(pixel, window.output[1])
    which = samples * x.shape[1] + image
    sides = [
        (corner[k] * window.stride[k] - window.padding[k])[:, None]
        + np.arange(window.kernel[k]) * window.dilation[k]
        for k in (0, 1)
    ]
    images = x.reshape(-1, *x.shape[2:])
    patches = _patches(images, which, sides)
    return _by_group(patches, layer.groups)


def _patches(images: Array, which: Numbers, sides: list[Any]) -> Array:
    """(rows, taps of a position, channels): the pixels at each row's lines and columns, 0 outside.

    `sides` are the lines (rows, ky) and the columns (rows, kx).
    """
    inside = [
        (side >= 0) & (side < size) for side, size in zip(sides, images.shape[1:3], strict=True)
    ]
    lines, columns = (
        np.clip(side, 0, size - 1) for side, size in zip(sides, images.shape[1:3], strict=True)
    )
    found = images[which[:, None, None], lines[:, :, None], columns[:, None, :]]
    found *= (inside[0][:, :, None] & inside[1][:, None, :])[..., None]
    return np.asarray(found.reshape(len(which), found.shape[1] * found.shape[2], images.shape[3]))


def _by_group(rows: Array, groups: int) -> Array:
    """(rows, .., channels) as (groups, rows, .. times channels of a group)."""
    split = rows.reshape(*rows.shape[:-1], groups, rows.shape[-1] // groups)
    columns = prod(rows.shape[1:]) // groups
    return np.asarray(np.moveaxis(split, -2, 0).reshape(groups, len(rows), columns))
