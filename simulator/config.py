"""From a YAML document to a validated model, every fault reported at once with file and line.

Knows no particular model: machines, technologies and sweeps are all `simulator.schema.Schema`s.
"""

import difflib
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, TypeAlias, TypeVar, get_args

from pydantic import BaseModel, ValidationError

from simulator.document import Document, Entry, Fault, Place, Step
from simulator.errors import BadConfig
from simulator.schema import FieldError
from simulator.yaml_source import load_yaml, parse_value, parse_yaml

__all__ = ["Overrides", "close_match", "load_yaml", "override", "parse_yaml", "refuse", "validate"]

ModelT = TypeVar("ModelT", bound=BaseModel)
Overrides: TypeAlias = Sequence[tuple[str, Any]]
"""Pairs of a dotted path and a value; text is read as a YAML value."""

_KINDS: Final = {
    "int": "an integer",
    "float": "a number",
    "bool": "true or false",
    "string": "text (quote it)",
    "model": "a mapping of fields",
    "model_attributes": "a mapping of fields",
    "dict": "a mapping of fields",
    "list": "a list",
    "tuple": "a list",
}
_BOUNDS: Final = {
    "greater_than": ("gt", ">"),
    "greater_than_equal": ("ge", ">="),
    "less_than": ("lt", "<"),
    "less_than_equal": ("le", "<="),
}


def validate(
    document: Document,
    model: type[ModelT],
    overrides: Overrides = (),
    quiet: Sequence[str] = (),
    known: Mapping[str, Any] | None = None,
) -> ModelT:
    """Check a document, with `overrides` on top, against a model and build it.

    Faults of fields in `quiet` are those of others that they are taken from, and told there.
    `known` are parts that are built already, by the text that stands for each in the document.
    Raises BadConfig with one line per fault: place, dotted path, rule, value and way out.
    """
    document = override(document, overrides)
    faults = list(document.faults)
    hidden = [(name,) for name in quiet]
    try:
        made = model.model_validate_json(json.dumps(document.root.plain()), context=known)
    except ValidationError as error:
        errors = [e for e in error.errors(include_url=False) if e["loc"][:1] not in hidden]
        faults += _faults(document, model, errors)
    if faults:
        refuse(faults)
    return made


def override(document: Document, overrides: Overrides) -> Document:
    """The document with each ``path=value`` of `overrides` set, the last of a path winning."""
    for path, value in overrides:
        place = Place(f"--set {path}={value}")
        if not re.fullmatch(r"[^.\s]+(\.[^.\s]+)*", path):
            raise BadConfig(f"{place}: '{path}' is no dotted path; write it as array.rows=16")
        text = value if isinstance(value, str) else json.dumps(value)
        document = document.with_entry(path.split("."), parse_value(text, place))
    return document


def refuse(faults: Iterable[Fault]) -> None:
    """Raise BadConfig with all faults, in the order of their places."""
    ordered = sorted(faults, key=lambda fault: (fault.place.line == 0, fault.place, fault.path))
    raise BadConfig("\n".join(dict.fromkeys(map(str, ordered))))


def close_match(name: str, known: Iterable[str]) -> str:
    """A way out for an unknown name: the nearest known one, else all of them."""
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    return f"did you mean '{near[0]}'?" if near else f"known: {', '.join(names)}"


def shown(value: Any) -> str:
    """A value as it is shown in a message, shortened."""
    if value is None:
        return "nothing"
    if isinstance(value, dict | list):
        return "a mapping" if isinstance(value, dict) else "a list"
    text = repr(value) if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _faults(document: Document, model: type[BaseModel], errors: Sequence[Any]) -> Iterator[Fault]:
    located = [(_written(document.root, error), error) for error in errors]
    meant = {_meant(model, loc) for loc, error in located if error["type"] == "extra_forbidden"}
    for loc, error in located:
        if error["type"] == "missing" and loc in meant:
            # The field is there under a misspelt name, which has a line of its own.
            continue
        others = [(place, other["type"]) for place, other in located if other is not error]
        deeper = any(len(place) > len(loc) and place[: len(loc)] == loc for place, _ in others)
        better = any(place == loc and not kind.endswith("_type") for place, kind in others)
        # Of a union's members, the one that got furthest says what is wrong; and a list with
        # faulty items is not too short, though pydantic counts the good ones only.
        # So does a choice of words where a mapping was written, which another member read.
        worded = error["type"] == "literal_error" and isinstance(error["input"], dict)
        vague = worded or error["type"].endswith(("_type", "too_short"))
        if not ((deeper or better) and vague):
            path = ".".join(str(step) for step in loc)
            yield Fault(document.place(loc), path, _rule(model, loc, error))


def _meant(model: type[BaseModel], loc: tuple[Step, ...]) -> tuple[Step, ...]:
    """Where an unknown field would be if it were named as the nearest known one."""
    near = difflib.get_close_matches(str(loc[-1]), sorted(_fields(model, loc[:-1])), n=1)
    return (*loc[:-1], *near)


def _written(root: Entry, error: Any) -> tuple[Step, ...]:
    """The path of an error without pydantic's own steps (a union's member): as it was written."""
    steps: list[Step] = []
    at = root
    for step in error["loc"]:
        below = at.child(step)
        if below is not None:
            steps.append(step)
            at = below
    cause = error.get("ctx", {}).get("error")
    if isinstance(cause, FieldError):
        return (*steps, *cause.path)
    return (*steps, error["loc"][-1]) if error["type"] == "missing" else tuple(steps)


def _rule(model: type[BaseModel], loc: tuple[Step, ...], error: Any) -> str:
    kind, value, context = error["type"], error["input"], error.get("ctx", {})
    if kind == "extra_forbidden":
        # Another member of a union may have a field of this name.
        known = [name for name in _fields(model, loc[:-1]) if name != str(loc[-1])]
        return f"unknown field; {close_match(str(loc[-1]), known)}"
    if kind == "missing":
        above = ".".join(map(str, loc[:-1]))
        where = f"under '{above}'" if above else "at the top level"
        return f"is missing; add it {where}"
    if kind in _BOUNDS:
        name, sign = _BOUNDS[kind]
        return f"must be {sign} {context[name]:g}; found {shown(value)}"
    if kind == "union_tag_not_found":
        return f"needs its {context['discriminator'].strip(chr(39))}; add one of its kinds"
    if kind == "union_tag_invalid":
        known = re.findall(r"'([^']*)'", context["expected_tags"])
        return f"unknown {context['discriminator']} '{context['tag']}'; " + close_match(
            str(context["tag"]), known
        )
    if kind == "literal_error":
        known = re.findall(r"'([^']*)'", context["expected"])
        hint = close_match(str(value), known) if isinstance(value, str) else ""
        hint = f"; {hint}" if hint.startswith("did") else ""
        return f"must be {context['expected']}; found {shown(value)}{hint}"
    if kind == "value_error":
        return str(context["error"])
    if kind == "finite_number":
        return f"must be finite; found {value}"
    if kind in ("string_too_short", "too_short"):
        return "must not be empty"
    stem = re.sub(r"_(type|from_float|parsing|size)$", "", kind)
    if stem in _KINDS:
        return f"must be {_KINDS[stem]}; found {shown(value)}"
    return f"{error['msg']}; found {shown(value)}"


def _fields(annotation: Any, loc: Sequence[Step]) -> set[str]:
    """The fields that the model at `loc` below `annotation` knows."""
    for step in loc:
        below = [
            model.model_fields[str(step)].annotation
            for model in _models(annotation)
            if str(step) in model.model_fields
        ]
        annotation = tuple(below) if below else annotation
    return {name for model in _models(annotation) for name in model.model_fields}


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in annotation if isinstance(annotation, tuple) else get_args(annotation):
        yield from _models(part)
