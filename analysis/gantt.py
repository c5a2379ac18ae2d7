"""Gantt charts of one point: which unit does what and when, and which tensor is where in memory.

The report page takes layout, colours and trace order from the figure built here, as it does from
those of `analysis.plots`, and only swaps its data.
"""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from analysis.plots import THEMES, ThemeName, base_layout, layer_titles

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from analysis.page import Buffer

KINDS = ("run", "dispatch", "copy in", "copy out")
"""What a span can be, in the order of the legend: `simulator.machines.timeline.EVENT_NAMES`."""
SHADES = (1.0, 0.65)
"""Opacities of layers in turn: one that follows another at once stands out from it."""
ROW_PIXELS = 44
FRAME_PIXELS = 130


class Span(NamedTuple):
    """`unit` is busy with `what` for the layer at index `layer`, `cycles` from `start` on."""

    unit: str
    what: str
    layer: int
    start: int
    cycles: int


def one_after_another(units: Sequence[str], cycles: Sequence[int]) -> tuple[Span, ...]:
    """The spans of layers that never overlap, as on every machine that is no platform."""
    spans, start = [], 0
    for layer, (unit, length) in enumerate(zip(units, cycles, strict=True)):
        spans.append(Span(unit, "run", layer, start, length))
        start += length
    return tuple(spans)


def spans_of(document: Mapping[str, Any]) -> tuple[Span, ...]:
    """The spans of one machine's entry in the document of `bitlane estimate --json`."""
    layers = document["layers"]
    if "timeline" not in document:
        return one_after_another(
            [layer["unit"] for layer in layers], [layer["cycles"]["total"] for layer in layers]
        )
    index = {layer["name"]: i for i, layer in enumerate(layers)}
    return tuple(
        Span(event["unit"], event["what"], index[event["layer"]], event["start"], event["cycles"])
        for event in document["timeline"]
        if event["cycles"]
    )


def rows_of(spans: Sequence[Span]) -> list[str]:
    """The units in the order of the chart's rows: as they appear, each link after its unit."""
    units = list(dict.fromkeys(span.unit.split(".")[0] for span in spans))
    seen = dict.fromkeys(span.unit for span in spans)
    return [name for unit in units for name in sorted(seen) if name.split(".")[0] == unit]


def gantt_figure(
    spans: Sequence[Span],
    names: Sequence[str],
    ops: Sequence[str] = (),
    theme: ThemeName = "light",
) -> go.Figure:
    """Horizontal bars, a row a unit and a trace for each of `KINDS`; x is in cycles."""
    import plotly.graph_objects as go

    look, titles, rows = THEMES[theme], layer_titles(names, ops), rows_of(spans)
    figure = go.Figure(layout=base_layout(look))
    for place, kind in enumerate(KINDS):
        ours = [span for span in spans if span.what == kind]
        figure.add_bar(
            name=kind,
            orientation="h",
            y=[span.unit for span in ours],
            x=[span.cycles for span in ours],
            base=[span.start for span in ours],
            customdata=[titles[span.layer] for span in ours],
            # An outline of its own colour: the shortest span is still a pixel wide.
            marker={
                "color": look.bars[place],
                "opacity": [SHADES[span.layer % 2] for span in ours],
                "line": {"width": 1, "color": look.bars[place]},
            },
            hovertemplate=f"%{{customdata}}<br>{kind} on %{{y}}<br>"
            "from cycle %{base:,} for %{x:,}<extra></extra>",
            meta={"what": kind, "shades": SHADES},
            showlegend=True,
        )
    figure.update_layout(
        barmode="overlay",
        bargap=0.25,
        height=FRAME_PIXELS + ROW_PIXELS * max(1, len(rows)),
        margin={"l": 76, "r": 12, "t": 40, "b": 60},
    )
    figure.update_xaxes(title_text="Cycles", tickformat="~s", rangemode="tozero")
    figure.update_yaxes(
        type="category",
        categoryorder="array",
        categoryarray=rows,
        autorange="reversed",
        showgrid=False,
        nticks=0,
    )
    return figure


def memory_figure(buffers: Sequence[Buffer], layers: int, theme: ThemeName = "light") -> go.Figure:
    """The arena over the layers: a box a tensor, as long as it lives, at its addresses in bytes.

    x is the number of the layer that runs. Boxes are shaded in turn, so that neighbours differ.
    """
    import plotly.graph_objects as go

    look = THEMES[theme]
    figure = go.Figure(layout=base_layout(look))
    figure.add_bar(
        x=[(b.first + b.last) / 2 for b in buffers],
        width=[b.last - b.first + 1 for b in buffers],
        base=[b.offset for b in buffers],
        y=[b.bytes for b in buffers],
        customdata=[html.escape(b.name, quote=False) for b in buffers],
        marker={
            "color": [look.bars[i % len(look.bars)] for i in range(len(buffers))],
            "line": {"width": 1, "color": look.paper},
        },
        hovertemplate="%{customdata}<br>%{y:,} bytes from %{base:,}<extra></extra>",
        meta={"colors": look.bars},
        showlegend=False,
    )
    figure.update_layout(barmode="overlay", bargap=0, height=340)
    figure.update_layout(margin={"l": 76, "r": 12, "t": 16, "b": 60})
    figure.update_xaxes(title_text="Layer", range=[-0.5, max(layers, 1) - 0.5], showgrid=False)
    figure.update_yaxes(title_text="Address in the arena", tickformat="~s", ticksuffix="B")
    return figure


def span_columns(spans: Sequence[Span]) -> dict[str, Any]:
    """The spans as the page's scripts read them: a list a field, units as places in `rows`."""
    rows = rows_of(spans)
    return {
        "rows": rows,
        "unit": [rows.index(span.unit) for span in spans],
        "what": [KINDS.index(span.what) for span in spans],
        "layer": [span.layer for span in spans],
        "start": [span.start for span in spans],
        "cycles": [span.cycles for span in spans],
    }
