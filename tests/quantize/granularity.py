"""Networks on grids of every granularity, as in Krishnamoorthi 2018 (arXiv 1806.08342) section 3.1.

Weights by their least and greatest value: one affine grid a layer, symmetric or affine ones a
channel. Activations affine, one grid a tensor, by the moving average of batches. Nothing is mended:
these are the baselines of every step.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import partial
from types import MappingProxyType
from typing import Final, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from simulator.execute import run
from simulator.graph import Array, Graph
from tests.digits_mlp import digits
from workloads.float_graph import layers
from workloads.quantize import PER_TENSOR, Form, affine, per_channel, symmetric
from workloads.quantize.ptq.calibrate import Method, RangeSettings, calibrate
from workloads.quantize.ptq.places import places
from workloads.quantize.ptq.plan import Plan, Weights
from workloads.quantize.ptq.simulate import simulated
from workloads.quantize.ptq.steps import WeightRanges, weight_grid
from workloads.quantize.sqnr import sqnr_db_by

Batches: TypeAlias = Iterable[Mapping[str, Array]]


class Scheme(NamedTuple):
    """Symmetric or affine grids of weights, one a layer or one a channel."""

    symmetric: bool
    channels: bool

    def form(self, bits: int) -> Form:
        """Its grids: symmetric ones leave out the least code."""
        if self.symmetric:
            return partial(symmetric, bits=bits, restricted=True)
        return partial(affine, bits=bits)


ASYM_LAYER: Final = Scheme(symmetric=False, channels=False)
SYM_LAYER: Final = Scheme(symmetric=True, channels=False)
SYM_CHANNEL: Final = Scheme(symmetric=True, channels=True)
ASYM_CHANNEL: Final = Scheme(symmetric=False, channels=True)
OF_PAPER: Final = MappingProxyType(
    {"asym/layer": ASYM_LAYER, "sym/channel": SYM_CHANNEL, "asym/channel": ASYM_CHANNEL}
)
"""The columns of the paper's tables."""


def quantized(
    graph: Graph,
    scheme: Scheme,
    weight_bits: int,
    activation_bits: int | None = None,
    batches: Batches = (),
    *,
    ranges: WeightRanges = "minmax",
    activations: Method = "moving-average",
) -> Plan:
    """A graph's weights on grids, and its activations where they have bits: seen in `batches`."""
    weights = dict[str, Weights]()
    for layer in layers(graph):
        value = graph.constants[layer.weights].astype(np.float64)
        layout = per_channel(layer.filter_axis) if scheme.channels else PER_TENSOR
        grid = weight_grid(value, scheme.form(weight_bits), layout, ranges)
        weights[layer.weights] = Weights(grid.quantize(value), grid)
    plan = Plan(graph, weights, {})
    if activation_bits is None:
        return plan
    return with_activations(plan, activation_bits, batches, activations)


def with_activations(
    plan: Plan, bits: int, batches: Batches, method: Method = "moving-average"
) -> Plan:
    """The plan with its activations on grids, as they are behind its weights."""
    width = dict.fromkeys(places(plan.graph).groups, bits)
    grids = calibrate(simulated(replace(plan, activations={})), batches, width, _by(method))
    return replace(plan, activations=grids)


def _by(method: Method) -> RangeSettings:
    return RangeSettings(method)


def in_rows(graph: Graph, rows: int) -> Graph:
    """A network of rows, one a sample, with so many at once."""
    tensors = {
        name: kind if name in graph.constants else replace(kind, shape=(rows, *kind.shape[1:]))
        for name, kind in graph.tensors.items()
    }
    return replace(graph, tensors=tensors)


def batches_of_digits(size: int = 32) -> list[dict[str, Array]]:
    """The images of the training half, [samples, 1, 64] a batch."""
    x = digits().train
    return [{"x": x[at : at + size, None]} for at in range(0, len(x), size)]


def digits_accuracy(graph: Graph) -> float:
    """Of the test images in percent, all of them at once."""
    data = digits()
    wide = in_rows(graph, len(data.test))
    kind = wide.tensors["x"].dtype
    (found,) = run(wide, {"x": data.test.astype(kind)})[0].values()
    return float(100 * np.mean(found.argmax(axis=1) == data.test_labels))


def plan_accuracy(plan: Plan) -> float:
    """The same of a plan's network."""
    return digits_accuracy(simulated(plan))


def channel_sqnr_db(plan: Plan) -> list[NDArray[np.float64]]:
    """Of each layer's weights, one an output channel."""
    return [
        sqnr_db_by(
            plan.graph.constants[layer.weights].astype(np.float64),
            plan.weights[layer.weights].real(),
            per_channel(layer.filter_axis),
        )
        for layer in layers(plan.graph)
    ]
