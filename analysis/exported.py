"""What a sweep gives to papers and spreadsheets: its table as CSV, its front as SVG or PNG.

Figures are those of `analysis.space_plots`, drawn by kaleido, plotly's own exporter; it needs a
Chrome or Chromium and is the extra `figures`.
"""

from collections.abc import Mapping
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Final

from analysis.files import replacing
from analysis.page import ReportData
from analysis.store import Store
from simulator.errors import Unsupported

if TYPE_CHECKING:
    import plotly.graph_objects as go

VECTOR_POINTS: Final = 20_000
"""Points that are drawn as vectors; more are one picture inside the figure."""
WIDTH, HEIGHT = 900, 600
PNG_SCALE: Final = 2


def check_exporter(figures: Mapping[str, Path | None]) -> None:
    """Refuse figures, by option, before the work where kaleido is not installed."""
    wanted = [option for option, path in figures.items() if path is not None]
    if wanted and find_spec("kaleido") is None:
        raise Unsupported(
            f"{wanted[0]}: needs kaleido, which is not installed; "
            "pip install 'bitlane[figures]', or take --csv"
        )


def write_csv(store: Store, data: ReportData, path: Path) -> int:
    """Every point of the run as CSV, refused ones too; returns how many.

    The columns are those of the table, axes by dotted path, and `on_front`.
    """
    import polars as pl

    points = store.points()
    front = [p.id for p in data.points if p.on_front]
    table = points.with_columns(pl.col("point").is_in(front).alias("on_front"))
    with replacing(path) as scratch:
        table.write_csv(scratch)
    return len(table)


def static_figure(data: ReportData) -> "go.Figure":
    """The Pareto plane as a figure without a hover: vectors up to `VECTOR_POINTS` points."""
    from analysis.space_plots import pareto_figure

    bare = tuple(replace(p, config={}, machine="", layers=None, mapped=None) for p in data.points)
    figure = pareto_figure(replace(data, points=bare))
    if len(bare) <= VECTOR_POINTS:
        import plotly.graph_objects as go

        traces = [{**t.to_plotly_json(), "type": "scatter"} for t in figure.data]
        figure = go.Figure(data=traces, layout=figure.layout)
    else:
        figure.data[0].marker.size = 2
    figure.update_layout(paper_bgcolor="white", plot_bgcolor="white", height=None)
    return figure


def write_figures(data: ReportData, figures: Mapping[str, Path | None]) -> None:
    """Write the plane to each file; an option's name is `--` and the format."""
    if any(path is not None for path in figures.values()):
        draw(static_figure(data), figures)


def draw(figure: "go.Figure", figures: Mapping[str, Path | None], height: int = HEIGHT) -> None:
    """Write a figure to each file; an option's name is `--` and the format."""
    wanted = {option: path for option, path in figures.items() if path is not None}
    for option, path in wanted.items():
        kind = option.removeprefix("--")
        try:
            drawn = figure.to_image(
                kind, width=WIDTH, height=height, scale=PNG_SCALE if kind == "png" else 1
            )
        # What plotly, kaleido and its browser raise: all of them are RuntimeError.
        except RuntimeError as error:
            reason = str(error).strip().partition("\n")[0]
            raise Unsupported(
                f"{option} {path}: kaleido cannot draw ({reason[:120]}); "
                "install Chrome or Chromium, or take --csv"
            ) from None
        with replacing(path) as scratch:
            scratch.write_bytes(drawn)
