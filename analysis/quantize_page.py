"""The page of `bitlane quantize`: one HTML file with its figures and plotly; it asks no network."""

import html
from importlib import resources
from string import Template
from typing import TYPE_CHECKING

from analysis import quantize_plots as plots
from analysis.quantize_report import diagnosis_text, to_text, written_text
from analysis.quantize_written import Written
from workloads.quantize.ptq.diagnose import Diagnosis
from workloads.quantize.ptq.pipeline import Quantized
from workloads.quantize.ptq.settings import Settings

if TYPE_CHECKING:
    import plotly.graph_objects as go


def render(
    made: Quantized,
    settings: Settings,
    written: Written | None = None,
    found: Diagnosis | None = None,
) -> str:
    """The complete page: what each step bought, each layer, and the diagnosis if there is one."""
    from plotly.offline import get_plotlyjs

    report = [to_text(made, settings)]
    report += [diagnosis_text(found, settings)] if found else []
    report += ["", written_text(written)] if written else []
    drawn = figures(made, found)
    sections = (
        f'<h2>{html.escape(title)}</h2>\n<div class="figure" id="{name}"></div>'
        for name, (title, _) in drawn.items()
    )
    data = ",".join(f'"{name}":{figure.to_json()}' for name, (_, figure) in drawn.items())
    page = resources.files("analysis").joinpath("page_assets", "quantize.html")
    return Template(page.read_text(encoding="utf-8")).substitute(
        title=html.escape(f"{made.float_graph.name}, quantized"),
        subtitle=html.escape(_subtitle(made, settings)),
        figures="\n".join(sections),
        report=html.escape("\n".join(report)),
        plotly=get_plotlyjs().replace("</script", "<\\/script"),
        data=f"{{{data}}}".replace("</", "<\\/"),
    )


def figures(made: Quantized, found: Diagnosis | None) -> "dict[str, tuple[str, go.Figure]]":
    """(heading, figure) by the element that holds it."""
    drawn = {
        "steps": ("What each step bought", plots.steps_figure(made.steps)),
        "layers": ("Each layer", plots.layers_figure(made.layers)),
    }
    if found is not None:
        drawn["ranking"] = ("One layer quantized at a time", plots.ranking_figure(found.ranking))
    if found is not None and found.channels is not None:
        worst = found.channels.layer
        ranges, noise = (
            plots.channel_ranges_figure(found.channels),
            plots.channel_noise_figure(found.channels),
        )
        drawn["ranges"] = (f"Channels of the worst layer, {worst}: weights", ranges)
        drawn["noise"] = (f"Channels of the worst layer, {worst}: signal to noise", noise)
    return drawn


def _subtitle(made: Quantized, settings: Settings) -> str:
    policy = settings.policy
    return (
        f"W{policy.weights}A{policy.activations}; signal to noise in dB of the logits, on "
        f"{len(made.judge.held)} samples that were not calibrated on"
    )
