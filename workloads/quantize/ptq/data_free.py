"""Ranges without data: batch norms say what layers give, and the caller what goes in.

Nagel et al. 2021 (arXiv 2106.08295) section 3.1.
"""

from collections.abc import Mapping

from simulator.errors import BadConfig
from simulator.graph import Graph
from workloads.quantize import Grid
from workloads.quantize.ptq.calibrate import Group
from workloads.quantize.ptq.settings import Settings
from workloads.quantize.ptq.statistics import LayerStatistics


def stated_range(graph: Graph, settings: Settings) -> tuple[float, float]:
    """The range of the inputs; raises BadConfig where the settings do not say it."""
    if settings.input_range is None:
        raise BadConfig(
            f"{graph.name}: without calibration data the range of its inputs is unknown; state it "
            "(--input-range LOW:HIGH) or give data (--calibration IN.npz)"
        )
    return settings.input_range


def data_free_grids(
    graph: Graph, known: LayerStatistics, bits: Mapping[Group, int], settings: Settings
) -> dict[str, Grid]:
    """The grid of every tensor of the groups in `bits`, from the statistics of batch norms."""
    raise NotImplementedError
