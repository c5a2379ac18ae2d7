"""Write the validation page: ``python -m tests.validation > docs/validation.md``."""

import json
import sys
from collections.abc import Iterable
from importlib import import_module
from pathlib import Path
from typing import Annotated, Final

import typer

from tests.validation import uncompared
from tests.validation.page import document, markdown
from tests.validation.rows import Missing, Section

SECTIONS: Final = (
    "scalesim",
    "stepper",
    "zigzag",
    "zigzag_search",
    "timeloop",
    "vela",
    "maestro",
    "gemmini",
    "gemmini_many",
    "boards",
    "board_energy",
    "microcontrollers",
    "layers",
    "pixel",
    "phones",
    "hexagon",
    "edge_tpu",
    "eyeriss",
    "nvdla",
)
"""The modules of this package in the order of the page; each has `section()`."""


def build(names: Iterable[str] = SECTIONS) -> dict[str, Section | str]:
    """Sections by name; the reason, which standard error repeats, where its input is missing."""
    found: dict[str, Section | str] = {}
    for name in names:
        try:
            found[name] = import_module(f"tests.validation.{name}").section()
        except Missing as missing:
            found[name] = str(missing)
            print(f"validation: section '{name}' NOT RUN: {missing}", file=sys.stderr)
    return found


def ending() -> str:
    """What no section compares; nothing where the figures are missing, as the sections said."""
    try:
        return "\n" + "\n".join(uncompared.lines()) + "\n"
    except Missing:
        return ""


def main(
    only: Annotated[list[str] | None, typer.Option(help="A section; repeatable.")] = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="Every row, as JSON.")] = None,
) -> None:
    """Print the page; exits 1 where a section was not run."""
    names = tuple(only or SECTIONS)
    unknown = [name for name in names if name not in SECTIONS]
    if unknown:
        print(
            f"--only {unknown[0]}: no such section; known: {', '.join(SECTIONS)}", file=sys.stderr
        )
        raise typer.Exit(2)
    results = build(names)
    print(markdown(results), end="")
    if only is None:
        print(ending(), end="")
    if json_file is not None:
        json_file.write_text(json.dumps(document(results), indent=1) + "\n", encoding="utf-8")
    if any(isinstance(found, str) for found in results.values()):
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
