"""Softmax in gemmlowp's fixed point, on numbers that know their own format.

`Fixed` holds raw / 2^fraction; its operations follow gemmlowp's `fixedpoint.h` (products round up,
shifts right round away). The constants are rounded here from 60 decimal digits.
"""

from collections.abc import Iterator, Sequence
from decimal import Decimal, localcontext
from fractions import Fraction
from math import floor
from random import Random
from typing import Any

from simulator.ops.softmax import Softmax
from tests.ops.build import Case, OneOp, cases_of, codes, log_uniform, single, tensor, zero_point
from tests.oracle.nested import shape_of
from tests.oracle.primitives import INT32_LARGEST, clamp, half_away, rdbpot, saturate, srdhm


def one_ops(rng: Random, largest: int = 12) -> Iterator[OneOp]:
    """Rows of equal values, of extremes and of anything; ranks 1 to 4; five betas."""
    while True:
        lead = tuple(rng.randint(1, 3) for _ in range(rng.randint(0, 3)))
        shape = (*lead, rng.randint(1, largest))
        x = codes(rng, shape, extreme=rng.random() < 0.1)
        if rng.random() < 0.1:
            x[...] = rng.randint(-128, 127)
        yield OneOp(
            "SOFTMAX",
            {"beta": single(rng.choice([1.0, 1.0, 0.1, 0.5, 3.0, 10.0]))},
            (tensor(shape, log_uniform(rng, -12, 3), zero_point(rng)),),
            tensor(shape, 1 / 256, -128),
            (x,),
        )


def cases(rng: Random) -> Iterator[Case]:
    """Decoded operators with types and values."""
    return cases_of(one_ops(rng))


def exp_constant(exponent: Fraction) -> int:
    """exp(exponent) in Q0.31."""
    with localcontext() as context:
        context.prec = 60
        value = (Decimal(exponent.numerator) / Decimal(exponent.denominator)).exp()
        return half_away(Fraction(value) * 2**31)


EIGHTH = exp_constant(Fraction(-1, 8))
POWERS = {k: exp_constant(-(Fraction(2) ** k)) for k in range(-2, 5)}
THIRD = half_away(Fraction(2**31, 3))


def exp_of(code: int) -> int:
    """The exponential of a Q5.26 number <= 0, in Q0.31.

    The number is split into a part in [-1/4, 0), whose exponential is a polynomial around -1/8,
    and a multiple of 1/4, whose set bits each contribute a factor.
    """
    if code == 0:
        return INT32_LARGEST
    quarter = 2**24
    quarters = -(code // quarter) - 1
    part = code + quarters * quarter
    x = part * 2**5 + 2**28
    square = srdhm(x, x)
    cube, fourth = srdhm(square, x), srdhm(square, square)
    tail = rdbpot(srdhm(rdbpot(fourth, 2) + cube, THIRD) + square, 1)
    result = EIGHTH + srdhm(EIGHTH, x + tail)
    for k in POWERS:
        if quarters // 2 ** (k + 2) % 2:
            result = srdhm(result, POWERS[k])
    return result


def reciprocal_of(code: int) -> int:
    """1 / (1 + a) in Q0.31 for a in Q0.31, 0 <= a < 1, by three Newton steps in Q2.29."""
    half = (code + INT32_LARGEST + 1) // 2
    x = half_away(Fraction(48, 17) * 2**29) + srdhm(half, half_away(Fraction(-32, 17) * 2**29))
    for _ in range(3):
        error = 2**29 - srdhm(half, x)
        x += saturate(srdhm(x, error) * 4, 32)
    return saturate(x * 2, 32)


def row_of(row: list[int], multiplier: int, shift: int, low: int, high: int) -> list[int]:
    """One row; differences beyond -31 in reals take no part."""
    smallest = -floor(Fraction(31 * 2**26, 2**shift))
    largest = max(row)
    scaled = [
        exp_of(srdhm((x - largest) * 2**shift, multiplier)) if x - largest >= smallest else None
        for x in row
    ]
    total = sum(rdbpot(e, 12) for e in scaled if e is not None)
    headroom = 32 - len(bin(total)[2:])
    reciprocal = reciprocal_of(total * 2**headroom - 2**31)
    return [
        low
        if e is None
        else clamp(low + rdbpot(srdhm(reciprocal, e), 12 - headroom + 31 - 8), low, high)
        for e in scaled
    ]


def oracle(operator: Softmax, inputs: Sequence[Any]) -> tuple[list[int], tuple[int, ...]]:
    """The outputs in order, and the input's shape."""
    flat: list[int] = []

    def walk(nested: Any) -> None:
        if isinstance(nested[0], int):
            form: Any = operator.function
            low, high = form.low, form.low + 255
            flat.extend(row_of(nested, form.multiplier, form.shift, low, high))
            return
        for part in nested:
            walk(part)

    walk(inputs[0])
    return flat, shape_of(inputs[0])
