"""The pipeline's way to the functions that change a network before and after it is rounded.

Each gives back what it made and a few words on what it did. What is not run is not imported.
"""

from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from typing import TypeAlias

from simulator.graph import Graph
from workloads.quantize.ptq.plan import Plan
from workloads.quantize.ptq.samples import Samples
from workloads.quantize.ptq.settings import Settings
from workloads.quantize.ptq.statistics import LayerStatistics

Told: TypeAlias = Callable[[int, int], None]
"""Hears (done, of how many)."""


def equalized(graph: Graph, known: LayerStatistics) -> tuple[Graph, LayerStatistics, str]:
    """Cross-layer equalization (Nagel et al. 2021 section 3.2), and the statistics behind it."""
    from workloads.quantize.ptq.equalize import equalization

    made = equalization(graph)
    told = f"{len(made.pairs)} pairs of layers"
    if made.function_changed:
        told += f"; {len(made.function_changed)} upper bounds dropped"
    return made.graph, made.scaled(known), told


def adarounded(plan: Plan, data: Samples, settings: Settings, told: Told) -> tuple[Plan, str]:
    """Weights rounded for their layer's output (Nagel et al. 2021 section 3.4)."""
    from workloads.quantize.ptq.adaround import AdaRoundStep
    from workloads.quantize.ptq.adaround import adarounded as rounded
    from workloads.quantize.ptq.adaround_fit import AdaRoundSettings

    chosen = AdaRoundSettings(seed=settings.seed)
    if settings.iterations:
        chosen = AdaRoundSettings(seed=settings.seed, iterations=settings.iterations)

    def progress(at: AdaRoundStep) -> None:
        told(at.number * at.iterations + at.iteration, at.layers * at.iterations)

    made, each = rounded(plan, data, chosen, progress)
    flips, choices = sum(x.flips for x in each), sum(x.choices for x in each)
    kept = sum(x.kept for x in each)
    return made, f"{flips} of {choices} weights the other way, in {kept} of {len(each)} layers"


def absorbed(graph: Graph, known: LayerStatistics) -> tuple[Graph, LayerStatistics, str]:
    """High biases absorbed by the next layer (Nagel et al. 2021 section 3.2.2)."""
    if find_spec("workloads.quantize.ptq.absorb") is None:
        return graph, known, "not there yet"
    return import_module("workloads.quantize.ptq.absorb").absorb(graph, known), known, ""


def corrected(
    plan: Plan, twin: Graph, data: Samples, known: LayerStatistics, settings: Settings
) -> tuple[Plan, str]:
    """Biases less the mean error of their layer's output (Nagel et al. 2021 section 3.3)."""
    if find_spec("workloads.quantize.ptq.bias_correction") is None:
        return plan, "not there yet"
    module = import_module("workloads.quantize.ptq.bias_correction")
    return module.correct_biases(plan, data), settings.corrects_by
