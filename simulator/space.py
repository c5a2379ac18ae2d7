"""A space of designs: many machines that differ in the values of some axes, made without each.

An axis sets fields of a machine's document, each of its values in its own way. A field's value as
the machine has it is read once from one machine with it, built and checked as any; whether that
told everything is seen by composing the machine of such fields and comparing. An axis that changes
more than its fields (a kind, what is in a list) is *structural*: each of its values starts a
variant of its own. What a machine's validators would refuse is found by running them on views of
the designs; the refusal itself is that of building the first such design.
Read `simulator.reading` first.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from simulator.answers import Answers
from simulator.errors import BadConfig
from simulator.machine_set import Ints, Listed, MachineSet
from simulator.machines.base import Machine
from simulator.reading import (
    Leaf,
    Path,
    Trace,
    Tree,
    accepts,
    child,
    composed,
    plainly_validated,
    settled,
    tree_of,
    value_at,
    view,
)

ValueT = TypeVar("ValueT")
Build = Callable[[tuple[int, ...]], Machine]
_SHARED: Final = 4
"""Designs of a variant, on average, below which each design is built by itself."""
_VARIANTS: Final = 256
"""The most variants that are remembered."""


@dataclass(frozen=True)
class Axis:
    """How many values an axis has, and the fields of the machine that it sets, as dotted steps.

    Without fields it is structural: it may change anything.
    """

    size: int
    paths: tuple[Path, ...] = ()


class _Structural(Exception):
    """Axes that turned out to change more than their fields."""

    def __init__(self, axes: Iterable[int]) -> None:
        super().__init__()
        self.axes = set(axes)


class Space:
    """Designs by the index of each axis's value, -1 where the axis leaves the base as it is.

    `build` makes and checks the machine of one design; it raises BadConfig where that is refused.
    """

    def __init__(self, axes: Sequence[Axis], build: Build) -> None:
        self._axes = tuple(axes)
        self._build = build
        self._structural = {i for i, axis in enumerate(axes) if not axis.paths} | _nested(axes)
        self._variants: dict[tuple[int, ...], _Variant] = {}

    def designs(self, choices: Ints) -> MachineSet:
        """The designs of int64 [P, axes]; raises BadConfig of the first that is refused."""
        while True:
            try:
                return self._designs(choices)
            except _Structural as found:
                self._structural |= found.axes
                self._variants.clear()

    def _designs(self, choices: Ints) -> MachineSet:
        parts: list[tuple[_Variant, Ints]] = []
        refused = len(choices)
        groups = self._by_variant(choices)
        if len(groups) > len(choices) // _SHARED:
            return Listed([self._build(tuple(choice)) for choice in choices.tolist()])
        for key, places in groups:
            variant = self._variants.get(key)
            if variant is None:
                if len(self._variants) >= _VARIANTS:
                    self._variants.clear()
                leaves = sorted(set(range(len(self._axes))) - self._structural)
                variant = self._variants[key] = _Variant(self._axes, leaves, self._build)
            accepted = variant.accepted(choices[places])
            if accepted < len(places):
                refused = min(refused, int(places[accepted]))
            parts.append((variant, places))
        if refused < len(choices):
            self._build(tuple(choices[refused].tolist()))
            raise _Structural(range(len(self._axes)))
        return Designs(choices, parts, self._build)

    def _by_variant(self, choices: Ints) -> list[tuple[tuple[int, ...], Ints]]:
        columns = sorted(self._structural)
        if not columns or not len(choices):
            return [((), np.arange(len(choices)))]
        found, of = np.unique(choices[:, columns], axis=0, return_inverse=True)
        order = np.argsort(of.reshape(-1), kind="stable")
        ends = np.cumsum(np.bincount(of.reshape(-1)))
        return [
            (tuple(key), order[end - count : end])
            for key, end, count in zip(
                found.tolist(), ends.tolist(), np.diff(ends, prepend=0).tolist(), strict=True
            )
        ]


class Designs(MachineSet):
    """Designs of a space, in order."""

    def __init__(
        self, choices: Ints, parts: "Sequence[tuple[_Variant, Ints]]", build: Build
    ) -> None:
        self._choices, self._parts, self._build = choices, parts, build

    def __len__(self) -> int:
        """P."""
        return len(self._choices)

    def spread(self, function: Callable[..., ValueT], *args: Any) -> tuple[Sequence[ValueT], Ints]:
        """As for any set; the function runs once for each set of values that it reads."""
        if len(self._parts) == 1:
            return self._parts[0][0].spread(self._choices, function, *args)
        values: list[ValueT] = []
        which = np.zeros(len(self), np.int64)
        for variant, places in self._parts:
            found, of = variant.spread(self._choices[places], function, *args)
            used, own = np.unique(of, return_inverse=True)
            which[places] = len(values) + own.reshape(-1)
            values += [found[index] for index in used.tolist()]
        return values, which

    def column(self, dtype: type, function: Callable[..., Any], *args: Any) -> NDArray[Any]:
        """Numbers of each design as one array [P]."""
        if len(self._parts) == 1:
            return self._parts[0][0].column(self._choices, dtype, function, *args)
        result: NDArray[Any] = np.empty(len(self), dtype)
        for variant, places in self._parts:
            result[places] = variant.column(self._choices[places], dtype, function, *args)
        return result

    def take(self, places: Ints) -> "Designs":
        """Those at some places."""
        inside = np.full(len(self), -1, np.int64)
        inside[places] = np.arange(len(places))
        parts = [(variant, inside[own]) for variant, own in self._parts]
        kept = [(variant, own[own >= 0]) for variant, own in parts]
        return Designs(self._choices[places], [p for p in kept if len(p[1])], self._build)

    def machine(self, index: int) -> Machine:
        """One of them, built and checked as any machine is."""
        return self._build(tuple(self._choices[index].tolist()))


class _Variant:
    """Designs of one structure: a first machine, and what each value of each leaf axis sets."""

    def __init__(self, axes: Sequence[Axis], leaves: Sequence[int], build: Build) -> None:
        self._axes, self._leaves, self._build = axes, leaves, build
        self._first: Machine | None = None
        self._tree: dict[str, Tree] = {}
        self._values: dict[tuple[int, int], dict[Path, Any]] = {}
        self._known = {axis: np.zeros(axes[axis].size + 1, bool) for axis in leaves}
        self._answers: dict[Any, Answers] = {}
        self._checks: tuple[Path, ...] = ()

    def accepted(self, choices: Ints) -> int:
        """How many designs come before the first that is refused."""
        limit = self._learn(choices)
        for path in self._checks if limit else ():
            found = self.column(choices[:limit], bool, _accepted_at, path)
            if not found.all():
                limit = int(found.argmin())
        return limit

    def _learn(self, choices: Ints) -> int:
        """Build one design for each value not seen before; how many come before a refusal."""
        limit = len(choices)
        if self._first is None and limit and not self._try(choices[0]):
            return 0
        for axis in self._leaves:
            new = np.flatnonzero(~self._known[axis][choices[:limit, axis] + 1])
            if not len(new):
                continue
            _, firsts = np.unique(choices[new, axis], return_index=True)
            for first in sorted(new[firsts].tolist()):
                if first < limit and not self._try(choices[first]):
                    limit = first
        return limit

    def _try(self, choice: Ints) -> bool:
        """Build a design and take its values; False where it is refused."""
        indices = choice.tolist()
        try:
            machine = self._build(tuple(indices))
        except BadConfig:
            return False
        if self._first is None:
            self._start(machine)
        new = [axis for axis in self._leaves if not self._known[axis][indices[axis] + 1]]
        for axis in self._leaves:
            try:
                found = {path: value_at(machine, path) for path in self._paths(axis, machine)}
            except LookupError:
                raise _Structural(new or (axis,)) from None
            values = self._values.setdefault((axis, indices[axis]), found)
            if values != found:
                raise _Structural(new or (axis,))
            self._known[axis][indices[axis] + 1] = True
        made = composed(self._first, self._tree, self._reader(indices))
        if type(made) is not type(machine) or made != machine:
            raise _Structural(new)
        return True

    def _start(self, machine: Machine) -> None:
        """Take the first machine, and find what the axes set in it and who checks that."""
        paths = {path: axis for axis in self._leaves for path in self._paths(axis, machine)}
        for path, axis in paths.items():
            try:
                value_at(machine, path)
            except LookupError:
                raise _Structural((axis,)) from None
        tree = tree_of(paths)
        checks = list(_models(machine, tree, ()))
        for path, kind in checks:
            if not plainly_validated(kind):
                raise _Structural(a for p, a in paths.items() if p[: len(path)] == path)
        self._first, self._tree = machine, tree
        self._checks = tuple(path for path, _ in checks)

    def _paths(self, axis: int, machine: Machine) -> Iterable[Path]:
        """Where an axis's fields are in the machine: a kind may take some of them elsewhere too."""
        for path in self._axes[axis].paths:
            yield path
            for name, origin in type(machine).derived.items():
                if path[: len(origin)] == origin:
                    yield (name, *path[len(origin) :])

    def _reader(self, indices: Sequence[int]) -> Callable[[Leaf], Any]:
        return lambda leaf: self._values[leaf.axis, indices[leaf.axis]][leaf.path]

    def column(
        self, choices: Ints, dtype: type, function: Callable[..., Any], *args: Any
    ) -> NDArray[Any]:
        """Numbers of each design as one array [P]."""
        answers, which = self._asked(choices, function, *args)
        return np.asarray(answers.array(dtype)[which])

    def spread(
        self, choices: Ints, function: Callable[..., ValueT], *args: Any
    ) -> tuple[Sequence[ValueT], Ints]:
        """Values of a function, and which each design has."""
        answers, which = self._asked(choices, function, *args)
        return answers.values, which

    def _asked(
        self, choices: Ints, function: Callable[..., Any], *args: Any
    ) -> tuple[Answers, Ints]:
        sizes = tuple(axis.size for axis in self._axes)
        answers = self._answers.setdefault((function, *args), Answers(sizes))

        def answer(choice: Ints) -> tuple[Any, set[int]]:
            trace = Trace(self._reader(choice.tolist()))
            return settled(function(view(self._first, self._tree, trace), *args)), trace.reads

        return answers, answers.ask(choices, answer)


def _nested(axes: Sequence[Axis]) -> set[int]:
    """Axes whose field holds that of another, or is the same one."""
    paths = [(path, axis) for axis, each in enumerate(axes) for path in each.paths]
    found: set[int] = set()
    for i, (path, axis) in enumerate(paths):
        for other, its in paths[:i]:
            shorter = min(len(path), len(other))
            if path[:shorter] == other[:shorter]:
                found |= {axis, its}
    return found


def _models(part: Any, tree: Tree, path: Path) -> Iterable[tuple[Path, type[BaseModel]]]:
    """The models on the way from a part of a machine to its leaves, innermost first."""
    if isinstance(tree, Leaf):
        return
    for step, below in tree.items():
        yield from _models(child(part, step), below, (*path, step))
    if isinstance(part, BaseModel):
        yield path, type(part)


def _accepted_at(machine: Machine, path: Path) -> bool:
    """Whether the validators of one model in a machine accept it."""
    part: Any = machine
    for step in path:
        if isinstance(part, tuple):
            part = part[int(step)]
        else:
            part = part[step] if isinstance(part, dict) else getattr(part, step)
    return accepts(part)
