"""Plotly figures of a whole design space: Pareto planes and volumes, axes, what moves what.

As those of `analysis.plots` they serve notebooks and the report page alike. Plotly is imported
inside the functions: importing this module stays cheap.
"""

from __future__ import annotations

import html
import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from analysis.front import non_dominated
from analysis.plots import (
    THEMES,
    Theme,
    ThemeName,
    base_layout,
    error_bar,
    layer_labels,
    objective_axis,
    quantity,
)

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from analysis.page import Objective, Point, ReportData
    from analysis.sensitivity import Sensitivity

DRAWN_LINES = 4000
"""Lines of parallel coordinates and points of a volume that a software renderer still moves."""


def sampled(count: int, most: int) -> NDArray[np.bool_]:
    """A mask of about `most` of `count` rows, spread evenly and in step with no axis of a grid.

    Multiplicative hashing by the golden ratio (Knuth, TAOCP 3, section 6.4), as in the page.
    """
    if count <= most:
        return np.ones(count, np.bool_)
    return (np.arange(count) * 2654435761) % 2**32 < most / count * 2**32


def plane_front(
    x: Sequence[float], y: Sequence[float], senses: tuple[str, str] = ("min", "min")
) -> list[int]:
    """Return the indices of the points that no other point beats in both coordinates, by x.

    `senses` says which way each is better, "min" or "max". Equal points do not beat each other: all
    of them stay. A point with a coordinate that is not finite never belongs to the front.
    """
    signs = [1.0 if sense == "min" else -1.0 for sense in senses]
    costs = np.column_stack([np.asarray(x, np.float64), np.asarray(y, np.float64)]) * signs
    front = np.flatnonzero(non_dominated(costs))
    return [int(i) for i in front[np.lexsort(costs[front].T[::-1])]]


def pareto_figure(
    data: ReportData, theme: ThemeName = "light", selected: int | None = None
) -> go.Figure:
    """Scatter of all points over the first two objectives, coloured by the third; log axes.

    Trace 0 holds the points, trace 1 the staircase of those non-dominated in the drawn plane, trace
    2 the front in all objectives (`on_front`), which may lie above that staircase, with error bars
    where an objective has bounds. `selected` is the id of a point to ring. Raises KeyError for an
    id that no point has.
    """
    import plotly.graph_objects as go

    look, points, plane = THEMES[theme], data.points, data.objectives[:2]
    x, y = ([p.metrics.get(o.key, math.nan) for p in points] for o in plane)
    stairs = plane_front(x, y, (plane[0].sense, plane[1].sense))
    best = [p for p in points if p.on_front]
    diamond = {"symbol": "diamond", "size": 8, "color": look.front,
               "line": {"width": 1, "color": look.paper}}  # fmt: skip
    figure = go.Figure(layout=base_layout(look))
    figure.add_scattergl(name="design points", mode="markers", x=x, y=y, showlegend=False,
                         marker=_ramp(data, look), **_hover(data, points))  # fmt: skip
    figure.add_scatter(name="front in this plane", mode="lines", hoverinfo="skip",
                       x=[x[i] for i in stairs], y=[y[i] for i in stairs],
                       line={"shape": "hv", "width": 1.5,
                             "color": look.front})  # fmt: skip
    figure.add_scattergl(name="front in all objectives", mode="markers", marker=diamond,
                         x=[p.metrics.get(plane[0].key, math.nan) for p in best],
                         y=[p.metrics.get(plane[1].key, math.nan) for p in best],
                         **_errors(best, plane, look), **_hover(data, best))  # fmt: skip
    if selected is not None:
        row = {p.id: i for i, p in enumerate(points)}[selected]
        figure.add_shape(_ring(x[row], y[row], look))
    figure.update_layout(height=540, margin={"l": 76, "r": 12, "t": 40, "b": 60})
    figure.update_xaxes(type="log", **objective_axis(plane[0]))
    figure.update_yaxes(type="log", **objective_axis(plane[1]))
    return figure


def space_figure(data: ReportData, theme: ThemeName = "light") -> go.Figure:
    """The first three objectives in a volume: an even sample of the points and the whole front.

    Trace 0 holds the sample, trace 1 the front in all objectives. Raises ValueError for fewer than
    three objectives.
    """
    import plotly.graph_objects as go

    if len(data.objectives) < 3:
        raise ValueError(f"a volume needs three objectives; there are {len(data.objectives)}")
    look, corners = THEMES[theme], data.objectives[:3]
    best = [p for p in data.points if p.on_front]
    some = [p for p, drawn in zip(data.points, sampled(len(data.points), DRAWN_LINES), strict=True)
            if drawn]  # fmt: skip
    figure = go.Figure(layout=base_layout(look))
    for name, points, marker in (
        ("design points", some, {"size": 2, "color": look.bars[0], "opacity": 0.55}),
        ("front", best, {"size": 4, "color": look.front, "symbol": "diamond"}),
    ):
        columns = ([p.metrics.get(o.key, math.nan) for p in points] for o in corners)
        found = dict(zip("xyz", columns, strict=True))
        figure.add_scatter3d(name=name, mode="markers", marker=marker, **found,
                             **_hover(data, points))  # fmt: skip
    axes = {f"{axis}axis": _volume_axis(o, look) for axis, o in zip("xyz", corners, strict=True)}
    figure.update_layout(height=540, margin={"l": 0, "r": 0, "t": 40, "b": 0}, showlegend=True)
    camera = {"eye": {"x": 1.6, "y": 1.6, "z": 0.9}}
    figure.update_layout(legend_itemsizing="constant")
    figure.update_layout(scene={**axes, "aspectmode": "cube", "camera": camera})
    return figure


def _volume_axis(objective: Objective, look: Theme) -> dict[str, Any]:
    lines = {"gridcolor": look.grid, "linecolor": look.muted, "zeroline": False}
    form = {"showbackground": False, "nticks": 4, "tickfont": {"size": 11}}
    return {"type": "log", **objective_axis(objective), **lines, **form}


def parallel_figure(data: ReportData, theme: ThemeName = "light") -> go.Figure:
    """Parallel coordinates: a line a point (the front and an even sample) over axes and objectives.

    Axes stand by the rank of their values, evenly spaced; objectives by their logarithm where all
    are positive. The colour is the first objective's.
    """
    import plotly.graph_objects as go

    look = THEMES[theme]
    mask = sampled(len(data.points), DRAWN_LINES)
    points = [p for p, drawn in zip(data.points, mask, strict=True) if p.on_front or drawn]
    axes = [_ranked(axis, [p.value(axis) for p in points]) for axis in data.axes]
    judged = [_logged(o, [p.metrics.get(o.key, math.nan) for p in points]) for o in data.objectives]
    color = judged[0]["values"] if points else []
    figure = go.Figure(layout=base_layout(look))
    figure.add_parcoords(
        dimensions=[*axes, *judged],
        line={"color": color, "colorscale": _scale(look), "showscale": False},
        labelfont={"size": 12, "color": look.text},
        tickfont={"size": 11, "color": look.text},
        rangefont={"size": 1, "color": "rgba(0,0,0,0)"},
        unselected={"line": {"color": look.grid, "opacity": 0.3}},
    )
    figure.update_layout(height=420, margin={"l": 84, "r": 64, "t": 64, "b": 24})
    return figure


def _ranked(axis: str, values: Sequence[object]) -> dict[str, Any]:
    numbers = sorted({v for v in values if isinstance(v, (int, float)) and not isinstance(v, bool)})
    order: list[object] = [*numbers, *sorted({str(v) for v in values if v not in numbers})]
    rank = {value: place for place, value in enumerate(order)}
    places = [rank[v] if v in rank else rank[str(v)] for v in values]
    ticks = list(range(0, len(order), math.ceil(len(order) / 8) or 1))
    return {"label": axis, "values": places, "tickvals": ticks,
            "ticktext": [str(order[t]) for t in ticks],
            "range": [0, max(len(order) - 1, 1)]}  # fmt: skip


def _logged(objective: Objective, values: Sequence[float]) -> dict[str, Any]:
    seen = [v for v in values if math.isfinite(v)]
    log = all(v > 0 for v in seen)
    heights = [(math.log10(v) if log else v) if math.isfinite(v) else math.nan for v in values]
    low, high = (min(seen), max(seen)) if seen else (1.0, 10.0)
    ends = [math.log10(v) if log else v for v in (low, high)]
    ticks = [ends[0], sum(ends) / 2, ends[1]] if low < high else ends[:1]
    texts = [quantity(10**t if log else t, objective.unit) for t in ticks]
    return {"label": objective.label, "values": heights, "tickvals": ticks, "ticktext": texts}


def sensitivity_figure(found: Sensitivity, theme: ThemeName = "light") -> go.Figure:
    """Heat map: the share of each objective's variance that each axis explains alone."""
    import plotly.graph_objects as go

    look = THEMES[theme]
    rows = [*found.axes, *(["interactions"] if found.whole_grid else [])]
    shares = [*found.shares, *([found.together] if found.whole_grid else [])]
    texts = [["" if v is None else f"{100 * v:.1f} %" for v in row] for row in shares]
    scale = [[i / (len(look.ramp)), color] for i, color in enumerate((look.paper, *look.ramp))]
    figure = go.Figure(layout=base_layout(look))
    figure.add_heatmap(
        z=shares, x=found.objectives, y=rows, text=texts, texttemplate="%{text}",
        zmin=0, zmax=1, colorscale=scale, xgap=2, ygap=2, showscale=False,
        hovertemplate="%{y} explains %{text} of %{x}<extra></extra>",
    )  # fmt: skip
    figure.update_layout(height=76 + 30 * len(rows), margin={"l": 76, "r": 12, "t": 8, "b": 40})
    figure.update_yaxes(autorange="reversed", type="category", showgrid=False, nticks=0)
    figure.update_xaxes(type="category", showgrid=False, nticks=0)
    return figure


def compared_figure(
    first: Sequence[float],
    second: Sequence[float],
    names: Sequence[str],
    title: str,
    theme: ThemeName = "light",
) -> go.Figure:
    """Bars of two points side by side, a pair a layer: trace 0 is A, trace 1 is B."""
    import plotly.graph_objects as go

    look = THEMES[theme]
    figure = go.Figure(layout=base_layout(look))
    for name, values, color in (("A", first, look.bars[0]), ("B", second, look.bars[1])):
        figure.add_bar(name=name, x=layer_labels(names), y=list(values), marker_color=color,
                       hovertemplate=f"{name}, %{{x}}: %{{y:.4s}}<extra></extra>")  # fmt: skip
    figure.update_layout(barmode="group", bargap=0.25, height=340, showlegend=True)
    figure.update_layout(margin={"l": 76, "r": 12, "t": 40, "b": 40})
    figure.update_xaxes(type="category", showgrid=False, tickfont_size=11, tickangle=-45, nticks=0)
    figure.update_yaxes(title_text=title, tickformat="~s")
    return figure


def _errors(
    points: Sequence[Point], plane: Sequence[Objective], look: Theme
) -> dict[str, dict[str, Any]]:
    """Error bars of the plane's objectives that have bounds: `error_x`, `error_y`."""
    bars = {}
    for side, objective in zip("xy", plane, strict=True):
        key = objective.key
        if not any(key in point.bounds for point in points):
            continue
        values = [p.metrics.get(key, math.nan) for p in points]
        ends = [p.bounds.get(key, (v, v)) for p, v in zip(points, values, strict=True)]
        low, high = [low for low, _ in ends], [high for _, high in ends]
        bars[f"error_{side}"] = error_bar(values, low, high, look) | {"color": look.front}
    return bars


def _scale(look: Theme) -> list[list[Any]]:
    return [[i / (len(look.ramp) - 1), color] for i, color in enumerate(look.ramp)]


def _ramp(data: ReportData, look: Theme) -> dict[str, Any]:
    """Marker style: log10 of the third objective where there is one, three ticks on its bar."""
    marker: dict[str, Any] = {"size": 6, "opacity": 0.8, "colorscale": _scale(look)}
    bar: dict[str, Any] = {"thickness": 10, "outlinewidth": 0, "title": {"side": "top"}}
    if len(data.objectives) > 2:
        third = data.objectives[2]
        values = [p.metrics.get(third.key, math.nan) for p in data.points]
        logs = [math.log10(v) if v > 0 else math.nan for v in values]
        marker["color"] = logs
        bar["title"]["text"] = f"{third.label}<br>&nbsp;"  # room above the topmost tick
        seen = [v for v in logs if math.isfinite(v)]
        if seen:
            ticks = (min(seen), (min(seen) + max(seen)) / 2, max(seen))
            bar |= {"tickvals": ticks, "ticktext": [quantity(10**t, third.unit) for t in ticks]}
    return {**marker, "showscale": True, "colorbar": bar}


def _hover(data: ReportData, points: Iterable[Point]) -> dict[str, Any]:
    """Hover text with the objectives and the whole configuration of each point."""
    texts = []
    for point in points:
        values = [f"{o.label}: {quantity(point.metrics.get(o.key, math.nan), o.unit)}"
                  for o in data.objectives]  # fmt: skip
        fields = {**point.choices, **point.config}
        config = [f"{path}: {value}" for path, value in fields.items()]
        lines = [html.escape(line, quote=False) for line in (point.machine, *values, *config)]
        texts.append("<br>".join([f"<b>point {point.id}</b>", *lines]))
    return {"hovertext": texts, "hoverinfo": "text"}


def _ring(x: float, y: float, look: Theme) -> dict[str, Any]:
    """A circle of fixed pixel size around one point.

    As a path: plotly.js 4.1.1 misplaces a shape of type "circle" that has pixel sizes on log axes
    (it takes x0 = -9 for a coordinate).
    """
    circle = "M9,0C9,5 5,9 0,9C-5,9 -9,5 -9,0C-9,-5 -5,-9 0,-9C5,-9 9,-5 9,0Z"
    line = {"color": look.text, "width": 2.5}
    sizes = {"xsizemode": "pixel", "ysizemode": "pixel"}
    return {"type": "path", "path": circle, "xanchor": x, "yanchor": y, "line": line, **sizes}
