"""Plotly figures of one point of a design space, for notebooks and for the report page.

The report page (`analysis.page`) takes layout, colours, trace order and hover texts from the
figures built here and only swaps their data, so a notebook and the page show the same plots.
Plotly is imported inside the functions: importing this module stays cheap. Read next:
`analysis.space_plots`, the figures of the whole space.
"""

from __future__ import annotations

import html
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from analysis.page import Layers, Objective, Point

ThemeName = Literal["light", "dark"]

FONT = '"Source Sans 3", "Helvetica Neue", Helvetica, Arial, "Liberation Sans", sans-serif'
SI_UNITS = ("s", "J", "W", "Hz", "B")
"""Units that take an SI prefix; "mm²" and "MACs/cycle" do not."""
SI_PREFIXES = ("f", "p", "n", "µ", "m", "", "k", "M", "G", "T", "P")
"""The prefixes of 10^-15, 10^-12, ... 10^15."""
FEMTO = 1e-15
LABEL_CHARACTERS = 19
LABELS_PER_AXIS = 5
"""Few enough that plotly labels 1, 2, 5 of a decade on log axes; its own choice overlaps."""
MANY_LAYERS = 40
BAR_HATCHES = ("", "/", "x", ".")
"""Patterns of bars that repeat a colour; a machine has up to 13 parts of its energy or more."""


@dataclass(frozen=True)
class Theme:
    """Colours of one reading mode: text, paper, lines, the front, the value ramp, the bars."""

    text: str
    muted: str
    grid: str
    paper: str
    front: str
    ramp: tuple[str, ...]
    bars: tuple[str, ...]


# Bars: after the eight colours of Okabe and Ito, "Color Universal Design" (2008), which the common
# colour vision deficiencies tell apart; lightness moved to suit white and dark paper.
THEMES: Mapping[ThemeName, Theme] = {
    "light": Theme(
        "#1c2430", "#566173", "#dfe3e8", "#ffffff", "#c2410c",
        ("#b9cfa0", "#58aaa6", "#2a7596", "#0b3558"),
        ("#1f5f8b", "#d98200", "#8a94a3", "#00866a", "#b5477f", "#5aa9dc", "#7a5c00", "#3d3d7a"),
    ),
    "dark": Theme(
        "#e4e8ee", "#9aa5b4", "#2c3540", "#12171e", "#ff8a4c",
        ("#2b5580", "#3f93b5", "#86c9b4", "#e3ecb8"),
        ("#5aa9dc", "#e69f00", "#7d8896", "#20b090", "#d77fb0", "#2f78ad", "#c9ae3c", "#9a9ae0"),
    ),
}  # fmt: skip


class Series(NamedTuple):
    """One trace of a roofline: name, coordinates, and the layer of each marker (roofs: none)."""

    name: str
    x: tuple[float, ...]
    y: tuple[float, ...]
    layer: tuple[int, ...] = ()


def roofline_series(layers: Layers) -> tuple[Series, ...]:
    """Return DRAM roof, compute roof, layers, and layers without DRAM traffic (at the right edge).

    x is MACs per DRAM byte, y MACs per cycle (compute, stall and overhead together). Layers without
    MACs or without cycles have no place on logarithmic axes and are left out. The model: Williams,
    Waterman, Patterson, "Roofline", CACM 52(4), 2009, figure 1.
    """
    peak, bandwidth = layers.peak_macs_per_cycle, layers.dram_bytes_per_cycle
    cycles = [sum(parts) for parts in zip(*_cycles(layers).values(), strict=True)]
    drawn = [i for i, macs in enumerate(layers.macs) if macs > 0 and cycles[i] > 0]
    fed = [i for i in drawn if layers.dram_bytes[i] > 0]
    resident = [i for i in drawn if layers.dram_bytes[i] == 0]
    intensity = [layers.macs[i] / layers.dram_bytes[i] for i in fed]
    rate = {i: layers.macs[i] / cycles[i] for i in drawn}
    ridge = peak / bandwidth
    left, right = min([*intensity, ridge]) / 2, max([*intensity, ridge]) * 4
    return (
        Series(f"DRAM, {bandwidth:g} B/cycle", (left, ridge), (left * bandwidth, peak)),
        Series(f"peak, {peak:g} MACs/cycle", (ridge, right), (peak, peak)),
        Series("layers", tuple(intensity), tuple(rate[i] for i in fed), tuple(fed)),
        Series(
            "layers without DRAM traffic",
            (right,) * len(resident),
            tuple(rate[i] for i in resident),
            tuple(resident),
        ),
    )


def quantity(value: float, unit: str) -> str:
    """Return `value` to four significant digits, with an SI prefix where `unit` takes one."""
    if not math.isfinite(value):
        return "n/a"
    if unit not in SI_UNITS or value == 0:
        return (
            f"{value:,.0f} {unit}".strip() if abs(value) >= 1e4 else f"{value:.4g} {unit}".strip()
        )
    place = min(max(math.floor(math.log10(abs(value)) / 3), -5), 5)
    return f"{value / 10.0 ** (3 * place):.4g} {SI_PREFIXES[place + 5]}{unit}"


def objective_axis(objective: Objective) -> dict[str, Any]:
    """Return the plotly axis keys (title, tick format) of an axis that carries `objective`."""
    unit = f" [{objective.unit}]" if objective.unit else ""
    tick_format = "~s" if objective.unit in SI_UNITS else ",.4~r"
    return {"title": {"text": objective.label + unit}, "tickformat": tick_format}


def layer_cycles_figure(
    point: Point, names: Sequence[str], ops: Sequence[str] = (), theme: ThemeName = "light"
) -> go.Figure:
    """Stacked bars: cycles of each layer of `point`, split in compute, stall and overhead.

    `names` and `ops`: one entry a layer, in order of execution. Raises ValueError where the point
    carries no layers.
    """
    figure = _bars("cycles", _cycles(_layers(point)), names, ops, theme, "%{y:,} cycles")
    figure.update_yaxes(title_text="Cycles", tickformat="~s")
    return figure


def layer_energy_figure(
    point: Point, names: Sequence[str], ops: Sequence[str] = (), theme: ThemeName = "light"
) -> go.Figure:
    """Stacked bars: energy of each layer of `point` in joules (stored: fJ), split by component.

    Where the layers have bounds, an error bar on each goes from low to high.
    """
    layers = _layers(point)
    figure = _bars("energy", layers.energy_fj, names, ops, theme, "%{y:.4s}J", scale=FEMTO)
    if layers.energy_fj_low:
        _add_bounds(figure, layers, names, ops, theme)
    figure.update_yaxes(title_text="Energy", tickformat="~s", ticksuffix="J", rangemode="tozero")
    return figure


def roofline_figure(
    point: Point, names: Sequence[str], ops: Sequence[str] = (), theme: ThemeName = "light"
) -> go.Figure:
    """Roofline of `point`: MACs per cycle against MACs per DRAM byte, the two roofs and the layers.

    See `roofline_series` for what is left out. Raises ValueError where the point carries no layers.
    """
    import plotly.graph_objects as go

    look = THEMES[theme]
    figure = go.Figure(layout=base_layout(look))
    styles = (
        {"mode": "lines", "line": {"color": look.bars[1], "width": 2}, "hoverinfo": "skip"},
        {"mode": "lines", "line": {"color": look.front, "width": 2}, "hoverinfo": "skip"},
        {"mode": "markers", "marker": {"color": look.bars[0], "size": 8, "opacity": 0.85}},
        {
            "mode": "markers",
            "marker": {"color": look.bars[0], "size": 9, "symbol": "triangle-right-open"},
        },
    )
    where = "<br>%{y:.4g} MACs/cycle<br>"
    notes = ("", "", where + "%{x:.4g} MACs/DRAM byte", where + "no DRAM traffic")
    titles = layer_titles(names, ops)
    for series, style, note in zip(roofline_series(_layers(point)), styles, notes, strict=True):
        hover = f"%{{customdata}}{note}<extra></extra>" if note else None
        figure.add_scatter(name=series.name, x=series.x, y=series.y, hovertemplate=hover,
                           customdata=[titles[i] for i in series.layer], **style)  # fmt: skip
    figure.update_layout(height=420, margin={"l": 76, "r": 12, "t": 40, "b": 60})
    figure.update_xaxes(type="log", title_text="MACs per DRAM byte", tickformat=",.3~r")
    figure.update_yaxes(type="log", title_text="MACs per cycle", tickformat=",.3~r")
    return figure


def _bars(
    field: str,
    parts: Mapping[str, Sequence[int]],
    names: Sequence[str],
    ops: Sequence[str],
    theme: ThemeName,
    value: str,
    scale: float = 1,
) -> go.Figure:
    """Stacked bars of `parts`; `meta` tells the page which numbers a bar shows."""
    import plotly.graph_objects as go

    look = THEMES[theme]
    figure = go.Figure(layout=base_layout(look))
    for place, (part, counts) in enumerate(parts.items()):
        figure.add_bar(
            name=part,
            x=layer_labels(names),
            y=[count * scale for count in counts],
            customdata=layer_titles(names, ops),
            marker=bar_look(place, look),
            hovertemplate=f"%{{customdata}}<br>{part}: {value}<extra></extra>",
            meta={"field": field, "part": part, "scale": scale},
        )
    figure.update_layout(barmode="stack", bargap=0.25, height=380, showlegend=True)
    figure.update_layout(margin={"l": 76, "r": 12, "t": 40, "b": 40})
    angle = -45 if len(names) <= MANY_LAYERS else -90
    figure.update_xaxes(
        type="category", showgrid=False, tickfont_size=11, tickangle=angle, nticks=0
    )
    return figure


def bar_look(place: int, look: Theme) -> dict[str, Any]:
    """Plotly's keys of the bars of one part: colours in turn, then the same ones hatched."""
    turn, at = divmod(place, len(look.bars))
    hatch = BAR_HATCHES[min(turn, len(BAR_HATCHES) - 1)]
    pattern = {"shape": hatch, "fgcolor": look.paper, "fillmode": "overlay", "size": 6}
    return {"color": look.bars[at], "pattern": pattern}


def _add_bounds(
    figure: go.Figure, layers: Layers, names: Sequence[str], ops: Sequence[str], theme: ThemeName
) -> None:
    """An error bar from low to high on each stack; the last trace, markers of no size."""
    parts = layers.energy_fj.values()
    total = [FEMTO * sum(part[i] for part in parts) for i in range(len(names))]
    low, high = ([FEMTO * v for v in x] for x in (layers.energy_fj_low, layers.energy_fj_high))
    figure.add_scatter(
        name="low to high",
        mode="markers",
        x=layer_labels(names),
        y=total,
        customdata=[
            f"{title}<br>{quantity(a, 'J')} to {quantity(b, 'J')}"
            for title, a, b in zip(layer_titles(names, ops), low, high, strict=True)
        ],
        hovertemplate="%{customdata}<extra></extra>",
        marker={"size": 5, "color": THEMES[theme].text, "symbol": "line-ew-open"},
        error_y=error_bar(total, low, high, THEMES[theme]),
        meta={"field": "bounds", "part": "", "scale": FEMTO},
    )


def error_bar(
    values: Sequence[float], low: Sequence[float], high: Sequence[float], look: Theme
) -> dict[str, Any]:
    """Plotly's keys of an asymmetric error bar from `low` to `high` around `values`."""
    return {
        "type": "data",
        "symmetric": False,
        "array": [h - v for v, h in zip(values, high, strict=True)],
        "arrayminus": [v - a for v, a in zip(values, low, strict=True)],
        "color": look.text,
        "thickness": 1.25,
        "width": 3,
    }


def layer_labels(names: Sequence[str]) -> list[str]:
    """Return short axis labels; the layer's number leads, so that equal names never merge."""
    kept = LABEL_CHARACTERS - 1  # the end of a name tells layers apart, the beginning is a scope
    short = (n if len(n) <= LABEL_CHARACTERS else f"…{n[-kept:]}" for n in names)
    return [html.escape(f"{number} {name}", quote=False) for number, name in enumerate(short)]


def layer_titles(names: Sequence[str], ops: Sequence[str]) -> list[str]:
    """Full layer names for hover boxes, with the operator where `ops` gives it."""
    bold = [f"<b>{html.escape(name, quote=False)}</b>" for name in names]
    return [f"{name} ({op})" for name, op in zip(bold, ops, strict=True)] if ops else bold


def _cycles(layers: Layers) -> dict[str, tuple[int, ...]]:
    return {"compute": layers.compute, "stall": layers.stall, "overhead": layers.overhead}


def _layers(point: Point) -> Layers:
    if point.layers is None:
        raise ValueError(
            f"point {point.id} carries no per-layer results; estimate its machine again"
        )
    return point.layers


def base_layout(look: Theme) -> dict[str, Any]:
    """Layout shared by all figures: datasheet look, a template of our own instead of plotly's."""
    axis = {"gridcolor": look.grid, "linecolor": look.muted, "showline": True, "zeroline": False,
            "ticks": "outside", "tickcolor": look.muted, "ticklen": 4, "automargin": True,
            "nticks": LABELS_PER_AXIS, "title": {"standoff": 12}}  # fmt: skip
    return {
        "template": {"layout": {"xaxis": axis, "yaxis": axis}},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"family": FONT, "size": 13, "color": look.text},
        "hoverlabel": {"bgcolor": look.paper, "bordercolor": look.muted,
                       "font": {"color": look.text, "family": FONT}, "align": "left"},
        "hovermode": "closest",
        "legend": {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom",
                   "traceorder": "normal"},
        "modebar": {"bgcolor": "rgba(0,0,0,0)", "color": look.muted, "activecolor": look.text},
    }  # fmt: skip
