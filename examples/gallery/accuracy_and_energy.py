"""How narrow may an array be built? The front of accuracy and energy of a sweep."""

import plotly.graph_objects as go
import polars as pl

import analysis
from analysis.spec import SweepSpec

SPACE = SweepSpec(
    name="narrow_arrays",
    base="systolic_16x16",
    workload="zoo:digits",
    axes={
        "datapath.weight_bits": [3, 4, 6, 8],
        "datapath.activation_bits": [4, 6, 8],
        "datapath.accumulator.bits": [14, 16, 20],
        "datapath.narrow": [True],
        "array.rows": [8, 16],
    },
    objectives=("accuracy", "energy_j"),
)


def table() -> pl.DataFrame:
    """Every design with what it costs and how many digits it reads right."""
    return analysis.sweep(SPACE, data="zoo:digits")


def figure(designs: pl.DataFrame) -> go.Figure:
    """Accuracy over energy: all designs by accumulator width, and the front as a line."""
    drawn = go.Figure()
    for (bits,), part in designs.group_by("datapath.accumulator.bits", maintain_order=True):
        operands = zip(part["datapath.weight_bits"], part["datapath.activation_bits"], strict=True)
        drawn.add_scatter(
            x=part["energy_j"].to_list(),
            y=part["accuracy"].to_list(),
            text=[f"weights {w}, activations {a} bits" for w, a in operands],
            mode="markers",
            name=f"{bits}-bit accumulator",
        )
    front = analysis.pareto(designs, SPACE.objectives).sort("energy_j")
    drawn.add_scatter(x=front["energy_j"].to_list(), y=front["accuracy"].to_list(), name="front")
    drawn.update_xaxes(title_text="Energy per inference", tickformat="~s", ticksuffix="J")
    drawn.update_yaxes(title_text="Accuracy", tickformat=".0%")
    return drawn


if __name__ == "__main__":
    figure(table()).write_html("accuracy_and_energy.html")
