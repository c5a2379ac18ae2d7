"""Sums of codes of GridMatMul, by their definition.

Its float32 sums are MLAS's own order of adding: an oracle in integers makes no sense for them, and
they are compared with the runtime bit by bit in tests/ops/test_onnx_floats.py.
"""

from collections.abc import Iterator, Sequence
from random import Random
from typing import Any, Final

from simulator.ops.grid_matmul import GridMatMul
from tests.ops.grids import Case, decoded, kind, operand
from tests.oracle.primitives import Accumulator
from tests.oracle.singles import exact, half_even

INSTEAD: Final = "tests/ops/test_onnx_floats.py"
"""Where the outputs are judged."""


def cases(rng: Random) -> Iterator[Case]:
    """Codes of 1 to 8 bits, zero points, one weight scale or one a column."""
    while True:
        m, k, n = rng.randint(1, 4), rng.randint(1, 9), rng.randint(1, 5)
        x_kind, x_value = operand(rng, (m, k), 0, 1)
        w_kind, w_value = operand(rng, (k, n), 1, rng.choice([1, n]))
        types = (x_kind, w_kind)
        options = {"packed": False, "turned": False}
        operator = decoded("grid_matmul", options, types, kind((m, n), "float32"), (), "qonnx")
        yield operator, types, (x_value, w_value)


def sums(operator: GridMatMul, inputs: Sequence[Any], accumulator: Accumulator) -> list[list[int]]:
    """The accumulators of codes, row by row."""
    x, w = inputs
    grids = operator.grids
    found: list[list[int]] = []
    for row in x:
        found.append([])
        for j in range(len(w[0])):
            scale = exact(grids.w_scales[j if len(grids.w_scales) > 1 else 0])
            products = [
                half_even(exact(value) / exact(grids.x_scale)) * half_even(exact(w[k][j]) / scale)
                for k, value in enumerate(row)
            ]
            found[-1].append(accumulator.sum(0, products))
    return found
