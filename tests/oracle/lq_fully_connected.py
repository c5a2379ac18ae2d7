"""Rows of codes on learned bases from the definition."""

from collections.abc import Iterator, Sequence
from math import prod
from random import Random
from typing import Any

from simulator.ops.lq_fully_connected import LqFullyConnected
from tests.ops.grids import Case, decoded, kind
from tests.oracle.learned import Tap, operands, plane_dots, product_options, real_sum
from tests.oracle.singles import Index, at, every, shape_of


def cases(rng: Random) -> Iterator[Case]:
    """Ranks 1 to 3, 1 to 130 taps, one basis of weights or one an output."""
    while True:
        taps, outputs = rng.choice([1, 7, 64, 65, 130]), rng.randint(1, 11)
        lead = tuple(rng.randint(1, 3) for _ in range(rng.randint(0, 2)))
        types, values = operands(rng, (*lead, taps), (outputs, taps))
        options = {**product_options(rng), "keep_num_dims": rng.random() < 0.6}
        rows = lead if options["keep_num_dims"] else (prod(lead),)
        output = kind((*rows, outputs), "float32")
        yield decoded("lq_fully_connected", options, types, output, values), types, values


def sums(operator: LqFullyConnected, inputs: Sequence[Any]) -> list[list[list[list[int]]]]:
    """The dots of planes of every row and output."""
    x, w, u, v = inputs[:4]
    flat, taps = [at(x, index) for index in every(shape_of(x))], len(w[0])
    rows = [flat[k : k + taps] for k in range(0, len(flat), taps)]
    planes = (len(v[0]), len(u))
    found = []
    for row in rows:
        pairs: list[list[Tap]] = [list(zip(row, own, strict=True)) for own in w]
        found.append([plane_dots(each, operator, planes) for each in pairs])
    return found


def oracle(operator: LqFullyConnected, inputs: Sequence[Any]) -> tuple[list[float], Index]:
    """Every output of every row."""
    x, w, u, v = inputs[:4]
    bias = inputs[4] if len(inputs) > 4 else [0.0] * len(w)
    flat = [
        real_sum(dots, (v[o if len(v) > 1 else 0], u), bias[o], operator.bounds)
        for row in sums(operator, inputs)
        for o, dots in enumerate(row)
    ]
    lead = shape_of(x)[:-1]
    return flat, (*(lead if operator.keep_dims else (prod(lead),)), len(w))
