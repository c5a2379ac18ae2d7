"""The command `bitlane train`: a float network trained on the grids that it is served on."""

import dataclasses
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from analysis.files import check_places, replacing
from analysis.terminal import Interrupted, integer
from simulator.errors import BadFile, BitlaneError

if TYPE_CHECKING:
    from workloads.train import Epoch, Samples, Settings, Trained


def _bits(option: str) -> Any:
    return typer.Option(metavar="BITS", parser=integer(option, 0, 8), help="2 to 8; 0 for float.")


def train(
    model: Annotated[
        str, typer.Argument(help="A float .tflite or .onnx file, or zoo:NAME.", metavar="MODEL")
    ],
    data: Annotated[Path, typer.Option(help="Inputs and labels to train on.", metavar="F.npz")],
    out: Annotated[Path, typer.Option("-o", "--out", help="The integer network, QDQ ONNX.")],
    weights: Annotated[int, _bits("--weights")] = 8,
    activations: Annotated[int, _bits("--activations")] = 8,
    held: Annotated[
        Path | None, typer.Option(help="Inputs and labels held out.", metavar="F.npz")
    ] = None,
    sets: Annotated[
        list[str] | None,
        typer.Option("--set", help="NAME=VALUE: a setting of training (repeatable)."),
    ] = None,
    checkpoint: Annotated[
        Path | None,
        typer.Option(metavar="C.npz", help="Kept after every epoch; a stopped run goes on there."),
    ] = None,
) -> None:
    """Train a float network so that its integer form keeps its accuracy, and write that."""
    if out.suffix.lower() != ".onnx":
        raise BadFile(
            f"-o {out}: trained networks are written as .onnx; found '{out.suffix or 'no suffix'}'"
        )
    check_places({"-o": out, "--checkpoint": checkpoint})
    import workloads
    from analysis.labelled import load_labelled
    from workloads.train import train as run

    settings = settings_of(weights, activations, sets or ())
    graph = workloads.load(model)
    known = [None if p is None else _samples(load_labelled(graph, p), p) for p in (data, held)]
    given, tested = known
    assert given is not None
    try:
        with progress(settings.epochs) as report:
            found = run(graph, given, settings, held=tested, checkpoint=checkpoint, report=report)
    except KeyboardInterrupt:
        kept = f"the last epoch is kept in {checkpoint}" if checkpoint else "nothing is kept"
        raise Interrupted(f"interrupted; {kept}") from None
    _write(found, out)
    print("\n".join(_told(found, out)))


def settings_of(weights: int, activations: int, sets: Sequence[str]) -> "Settings":
    """Settings from the options; raises BitlaneError for names and values that are none."""
    from simulator.config import close_match
    from simulator.document import Place
    from simulator.yaml_source import parse_value
    from workloads.train import Settings

    fields = {field.name: field for field in dataclasses.fields(Settings)}
    given: dict[str, Any] = {"weights": weights, "activations": activations}
    for pair in sets:
        name, equals, text = pair.partition("=")
        if not equals:
            raise BitlaneError(f"--set {pair}: write NAME=VALUE, as in --set epochs=40")
        if name not in fields:
            raise BitlaneError(
                f"--set {pair}: no setting is named '{name}'; {close_match(name, fields)}"
            )
        value = parse_value(text, Place(f"--set {pair}")).plain()
        given[name] = _typed(pair, fields[name].default, value)
    return Settings(**given)


def _typed(pair: str, default: Any, value: Any) -> Any:
    """The value in the type of a setting's default."""
    if isinstance(default, float) and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    wanted = int if default is None else type(default)
    if type(value) is not wanted:
        raise BitlaneError(f"--set {pair}: must be {wanted.__name__}; found {value!r}")
    return value


def _samples(found: Any, place: Path) -> "Samples":
    from workloads.train import Samples

    if found.labels is None:
        raise BadFile(f"{place}: training needs 'labels', the class of each sample; add them")
    return Samples(found.inputs, found.labels)


@contextmanager
def progress(epochs: int) -> "Iterator[Any]":
    """A bar with loss and accuracy on a terminal; nothing in a pipe."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    columns = (TextColumn("training"), BarColumn(), MofNCompleteColumn())
    console = Console(stderr=True)
    with Progress(
        *columns, TextColumn("{task.description}"), console=console, disable=not console.is_terminal
    ) as bar:
        task = bar.add_task("", total=epochs)

        def report(epoch: "Epoch") -> None:
            bar.update(task, completed=epoch.number, description=_line(epoch))

        yield report


def _line(epoch: "Epoch") -> str:
    held = "" if epoch.held is None else f", held out {100 * epoch.held:.2f} %"
    return f"loss {epoch.loss:.4f}, accuracy {100 * epoch.accuracy:.2f} %{held}"


def _write(found: "Trained", out: Path) -> None:
    from workloads.quantize.export.qdq import to_qdq

    written = to_qdq(found.plan).SerializeToString()
    with replacing(out) as path:
        path.write_bytes(written)


def _told(found: "Trained", out: Path) -> "Iterator[str]":
    settings = found.network.settings
    if found.history:
        yield f"{len(found.history)} epochs: {_line(found.history[-1])}"
    layers = len(found.plan.weights)
    yield (
        f"{out}: {layers} layers, weights of {settings.weights} bits, activations of "
        f"{settings.activations}"
    )
    from workloads.train import inexact_layers

    if inexact := inexact_layers(found.plan):
        yield (
            f"sums of {', '.join(inexact)} may pass 2^24: training rounded them, the file's "
            "integers do not; a few predictions may differ"
        )
