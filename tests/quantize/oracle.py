"""Quantizers on rationals: every float64 is one, so nothing here is rounded but by the rule."""

from fractions import Fraction


def rounded(value: Fraction, rule: str) -> int:
    """The integer of a rational by a rule, from its definition."""
    below = value.numerator // value.denominator
    rest = value - below
    if rule == "floor" or rest < Fraction(1, 2):
        return below
    if rest > Fraction(1, 2):
        return below + 1
    if rule == "half_even":
        return below + below % 2
    if rule == "half_away":
        return below + 1 if value > 0 else below
    assert rule == "half_up"
    return below + 1


def code(x: float, scale: float, zero: int, low: int, high: int, rule: str) -> int:
    """clamp(round(x / scale) + zero, low, high)."""
    return min(max(rounded(Fraction(x) / Fraction(scale), rule) + zero, low), high)


def aqt_code(x: float, scale: float, bits: int, form: str) -> int:
    """The three formulas of arXiv 2105.03536, each clipped where it clips."""
    product = Fraction(x) * Fraction(scale)
    half = 1 << (bits - 1)
    if form == "unsigned":
        return min(max(product.numerator // product.denominator, 0), (1 << bits) - 1)
    limit = Fraction(half - 1) if form == "signed" else half - Fraction(1, 2**7)
    clipped: Fraction = min(max(product, -limit), limit)
    if form == "signed":
        clipped += Fraction(1, 2)
    return clipped.numerator // clipped.denominator
