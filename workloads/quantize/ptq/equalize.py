"""Cross-layer equalization: factors moved between layers until both use their range alike.

Nagel et al. 2021 (arXiv 2106.08295) section 3.2, Nagel et al. 2019 (arXiv 1906.04721) section 4.1.
With f(s x) = s f(x) for s > 0, W2 f(W1 x + b1) = (W2 S) f(S^-1 W1 x + S^-1 b1) for a diagonal S.
Layers are joined through ReLU, leaky ReLU and no activation, through pools, means, zero padding and
changes of shape; never across a tensor that something else reads, so only inside residual blocks.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf
from typing import Final, get_args

import numpy as np
from numpy.typing import NDArray

from simulator.errors import BadConfig
from simulator.graph import Graph, Node
from simulator.ops.float_unary import FloatUnary
from workloads.float_graph import Layer, layers
from workloads.quantize.ptq.channels import Joint, changes_alone, cuts_to, is_depthwise, joint
from workloads.quantize.ptq.grouped import bias_of, by_group, from_groups, with_layer_values
from workloads.quantize.ptq.ranges import Magnitudes, factors, magnitudes
from workloads.quantize.ptq.statistics import LayerStatistics, Statistics
from workloads.quantize.ptq.upper_bounds import UpperBounds, without_upper_bounds
from workloads.quantize.quantizer import Reals

_HOMOGENEOUS: Final = ("relu", "clip", "leaky_relu", "abs", "neg")
"""Functions of one tensor with f(s x) = s f(x) for s > 0, the bounds of a clip apart."""
SWEEPS: Final = 1000
TOLERANCE: Final = 1e-7
"""Of a sweep's largest |log s|, at which the ranges are taken for equal."""
NEGLIGIBLE: Final = 2.0**-24
"""Of a channel's bias. Weights below it leave the channel constant, as training leaves many in
float32: it is dead and counts as one with range zero, or its bias would grow out of all bounds."""


@dataclass(frozen=True, eq=False)
class Pair:
    """Two layers, by their weight constants, and the `scale` (channels,) that went between them.

    The first layer's outputs were divided by it, the second's inputs multiplied. `before` and
    `after` are the largest ratio of the two layers' ranges over channels; 1 is equal.
    """

    first: str
    second: str
    scale: Reals
    before: float
    after: float


@dataclass(frozen=True, eq=False)
class Equalization:
    """An equalized graph and what was done.

    `function_changed` names the tensors whose upper bound was dropped: the network computes
    something else where they exceeded it. Empty: the function is kept, up to the rounding of the
    new constants. `residual` is the last sweep's largest |log s|.
    """

    graph: Graph
    pairs: tuple[Pair, ...]
    function_changed: tuple[str, ...]
    sweeps: int
    residual: float

    def scaled(self, statistics: LayerStatistics) -> dict[str, Statistics]:
        """Statistics of the layers' outputs before, as they are after."""
        scales = {pair.first: 1 / pair.scale for pair in self.pairs}
        return {n: s.scaled(scales[n]) if n in scales else s for n, s in statistics.items()}


def equalize(graph: Graph, upper: UpperBounds = "replace") -> Graph:
    """The graph of `equalization`."""
    return equalization(graph, upper).graph


def equalization(
    graph: Graph,
    upper: UpperBounds = "replace",
    *,
    sweeps: int = SWEEPS,
    tolerance: float = TOLERANCE,
) -> Equalization:
    """Equalize every chain of layers of a float graph; batch norms are folded before.

    Pairs, and runs with depthwise layers between, in turn until no factor changes by more than
    `tolerance` or `sweeps` are over. ReLU6 and other upper bounds are not homogeneous. `upper`
    says what becomes of them inside a joined pair: "replace" drops them, ReLU6 becomes ReLU, as the
    2019 paper does for MobileNetV2, and reports them in `function_changed`; "per_channel" keeps the
    function by one bound a channel, 6 / s, a minimum of its own; "keep" leaves such pairs alone.
    """
    if upper not in get_args(UpperBounds):
        known = ", ".join(get_args(UpperBounds))
        raise BadConfig(f"upper must be one of {known}; found {upper!r}")
    work = _Work(graph, _joints(graph, upper))
    before = work.imbalances()
    done, residual = 0, inf
    while done < sweeps and residual > tolerance and work.joints:
        residual = max(work.equalize(run) for run in work.runs)
        done += 1
    scaled, after = work.applied(), work.imbalances()
    scales = {name: s for name, s in work.scales.items() if np.any(s != 1)}
    moved = [work.leaving[name] for name in scales]
    made, dropped = without_upper_bounds(scaled, moved, scales, upper)
    pairs = tuple(
        Pair(name, work.leaving[name].second.weights, s, before[name], after[name])
        for name, s in scales.items()
    )
    return Equalization(made, pairs, dropped, done, residual if work.joints else 0.0)


def _joints(graph: Graph, upper: UpperBounds) -> list[Joint]:
    """Every joined pair of layers whose constants are their own, in order of execution."""

    def passes(node: Node) -> bool:
        low, high = cuts_to(node)
        if isinstance(node.op, FloatUnary) and node.op.function not in _HOMOGENEOUS:
            return False
        capped = 0 < high < inf
        return low in (-inf, 0) and (high in (0, inf) or (capped and upper != "keep"))

    own = [layer for layer in layers(graph) if changes_alone(graph, layer)]
    names = {layer.weights for layer in own}
    found = [joint(graph, layer, passes) for layer in own]
    kept = [j for j in found if j is not None and j.second.weights in names]
    return [j for j in kept if upper != "per_channel" or _channels_known(j)]


def _channels_known(found: Joint) -> bool:
    """Whether each upper bound on the way can have one value a channel."""
    return all(s.channels is not None for s in found.steps if cuts_to(s.node)[1] < inf)


class _Work:
    """The factors found so far, one array a joint, by the first layer's weights."""

    def __init__(self, graph: Graph, joints: Sequence[Joint]) -> None:
        self.graph, self.joints = graph, joints
        self.leaving = {j.first.weights: j for j in joints}
        self.leading = {j.second.weights: j for j in joints}
        self.layers: dict[str, Layer] = {}
        for j in joints:
            self.layers |= {j.first.weights: j.first, j.second.weights: j.second}
        self.magnitudes: Mapping[str, Magnitudes] = {
            name: magnitudes(graph, layer, self.leading.get(name))
            for name, layer in self.layers.items()
        }
        self.scales = {j.first.weights: np.ones(_filters(graph, j.first)) for j in joints}
        self.runs = self._runs()
        self.alive = {j.first.weights: self._alive(run) for run in self.runs for j in run}

    def _runs(self) -> list[list[Joint]]:
        """Joints in chains through depthwise layers, whose channels all correspond."""
        through = {
            name
            for name, layer in self.layers.items()
            if is_depthwise(self.graph, layer)
            and name in self.leading
            and np.array_equal(self.leading[name].channels, np.arange(_filters(self.graph, layer)))
        }
        runs = []
        for found in self.joints:
            if found.first.weights in through:
                continue
            run = [found]
            while run[-1].second.weights in through & self.leaving.keys():
                run.append(self.leaving[run[-1].second.weights])
            runs.append(run)
        return runs

    def equalize(self, run: Sequence[Joint]) -> float:
        """One step for a run; the largest |log s|."""
        alive = self.alive[run[0].first.weights]
        found = factors([np.where(alive, r, 0.0) for r in self._ranges(run)])
        for j, s in zip(run, found, strict=True):
            self.scales[j.first.weights] = self.scales[j.first.weights] * s
        return max(float(np.abs(np.log(s)).max(initial=0)) for s in found)

    def imbalances(self) -> dict[str, float]:
        """The largest ratio of both layers' ranges over the channels of each joint."""
        return {j.first.weights: self._imbalance(j) for j in self.joints}

    def applied(self) -> Graph:
        """The graph with the factors in its weights and biases."""
        values = dict[str, Reals]()
        for name, layer in self.layers.items():
            held = self.graph.constants[name]
            grouped = by_group(held.astype(np.float64), layer)
            groups = len(grouped)
            inputs = self._inputs(layer, None).reshape(groups, 1, -1, 1)
            outputs = self._outputs(layer)
            scaled = grouped * inputs / outputs.reshape(groups, -1, 1, 1)
            values[name] = from_groups(scaled, layer, held.shape)
            if layer.bias:
                values[layer.bias] = bias_of(self.graph, layer) / outputs
        return with_layer_values(self.graph, values)

    def _imbalance(self, found: Joint) -> float:
        alive = self.alive[found.first.weights]
        first, second = (r[alive] for r in self._ranges([found]))
        return float(np.exp(np.abs(np.log(first / second)).max(initial=0)))

    def _alive(self, run: Sequence[Joint]) -> NDArray[np.bool_]:
        """The channels whose ranges are positive numbers, none negligible beside its bias."""
        ranges = np.array(self._ranges(run))
        biases = [np.abs(bias_of(self.graph, j.first)) for j in run]
        least = NEGLIGIBLE * np.array([*biases, np.zeros_like(biases[0])])
        return np.asarray((np.isfinite(ranges) & (ranges > least)).all(axis=0))

    def _ranges(self, run: Sequence[Joint]) -> list[Reals]:
        """Max |w| of each layer of a run by the channel that passes through all."""
        return [*(self._by_output(j.first) for j in run), self._by_input(run[-1])]

    def _by_output(self, layer: Layer) -> Reals:
        found = self.magnitudes[layer.weights]
        return found.by_output(self._inputs(layer, found), self._outputs(layer))

    def _by_input(self, found: Joint) -> Reals:
        held, count = self.magnitudes[found.second.weights], _filters(self.graph, found.first)
        inputs = self._inputs(found.second, held)
        return held.by_input(inputs, self._outputs(found.second), count)

    def _outputs(self, layer: Layer) -> Reals:
        ones = np.ones(_filters(self.graph, layer))
        return self.scales.get(layer.weights, ones)

    def _inputs(self, layer: Layer, slots: Magnitudes | None) -> Reals:
        """The factor of each slot, or of each input without `slots`."""
        before = self.leading.get(layer.weights)
        if before is None:
            weights = by_group(self.graph.constants[layer.weights], layer)
            return np.ones(weights.shape[0] * weights.shape[2])
        scale = np.append(self.scales[before.first.weights], 1.0)  # the last: of no channel
        return np.asarray(scale[before.channels if slots is None else slots.channels])


def _filters(graph: Graph, layer: Layer) -> int:
    return int(graph.constants[layer.weights].shape[layer.filter_axis])
