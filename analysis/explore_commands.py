"""The commands of the explorer: sweep, report, diff. `analysis.cli` puts them on the program."""

from pathlib import Path
from typing import Annotated

import typer


def sweep(
    spec: Annotated[Path, typer.Argument(help="The sweep's YAML.", metavar="SPEC.yaml")],
    out: Annotated[Path, typer.Option(help="Folder for the results.")],
    resume: Annotated[bool, typer.Option(help="Go on with the run in this folder.")] = False,
) -> None:
    """Evaluate every design of a sweep and keep the results as Parquet."""
    from analysis.sweeps import sweep_command

    sweep_command(spec, out, resume)


def report(
    folder: Annotated[Path, typer.Argument(help="Folder of a sweep.", metavar="DIR")],
    out: Annotated[Path | None, typer.Option(help="The page; DIR/report.html otherwise.")] = None,
    csv: Annotated[Path | None, typer.Option(help="Write every point here.")] = None,
    png: Annotated[Path | None, typer.Option(help="Draw the Pareto plane here.")] = None,
    svg: Annotated[Path | None, typer.Option(help="Draw the Pareto plane here.")] = None,
) -> None:
    """Make one offline HTML page of a sweep: Pareto front, sensitivity, layers, roofline."""
    from analysis.report import report_command

    report_command(folder, out or folder / "report.html", csv, png, svg)


def diff(
    first: Annotated[Path, typer.Argument(help="What estimate --json wrote.", metavar="A.json")],
    second: Annotated[Path, typer.Argument(help="Another such document.", metavar="B.json")],
    json: Annotated[
        Path | None,
        typer.Option("--json", help="Write a JSON document here; - is standard output."),
    ] = None,
) -> None:
    """Compare two estimates, layer by layer: cycles, energy by component, bytes by memory."""
    from analysis.diff import diff_command

    diff_command(first, second, json)
