"""What a function answered about designs, kept by the values of the axes that it read."""

import math
from collections.abc import Callable
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from simulator.machine_set import Ints

Answer = Callable[[Ints], tuple[Any, set[int]]]
"""The answer for one design, int64 [axes], and the axes that were read for it."""
_TABLE: Final = 1 << 18
"""The most keys for which a table is kept; beyond, a dictionary of those seen."""
_KEYS: Final = 1 << 62
"""The most keys that are told apart by a number."""
_MOST: Final = 1 << 15
"""The most answers that are kept from one set of designs to the next."""


class Answers:
    """The answers of one function. Designs alike in the axes that it reads share one.

    `sizes` are the numbers of values of all axes; an index of -1 counts as one more.
    """

    def __init__(self, sizes: tuple[int, ...]) -> None:
        self._sizes = sizes
        self._axes: tuple[int, ...] = ()
        self._forget()

    def _forget(self) -> None:
        self.values: list[Any] = []
        self._array: NDArray[Any] | None = None
        self._known: dict[int, int] = {}
        self._table: Ints | None = None

    def ask(self, choices: Ints, answer: Answer) -> Ints:
        """Which of `values` is that of each design of int64 [P, axes]: int64 [P]."""
        if len(self.values) > _MOST:
            self._forget()
        while True:
            key = self._keys(choices)
            if self._answered(key, choices, answer):
                return self._found(key)

    def array(self, dtype: type) -> NDArray[Any]:
        """The values as one array."""
        if self._array is None or len(self._array) != len(self.values):
            self._array = np.array(self.values, dtype=dtype)
        return self._array

    def _keys(self, choices: Ints) -> Ints:
        """A number for the values that each design has on the axes read so far."""
        if self._count() > _KEYS:
            # Numbered among these designs alone: nothing of it is kept for others.
            self._forget()
            columns = choices[:, self._axes]
            return np.unique(columns, axis=0, return_inverse=True)[1].reshape(-1)
        key = np.zeros(len(choices), np.int64)
        for axis in self._axes:
            key = key * (self._sizes[axis] + 1) + (choices[:, axis] + 1)
        return key

    def _answered(self, key: Ints, choices: Ints, answer: Answer) -> bool:
        """Ask about one design of each new key; False where more was read than they tell apart."""
        for each, design in self._new(key):
            value, read = answer(choices[design])
            if not read <= set(self._axes):
                self._axes = tuple(sorted(read | set(self._axes)))
                self._forget()
                return False
            self._known[each] = len(self.values)
            if self._table is not None:
                self._table[each] = len(self.values)
            self.values.append(value)
        return True

    def _new(self, key: Ints) -> list[tuple[int, int]]:
        """Keys without an answer, and the first design that has each."""
        if self._count() <= _TABLE:
            if self._table is None:
                self._table = np.full(self._count(), -1, np.int64)
            new = np.flatnonzero(self._table[key] < 0)
            found, first = np.unique(key[new], return_index=True)
            return list(zip(found.tolist(), new[first].tolist(), strict=True))
        found, first = np.unique(key, return_index=True)
        pairs = zip(found.tolist(), first.tolist(), strict=True)
        return [pair for pair in pairs if pair[0] not in self._known]

    def _found(self, key: Ints) -> Ints:
        if self._table is not None:
            return np.asarray(self._table[key])
        found, of = np.unique(key, return_inverse=True)
        return np.array([self._known[k] for k in found.tolist()], np.int64)[of.reshape(-1)]

    def _count(self) -> int:
        return math.prod(self._sizes[axis] + 1 for axis in self._axes)
