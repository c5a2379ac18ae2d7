"""`bitlane report` of a study's folder: its page, its table, its fronts as a drawing."""

import json
from collections.abc import Mapping
from pathlib import Path

from analysis.exported import check_exporter, draw
from analysis.files import check_places, replacing, write_text
from analysis.study import MANIFEST, TABLE
from analysis.study_page import fronts_figure, page
from analysis.study_spec import StudySpec
from simulator.errors import BadFile


def is_study_folder(folder: Path) -> bool:
    """Whether a folder holds a study, and no sweep."""
    return (folder / MANIFEST).is_file()


def study_report(
    folder: Path, out: Path, csv: Path | None, figures: Mapping[str, Path | None]
) -> None:
    """Write a study's page again, and its table and drawing where they are asked for.

    Raises BadFile where the folder's study did not end or its files are damaged.
    """
    import polars as pl

    check_places({"--out": out, "--csv": csv, **figures})
    check_exporter(figures)
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        spec = StudySpec.model_validate_json(json.dumps(manifest["spec"]))
        table = pl.read_parquet(folder / TABLE)
    except FileNotFoundError:
        raise BadFile(f"{folder}: its study did not end; go on with sweep --resume") from None
    except (OSError, ValueError, KeyError, TypeError, pl.exceptions.PolarsError):
        raise BadFile(f"{folder}: its study's files are damaged; run it again") from None
    write_text(out, page(spec, table))
    print(f"{spec.networks} networks on {len(spec.machines)} machines: written to {out}")
    if csv is not None:
        with replacing(csv) as scratch:
            table.write_csv(scratch)
        print(f"{len(table)} rows: written to {csv}")
    figure = fronts_figure(spec, table)
    draw(figure, figures, int(figure.layout.height))
