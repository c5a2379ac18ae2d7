"""What a composition says of one multiplier, in fractions and from its definition alone.

Not the cost model: written from the sentences of docs/compositions.md.
"""

from fractions import Fraction
from math import ceil, log2


def bricks(bits: int) -> int:
    """Two-bit bricks along one side of a product, which fuse in powers of two."""
    return 1 << max(0, ceil(log2(bits)) - 1)


def sub_word(bits: int) -> int:
    """The least of 4, 8 and 16 bits that holds an operand."""
    return next(width for width in (4, 8, 16) if bits <= width)


def cycles_of_a_product(composition: str, unit: tuple[int, int], w: int, a: int) -> Fraction:
    """Cycles that one product of w x a bits takes on a multiplier of `unit` bits."""
    unit_w, unit_a = unit
    if composition == "fixed":
        return Fraction(1)
    if composition == "fused":
        return Fraction(bricks(w) * bricks(a), bricks(unit_w) * bricks(unit_a))
    if composition == "linear":
        return Fraction(sub_word(max(w, a)), sub_word(max(unit)))
    if composition == "activation":
        return Fraction(a, unit_a) * ceil(Fraction(w, unit_w))
    return Fraction(w * a, unit_w * unit_a)


def steps(composition: str, unit: tuple[int, int], w: int, a: int, taps: int, width: int) -> int:
    """Cycles of `width` multipliers abreast for a sum of `taps` products."""
    if composition == "bitplane":
        word = width * unit[0] * unit[1]
        return sum(-(-taps // word) for _ in range(w) for _ in range(a))
    return ceil(taps * cycles_of_a_product(composition, unit, w, a) / width)
