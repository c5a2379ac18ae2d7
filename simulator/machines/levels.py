"""What each memory level of a machine has, by its name, read level by level."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TypeVar

ValueT = TypeVar("ValueT")


class PerLevel(Mapping[str, ValueT]):
    """A mapping that reads a level when it is asked for it, and no other level.

    So that what depends on one memory is not taken to depend on all (`simulator.reading`).
    """

    def __init__(self, names: Sequence[str], of: Callable[[str], ValueT]) -> None:
        self._names, self._of = tuple(names), of

    def __getitem__(self, name: str) -> ValueT:
        """The value of one level; raises KeyError for a name that is not there."""
        if name not in self._names:
            raise KeyError(name)
        return self._of(name)

    def __iter__(self) -> Iterator[str]:
        """The names, inner to outer."""
        return iter(self._names)

    def __len__(self) -> int:
        """How many levels."""
        return len(self._names)
