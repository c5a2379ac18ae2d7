"""Functions of two 8-bit codes as a table of all 65 536 answers."""

from collections.abc import Callable
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from simulator.jit import njit

CODES: Final = 256


def table_of_pairs(
    function: Callable[[NDArray[Any], NDArray[Any]], NDArray[Any]], dtypes: tuple[str, str]
) -> NDArray[Any]:
    """f(a, b) for every pair of bytes: entry 256 a + b, a and b read as unsigned."""
    codes = np.arange(CODES, dtype=np.uint8)
    first, second = np.repeat(codes, CODES), np.tile(codes, CODES)
    return np.ascontiguousarray(function(first.view(dtypes[0]), second.view(dtypes[1])))


@njit
def look_up_pairs(table: Any, first: Any, second: Any, out: Any) -> None:
    """out[i] = table[256 first[i] + second[i]]; first and second uint8."""
    for i in range(out.size):
        out[i] = table[(np.int64(first[i]) << 8) | np.int64(second[i])]
