"""The page of a study: accuracy against cost on every machine, side by side."""

import html
import json
from string import Template
from typing import TYPE_CHECKING, Any

from analysis.page import METRICS, asset, theme_variables
from analysis.plots import THEMES, ThemeName, base_layout
from analysis.study_fronts import told, with_fronts
from analysis.study_spec import StudySpec

if TYPE_CHECKING:
    import plotly.graph_objects as go
    import polars as pl

_COLUMNS = 2
_SYMBOLS = ("circle", "square", "diamond", "triangle-up", "cross", "x", "star", "hexagon")


def fronts_figure(
    spec: StudySpec, table: "pl.DataFrame", theme: ThemeName = "light"
) -> "go.Figure":
    """A panel a machine: mean accuracy over seeds against its cost, a colour a mode, the front."""
    import plotly.graph_objects as go
    import polars as pl
    from plotly.subplots import make_subplots

    look, found = THEMES[theme], with_fronts(table)
    names = list(spec.machines)
    rows = -(-len(names) // _COLUMNS)
    figure = make_subplots(rows, min(_COLUMNS, len(names)), subplot_titles=names,
                           shared_yaxes=True, horizontal_spacing=0.08)  # fmt: skip
    for place, name in enumerate(names):
        at = {"row": place // _COLUMNS + 1, "col": place % _COLUMNS + 1}
        part = found.filter((pl.col("machine") == name) & pl.col("value").is_not_null())
        for number, mode in enumerate(spec.study.modes):
            own = part.filter(pl.col("mode") == mode).sort("value")
            figure.add_trace(_networks(own, mode, number, look, first=place == 0), **at)
        front = part.filter(pl.col("front")).sort("value")
        figure.add_trace(
            go.Scatter(
                x=front["value"].to_list(), y=_percent(front["accuracy"]), mode="lines",
                line={"color": look.front, "width": 1.5, "shape": "hv"}, name="front",
                hoverinfo="skip", showlegend=place == 0, legendgroup="front",
            ),
            **at,
        )  # fmt: skip
        label, unit = METRICS.get(
            spec.machines[name].objective, (spec.machines[name].objective, "")
        )
        figure.update_xaxes(title=f"{label} ({unit})" if unit else label, type="log", **at)
    figure.update_yaxes(title="accuracy (%)", col=1)
    figure.update_layout(**base_layout(look), height=120 + 360 * rows)
    return figure


def _networks(
    own: "pl.DataFrame", mode: str, number: int, look: Any, *, first: bool
) -> "go.Scatter":
    import plotly.graph_objects as go

    mean = _percent(own["accuracy"])
    above = [h - m for h, m in zip(_percent(own["accuracy_high"]), mean, strict=True)]
    below = [m - low for low, m in zip(_percent(own["accuracy_low"]), mean, strict=True)]
    return go.Scatter(
        x=own["value"].to_list(),
        y=mean,
        mode="markers",
        name=mode,
        legendgroup=mode,
        showlegend=first,
        marker={
            "color": look.bars[number % len(look.bars)],
            "symbol": _SYMBOLS[number % len(_SYMBOLS)],
            "size": [11 if front else 7 for front in own["front"]],
        },
        error_y={"type": "data", "array": above, "arrayminus": below, "thickness": 1, "width": 2},
        customdata=[[f"{m:g}", macs] for m, macs in own.select("multiplier", "macs").iter_rows()],
        hovertemplate=(
            f"{html.escape(mode)}, width %{{customdata[0]}}<br>%{{customdata[1]:,}} MACs<br>"
            "%{x:.4g}, %{y:.2f} %<extra></extra>"
        ),
    )


def _percent(column: "pl.Series") -> list[float]:
    return [float("nan") if value is None else 100 * value for value in column]


def page(spec: StudySpec, table: "pl.DataFrame") -> str:
    """One HTML file that holds everything, plotly too."""
    from plotly.offline import get_plotlyjs

    found = with_fronts(table)
    heads = ("machine", "mode", "objective", "width", "value", "accuracy %", "over seeds")
    figures = {theme: json.loads(fronts_figure(spec, table, theme).to_json()) for theme in THEMES}
    seeds = table["seed"].n_unique()
    return Template(asset("study.html")).substitute(
        title=html.escape(spec.name),
        subtitle=html.escape(
            f"{spec.networks} networks of {spec.study.network}, {seeds} training seeds each; "
            "points are means over seeds, bars the least and the greatest"
        ),
        notes="".join(f"<li>{html.escape(line.strip())}</li>" for line in told(spec, table)),
        style=theme_variables(),
        plotly=get_plotlyjs().replace("</script", "<\\/script"),
        head="".join(f"<th>{head}</th>" for head in heads),
        rows="".join(_row(row) for row in found.iter_rows(named=True)),
        figures=json.dumps(figures).replace("</", "<\\/"),
    )


def _row(row: dict[str, Any]) -> str:
    if row["refused"] is not None:
        value, shares = html.escape(row["refused"]), ("", "")
    else:
        value = "" if row["value"] is None else f"{row['value']:.6g}"
        shares = ("", "")
        if row["accuracy"] is not None:
            ends = (row["accuracy_low"], row["accuracy_high"])
            shares = (f"{100 * row['accuracy']:.2f}", " to ".join(f"{100 * e:.2f}" for e in ends))
    cells = (
        *(html.escape(str(row[name])) for name in ("machine", "mode", "objective")),
        f"{row['multiplier']:g}",
        value,
        *shares,
    )
    look = ' class="front"' if row["front"] else ""
    return f"<tr{look}>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"
