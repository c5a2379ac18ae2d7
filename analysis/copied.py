"""A machine's document as dotted fields: what the report page shows, and copies as YAML.

The copied YAML stands alone: a technology that ships is named, any other is written out.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from typing import Any

import hwconfigs
from analysis.layout import BASE
from analysis.yaml_text import yaml_scalar
from simulator.document import Document, Entry, Place


def dotted(value: Mapping[str, Any], prefix: str = "") -> dict[str, object]:
    """A machine's document as dotted path -> value; `nested` is the way back.

    A mapping that is empty or has a key with a dot stays a value. Sources come last.
    """
    flat: dict[str, object] = {}
    for key, item in sorted(value.items(), key=lambda pair: pair[0] == "source"):
        path = f"{prefix}{key}"
        if key == "technology" and isinstance(item, Mapping):
            flat[path] = named(item)
        elif isinstance(item, Mapping) and item and not any("." in str(k) for k in item):
            flat |= dotted(item, f"{path}.")
        else:
            flat[path] = item
    return flat


def nested(config: Mapping[str, object]) -> dict[str, Any]:
    """Dotted paths as mappings in mappings, in order of their first appearance."""
    root: dict[str, Any] = {}
    for path, value in config.items():
        *above, last = path.split(".")
        below = root
        for key in above:
            below = below.setdefault(key, _Node())
        below[last] = value
    return root


def configs(
    machines: Mapping[str, Mapping[str, Any]],
    rows: Iterable[Mapping[str, Any]],
    axes: Sequence[str],
    technologies: Mapping[str, Any],
) -> Iterator[dict[str, object]]:
    """Of each row its base machine's fields with those that its design sets.

    `machines` are the base machines by the name that the axis `base` gives them, one where there is
    no such axis. An axis that does not apply to a design has no value there and sets nothing.
    `technologies` are the documents that axes name, from the manifest of the run.
    """
    shown = {name: named(document) for name, document in technologies.items()}
    first = next(iter(machines))
    bases = {name: dotted(machine) for name, machine in machines.items()}
    fields = [axis for axis in axes if axis != BASE]
    # A field inside a value: of a technology's table, of the layers' own datapaths.
    inside = {a for a in fields for b in bases.values() if any(a.startswith(f"{p}.") for p in b)}
    made: dict[tuple[object, ...], dict[str, object]] = {}
    for row in rows:
        base = row.get(BASE, first)
        found = {axis: row[axis] for axis in fields if row[axis] is not None}
        for axis, value in found.items():
            if axis.split(".")[-1] == "technology" and value in shown:
                found[axis] = shown[value]
        within = {axis: found.pop(axis) for axis in tuple(found) if axis in inside}
        key = (base, *within.items())
        if key not in made:
            made[key] = dotted(_set(machines[base], within)) if within else bases[base]
        yield {**made[key], **found}


def mixed_precision(
    machine: Mapping[str, Any], rows: Iterable[Mapping[str, Any]], layers: Mapping[str, str]
) -> Iterator[dict[str, object]]:
    """Of each row the machine with both operands of its layers as wide as the design says.

    `layers` are the names of the layers by the axis that has their widths, as
    `analysis.mixed_precision` names it.
    """
    for row in rows:
        widths = {name: row[axis] for axis, name in layers.items()}
        entries = [
            {"layer": name, "weight_bits": bits, "activation_bits": bits}
            for name, bits in widths.items()
        ]
        yield dotted(_set(machine, {"datapath.narrow": True, "datapath.layers": entries}))


def _set(machine: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """A machine's document with values at dotted paths, as a sweep's axes set them."""
    nowhere = Place("")
    document = Document("", _entry(machine, nowhere))
    for path, value in values.items():
        document = document.with_entry(path.split("."), _entry(value, nowhere))
    return dict(document.root.plain())


def _entry(value: Any, place: Place) -> Entry:
    if isinstance(value, Mapping):
        return Entry({key: _entry(each, place) for key, each in value.items()}, place)
    if isinstance(value, list | tuple):
        return Entry(tuple(_entry(each, place) for each in value), place)
    return Entry(value, place)


def named(technology: Mapping[str, Any]) -> object:
    """The name of a technology that ships as it is here, else its whole document."""
    name = str(technology.get("name"))
    same = name in hwconfigs.names("technologies") and _text(technology) in _shipped(name)
    return name if same else technology


@cache
def _shipped(name: str) -> tuple[str, str]:
    """A shipped technology as its file has it, and with every field that it leaves out."""
    whole = hwconfigs.load_technology(name).model_dump(mode="json")
    return _text(hwconfigs.technology(name).plain()), _text(whole)


def _text(document: Any) -> str:
    return json.dumps(document, sort_keys=True)


def copied_yaml(config: Mapping[str, object]) -> str:
    """The machine of a point as the page's "Copy YAML" gives it: a file for `--hw`."""
    return "".join(_lines(nested(config), ""))


def _lines(tree: Mapping[str, Any], indent: str) -> Iterator[str]:
    for key, value in tree.items():
        if isinstance(value, _Node):
            yield f"{indent}{yaml_scalar(key)}:\n"
            yield from _lines(value, indent + "  ")
        else:
            yield f"{indent}{yaml_scalar(key)}: {yaml_scalar(value)}\n"


class _Node(dict[str, Any]):
    """A mapping that paths lead through, unlike one that is a value."""
