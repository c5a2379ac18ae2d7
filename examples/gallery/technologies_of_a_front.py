"""One sweep in several technologies: counted once, priced again, and the front of each."""

import tempfile
from pathlib import Path

import plotly.graph_objects as go
import polars as pl

import analysis
from analysis.reprice import reprice
from analysis.spec import SweepSpec
from analysis.store import open_store
from analysis.sweeps import Sweep, run

TECHNOLOGIES = ("horowitz_45nm", "scaled_28nm", "scaled_7nm")
SPACE = SweepSpec(
    name="arrays",
    base="systolic_16x16",
    workload="zoo:digits",
    axes={
        "array.rows": [4, 8, 16, 32],
        "array.cols": [4, 8, 16, 32],
        "memory.weight_sram.bytes": [4096, 16384, 65536],
    },
    objectives=("latency_s", "energy_j"),
)


def tables() -> dict[str, pl.DataFrame]:
    """The designs by technology; the first one is the base machine's own."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        for _ in run(Sweep(Path(), SPACE), place / TECHNOLOGIES[0], resume=False):
            pass
        for name in TECHNOLOGIES[1:]:
            reprice(place / TECHNOLOGIES[0], name, place / name)
        return {name: open_store(place / name).points() for name in TECHNOLOGIES}


def figure(found: dict[str, pl.DataFrame]) -> go.Figure:
    """Energy over latency: a front for each technology."""
    drawn = go.Figure()
    for name, designs in found.items():
        front = analysis.pareto(designs, SPACE.objectives).sort("latency_s")
        drawn.add_scatter(x=front["latency_s"].to_list(), y=front["energy_j"].to_list(), name=name)
    drawn.update_xaxes(title_text="Latency", tickformat="~s", ticksuffix="s")
    drawn.update_yaxes(title_text="Energy per inference", tickformat="~s", ticksuffix="J")
    return drawn


if __name__ == "__main__":
    figure(tables()).write_html("technologies_of_a_front.html")
