"""Codes on a learned basis: the nearest level in rationals, the lower one of two as near."""

from collections.abc import Iterator, Sequence
from fractions import Fraction
from random import Random
from typing import Any

import numpy as np

from simulator.ops.lq_quantize import LqQuantize
from tests.ops.grids import Case, decoded, kind, reals, shape
from tests.oracle.learned import bit_value
from tests.oracle.singles import Index, at, every, shape_of


def cases(rng: Random) -> Iterator[Case]:
    """Bases of eighths, on whose midpoints every other value lies; either dtype and set."""
    while True:
        bits, size = rng.randint(1, 4), shape(rng, rng.randint(1, 3))
        drawn = [rng.randint(-40, 40) / 8 for _ in range(bits)]
        basis = np.array(drawn, rng.choice(["float32", "float64"]))
        x = reals(rng, size, 3.0, 0.125)
        types = (kind(size, "float32"), kind((bits,), str(basis.dtype)))
        options = {"codes": rng.choice(["binary", "bipolar"])}
        made = decoded("lq_quantize", options, types, kind(size, "uint8", bits=bits), (x, basis))
        yield made, types, (x, basis)


def oracle(operator: LqQuantize, inputs: Sequence[Any]) -> tuple[list[int], Index]:
    """Of several codes of one level: below them the least, above them the greatest."""
    x, basis = inputs
    exact = [Fraction(v) for v in basis]
    levels = [
        sum((v * bit_value(c, j, operator.codes) for j, v in enumerate(exact)), Fraction(0))
        for c in range(2 ** len(basis))
    ]
    found = []
    for index in every(shape_of(x)):
        value = at(x, index)
        gaps = [(abs(level - Fraction(value)), level) for level in levels]
        _, chosen = min(gaps)
        alike = [c for c, level in enumerate(levels) if level == chosen]
        found.append(alike[-1] if Fraction(value) > chosen else alike[0])
    return found, shape_of(x)
