"""The explorer's commands: sweep, search, report, diff. `analysis.cli` puts them on the program."""

from pathlib import Path
from typing import Annotated

import typer

from analysis.limits import MAX_WORKERS
from analysis.terminal import integer
from simulator.errors import BitlaneError


def sweep(
    spec: Annotated[Path, typer.Argument(help="The sweep's YAML.", metavar="SPEC.yaml")],
    out: Annotated[Path | None, typer.Option(help="Folder for the results.")] = None,
    resume: Annotated[bool, typer.Option(help="Go on with the run in this folder.")] = False,
    data: Annotated[
        str | None,
        typer.Option(help="Labelled inputs to execute: an .npz, or zoo:digits.", metavar="F.npz"),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            parser=integer("--workers", 1, MAX_WORKERS),
            help="Processes of this machine that share the work.",
        ),
    ] = None,
    scheduler: Annotated[
        str | None,
        typer.Option(metavar="ADDRESS", help="A dask scheduler whose workers do the work."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say how many points, how long, how much disk.")
    ] = False,
    json: Annotated[
        Path | None, typer.Option(help="With --dry-run: write what it says here.")
    ] = None,
) -> None:
    """Evaluate every design of a sweep and keep the results as Parquet.

    Of a YAML with `study`: train networks of several widths, and price each on every machine.
    """
    from analysis.study_spec import is_study
    from simulator.config import load_yaml

    if is_study(load_yaml(spec)):
        from analysis.study import study_command

        others = {"--data": data, "--scheduler": scheduler, "--json": json}
        return study_command(spec, out, resume, workers, {**others, "--dry-run": dry_run or None})
    if dry_run:
        from analysis.dry_run import dry_run_command

        return dry_run_command(spec, json, data)
    if json is not None:
        raise BitlaneError("--json belongs to --dry-run; add it")
    if out is None:
        raise BitlaneError("Missing option '--out'. (see bitlane sweep --help)")
    from analysis.sweeps import sweep_command

    if workers is not None and scheduler is not None:
        raise BitlaneError("--workers and --scheduler: give one; a scheduler has its own workers")
    return sweep_command(spec, out, resume, data, workers, scheduler)


def search(
    spec: Annotated[
        Path, typer.Argument(help="A sweep's YAML with a search section.", metavar="SPEC.yaml")
    ],
    out: Annotated[Path, typer.Option(help="Folder for the results.")],
    resume: Annotated[bool, typer.Option(help="Go on with the run in this folder.")] = False,
) -> None:
    """Search the designs of a sweep by NSGA-II or TPE where the grid is too large."""
    from analysis.searches import search_command

    search_command(spec, out, resume)


def reprice(
    folder: Annotated[Path, typer.Argument(help="Folder of a finished sweep.", metavar="DIR")],
    technology: Annotated[
        str, typer.Option(help="A technology that ships with bitlane, or its YAML.")
    ],
    out: Annotated[Path, typer.Option(help="Folder for the results.")],
    resume: Annotated[bool, typer.Option(help="Go on with the run in this folder.")] = False,
) -> None:
    """Price a sweep in another technology: nothing is counted or mapped again."""
    from analysis.reprice import reprice_command

    reprice_command(folder, technology, out, resume)


def report(
    folder: Annotated[Path, typer.Argument(help="Folder of a sweep.", metavar="DIR")],
    out: Annotated[Path | None, typer.Option(help="The page; DIR/report.html otherwise.")] = None,
    csv: Annotated[Path | None, typer.Option(help="Write every point here.")] = None,
    png: Annotated[Path | None, typer.Option(help="Draw the Pareto plane here.")] = None,
    svg: Annotated[Path | None, typer.Option(help="Draw the Pareto plane here.")] = None,
) -> None:
    """Make one offline HTML page of a sweep: Pareto front, sensitivity, layers, roofline."""
    from analysis.study_report import is_study_folder, study_report

    if is_study_folder(folder):
        figures = {"--png": png, "--svg": svg}
        return study_report(folder, out or folder / "report.html", csv, figures)
    from analysis.report import report_command

    return report_command(folder, out or folder / "report.html", csv, png, svg)


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
