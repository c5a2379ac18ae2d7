"""A configuration in memory before validation: values, each with the file and line it stands in.

Made by `simulator.yaml_source`, checked by `simulator.config.validate`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Final, TypeAlias

from simulator.errors import BadConfig

Step: TypeAlias = str | int
LAYERS: Final = ("datapath", "layers")
"""Where a machine's document lists layers by name."""


@dataclass(frozen=True, order=True)
class Place:
    """Where a value was written: a file and line, or a command-line option (line 0)."""

    label: str
    line: int = 0

    def __str__(self) -> str:
        return f"{self.label}:{self.line}" if self.line else self.label


@dataclass(frozen=True)
class Fault:
    """One thing wrong with a document: its place, its dotted path and what the rule is."""

    place: Place
    path: str
    text: str

    def __str__(self) -> str:
        return ": ".join(part for part in (str(self.place), self.path, self.text) if part)


@dataclass(frozen=True)
class Entry:
    """A value with its place; for a field of a mapping the place is that of its key."""

    value: "bool | int | float | str | Mapping[str, Entry] | tuple[Entry, ...] | None"
    place: Place

    def plain(self) -> Any:
        """The value as Python's own dicts, lists and scalars."""
        if isinstance(self.value, Mapping):
            return {key: entry.plain() for key, entry in self.value.items()}
        if isinstance(self.value, tuple):
            return [entry.plain() for entry in self.value]
        return self.value

    def child(self, step: Step) -> "Entry | None":
        """The entry of a key or index; None where there is none."""
        if isinstance(self.value, Mapping):
            return self.value.get(str(step))
        if isinstance(self.value, tuple) and str(step).isdigit():
            return self.value[int(step)] if int(step) < len(self.value) else None
        return None


@dataclass(frozen=True)
class Document:
    """A YAML file in memory. Not validated: `faults` holds what the YAML itself got wrong."""

    label: str
    root: Entry
    faults: tuple[Fault, ...] = field(default=())

    def place(self, path: Sequence[Step]) -> Place:
        """Where the value at `path` was written, or the nearest thing above it that was."""
        entry = self.root
        for step in path:
            below = entry.child(step)
            if below is None:
                break
            entry = below
        return entry.place

    def at(self, path: Sequence[Step]) -> Entry | None:
        """The entry at `path`; None where there is none."""
        entry: Entry | None = self.root
        for step in path:
            entry = entry.child(step) if entry is not None else None
        return entry

    def with_entry(self, path: Sequence[str], entry: Entry) -> "Document":
        """The document with `entry` at `path`; mappings in between are made where missing.

        An item of `datapath.layers` may be named by its `layer` in place of its index, and is
        added where there is none; `rest` is the datapath itself. Raises BadConfig where the path
        runs through a value that has no fields.
        """
        steps = tuple(path)
        for at in range(len(steps) - 3):
            if steps[at : at + 3] == (*LAYERS, "rest"):
                steps = (*steps[: at + 1], *steps[at + 3 :])
                break
        return replace(self, root=_with_entry(self.root, steps, entry, ()))


def _with_entry(at: Entry, path: tuple[str, ...], new: Entry, done: tuple[str, ...]) -> Entry:
    if not path:
        return new
    step, rest = path[0], path[1:]
    if done[-2:] == LAYERS and rest and not step.isdigit() and not isinstance(at.value, Mapping):
        return _with_layer(at, path, new, done)
    if isinstance(at.value, tuple) and at.child(step) is not None:
        items = list(at.value)
        items[int(step)] = _with_entry(items[int(step)], rest, new, (*done, step))
        return replace(at, value=tuple(items))
    if at.value is not None and not isinstance(at.value, Mapping):
        text = (
            "is a list; give one of its indices"
            if isinstance(at.value, tuple)
            else (f"holds a value, not fields; there is no '{step}' below it")
        )
        raise BadConfig(str(Fault(new.place, ".".join(done), text)))
    below = dict(at.value or {})
    below[step] = _with_entry(below.get(step, Entry(None, new.place)), rest, new, (*done, step))
    return Entry(MappingProxyType(below), at.place)


def _with_layer(at: Entry, path: tuple[str, ...], new: Entry, done: tuple[str, ...]) -> Entry:
    """The list of layers with an entry at `path`, which begins with a layer's name."""
    items = at.value if isinstance(at.value, tuple) else ()
    for index, item in enumerate(items):
        name = item.child("layer")
        if name is not None and name.value == path[0]:
            return _with_entry(at, (str(index), *path[1:]), new, done)
    named = Entry(MappingProxyType({"layer": Entry(path[0], new.place)}), new.place)
    added = replace(at, value=(*items, named))
    return _with_entry(added, (str(len(items)), *path[1:]), new, done)
