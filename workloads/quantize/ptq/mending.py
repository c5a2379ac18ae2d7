"""The pipeline's way to the functions that change a network before and after it is rounded."""

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from simulator.errors import BadConfig
from simulator.graph import Graph
from workloads.quantize import Grid
from workloads.quantize.ptq.calibrate import Group
from workloads.quantize.ptq.plan import Plan
from workloads.quantize.ptq.samples import Samples
from workloads.quantize.ptq.settings import Settings

Statistics: TypeAlias = Any


def stated_range(graph: Graph, settings: Settings) -> tuple[float, float]:
    """The range of the inputs; raises BadConfig where the settings do not say it."""
    if settings.input_range is None:
        raise BadConfig(
            f"{graph.name}: without calibration data the range of the inputs is unknown; state it"
        )
    return settings.input_range


def statistics(
    float_graph: Graph, graph: Graph, settings: Settings, data: Samples
) -> Statistics | None:
    """Mean and deviation of each layer's output."""
    return None


def equalized(graph: Graph, known: Statistics | None) -> tuple[Graph, Statistics | None]:
    """Cross-layer equalization (Nagel et al. 2021 section 3.2.1)."""
    from workloads.quantize.ptq.equalize import equalize

    return equalize(graph), known


def absorbed(graph: Graph, known: Statistics | None) -> tuple[Graph, Statistics | None]:
    """High biases absorbed by the next layer (Nagel et al. 2021 section 3.2.2)."""
    from workloads.quantize.ptq.absorb import absorb

    return absorb(graph, known), known


def adarounded(
    plan: Plan, data: Samples, settings: Settings, told: Callable[[int, int], None]
) -> Plan:
    """Weights rounded for their layer's output (Nagel et al. 2021 section 3.4)."""
    from workloads.quantize.ptq.adaround import adaround

    return adaround(plan, data)


def corrected(
    plan: Plan, twin: Graph, data: Samples, known: Statistics | None, settings: Settings
) -> Plan:
    """Biases less the mean error of their layer's output (Nagel et al. 2021 section 3.3)."""
    from workloads.quantize.ptq.bias_correction import correct_biases

    return correct_biases(plan, data)


def data_free_grids(
    graph: Graph, known: Statistics | None, bits: Mapping[Group, int], settings: Settings
) -> dict[str, Grid]:
    """Grids of activations from the statistics of batch norms."""
    raise BadConfig("not yet")
