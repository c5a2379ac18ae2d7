"""Machines and technologies as YAML, and the loader of their names.

`names()` lists the shipped machines, `load("systolic_16x16")` or `load("my/npu.yaml")` validates
one. Everything heavy is imported at the first call.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from simulator.document import Document
    from simulator.machines.base import Machine
    from simulator.technology.model import Technology

__all__ = ["document", "load", "load_technology", "names"]

_HERE = Path(__file__).resolve().parent


def names(folder: str = "machines") -> list[str]:
    """The shipped names in a folder: ``machines``, ``technologies`` or ``sweeps``."""
    return sorted(path.stem for path in (_HERE / folder).glob("*.yaml"))


def load(name_or_path: str | Path, overrides: Sequence[tuple[str, Any]] = ()) -> "Machine":
    """A machine by shipped name or YAML file, with ``(dotted path, value)`` pairs set on top.

    Raises BadFile or BadConfig, every fault with its file and line.
    """
    from simulator.machines.registry import machine_from

    return machine_from(document(name_or_path, overrides))


def document(name_or_path: str | Path, overrides: Sequence[tuple[str, Any]] = ()) -> "Document":
    """A machine's YAML with its technology in place of that one's name, not validated yet.

    One document serves many variants of a machine:
    ``machine_from(document("systolic_16x16"), [("array.rows", 8)])``.
    """
    from simulator.config import override

    found = _read("machines", name_or_path)
    first = [pair for pair in overrides if pair[0] == "technology"]
    found = override(found, first)
    entry = found.root.child("technology")
    if entry is not None and isinstance(entry.value, str):
        technology = _read("technologies", entry.value, f"{entry.place}: technology: ")
        found = found.with_entry(("technology",), technology.root)
    return override(found, [pair for pair in overrides if pair[0] != "technology"])


def load_technology(name_or_path: str | Path) -> "Technology":
    """A technology by shipped name or YAML file; raises as `load`."""
    from simulator.config import validate
    from simulator.technology.model import Technology

    return validate(_read("technologies", name_or_path), Technology)


def _read(folder: str, name_or_path: str | Path, place: str = "") -> "Document":
    """The document of a shipped name, or of a file where the name looks like one."""
    from simulator.config import close_match, load_yaml
    from simulator.errors import BadConfig

    text = str(name_or_path)
    if isinstance(name_or_path, Path) or "/" in text or text.endswith((".yaml", ".yml")):
        return load_yaml(name_or_path)
    if text not in names(folder):
        kind = {"machines": "machine", "technologies": "technology"}.get(folder, folder)
        raise BadConfig(
            f"{place}no {kind} is named '{text}'; {close_match(text, names(folder))} "
            "A file's name ends in .yaml."
        )
    return load_yaml(_HERE / folder / f"{text}.yaml", f"hwconfigs/{folder}/{text}.yaml")
