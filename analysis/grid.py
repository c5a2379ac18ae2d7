"""Which values the designs of a grid have, by index arithmetic: no list of designs is ever made.

Designs are in lexicographic order, the last axis running fastest. An axis that depends on others
runs where they have values that it is for, and nowhere else. Read next: `analysis.axes`.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

Ints: TypeAlias = NDArray[np.int64]
Condition: TypeAlias = tuple[int, frozenset[int]]
"""An axis that another depends on, by its place, and which of its values the other is for."""

MOST_STATES: Final = 1_000_000
"""Combinations of the values of those axes that others depend on."""
_MOST: Final = 1 << 62


@dataclass(frozen=True)
class Grid:
    """Every combination of the values of some axes.

    sizes : number of values of each axis.
    conditions : for each axis those that it depends on, all of them earlier ones; it applies where
        all hold. An axis that does not apply has no value, and no condition on it holds.
    """

    sizes: tuple[int, ...]
    conditions: tuple[tuple[Condition, ...], ...]

    @property
    def states(self) -> int:
        """Combinations of the values of the axes that others depend on; at most `MOST_STATES`."""
        return math.prod(self.sizes[axis] + 1 for axis in self._deciding)

    @property
    def count(self) -> int:
        """Number of designs."""
        return int(self._below[0].flat[0])

    def choices(self, indices: Ints) -> Ints:
        """The value of each axis of the designs at `indices` [P], by its place: int64 [P, axes].

        -1 where an axis does not apply. Indices must be from 0 to below `count`, itself below 2^62.
        """
        rest = np.array(indices, np.int64)
        found = np.empty((len(rest), len(self.sizes)), np.int64, order="F")
        digits = {axis: np.zeros(1, np.int64) for axis in self._deciding}
        for axis in range(len(self.sizes)):
            table = self._tables[axis]
            state = self._state(digits)
            if axis in digits:
                value = _search(table, state, rest)
                left = rest - np.where(value > 0, table[state, value - 1], 0)
            else:
                value, left = np.divmod(rest, table[state, 0])
            if self.conditions[axis]:
                applies = self._applies(axis, digits)
                value, left = np.where(applies, value, -1), np.where(applies, left, rest)
            if axis in digits:
                digits[axis] = value + 1
            found[:, axis], rest = value, left
        return found

    def example(self, wanted: Mapping[int, int]) -> list[int] | None:
        """A design whose axes have the `wanted` values, the others their first; None without one.

        Axes that the wanted ones depend on take the first of the values that these are for.
        """
        allowed = {axis: frozenset({value}) for axis, value in wanted.items()}
        pending = list(wanted)
        while pending:
            for axis, values in self.conditions[pending.pop()]:
                if axis not in allowed:
                    pending.append(axis)
                allowed[axis] = allowed.get(axis, values) & values
                if not allowed[axis]:
                    return None
        row: list[int] = []
        for axis, conditions in enumerate(self.conditions):
            applies = all(row[a] in values for a, values in conditions)
            row.append(min(allowed.get(axis, (0,))) if applies else -1)
        return row

    @cached_property
    def _deciding(self) -> tuple[int, ...]:
        """The axes that others depend on, in order: the dimensions of the tables below."""
        return tuple(sorted({axis for own in self.conditions for axis, _ in own}))

    def _state(self, digits: Mapping[int, Ints]) -> Ints:
        """The digits of the deciding axes as one number, [P] or [1]."""
        state = np.zeros(1, np.int64)
        for axis, digit in digits.items():
            state = state * (self.sizes[axis] + 1) + digit
        return state

    def _mask(self, axis: int, allowed: frozenset[int]) -> NDArray[np.bool_]:
        """Which digits of an axis hold a condition: digit 0 is no value, k + 1 is value k."""
        mask = np.zeros(self.sizes[axis] + 1, np.bool_)
        mask[[value + 1 for value in allowed]] = True
        return mask

    def _applies(self, axis: int, digits: Mapping[int, Ints]) -> NDArray[np.bool_]:
        masks = [self._mask(on, allowed)[digits[on]] for on, allowed in self.conditions[axis]]
        return np.asarray(np.logical_and.reduce(np.broadcast_arrays(*masks)))

    @cached_property
    def _below(self) -> tuple[NDArray[Any], ...]:
        """For each axis, how many designs there are of it and those after it, and 1 at the end.

        Python integers, by the digits of the deciding axes before it; size 1 for those after.
        """
        dims = self._deciding
        tables = [np.full((1,) * len(dims), 1, object)]
        for axis in reversed(range(len(self.sizes))):
            below = tables[-1]
            at = dims.index(axis) if axis in dims else -1
            if at < 0 or below.shape[at] == 1:
                own, none = below * self.sizes[axis], below
            else:
                values = range(1, self.sizes[axis] + 1)
                own, none = below.take(values, at).sum(at, keepdims=True), below.take([0], at)
            for on, allowed in self.conditions[axis]:
                shape = [-1 if dim == on else 1 for dim in dims]
                own = np.where(self._mask(on, allowed).reshape(shape), own, none)
            tables.append(np.asarray(own, object))
        return tuple(reversed(tables))

    @cached_property
    def _tables(self) -> tuple[Ints, ...]:
        """What `choices` looks up by the state before each axis.

        For an axis that decides, where each of its values ends among the designs of this state:
        [states, size]. For any other how many designs follow each value: [states, 1]. States that
        no design reaches may be cut short.
        """
        shape = [self.sizes[axis] + 1 for axis in self._deciding]
        tables = []
        for axis, size in enumerate(self.sizes):
            below = self._below[axis + 1]
            if axis in self._deciding:
                at = self._deciding.index(axis)
                wide = [*below.shape[:at], size + 1, *below.shape[at + 1 :]]
                ends = np.moveaxis(np.broadcast_to(below, wide), at, -1)[..., 1:].cumsum(-1)
                # The axis itself has no digit yet.
                below = np.expand_dims(ends, at)
            else:
                below = below[..., None]
            whole = np.broadcast_to(below, [*shape, below.shape[-1]])
            tables.append(np.minimum(whole, _MOST).astype(np.int64).reshape(-1, below.shape[-1]))
        return tuple(tables)


def _search(ends: Ints, state: Ints, rest: Ints) -> Ints:
    """For each of `rest` [P] how many of its row of `ends` [S, size] are at most as large."""
    found = np.zeros(len(rest), np.int64)
    step = 1 << (ends.shape[1].bit_length() - 1)
    while step:
        probe = found + step
        inside = probe <= ends.shape[1]
        below = ends[state, np.where(inside, probe, 1) - 1] <= rest
        found = np.where(inside & below, probe, found)
        step >>= 1
    return np.asarray(np.minimum(found, ends.shape[1] - 1), np.int64)
