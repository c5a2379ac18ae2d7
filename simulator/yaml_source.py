"""YAML text read strictly: each value keeps its file and line, and nothing is guessed.

The scalars are those of YAML 1.2's core schema (chapter 10.3): `5e8` is a number, `on` and `yes`
are text, only `true` and `false` are booleans. A number without a fraction is an integer, however
it is written. Duplicate keys and tags are faults, kept until the document is validated so that
one report holds all of them; anchors and aliases are refused.
"""

import difflib
import math
import re
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import yaml

from simulator.document import Document, Entry, Fault, Place
from simulator.errors import BadConfig, BadFile

_CORE: Final = "tag:yaml.org,2002:"
_FLOAT: Final = r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?"
_SCALARS: Final = (
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", list("-+0123456789")),
    ("float", _FLOAT + r"|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)", list("-+.0123456789")),
)


class _CoreLoader(yaml.SafeLoader):
    """PyYAML's parser with the scalars of YAML 1.2's core schema."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012  # PyYAML's own protocol

    def compose_node(self, parent: Any, index: Any) -> Any:
        """Refuse anchors and aliases: a value stands where it is used."""
        event = self.peek_event()  # type: ignore[no-untyped-call]
        if getattr(event, "anchor", None) is not None:
            raise yaml.composer.ComposerError(
                None,
                None,
                "anchors (&) and aliases (*) are not supported; write the value out",
                event.start_mark,
            )
        return super().compose_node(parent, index)


for _name, _pattern, _first in _SCALARS:
    _CoreLoader.add_implicit_resolver(_CORE + _name, re.compile(f"^(?:{_pattern})$"), _first)


def load_yaml(path: str | Path, label: str | None = None) -> Document:
    """Read a YAML file; `label` names it in messages (default: the path as given).

    Raises BadFile where it is missing, unreadable, not UTF-8 or not YAML, and BadConfig where it
    is empty or no mapping.
    """
    label = label or str(path)
    try:
        data = Path(path).read_bytes()
    except FileNotFoundError:
        near = near_file(Path(path))
        way = f"did you mean '{near}'?" if near else "check the path"
        raise BadFile(f"{label}: no such file; {way}") from None
    except IsADirectoryError:
        raise BadFile(f"{label}: is a directory; give a YAML file") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise BadFile(f"{label}: cannot be read: {reason}") from None
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise BadFile(
            f"{label}:{line}: not UTF-8 text (byte 0x{data[error.start]:02x}); is this a YAML file?"
        ) from None
    return parse_yaml(text, label)


def near_file(path: Path) -> Path | None:
    """The YAML file beside a missing one whose name is most like it."""
    beside = {p.stem: p for p in sorted(path.parent.glob("*.y*ml"))}
    near = difflib.get_close_matches(path.stem, beside, n=1, cutoff=0.75)
    return beside[near[0]] if near else None


def parse_yaml(text: str, label: str) -> Document:
    """Read YAML text that must hold one mapping; raises as `load_yaml`."""
    node = _compose(text, label)
    if node is None:
        raise BadConfig(f"{label}: is empty; expected a mapping of fields")
    reader = _Reader(label)
    root = reader.entry(node, "", None)
    if not isinstance(root.value, Mapping):
        kind = "a list" if isinstance(root.value, tuple) else "a single value"
        raise BadConfig(f"{root.place}: must be a mapping of fields (name: value); found {kind}")
    return Document(label, root, tuple(reader.faults))


def parse_entry(text: str, label: str) -> Entry:
    """Read YAML text whose root may be a list, as other tools write it; raises as `load_yaml`."""
    node = _compose(text, label)
    if node is None:
        raise BadConfig(f"{label}: is empty; expected a mapping or a list")
    reader = _Reader(label)
    entry = reader.entry(node, "", None)
    if reader.faults:
        raise BadConfig(str(reader.faults[0]))
    return entry


def parse_value(text: str, place: Place) -> Entry:
    """Read one value from text such as ``12``, ``wrap`` or ``[4, 8]``, as in an option.

    Raises BadConfig where it is not YAML.
    """
    try:
        node = _compose(text, place.label)
    except BadFile:
        raise BadConfig(f"{place}: '{text}' is not a YAML value; quote it") from None
    if node is None:
        return Entry(None, place)
    reader = _Reader(place.label, place)
    entry = reader.entry(node, "", place)
    if reader.faults:
        raise BadConfig(str(reader.faults[0]))
    return entry


def _compose(text: str, label: str) -> "yaml.Node | None":
    loader = None
    try:
        loader = _CoreLoader(text)
        node: yaml.Node | None = loader.get_single_node()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{label}:{mark.line + 1}" if mark else label
        raise BadFile(f"{where}: not valid YAML: {error.problem or error.context}") from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise BadFile(
            f"{label}:{line}: not valid YAML: character U+{error.character:04X} is not allowed"
        ) from None
    except RecursionError:
        raise BadFile(f"{label}: not usable: values are nested too deeply") from None
    finally:
        if loader is not None:
            loader.dispose()
    return node


class _Reader:
    """Turns PyYAML's nodes into entries and notes what the YAML got wrong."""

    def __init__(self, label: str, place: Place | None = None) -> None:
        self.label = label
        self.fixed = place
        self.faults: list[Fault] = []

    def place(self, node: yaml.Node) -> Place:
        return self.fixed or Place(self.label, node.start_mark.line + 1)

    def entry(self, node: yaml.Node, path: str, place: Place | None) -> Entry:
        place = place or self.place(node)
        if isinstance(node, yaml.MappingNode) and node.tag == _CORE + "map":
            return Entry(MappingProxyType(self._fields(node, path)), place)
        if isinstance(node, yaml.SequenceNode) and node.tag == _CORE + "seq":
            items = (self.entry(n, f"{path}.{i}", None) for i, n in enumerate(node.value))
            return Entry(tuple(items), place)
        if isinstance(node, yaml.ScalarNode) and node.tag.startswith(_CORE):
            try:
                return Entry(_scalar(node.tag.removeprefix(_CORE), node.value), place)
            except (ValueError, KeyError):
                pass
        tag = node.tag.removeprefix(_CORE)
        self.faults.append(Fault(place, path.lstrip("."), f"cannot be read as '{tag}'"))
        return Entry(None, place)

    def _fields(self, node: yaml.MappingNode, path: str) -> dict[str, Entry]:
        found: dict[str, Entry] = {}
        for key, value in node.value:
            place = self.place(key)
            if not isinstance(key, yaml.ScalarNode) or key.tag != _CORE + "str":
                shown = key.value if isinstance(key, yaml.ScalarNode) else "a list or mapping"
                self.faults.append(
                    Fault(place, path.lstrip("."), f"a field name must be text; found {shown}")
                )
                continue
            name = str(key.value)
            below = f"{path}.{name}"
            if name in found:
                first = found[name].place.line
                text = f"duplicate key; first given on line {first}; remove one"
                self.faults.append(Fault(place, below.lstrip("."), text))
                continue
            found[name] = self.entry(value, below, place)
        return found


def _scalar(kind: str, text: str) -> bool | int | float | str | None:
    if kind == "str":
        return text
    if kind == "null":
        return None
    if kind == "bool":
        return {"true": True, "false": False}[text.lower()]
    if kind == "int":
        return int(text, 0) if text[:2] in ("0o", "0x") else int(text)
    if kind != "float":
        raise ValueError(kind)
    body = text.lower()
    number = float(body.replace(".inf", "inf").replace(".nan", "nan"))
    if math.isfinite(number) and number.is_integer() and abs(number) < 2**63:
        return int(number)
    return number
