"""Where the time and the energy of one machine go: its roofline, and its energy by layer."""

import plotly.graph_objects as go

import hwconfigs
import workloads
from analysis.plots import layer_energy_figure, roofline_figure
from analysis.report import estimate_data
from simulator.cost import estimate


def figures(model: str = "zoo:digits", name: str = "systolic_16x16") -> dict[str, go.Figure]:
    """The two figures of the report page, for one network on one machine."""
    graph, machine = workloads.load(model), hwconfigs.load(name)
    data = estimate_data(graph, [machine], [estimate(graph, machine)], 1)
    (point,) = data.points
    names, operators = data.layer_names, data.layer_ops
    return {
        "roofline": roofline_figure(point, names, operators),
        "energy_by_layer": layer_energy_figure(point, names, operators),
    }


if __name__ == "__main__":
    for title, drawn in figures().items():
        drawn.write_html(f"{title}.html")
