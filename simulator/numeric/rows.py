"""Functions of a whole row of values, such as a softmax: one interface for their many forms."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

from numpy.typing import NDArray


@dataclass(frozen=True)
class RowFunction(ABC):
    """Maps every row of a matrix to a row of as many values."""

    operations: ClassVar[int]
    """Scalar ALU operations an element, for `work`."""
    lookups: ClassVar[int] = 0
    """Entries of tables that an element reads."""
    real_multiplications: ClassVar[int] = 0
    """Of the operations the multiplications and divisions of real numbers."""
    real_additions: ClassVar[int] = 0
    """Of the operations the other ones on real numbers."""

    @abstractmethod
    def rows(self, x: NDArray[Any]) -> NDArray[Any]:
        """The rows' images; `x` is a contiguous matrix with at least one element."""
