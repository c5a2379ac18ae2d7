"""The designs of a sweep: its axes resolved, and the grid that they span or a sample of it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from analysis.axes import Members, Scalar, conditions_of, field_of, members_of, same
from analysis.grid import MOST_STATES, Condition, Grid, Ints
from simulator.config import close_match
from simulator.schema import FieldError

BASE = "base"
"""The name of the axis of several base machines, which comes first."""


@dataclass(frozen=True)
class Layout:
    """Axes in order, what each sets, and the designs.

    names : of each axis, as in the YAML; `base` first where there are several base machines.
    members : the fields that each sets.
    grid : every combination.
    sample : how many of them are taken, and the seed; None for all.
    """

    names: tuple[str, ...]
    members: tuple[Members, ...]
    grid: Grid
    sample: tuple[int, int] | None = None

    @cached_property
    def paths(self) -> tuple[str, ...]:
        """The fields that axes set, each once, in order: the columns of a sweep's table."""
        return tuple(dict.fromkeys(path for own in self.members for path in own))

    @property
    def fields(self) -> tuple[tuple[str, ...], ...]:
        """The fields of the machine that each axis sets, as `Document.with_entry` takes them.

        Nothing where an axis may change more than fields: the base machine, items of a list.
        """
        return tuple(
            () if any(p == BASE or ".layers." in f".{p}." for p in own) else tuple(own)
            for own in self.members
        )

    @property
    def values(self) -> dict[str, Sequence[Scalar]]:
        """By path, every value that a design may have there."""
        found: dict[str, Sequence[Scalar]] = {}
        for own in self.members:
            for path, values in own.items():
                found[path] = [*found[path], *values] if path in found else values
        return found

    @property
    def count(self) -> int:
        """Number of designs."""
        return self.sample[0] if self.sample else self.grid.count

    def choices(self, first: int, last: int) -> Ints:
        """Designs `first` to before `last`, as `Grid.choices` has them: int64 [P, axes]."""
        last = min(last, self.count)
        if self.sample:
            return self.grid.choices(self._sampled[first:last])
        return self.grid.choices(np.arange(min(first, last), last))

    def columns(self, choices: Ints) -> dict[str, list[Scalar | None]]:
        """The value of each path in each design [P]; None where the base machine's stands."""
        found: dict[str, list[Scalar | None]] = {}
        for axis, own in enumerate(self.members):
            for path, values in own.items():
                chosen = choices[:, axis].tolist()
                column = [values[c] if c >= 0 else None for c in chosen]
                if path in found:
                    pairs = zip(found[path], column, strict=True)
                    column = [a if b is None else b for a, b in pairs]
                found[path] = column
        return found

    def rows(self, choices: Ints) -> list[tuple[Scalar | None, ...]]:
        """As `columns`, a tuple a design in the order of `paths`."""
        return list(zip(*self.columns(choices).values(), strict=True))

    @cached_property
    def _sampled(self) -> Ints:
        points, seed = self.sample or (0, 0)
        drawn = np.random.default_rng(seed).choice(
            self.grid.count, points, replace=False, shuffle=False
        )
        return np.sort(drawn).astype(np.int64)


def layout_of(
    bases: Sequence[str] | None, axes: Mapping[str, object], sample: tuple[int, int] | None
) -> Layout:
    """Resolve the axes of a spec; raises FieldError where one does not fit the others."""
    named = {
        name: (_fields(members_of(name, axis)), _fields(conditions_of(axis)))
        for name, axis in axes.items()
    }
    if bases is not None:
        if BASE in named:
            raise FieldError(("axes", BASE), "is the axis of the base machines; name it otherwise")
        named = {BASE: ({BASE: list(bases)}, {}), **named}
    names, members = tuple(named), tuple(own for own, _ in named.values())
    conditions = tuple(
        tuple(_condition(names, members, place, path, wanted) for path, wanted in when.items())
        for place, (_, when) in enumerate(named.values())
    )
    grid = Grid(tuple(_length(own) for own in members), conditions)
    if grid.states > MOST_STATES:
        raise FieldError(
            ("axes",),
            f"axes that others name in when: have {grid.states} combinations, more than "
            f"{MOST_STATES}; name fewer or shorter ones",
        )
    for place, name in enumerate(names):
        if conditions[place] and grid.example({place: 0}) is None:
            raise FieldError(("axes", name, "when"), "never holds; remove the axis or a condition")
    _check_repeats(names, members, conditions)
    return Layout(names, members, grid, sample)


def _fields(by_path: Mapping[str, Sequence[Scalar]]) -> Mapping[str, Sequence[Scalar]]:
    return {field_of(path): values for path, values in by_path.items()}


def _length(members: Members) -> int:
    return len(next(iter(members.values())))


def _condition(
    names: Sequence[str],
    members: Sequence[Members],
    place: int,
    path: str,
    wanted: Sequence[Scalar],
) -> Condition:
    """A condition on what an earlier axis sets at `path`."""
    at = ("axes", names[place], "when", path)
    setting = [axis for axis, own in enumerate(members) if path in own]
    if not setting:
        known = [p for own in members[:place] for p in own]
        way_out = close_match(path, known) if known else "this is the first one"
        raise FieldError(at, f"no axis sets this; {way_out}")
    if len(setting) > 1:
        both = " and ".join(f"'{names[axis]}'" for axis in setting)
        raise FieldError(at, f"is set by the axes {both}; name a field that one axis sets")
    axis = setting[0]
    if axis >= place:
        raise FieldError(at, f"is set by '{names[axis]}', which is no earlier axis; move it up")
    values = members[axis][path]
    allowed = set()
    for value in wanted:
        found = {i for i, v in enumerate(values) if same(v, value)}
        if not found:
            raise FieldError(at, f"is never {value!r}; {_known(values)}")
        allowed |= found
    return axis, frozenset(allowed)


def _known(values: Sequence[Scalar]) -> str:
    shown = ", ".join(str(value) for value in values[:8])
    return f"its values are {shown}{', ...' if len(values) > 8 else ''}"


def _check_repeats(
    names: Sequence[str],
    members: Sequence[Members],
    conditions: Sequence[Sequence[Condition]],
) -> None:
    """Refuse a field that two axes set in one design."""
    fields: dict[str, list[tuple[int, str]]] = {}
    for axis, own in enumerate(members):
        for path in own:
            fields.setdefault(path, []).append((axis, path))
    for setting in fields.values():
        for (a, _), (b, path) in _pairs(setting):
            if a == b or not _exclusive(dict(conditions[a]), dict(conditions[b])):
                raise FieldError(
                    ("axes", names[b]),
                    f"sets {path}, as '{names[a]}' does; set it once, or each when: another axis "
                    "has other values",
                )


def _pairs(
    items: Sequence[tuple[int, str]],
) -> Iterator[tuple[tuple[int, str], tuple[int, str]]]:
    for later, second in enumerate(items):
        for first in items[:later]:
            yield first, second


def _exclusive(one: Mapping[int, frozenset[int]], other: Mapping[int, frozenset[int]]) -> bool:
    return any(not one[axis] & other[axis] for axis in set(one) & set(other))
