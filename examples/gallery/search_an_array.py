"""The front of millions of arrays from a few hundred of them, found by NSGA-II."""

import plotly.graph_objects as go
import polars as pl

import analysis
from analysis.search_spec import Search
from analysis.spec import Log2, Log2Axis, Range, RangeAxis, SweepSpec

SIDE = RangeAxis(range=Range(first=1, last=64))
SIZE = Log2Axis(log2=Log2(first=1024, last=65536))
SPACE = SweepSpec(
    name="arrays",
    base="systolic_16x16",
    workload="zoo:digits",
    axes={
        "array.rows": SIDE,
        "array.cols": SIDE,
        "memory.ifmap_sram.bytes": SIZE,
        "memory.weight_sram.bytes": SIZE,
        "memory.ofmap_sram.bytes": SIZE,
        "memory.dram.bytes_per_cycle": [1, 2, 4, 8],
    },
    objectives=("latency_s", "area_mm2"),
    constraints=("area_mm2 <= 1.0",),
    search=Search(evaluations=384, seed=1),
)


def table() -> pl.DataFrame:
    """The evaluated designs in order, with the hypervolume that is reached after each."""
    return analysis.search(SPACE)


def figure(designs: pl.DataFrame) -> go.Figure:
    """Latency over area of what was evaluated, by generation, and the front."""
    allowed = designs.filter(pl.col("outside").is_null() & pl.col("refused").is_null())
    front = analysis.pareto(allowed, SPACE.objectives).sort("area_mm2")
    drawn = go.Figure()
    drawn.add_scatter(
        x=allowed["area_mm2"].to_list(),
        y=allowed["latency_s"].to_list(),
        mode="markers",
        marker={"color": allowed["generation"].to_list(), "colorbar": {"title": "generation"}},
        name="evaluated",
    )
    drawn.add_scatter(x=front["area_mm2"].to_list(), y=front["latency_s"].to_list(), name="front")
    drawn.update_xaxes(title_text="Area (mm2)")
    drawn.update_yaxes(title_text="Latency", tickformat="~s", ticksuffix="s", type="log")
    drawn.update_layout(legend={"orientation": "h"})
    return drawn


if __name__ == "__main__":
    figure(table()).write_html("search_an_array.html")
