"""The commands of the explorer: sweep, report, diff. `analysis.cli` puts them on the program."""

from pathlib import Path
from typing import Annotated

import typer


def sweep(
    spec: Annotated[Path, typer.Argument(help="The sweep's YAML.", metavar="SPEC.yaml")],
    out: Annotated[Path, typer.Option(help="Folder for the results.")],
    resume: Annotated[bool, typer.Option(help="Go on with the run in this folder.")] = False,
    data: Annotated[
        str | None,
        typer.Option(
            help="Labelled inputs, .npz or zoo:digits: accuracy, SQNR, overflow rate too."
        ),
    ] = None,
) -> None:
    """Evaluate every design of a sweep and keep the results as Parquet."""
    from analysis.sweeps import sweep_command

    sweep_command(spec, out, resume, data)


def report(
    folder: Annotated[Path, typer.Argument(help="Folder of a sweep.", metavar="DIR")],
    out: Annotated[Path | None, typer.Option(help="The page; DIR/report.html otherwise.")] = None,
) -> None:
    """Make one offline HTML page of a sweep: Pareto front, layers, roofline."""
    from analysis.report import report_command

    report_command(folder, out or folder / "report.html")


def diff(
    first: Annotated[Path, typer.Argument(help="What estimate --json wrote.", metavar="A.json")],
    second: Annotated[Path, typer.Argument(help="Another such document.", metavar="B.json")],
) -> None:
    """Compare two estimates, layer by layer."""
    from analysis.diff import diff as compare
    from analysis.diff import load_estimate

    print(compare(load_estimate(first), load_estimate(second)))
