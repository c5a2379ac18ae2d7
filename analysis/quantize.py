"""`bitlane quantize`: a float network and some data in, an integer network and its report out."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import workloads
from analysis.files import check_places, tell, write_json, write_text
from analysis.quantize_data import has_labels, load_calibration, load_labels
from analysis.quantize_report import diagnosis_text, to_json_dict, to_text, written_text
from analysis.quantize_written import check_output, check_widths, write
from simulator.errors import BadConfig, BadFile, IllegalValues, Unsupported
from simulator.graph import Graph
from workloads.quantize.ptq.diagnose import diagnose
from workloads.quantize.ptq.pipeline import Watch, quantize
from workloads.quantize.ptq.prepare import prepared
from workloads.quantize.ptq.settings import Settings
from workloads.quantize.ptq.widths import widths
from workloads.topology_csv import require_values


@dataclass(frozen=True)
class Files:
    """What the command reads and writes, beside the model."""

    calibration: Path | None = None
    labels: Path | None = None
    out: Path | None = None
    format: str | None = None
    json: Path | None = None
    html: Path | None = None


def quantize_command(model: str, files: Files, settings: Settings, *, diagnosed: bool) -> None:
    """Quantize, write, and tell; every fault of the inputs before the work."""
    if files.out is None and not diagnosed:
        raise BadConfig("quantize writes -o OUT.onnx or OUT.tflite, or looks with --diagnose")
    if files.format and files.out is None:
        raise BadConfig(f"--format {files.format}: says how -o is written; give -o OUT.onnx")
    form = check_output(files.out, files.format) if files.out else ""
    check_places({"-o": files.out, "--json": files.json, "--html": files.html})
    _check_sources(model, files)
    graph = float_graph(model, settings)
    if files.out:
        check_widths(graph, settings.policy, form, files.out)
    samples = load_calibration(graph, files.calibration) if files.calibration else None
    place = files.labels
    if place is None and files.calibration and has_labels(graph, files.calibration):
        place = files.calibration
    labelled = load_labels(graph, place) if place else None
    if samples is None:
        settings = replace(settings, data_free=True)
    with progress(graph.name) as watch:
        made = quantize(graph, settings, samples, labelled, watch)
        found = diagnose(made, lambda *at: watch("diagnose", *at)) if diagnosed else None
        written = write(made, files.out, form) if files.out else None
    text = [to_text(made, settings)]
    text += [diagnosis_text(found, settings)] if found else []
    text += ["", written_text(written)] if written else []
    tell("\n".join(text), files.json)
    if files.json:
        write_json(files.json, to_json_dict(made, settings, written, found))
    if files.html:
        from analysis.quantize_page import render

        write_text(files.html, render(made, settings, written, found))
        tell(f"page written to {files.html}", files.json)


def _check_sources(model: str, files: Files) -> None:
    """Raise BadFile for a result that would take the place of what is read."""
    read = {"the model": Path(model), "--calibration": files.calibration, "--labels": files.labels}
    for option, path in (("-o", files.out), ("--json", files.json), ("--html", files.html)):
        for what, source in read.items():
            if path and source and source.exists() and path.resolve() == source.resolve():
                raise BadFile(f"{option} {path}: {what} is read from there; give another file")


def float_graph(model: str, settings: Settings) -> Graph:
    """The network to quantize, refused before any work where it cannot be or a layer is unknown."""
    graph = require_values(workloads.load(model))
    try:
        widths(prepared(graph), settings.policy)
    except (Unsupported, BadConfig, IllegalValues) as error:
        raise type(error)(str(error).replace(graph.name, model, 1)) from None
    return graph


@contextlib.contextmanager
def progress(name: str) -> Iterator[Watch]:
    """A bar a step on a terminal; nothing in a pipe."""
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import Progress

    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(escape(name), total=None)

        def watch(step: str, done: int, total: int) -> None:
            told = escape(f"{name}: {step}")
            bar.update(task, description=told, completed=done, total=total)

        yield watch
