"""What a narrower accumulator costs in accuracy: where it wraps, and where it saturates."""

import plotly.graph_objects as go
import polars as pl

import hwconfigs
import workloads
from analysis.accuracy import accuracy
from analysis.labelled import load_labelled

WIDTHS = range(13, 21)


def table() -> pl.DataFrame:
    """Accuracy, SQNR and overflow rate of each width and way to overflow, executed bit-exactly."""
    graph = workloads.load("zoo:digits")
    data = load_labelled(graph, "zoo:digits")
    rows = []
    for overflow in ("wrap", "saturate"):
        for bits in WIDTHS:
            fields = [
                ("datapath.accumulator.bits", bits),
                ("datapath.accumulator.overflow", overflow),
            ]
            found = accuracy(graph, data, hwconfigs.load("systolic_16x16", fields))
            rows.append((overflow, bits, found.accuracy, found.sqnr_db, found.overflow_rate))
    columns = ("overflow", "bits", "accuracy", "sqnr_db", "overflow_rate")
    return pl.DataFrame(rows, schema=columns, orient="row")


def figure(found: pl.DataFrame) -> go.Figure:
    """A line for each way to overflow."""
    drawn = go.Figure()
    for (overflow,), part in found.group_by("overflow", maintain_order=True):
        drawn.add_scatter(x=part["bits"].to_list(), y=part["accuracy"].to_list(), name=overflow)
    drawn.update_xaxes(title_text="Accumulator bits")
    drawn.update_yaxes(title_text="Accuracy", tickformat=".0%")
    return drawn


if __name__ == "__main__":
    figure(table()).write_html("narrow_accumulators.html")
