"""QLinearSoftmax: exponentials to 60 digits, everything else in float32."""

from collections.abc import Iterator, Sequence
from decimal import Decimal
from fractions import Fraction
from math import floor
from random import Random
from typing import Any

from simulator.ops.qlinear_softmax import QLinearSoftmax
from tests.ops.grids import Case, codes, decoded, ends, kind, scale, zero
from tests.oracle.singles import Index, clamp, decimal, exact, half_even, single, to_single

GRIDS: dict[int, tuple[float, float]] = {}
"""(s_x, s_y) of each operator made here."""
LARGEST = Fraction(2**24 - 1) * Fraction(2) ** 104
"""The greatest float32."""


def cases(rng: Random) -> Iterator[Case]:
    """Rows in which e m stays finite (tests/ops compares the others); lifted codes."""
    while True:
        dtype = rng.choice(["int8", "uint8"])
        shape = (rng.randint(1, 4), rng.choice([2, 3, 10, 40]))
        s_x, s_y = scale(rng, -7, -2), 1 / rng.choice([256.0, 128.0, 200.0])
        types = (kind(shape, dtype, s_x, zero(rng, dtype)),)
        lift = 128 if dtype == "int8" and rng.random() < 0.5 else 0
        output = kind(shape, dtype, s_y, rng.choice([ends(dtype)[0], zero(rng, dtype)]))
        operator = decoded("qlinear_softmax", {"axes": 1, "lift": lift}, types, output)
        GRIDS[hash(operator)] = (s_x, s_y)
        yield operator, types, (codes(rng, shape, dtype),)


def oracle(operator: QLinearSoftmax, inputs: Sequence[Any]) -> tuple[list[int], Index]:
    """exp(s (x - max) + h) for each element, their sum in order, the quotient rounded."""
    (x,) = inputs
    s_x, s_y = GRIDS[hash(operator)]
    count = len(x[0])
    reach = max(decimal(to_single(decimal(single(LARGEST / count)).ln())) - 5, Decimal(0))
    multiple = floor(single(1 / exact(s_y)))
    flat = []
    for row in x:
        raised = [to_single((decimal(exact(s_x) * (q - max(row))) + reach).exp()) for q in row]
        total = Fraction(0)
        for e in raised:
            total = single(total + e)
        for e in raised:
            code = half_even(single(single(e * multiple) / total)) + operator.zero_point
            if operator.dtype == "int8" and not operator.lift:
                flat.append(clamp(code, -128, 127))
            else:
                flat.append(min(code + operator.lift, 255) - operator.lift)
    return flat, (len(x), count)
