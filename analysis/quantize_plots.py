"""Plotly figures of a quantized network: its steps, its layers, and the channels of the worst."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from analysis.plots import THEMES, base_layout, layer_labels

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from workloads.quantize.ptq.diagnose import Channels, Sensitivity
    from workloads.quantize.ptq.pipeline import LayerReport, StepReport

LOOK = THEMES["light"]
MOST_CHANNELS = 512
"""Channels that are drawn: the worst of more."""


def steps_figure(steps: Sequence[StepReport]) -> go.Figure:
    """Signal to noise of the logits after each step, dB: weights alone, and all."""
    names = [step.name for step in steps]
    figure = _figure("Logits, SQNR [dB]")
    for number, (label, values) in enumerate(
        (
            ("weights only", [step.weights_db for step in steps]),
            ("weights and activations", [step.sqnr_db for step in steps]),
        )
    ):
        figure.add_bar(name=label, x=names, y=values, marker={"color": LOOK.bars[number]})
    return figure


def layers_figure(layers: Sequence[LayerReport]) -> go.Figure:
    """Signal to noise of each layer's weights and of its output, dB."""
    names = layer_labels([layer.name for layer in layers])
    figure = _figure("SQNR [dB]")
    rows: tuple[tuple[str, list[float | None]], ...] = (
        ("weights", [layer.weights_db for layer in layers]),
        ("output, with the noise of layers before", [layer.output_db for layer in layers]),
    )
    for number, (label, values) in enumerate(rows):
        figure.add_bar(name=label, x=names, y=values, marker={"color": LOOK.bars[number]})
    return figure


def ranking_figure(ranking: Sequence[Sensitivity]) -> go.Figure:
    """Signal to noise of the logits where one layer alone is quantized, dB; the worst first."""
    names = layer_labels([one.part.name for one in ranking])
    figure = _figure("Logits, SQNR [dB]")
    rows: tuple[tuple[str, list[float | None]], ...] = (
        ("alone", [one.alone_db for one in ranking]),
        ("its weights alone", [one.weights_db for one in ranking]),
        ("its output alone", [one.activations_db for one in ranking]),
        ("all but it", [one.without_db for one in ranking]),
    )
    for number, (label, values) in enumerate(rows):
        figure.add_bar(name=label, x=names, y=values, marker={"color": LOOK.bars[number]})
    return figure


def channel_ranges_figure(channels: Channels) -> go.Figure:
    """From the least to the greatest weight of each channel, and the step of its grid."""
    shown = worst_channels(channels)
    low, high = (np.array(ends)[shown] for ends in (channels.low, channels.high))
    step = np.broadcast_to(channels.step, len(channels.low))[shown]
    figure = _figure("Weights")
    figure.add_bar(
        name="least to greatest weight",
        x=shown.tolist(),
        y=(high - low).tolist(),
        base=low.tolist(),
        marker={"color": LOOK.bars[0]},
    )
    figure.add_scatter(
        name="step of the grid", x=shown.tolist(), y=step.tolist(), mode="markers",
        marker={"color": LOOK.front, "size": 5},
    )  # fmt: skip
    figure.update_xaxes(title_text=f"Output channel of {channels.layer}")
    return figure


def channel_noise_figure(channels: Channels) -> go.Figure:
    """Signal to noise of each channel's weights and output, dB."""
    shown = worst_channels(channels)
    figure = _figure("SQNR [dB]")
    for number, (label, values) in enumerate(
        (("weights", channels.weights_db), ("output", channels.output_db))
    ):
        figure.add_scatter(
            name=label, x=shown.tolist(), y=np.array(values)[shown].tolist(), mode="markers",
            marker={"color": LOOK.bars[number], "size": 7},
        )  # fmt: skip
    figure.update_xaxes(title_text=f"Output channel of {channels.layer}")
    return figure


def worst_channels(channels: Channels) -> np.ndarray[Any, np.dtype[np.int64]]:
    """The channels to draw, in order: those whose weights have the least signal to noise."""
    order = np.argsort(channels.weights_db, kind="stable")
    return np.sort(order[:MOST_CHANNELS])


def _figure(title: str) -> go.Figure:
    import plotly.graph_objects as go

    figure = go.Figure(layout=base_layout(LOOK))
    figure.update_layout(barmode="group", height=380, margin={"t": 40})
    figure.update_yaxes(title_text=title)
    return figure
