"""Machines and technologies as YAML, and the loader of their names.

`names()` lists the shipped machines, `load("systolic_16x16")` or `load("my/npu.yaml")` validates
one. Everything heavy is imported at the first call.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from simulator.document import Document, Entry
    from simulator.machines.base import Machine
    from simulator.technology.model import Technology

__all__ = [
    "document",
    "is_technology",
    "load",
    "load_technology",
    "names",
    "sweep_path",
    "technology",
    "text",
]

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

    A technology is a shipped name, or a file beside the machine's own; so are the machines of a
    platform. One document serves many variants: ``machine_from(document("systolic_16x16"),
    [("array.rows", 8)])``.
    """
    from simulator.config import override

    found = _read("machines", name_or_path)
    rest = list(overrides)
    # Names before what is set below them: units.npu=hvx_1024, then units.npu.clock_mhz=400.
    for folder, paths in (("machines", _machine_paths), ("technologies", _technology_paths)):
        named = [pair for pair in rest if _names_one(folder, pair[0], found)]
        rest = [pair for pair in rest if pair not in named]
        found = override(found, named)
        for path in paths(found):
            entry = found.at(path)
            if entry is None or not isinstance(entry.value, str):
                continue
            # What an option names is not beside any file.
            label = entry.place.label
            wanted = _beside(label, entry.value) if entry.place.line else entry.value
            place = f"{entry.place}: {'.'.join(path)}: "
            read = _read if folder == "machines" else _read_technology
            found = found.with_entry(path, read(folder, wanted, place).root)
    return override(found, rest)


def technology(name_or_path: str | Path) -> "Entry":
    """A technology's fields for a machine's document, not validated yet."""
    return _read_technology("technologies", name_or_path).root


def _read_technology(folder: str, name_or_path: str | Path, place: str = "") -> "Document":
    """A technology's document, with the one that it is scaled from in place of that one's name."""
    found = _read(folder, name_or_path, place)
    entry = found.root.child("scaled_from")
    if entry is None or not isinstance(entry.value, str):
        return found
    origin = _beside(entry.place.label, entry.value)
    if origin == name_or_path:
        return found
    below = _read_technology(folder, origin, f"{entry.place}: scaled_from: ")
    return found.with_entry(("scaled_from",), below.root)


def _machine_paths(document: "Document") -> list[tuple[str, ...]]:
    """Where a platform's document names machines."""
    if document.root.child("model") is None or document.root.plain()["model"] != "platform":
        return []
    units = document.root.child("units")
    below = units.value if units is not None and isinstance(units.value, Mapping) else {}
    return [("host",), *(("units", name) for name in below)]


def _technology_paths(document: "Document") -> list[tuple[str, ...]]:
    """Where a document names technologies: its own, and those of a platform's machines."""
    return [("technology",), *((*path, "technology") for path in _machine_paths(document))]


def _names_one(folder: str, dotted: str, document: "Document") -> bool:
    path = tuple(dotted.split("."))
    if folder == "technologies":
        return path in _technology_paths(document)
    return path == ("host",) or (path[0] == "units" and len(path) == 2)


def text(name_or_path: str | Path) -> str:
    """The YAML of a machine and of its technology, each as it is written.

    Raises as `load`: what does not validate is not shown.
    """
    load(name_or_path)
    shown = _path("machines", name_or_path).read_text(encoding="utf-8")
    found = _read("machines", name_or_path)
    for path in _machine_paths(found):
        entry = found.at(path)
        if entry is not None and isinstance(entry.value, str):
            shown += "\n---\n" + text(_beside(name_or_path, entry.value))
    entry = found.root.child("technology")
    if entry is not None and isinstance(entry.value, str):
        technology = _path("technologies", _beside(name_or_path, entry.value))
        shown += "\n---\n" + technology.read_text(encoding="utf-8")
    return shown


def sweep_path(name: str) -> Path:
    """The file of a shipped sweep; raises BadConfig with close matches."""
    _read("sweeps", name)
    return _path("sweeps", name)


def load_technology(name_or_path: str | Path) -> "Technology":
    """A technology by shipped name or YAML file; raises as `load`."""
    from simulator.config import validate
    from simulator.technology.model import Technology

    return validate(_read_technology("technologies", name_or_path), Technology)


def is_technology(name_or_path: str | Path) -> bool:
    """Whether a name or a file means a technology, not a machine; raises as `load` for no file."""
    if not _is_file(name_or_path):
        return str(name_or_path) in names("technologies")
    root = _read("machines", name_or_path).root
    laws = ("energy_pj", "cost", "scaled_from")
    return root.child("model") is None and any(root.child(name) is not None for name in laws)


def _beside(machine: str | Path, technology: str) -> str | Path:
    """A technology's name as it is, or its file beside the machine's own."""
    if _is_file(technology) and _is_file(machine):
        return Path(machine).parent / technology
    return technology


def _path(folder: str, name_or_path: str | Path) -> Path:
    """The file that a shipped name or a path means."""
    return Path(name_or_path) if _is_file(name_or_path) else _HERE / folder / f"{name_or_path}.yaml"


def _read(folder: str, name_or_path: str | Path, place: str = "") -> "Document":
    """The document of a shipped name, or of a file where the name looks like one."""
    from simulator.config import close_match, load_yaml
    from simulator.errors import BadConfig, BadFile

    text = str(name_or_path)
    if _is_file(name_or_path):
        if not Path(text).exists():
            raise BadFile(f"{place}{text}: no such file; {_way_out(folder, Path(text))}")
        try:
            return load_yaml(name_or_path)
        except BadFile as error:
            raise BadFile(f"{place}{error}") from None
    if text not in names(folder):
        kind = {"machines": "machine", "technologies": "technology"}.get(folder, folder)
        raise BadConfig(
            f"{place}no {kind} is named '{text}'; {close_match(text, names(folder))} "
            "(a file's name ends in .yaml)"
        )
    return load_yaml(_path(folder, text), f"hwconfigs/{folder}/{text}.yaml")


def _way_out(folder: str, path: Path) -> str:
    """What may have been meant by a file that is not there: one beside it, or what ships."""
    import difflib

    from simulator.yaml_source import near_file

    # A technology is named in a machine's file, and that lies beside it.
    beside, shipped = None if folder == "technologies" else near_file(path), names(folder)
    if beside is not None:
        return f"did you mean '{beside}'?"
    near = difflib.get_close_matches(path.stem, shipped, n=1, cutoff=0.75)
    if near:
        return f"did you mean '{near[0]}', which ships with bitlane?"
    return f"these ship with bitlane: {', '.join(shipped)}"


def _is_file(name_or_path: str | Path) -> bool:
    """Whether a file is meant, not something shipped under a plain name."""
    text = str(name_or_path)
    return isinstance(name_or_path, Path) or "/" in text or text.endswith((".yaml", ".yml"))
