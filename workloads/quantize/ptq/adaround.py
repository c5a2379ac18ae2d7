"""AdaRound of a network: layer after layer, the codes of its weights up or down.

Nagel et al. 2020 (arXiv 2004.10568) section 3.3, Nagel et al. 2021 (arXiv 2106.08295) section 3.4.
Each layer is fitted to what the float layer gives, on the inputs that the quantized layers before
leave it, fused activation included.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np

from simulator.graph import Array
from simulator.numeric.bounds import Bounds
from workloads.float_graph import Layer, layers
from workloads.float_graph.activations import bounds_on
from workloads.quantize.ptq.adaround_fit import (
    AdaRoundSettings,
    Neighbours,
    fit,
    mean_squared_error,
)
from workloads.quantize.ptq.adaround_rows import (
    Batches,
    Rows,
    as_matrices,
    choose,
    collect,
    count_samples,
    from_matrices,
)
from workloads.quantize.ptq.plan import Plan, Weights
from workloads.quantize.ptq.simulate import simulated


@dataclass(frozen=True)
class AdaRoundStep:
    """How far the work is: iterations done on one of the layers."""

    layer: str
    number: int
    layers: int
    iteration: int
    iterations: int


Progress: TypeAlias = Callable[[AdaRoundStep], None]


@dataclass(frozen=True)
class RoundedLayer:
    """What AdaRound did to a layer: mean squared errors of its output, activation included.

    Both roundings see the same inputs, those of the layers before as AdaRound left them. The
    errors are of the rows fitted on and of samples held out (NaN where there are none). `flips`
    weights of `choices` that lie between two codes took the one farther away. `undecided` is the
    share whose h was neither 0 nor 1 at the end. Unless `kept`, nearest rounding was no worse on
    the rows fitted on and stands.
    """

    node: str
    weights: str
    nearest_mse: float
    mse: float
    held_out_nearest_mse: float
    held_out_mse: float
    flips: int
    choices: int
    undecided: float
    kept: bool


def adaround(
    plan: Plan,
    batches: Batches,
    settings: AdaRoundSettings | None = None,
    progress: Progress | None = None,
) -> Plan:
    """The plan with other codes on the same grids; see `adarounded`."""
    return adarounded(plan, batches, settings, progress)[0]


def adarounded(
    plan: Plan,
    batches: Batches,
    settings: AdaRoundSettings | None = None,
    progress: Progress | None = None,
) -> tuple[Plan, tuple[RoundedLayer, ...]]:
    """The plan with its weights rounded up or down by AdaRound, and what it did to each layer.

    `batches` have every graph input as [samples, *shape] and are read once more for each layer. The
    real weights are those of `plan.graph`; the codes that the plan holds do not matter. Weights
    that several layers share are fitted to the first. Raises IllegalValues for batches that can be
    read only once, or hold no samples.
    """
    settings = settings or AdaRoundSettings()
    samples = count_samples(batches)
    todo = {x.weights: x for x in reversed(layers(plan.graph)) if x.weights in plan.weights}
    made = list[RoundedLayer]()
    for number, layer in enumerate(reversed(todo.values())):

        def tick(done: int, layer: Layer = layer, number: int = number) -> None:
            if progress is not None:
                step = (layer.node.name, number, len(todo), done, settings.iterations)
                progress(AdaRoundStep(*step))

        problem = _Problem.of(plan, layer, batches, samples, settings)
        found = problem.rounded(settings, tick)
        plan = replace(plan, weights={**plan.weights, layer.weights: found[0]})
        made.append(found[1])
    return plan, tuple(made)


@dataclass(frozen=True)
class _Problem:
    """A layer to fit: its weights between codes, its bias, and rows to fit on and to judge by."""

    layer: Layer
    real: Array
    held: Weights
    weights: Neighbours
    bias: Array
    bounds: Bounds
    rows: Rows
    unseen: Rows

    @classmethod
    def of(
        cls, plan: Plan, layer: Layer, batches: Batches, samples: int, settings: AdaRoundSettings
    ) -> "_Problem":
        graph, quantized = plan.graph, simulated(plan)
        real, held = graph.constants[layer.weights], plan.weights[layer.weights]
        weights = Neighbours.of(real, held.grid).mapped(lambda part: as_matrices(layer, part))
        groups, outputs, taps = weights.below.shape
        bias = np.zeros(groups * outputs)
        if layer.bias:
            bias = np.broadcast_to(quantized.constants[layer.bias].reshape(-1), bias.shape)
        places = graph.tensors[layer.output].elements // bias.size
        most = max(min(settings.rows, settings.memory // (4 * groups * (taps + outputs))), 1)
        choices = choose(samples, places, most, settings.held_out, settings.seed)
        seen, unseen = collect(graph, quantized, layer, batches, choices)
        bounds = bounds_on(layer.node)
        split = bias.reshape(groups, outputs)
        return cls(layer, real, held, weights, split, bounds, seen, unseen)

    def rounded(
        self, settings: AdaRoundSettings, tick: Callable[[int], None]
    ) -> tuple[Weights, RoundedLayer]:
        """The weights on their new codes, and the report."""
        grid = replace(self.held.grid, rounding="half_even")
        nearest = as_matrices(self.layer, grid.quantize(self.real)) > self.weights.below
        found = fit(self.weights, self.bias, self.bounds, self.rows, settings, tick)
        before, after = (self._errors(up) for up in (nearest, found.up))
        kept = after[0] < before[0]
        up, errors = (found.up, after) if kept else (nearest, before)
        report = RoundedLayer(
            node=self.layer.node.name,
            weights=self.layer.weights,
            nearest_mse=before[0],
            mse=errors[0],
            held_out_nearest_mse=before[1],
            held_out_mse=errors[1],
            flips=int((up != nearest).sum()),
            choices=int(self.weights.free.sum()),
            undecided=found.undecided,
            kept=kept,
        )
        codes = from_matrices(self.layer, self.weights.below + up, self.real.shape)
        return Weights(codes.astype(np.int32), self.held.grid), report

    def _errors(self, up: Array) -> tuple[float, float]:
        real = self.weights.real(up)
        return (
            mean_squared_error(real, self.bias, self.bounds, self.rows),
            mean_squared_error(real, self.bias, self.bounds, self.unseen),
        )
