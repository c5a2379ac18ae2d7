"""The pipeline's way to the functions that change a network before and after it is rounded.

Each gives back what it made and a few words on what it did.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np

from simulator.graph import Graph
from workloads.float_graph import layers
from workloads.quantize.ptq.absorb import DEVIATIONS, absorption
from workloads.quantize.ptq.adaround import AdaRoundStep
from workloads.quantize.ptq.adaround import adarounded as rounded
from workloads.quantize.ptq.adaround_fit import AdaRoundSettings
from workloads.quantize.ptq.analytic_bias import Moments, analytic_bias_correction
from workloads.quantize.ptq.bias_correction import bias_correction
from workloads.quantize.ptq.equalize import Equalization, equalization
from workloads.quantize.ptq.plan import Plan
from workloads.quantize.ptq.preactivations import estimated_statistics, with_preactivations
from workloads.quantize.ptq.samples import Samples
from workloads.quantize.ptq.settings import Settings
from workloads.quantize.ptq.simulate import forward
from workloads.quantize.ptq.statistics import LayerStatistics, Statistics

MOST_ESTIMATED: Final = 128
"""Samples that statistics of layers are estimated on."""
Told: TypeAlias = Callable[[int, int], None]
"""Hears (done, of how many)."""


@dataclass(frozen=True, eq=False)
class Equalized:
    """A graph to quantize, the statistics of its layers, and what was done to it, in words."""

    graph: Graph
    statistics: LayerStatistics
    told: str


def equalizations(graph: Graph, known: LayerStatistics) -> tuple[Equalized, ...]:
    """Cross-layer equalization (Nagel et al. 2021 section 3.2), and the statistics behind it.

    Two where it would drop upper bounds (ReLU6 becomes ReLU): with and without those layers.
    None where no layer is joined to another.
    """

    def of(made: Equalization, bounds: str) -> Equalized:
        told = f"{len(made.pairs)} pairs of layers{bounds}"
        return Equalized(made.graph, made.scaled(known), told)

    made = [equalization(graph, "replace")]
    told = [""]
    if made[0].function_changed:
        made.append(equalization(graph, "keep"))
        told = [f", {len(made[0].function_changed)} upper bounds dropped", ", upper bounds kept"]
    return tuple(of(one, words) for one, words in zip(made, told, strict=True) if one.pairs)


def adarounded(plan: Plan, data: Samples, settings: Settings, told: Told) -> tuple[Plan, str]:
    """Weights rounded for their layer's output (Nagel et al. 2021 section 3.4)."""
    chosen = AdaRoundSettings(seed=settings.seed, iterations=settings.iterations)

    def progress(at: AdaRoundStep) -> None:
        told(at.number * at.iterations + at.iteration, at.layers * at.iterations)

    made, each = rounded(plan, data, chosen, progress)
    flips, choices = sum(x.flips for x in each), sum(x.choices for x in each)
    kept = sum(x.kept for x in each)
    return made, f"{flips} of {choices} weights the other way, in {kept} of {len(each)} layers"


def absorbed(
    graph: Graph, known: LayerStatistics, data: Samples, settings: Settings
) -> tuple[Graph, LayerStatistics, str]:
    """High biases absorbed by the next layer (Nagel et al. 2021 section 3.2).

    Layers whose batch norm is not known have the statistics of data, where there is some. Not
    across zero padding: what is missing at the borders costs small images more than is won.
    """
    ready = with_estimates(graph, known, data, settings)
    if not settings.data_free:
        ready = uncut(graph, ready, data)
    made = absorption(graph, ready, padded=False)
    return made.graph, made.shifted(known), f"{len(made.pairs)} pairs of layers"


def corrected(
    plan: Plan, known: LayerStatistics, data: Samples, settings: Settings
) -> tuple[Plan, str]:
    """Biases less the mean error of their layer's output (Nagel et al. 2021 section 3.3)."""
    if settings.corrects_by == "empirical":
        made = bias_correction(plan, data)
    else:
        ready = with_estimates(plan.graph, known, data, settings)
        made = analytic_bias_correction(plan, ready, input_moments(plan.graph, data))
    return made.plan, f"{settings.corrects_by}, {len(made.removed)} layers"


def uncut(graph: Graph, known: LayerStatistics, data: Samples) -> LayerStatistics:
    """The statistics with deviations so large that nothing seen lies three of them below the mean.

    What a layer gives is no normal variable: with these, absorption is exact on the samples.
    """
    split, names = with_preactivations(graph)
    names = {weights: name for weights, name in names.items() if weights in known}
    least = {weights: np.full_like(known[weights].mean, np.inf) for weights in names}
    for values in forward(split, data.part(0, MOST_ESTIMATED), list(names.values())):
        for weights, name in names.items():
            rows = values[name].reshape(-1, values[name].shape[-1]).min(axis=0)
            least[weights] = np.minimum(least[weights], rows)
    return {
        weights: Statistics(of.mean, np.maximum(of.deviation, (of.mean - low) / DEVIATIONS))
        for weights, low in least.items()
        for of in (known[weights],)
    }


def with_estimates(
    graph: Graph, known: LayerStatistics, data: Samples, settings: Settings
) -> LayerStatistics:
    """The statistics of batch norms, and of data for layers that have none."""
    if settings.data_free or known.keys() >= {layer.weights for layer in layers(graph)}:
        return known
    return {**estimated_statistics(graph, data.part(0, MOST_ESTIMATED)), **known}


def input_moments(graph: Graph, data: Samples) -> dict[str, Moments]:
    """Mean and variance of each input over samples, the same for every element."""
    found = dict[str, Moments]()
    for name in graph.inputs:
        values = data.arrays[name][:MOST_ESTIMATED].astype(np.float64)
        shape = graph.tensors[name].shape
        found[name] = Moments(np.full(shape, values.mean()), np.full(shape, values.var()))
    return found
