"""A machine that notes which fields of it are read, so that one answer serves many designs.

Designs of a space differ in the fields that its axes set. A function that is asked about one of
them through a `Reading` gives its answer and the axes whose values it looked at on the way; every
design with the same values there makes it take the same way, and has the same answer. So a
property, a validator or a column of a row is run once for each set of values it depends on, with
no second description of what that is.
"""

import dataclasses
import inspect
from collections.abc import Callable, Mapping, Sequence
from functools import cache, cached_property
from types import MethodType
from typing import Any, TypeAlias

from pydantic import BaseModel

Path: TypeAlias = tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Leaf:
    """A field, or an item of a container, that an axis sets: its place below the machine."""

    axis: int
    path: Path


Tree: TypeAlias = "Leaf | dict[str, Tree]"
"""Where the axes of a space lead, from a machine down."""


class Trace:
    """The values of one design at the leaves, and the axes of those that were read."""

    def __init__(self, values: Callable[[Leaf], Any]) -> None:
        self.reads: set[int] = set()
        self._values = values

    def read(self, leaf: Leaf) -> Any:
        """The design's value at a leaf."""
        self.reads.add(leaf.axis)
        return self._values(leaf)


def tree_of(paths: Mapping[Path, int]) -> dict[str, Tree]:
    """The tree of paths with the axis of each; no path may be the start of another."""
    tree: dict[str, Tree] = {}
    for path, axis in paths.items():
        at: Any = tree
        for step in path[:-1]:
            at = at.setdefault(step, {})
        at[path[-1]] = Leaf(axis, path)
    return tree


def child(part: Any, step: str) -> Any:
    """A field of a model or an item of a container; raises LookupError where there is none."""
    if isinstance(part, BaseModel):
        if step in type(part).model_fields:
            return getattr(part, step)
    elif isinstance(part, tuple):
        if step.isdigit() and int(step) < len(part):
            return part[int(step)]
    elif isinstance(part, Mapping) and step in part:
        return part[step]
    raise LookupError(step)


def value_at(part: Any, path: Path) -> Any:
    """What lies at a path below a machine; raises LookupError where nothing does."""
    for step in path:
        part = child(part, step)
    return part


def composed(part: Any, tree: "Tree | None", read: Callable[[Leaf], Any]) -> Any:
    """A part of a machine with the leaves below it as `read` gives them. Not validated."""
    if tree is None:
        return part
    if isinstance(tree, Leaf):
        return read(tree)
    below = {step: composed(child(part, step), sub, read) for step, sub in tree.items()}
    if isinstance(part, BaseModel):
        made = part.model_copy(update=below)
        for name in made.__dict__.keys() - type(made).model_fields.keys():
            del made.__dict__[name]  # cached properties of the part it was copied from
        return made
    if isinstance(part, tuple):
        return tuple(below.get(str(i), item) for i, item in enumerate(part))
    return {**part, **below}


def view(part: Any, tree: "Tree | None", trace: Trace) -> Any:
    """A part of a machine through which reads are noted; itself where no axis leads below it."""
    if tree is None:
        return part
    if isinstance(tree, Leaf):
        return trace.read(tree)
    if isinstance(part, BaseModel):
        return Reading(part, tree, trace)
    if isinstance(part, tuple):
        return tuple(view(item, tree.get(str(i)), trace) for i, item in enumerate(part))
    return {name: view(item, tree.get(name), trace) for name, item in part.items()}


class Reading:
    """A configuration model as one design has it; its methods and properties run on the view.

    What asks for the whole (a comparison, a hash, a dump, a copy) reads every leaf below.
    """

    __slots__ = ("_reading_part", "_reading_trace", "_reading_tree")

    def __init__(self, part: BaseModel, tree: dict[str, Tree], trace: Trace) -> None:
        self._reading_part = part
        self._reading_tree = tree
        self._reading_trace = trace

    @property  # type: ignore[misc]
    def __class__(self) -> type:
        """That of the model, so that `isinstance` answers as for the model itself."""
        return type(self._reading_part)

    @property
    def __dict__(self) -> dict[str, Any]:  # type: ignore[override]
        """The fields by name, those that hold an axis's value read."""
        return {name: getattr(self, name) for name in type(self._reading_part).model_fields}

    def __getattr__(self, name: str) -> Any:
        """A field, or what the model's class has of this name, run on the view."""
        kind = type(self._reading_part)
        if name in kind.model_fields:
            below = self._reading_tree.get(name)
            return view(getattr(self._reading_part, name), below, self._reading_trace)
        found, inherited = _static(kind, name)
        if inherited:
            return getattr(whole(self), name)
        if isinstance(found, property) and found.fget is not None:
            return found.fget(self)
        if isinstance(found, cached_property):
            return found.func(self)
        if inspect.isfunction(found):
            return MethodType(found, self)
        return getattr(kind, name)

    def __eq__(self, other: object) -> bool:
        """Whether the whole models are equal."""
        return bool(whole(self) == (whole(other) if type(other) is Reading else other))

    def __hash__(self) -> int:
        """That of the whole model."""
        return hash(whole(self))

    def __repr__(self) -> str:
        """That of the whole model."""
        return repr(whole(self))


@cache
def _static(kind: type, name: str) -> tuple[Any, bool]:
    """An attribute of a class as it was written, and whether it is a method of every model."""
    found = inspect.getattr_static(kind, name)
    ours = not hasattr(BaseModel, name) or name == "__class__"
    return found, not ours and inspect.isfunction(found)


def whole(reading: Any) -> Any:
    """The model of a reading as its design has it, all of it read."""
    return composed(reading._reading_part, reading._reading_tree, reading._reading_trace.read)


def settled(value: Any) -> Any:
    """An answer without readings in it: parts of the machine that it holds are read whole."""
    if type(value) is Reading:
        return whole(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {f.name: getattr(value, f.name) for f in dataclasses.fields(value) if f.init}
        found = {name: settled(item) for name, item in fields.items()}
        changed = {name: item for name, item in found.items() if item is not fields[name]}
        return dataclasses.replace(value, **changed) if changed else value
    if type(value) in (tuple, list):
        parts = [settled(item) for item in value]
        same = all(new is old for new, old in zip(parts, value, strict=True))
        return value if same else type(value)(parts)
    if type(value) is dict:
        return {name: settled(item) for name, item in value.items()}
    return value


def accepts(part: Any) -> bool:
    """Whether the validators that a model's class adds to those of its fields accept it."""
    kind: type[BaseModel] = part.__class__
    decorators = kind.__pydantic_decorators__
    names = list(kind.model_fields)
    try:
        for validator in decorators.field_validators.values():
            for name in validator.info.fields:
                _run_field_validator(validator.func, part, name, names)
        for name in decorators.model_validators:
            getattr(part, name)()
    except (ValueError, AssertionError):
        return False
    return True


@dataclasses.dataclass(frozen=True)
class _Info:
    """What a field's validator is told: the fields before its own."""

    data: Mapping[str, Any]


class _Before(Mapping[str, Any]):
    """Fields of a view by name, read when they are asked for."""

    def __init__(self, part: Any, names: Sequence[str]) -> None:
        self._part, self._names = part, names

    def __getitem__(self, name: str) -> Any:
        if name not in self._names:
            raise KeyError(name)
        return getattr(self._part, name)

    def __iter__(self) -> Any:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


def _run_field_validator(run: Any, part: Any, name: str, names: list[str]) -> None:
    value = getattr(part, name)
    if len(inspect.signature(run).parameters) == 1:
        run(value)
    else:
        run(value, _Info(_Before(part, names[: names.index(name)])))


def plainly_validated(kind: type[BaseModel]) -> bool:
    """Whether all validators that a class adds are of those that `accepts` runs."""
    decorators = kind.__pydantic_decorators__
    found: list[Any] = [*decorators.model_validators.values()]
    found += decorators.field_validators.values()
    return (
        all(validator.info.mode == "after" for validator in found)
        and not (decorators.validators or decorators.root_validators)
        and kind.model_post_init is BaseModel.model_post_init
    )
