"""Ranges without data: batch norms say what layers give, and the caller what goes in.

Nagel et al. 2021 (arXiv 2106.08295) section 3.1: six deviations to each side of a batch norm's
mean. What no batch norm gives has the moments that follow from those before it.
"""

from collections.abc import Mapping
from typing import Final

import numpy as np

from simulator.errors import BadConfig, Unsupported
from simulator.graph import Graph
from simulator.ops.max_pool import MaxPool
from workloads.float_graph import layers
from workloads.float_graph.activations import bounds_on
from workloads.float_graph.edit import producer
from workloads.quantize import Grid, batch_norm_range
from workloads.quantize.batch_norm import SPREADS
from workloads.quantize.ptq.analytic_bias import Moments, expectations
from workloads.quantize.ptq.calibrate import Group, activation_form, known_grid
from workloads.quantize.ptq.places import places
from workloads.quantize.ptq.settings import Settings
from workloads.quantize.ptq.statistics import LayerStatistics

Ends = tuple[float, float]
_WAY_OUT: Final = "give calibration data (--calibration IN.npz)"


def stated_range(graph: Graph, settings: Settings) -> Ends:
    """The range of the inputs; raises BadConfig where the settings do not say it."""
    if settings.input_range is None:
        raise BadConfig(
            f"{graph.name}: without calibration data the range of its inputs is unknown; state it "
            "(--input-range LOW:HIGH) or give data (--calibration IN.npz)"
        )
    return settings.input_range


def check_batch_norms(graph: Graph, known: LayerStatistics) -> None:
    """Raise Unsupported for a network whose batch norms are folded already, or that has none."""
    if not known:
        raise Unsupported(
            f"{graph.name}: holds no batch norm behind a layer, which quantizing without data goes "
            f"by (converters fold them); {_WAY_OUT}"
        )


def data_free_grids(
    graph: Graph, known: LayerStatistics, bits: Mapping[Group, int], settings: Settings
) -> dict[str, Grid]:
    """The grid of every tensor of the groups in `bits`, from the statistics of batch norms.

    Raises Unsupported, naming the tensor, where its range does not follow from them.
    """
    stated = stated_range(graph, settings)
    ranges = tensor_ranges(graph, known, stated)
    found, grids = places(graph), dict[str, Grid]()
    for group, width in bits.items():
        form = activation_form(width, symmetric_grids=settings.activations.symmetric_grids)
        ends = [ranges[name] for name in group if name in ranges]
        if group[0] in found.known:
            grid = known_grid(found.known[group[0]], form, width)
        elif ends:
            grid = form(min(low for low, _ in ends), max(high for _, high in ends))
        else:
            raise Unsupported(
                f"{graph.name}: the range of '{group[0]}' does not follow from batch norms; "
                f"{_WAY_OUT}"
            )
        grids |= dict.fromkeys(group, grid)
    return grids


def tensor_ranges(graph: Graph, known: LayerStatistics, stated: Ends) -> dict[str, Ends]:
    """(low, high) of every tensor that they follow for; inputs are uniform over `stated`."""
    low, high = stated
    inputs = {
        name: Moments(
            np.full(graph.tensors[name].shape, (low + high) / 2),
            np.full(graph.tensors[name].shape, (high - low) ** 2 / 12),
        )
        for name in graph.inputs
    }
    ranges = {name: _spread(m) for name, m in _moments(graph, known, inputs).items()}
    for layer in layers(graph):
        if layer.weights in known:
            of = known[layer.weights]
            ends = batch_norm_range(of.mean, of.deviation)
            ranges[layer.output] = (float(ends[0][0]), float(ends[1][0]))
    for name, value in graph.constants.items():
        ranges[name] = (float(value.min()), float(value.max())) if value.size else (0.0, 0.0)
    ranges |= dict.fromkeys(graph.inputs, stated)
    return {name: _cut(graph, name, ends) for name, ends in ranges.items()}


def _moments(
    graph: Graph, known: LayerStatistics, inputs: Mapping[str, Moments]
) -> dict[str, Moments]:
    """The moments of every tensor; a maximum is taken for one of the elements that it chooses of.

    It is a little high in truth, and less spread.
    """
    while True:
        found = expectations(graph, known, inputs)
        pools = [n for n in graph.nodes if isinstance(n.op, MaxPool)]
        new = [n for n in pools if n.inputs[0] in found and n.outputs[0] not in found]
        if not new:
            return found
        for node in new:
            of, shape = found[node.inputs[0]], graph.tensors[node.outputs[0]].shape
            axes = tuple(range(of.mean.ndim - 1))
            each = (np.broadcast_to(v.mean(axis=axes), shape) for v in (of.mean, of.variance))
            inputs = {**inputs, node.outputs[0]: Moments(*each)}


def _spread(of: Moments) -> Ends:
    deviation = SPREADS * np.sqrt(of.variance)
    return float((of.mean - deviation).min()), float((of.mean + deviation).max())


def _cut(graph: Graph, name: str, ends: Ends) -> Ends:
    """A range within the bounds that the node of a tensor cuts to."""
    node = producer(graph, name)
    if node is None:
        return ends
    low, high = (float(end) for end in np.clip(ends, *bounds_on(node)))
    return low, high
