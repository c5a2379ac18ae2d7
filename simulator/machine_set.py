"""Many machines that are asked for one thing all at once: their rows, and any value of each."""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from operator import attrgetter
from typing import Any, Final, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from simulator.machines.base import COMMON, Column, Machine
from simulator.technology.model import Bound, Technology

Ints: TypeAlias = NDArray[np.int64]
Floats: TypeAlias = NDArray[np.float64]
ValueT = TypeVar("ValueT")
_TOGETHER: Final = 4
"""Columns of one path from which on its value is worked out once for all of them."""


@dataclass(frozen=True)
class Family:
    """The machines of one kind in a set, as the scalar cost functions take them.

    places : int64 [p], where they stand in the set.
    rows : int64 [p, M], as `Machine.row`.
    technologies : float64 [T, K], rows of `Technology.row`; `technology_of` int64 [p] says which
        is whose.
    """

    kind: type[Machine]
    places: Ints
    rows: Ints
    technologies: Floats
    technology_of: Ints


class MachineSet(ABC):
    """P machines in an order. Functions that a set is asked for depend on the machine alone."""

    @abstractmethod
    def __len__(self) -> int:
        """P."""

    @abstractmethod
    def spread(self, function: Callable[..., ValueT], *args: Any) -> tuple[Sequence[ValueT], Ints]:
        """Values of ``function(machine, *args)``, and int64 [P] that says which is whose.

        A value may be there more than once. `function` and `args` must be hashable and last: what
        was asked before is not worked out again.
        """

    @abstractmethod
    def take(self, places: Ints) -> "MachineSet":
        """The machines at some places."""

    @abstractmethod
    def machine(self, index: int) -> Machine:
        """One of them."""

    def column(self, dtype: type, function: Callable[..., Any], *args: Any) -> NDArray[Any]:
        """Numbers of each machine as one array [P]."""
        return self.stacked(function, *args).astype(dtype)

    def stacked(self, function: Callable[..., Any], *args: Any) -> NDArray[Any]:
        """Arrays of each machine as one array [P, ...]."""
        values, which = self.spread(function, *args)
        used, of = np.unique(which, return_inverse=True)
        return np.array([values[index] for index in used.tolist()])[of.reshape(-1)]

    def groups(self, function: Callable[..., ValueT], *args: Any) -> list[tuple[ValueT, Ints]]:
        """Each distinct value and the places of the machines that have it."""
        values, which = self.spread(function, *args)
        slots: dict[ValueT, int] = {}
        slot = np.array([slots.setdefault(value, len(slots)) for value in values], np.int64)
        of = slot[which]
        present = np.unique(of).tolist()
        distinct = list(slots)
        if len(present) == 1:
            return [(distinct[present[0]], np.arange(len(of)))]
        return [(distinct[index], np.flatnonzero(of == index)) for index in present]

    def families(self, bound: Bound = "value") -> Iterator[Family]:
        """The machines by kind, at one bound of prices; raises Unsupported where one has no row."""
        for kind, places in self.groups(kind_of):
            ours = self if len(places) == len(self) else self.take(places)
            technologies, which = ours.spread(technology_of)
            used, of = np.unique(which, return_inverse=True)
            rows = np.stack([technologies[index].row(bound) for index in used.tolist()])
            yield Family(kind, places, ours.rows(kind), rows, of.reshape(-1))

    def rows(self, kind: type[Machine]) -> Ints:
        """`Machine.row` of machines that are all of one kind: int64 [P, M]."""
        self.spread(counted_on_one_datapath)
        columns = (*COMMON, *kind.columns)
        rows = np.empty((len(self), len(columns)), np.int64)
        paths = Counter(column.path for column in columns)
        for index, column in enumerate(columns):
            if paths[column.path] < _TOGETHER:
                rows[:, index] = self.column(np.int64, encoded, column)
        for path in (path for path, count in paths.items() if count >= _TOGETHER):
            places = [index for index, column in enumerate(columns) if column.path == path]
            rows[:, places] = self.stacked(encoded_together, tuple(columns[i] for i in places))
        return rows


class Listed(MachineSet):
    """Machines that are there one by one."""

    def __init__(self, machines: Sequence[Machine]) -> None:
        self._machines = machines

    def __len__(self) -> int:
        """P."""
        return len(self._machines)

    def spread(self, function: Callable[..., ValueT], *args: Any) -> tuple[Sequence[ValueT], Ints]:
        """The values of all, in order."""
        values = [function(machine, *args) for machine in self._machines]
        return values, np.arange(len(values))

    def take(self, places: Ints) -> "Listed":
        """Those at some places."""
        return Listed([self._machines[index] for index in places.tolist()])

    def machine(self, index: int) -> Machine:
        """One of them."""
        return self._machines[index]

    def rows(self, kind: type[Machine]) -> Ints:
        """Their rows: int64 [P, M]."""
        return np.stack([machine.row() for machine in self._machines])


class Mapped(MachineSet):
    """What a function makes of each machine of a set: one machine of a platform, say."""

    def __init__(self, machines: MachineSet, make: Callable[..., Machine], *args: Any) -> None:
        self._machines, self._make, self._args = machines, make, args

    def __len__(self) -> int:
        """P."""
        return len(self._machines)

    def spread(self, function: Callable[..., ValueT], *args: Any) -> tuple[Sequence[ValueT], Ints]:
        """As of the set it is made of."""
        return self._machines.spread(_of_made, self._make, self._args, function, *args)

    def take(self, places: Ints) -> "Mapped":
        """Those at some places."""
        return Mapped(self._machines.take(places), self._make, *self._args)

    def machine(self, index: int) -> Machine:
        """One of them."""
        return self._make(self._machines.machine(index), *self._args)


def _of_made(
    machine: Machine,
    make: Callable[..., Machine],
    made_of: tuple[Any, ...],
    function: Callable[..., ValueT],
    *args: Any,
) -> ValueT:
    return function(make(machine, *made_of), *args)


def machine_set(machines: "Sequence[Machine] | MachineSet") -> MachineSet:
    """Machines in a list as a set; a set as it is."""
    return machines if isinstance(machines, MachineSet) else Listed(machines)


def kind_of(machine: Machine) -> type[Machine]:
    """Its kind."""
    return machine.__class__


def technology_of(machine: Machine) -> Technology:
    """Its technology."""
    return machine.technology


def counted_on_one_datapath(machine: Machine) -> None:
    """Raise Unsupported where `Machine.row` does."""
    machine.check_row()


def encoded(machine: Machine, column: Column) -> int:
    """One column of its row."""
    return column.encode(_getter(column.path)(machine))


def encoded_together(machine: Machine, columns: tuple[Column, ...]) -> Ints:
    """Columns of its row that are made of one value."""
    value = _getter(columns[0].path)(machine)
    return np.array([column.encode(value) for column in columns], np.int64)


@cache
def _getter(path: str) -> Callable[[Machine], Any]:
    return attrgetter(path)
