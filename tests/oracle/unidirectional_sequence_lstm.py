"""LSTM, gate by gate and step by step over plain integers.

Logistic and tanh are computed twice over: in gemmlowp's 16-bit fixed point, from its definition
with constants rounded here from 60 decimal digits, and by a table that is computed here too.
"""

from collections.abc import Iterator, Sequence
from decimal import Decimal, localcontext
from fractions import Fraction
from random import Random
from typing import Any

import numpy as np

from simulator.ops.unidirectional_sequence_lstm import UnidirectionalSequenceLstm
from tests.ops.build import Case, OneOp, cases_of, codes, log_uniform, tensor, zero_point
from tests.oracle.nested import leaves
from tests.oracle.primitives import (
    WRAP32,
    Accumulator,
    half_away,
    half_up,
    rdbpot,
    requantize,
    saturate,
)

State = list[list[int]]
BIAS = {"int8": "int32", "int16": "int64"}


def one_ops(rng: Random, largest: int = 5) -> Iterator[OneOp]:
    """Both layouts, quiet and saturating gates, clipped cells, every cell scale LiteRT has."""
    while True:
        n, cells, batch, time = (rng.randint(1, k) for k in (6, largest, 3, 4))
        major, loud = rng.random() < 0.5, rng.choice([(-9, -6), (-4, -1)])
        lead, h_zero = (time, batch) if major else (batch, time), zero_point(rng)
        h_scale, c_scale = log_uniform(rng, -9, -6), 2.0 ** rng.randint(-15, -9)
        weights = [(cells, n)] * 4 + [(cells, cells)] * 4
        kinds: list[Any] = [tensor((*lead, n), log_uniform(rng, -8, -3), zero_point(rng))]
        values: list[Any] = [codes(rng, (*lead, n))]
        for shape in weights:
            kinds.append(tensor(shape, log_uniform(rng, *loud)))
            values.append(codes(rng, shape))
        kinds += [None] * 3
        values += [None] * 3
        for _ in range(4):
            kinds.append(tensor((cells,), 1e-4, dtype="int32"))
            drawn = [rng.randint(-20000, 20000) for _ in range(cells)]
            values.append(np.array(drawn, dtype=np.int32))
        cell = [rng.randint(-32768, 32767) for _ in range(batch * cells)]
        kinds += [None, None, tensor((batch, cells), h_scale, h_zero)]
        values += [None, None, codes(rng, (batch, cells))]
        kinds += [tensor((batch, cells), c_scale, dtype="int16"), *[None] * 4]
        values += [np.array(cell, dtype=np.int16).reshape(batch, cells), *[None] * 4]
        options = {
            "time_major": major,
            "fused_activation_function": "TANH",
            "cell_clip": rng.choice([0.0, 0.0, 10.0, 0.5]),
        }
        stored = frozenset({*range(1, 9), *range(12, 16)})
        y = tensor((*lead, cells), h_scale, h_zero)
        yield OneOp("UNIDIRECTIONAL_SEQUENCE_LSTM", options, tuple(kinds), y, tuple(values), stored)


def cases(rng: Random) -> Iterator[Case]:
    """Decoded operators with types and values; the states are random."""
    return cases_of(one_ops(rng))


def exp_to(exponent: Fraction, bits: int) -> int:
    """exp(exponent) times 2^bits, by way of the 32-bit constant that gemmlowp rounds again."""
    with localcontext() as context:
        context.prec = 60
        real = Fraction((Decimal(exponent.numerator) / Decimal(exponent.denominator)).exp())
    return half_away(Fraction(half_away(real * 2 ** (bits + 16)), 2**16))


EIGHTH = exp_to(Fraction(-1, 8), 15)
POWERS = {k: exp_to(-(Fraction(2) ** k), 15) for k in range(-2, 5)}
THIRD = half_away(Fraction(2**15, 3))


def product(a: int, b: int) -> int:
    """Of two Q0.15 numbers, in Q0.15, ties up; only -1 * -1 saturates."""
    return saturate(half_up(Fraction(a * b, 2**15)), 16)


def exp_of(code: int, fraction: int) -> int:
    """The exponential of a number <= 0 with `fraction` fractional bits, in Q0.15.

    A part in [-1/4, 0) by a polynomial around -1/8, the quarters by a factor for each set bit.
    """
    if code == 0:
        return 2**15 - 1
    if fraction < 10 and code < -32 * 2**fraction:
        return 0
    quarter = 2**fraction // 4
    quarters = -(code // quarter) - 1
    part = code + quarters * quarter
    x = part * 2 ** (15 - fraction) + 2**12
    square = product(x, x)
    cube, fourth = product(square, x), product(square, square)
    tail = rdbpot(product(rdbpot(fourth, 2) + cube, THIRD) + square, 1)
    result = saturate(EIGHTH + product(EIGHTH, x + tail), 16)
    for k, factor in POWERS.items():
        if quarters // 2 ** (k + 2) % 2:
            result = product(result, factor)
    return result


def half_reciprocal_of(code: int) -> int:
    """2 / (1 + a) in Q2.13 for a in Q0.15, 0 <= a < 1, by three Newton steps."""
    half = (code + 2**15) // 2
    first = half_away(Fraction(half_away(Fraction(48, 17) * 2**29), 2**16))
    slope = half_away(Fraction(half_away(Fraction(-32, 17) * 2**29), 2**16))
    x = first + product(half, slope)
    for _ in range(3):
        x += saturate(product(x, 2**13 - product(half, x)) * 4, 16)
    return x


def gemmlowp(name: str, code: int, power: int) -> int:
    """`logistic` or `tanh` of code * 2^power in Q0.15."""
    if code == 0:
        return {"logistic": 2**14, "tanh": 0}[name]
    if name == "logistic":
        positive = saturate(half_reciprocal_of(exp_of(-abs(code), -power)) * 2, 16)
        return positive if code > 0 else 2**15 - 1 - positive
    # exp(-2 |x|): the same code with one fractional bit less.
    doubled = half_reciprocal_of(exp_of(-abs(code), -power - 1))
    positive = saturate((doubled - 2**13) * 4, 16)
    return positive if code > 0 else -positive


def logistic_at(x: Fraction) -> Fraction:
    """The logistic function to 60 digits."""
    with localcontext() as context:
        context.prec = 60
        e = (-Decimal(x.numerator) / Decimal(x.denominator)).exp()
    return 1 / (1 + Fraction(e))


def table_entry(i: int) -> int:
    """logistic(i / 24) in Q0.16, raised by half of what a chord lacks in its middle."""
    here, middle, after = (
        logistic_at((Fraction(i) + part) / 24) * 2**16 for part in (0, Fraction(1, 2), 1)
    )
    return half_up(here + (middle - (here + after) / 2) / 2) if i < 255 else 2**16 - 1


TABLE = [table_entry(i) for i in range(256)]


def interpolated(name: str, code: int, power: int) -> int:
    """As `gemmlowp`, from the table; tanh(x) = 2 logistic(2 x) - 1."""
    # In steps of 1 / 12288, of which 512 (of 2 x: 256) lie between two entries.
    scaled = half_up(code * 3 * Fraction(2) ** (power + 12))
    between = {"logistic": 512, "tanh": 256}[name]
    index, rest = divmod(abs(scaled), between)
    if index >= 255:
        last = {"logistic": 2**16 - 2, "tanh": 2**16 - 1}[name]
        whole = Fraction(last)
    else:
        whole = TABLE[index] + Fraction(rest * (TABLE[index + 1] - TABLE[index]), between)
    low = 0 if name == "logistic" else 2**15
    # Positive results round half up, negative ones their magnitude half down.
    unit = 2 if name == "logistic" else 1
    if scaled >= 0:
        return half_up((whole - low) / unit)
    step = Fraction(1, between * unit)
    top = 2**16 if name == "logistic" else 2**15
    return half_up((top - whole) / unit - step)


class Lstm:
    """The operator on its inputs, with an accumulator for the products of each gate."""

    def __init__(
        self, operator: UnidirectionalSequenceLstm, inputs: Sequence[Any], sums: Accumulator
    ) -> None:
        self.by, self.inputs, self.sums = operator, inputs, sums
        self.function = gemmlowp if operator.form == "gemmlowp" else interpolated

    def gate(self, gate: int, x: Any, h: Any, cell: int) -> int:
        """Logistic (tanh of gate 2) of both products, saturated on the Q3.12 grid as they add."""
        w, r, b = self.inputs[1 + gate][cell], self.inputs[5 + gate][cell], self.inputs[12 + gate]
        of_x = [(a - self.by.input_zero_point) * v for a, v in zip(x, w, strict=True)]
        of_h = [(a - self.by.hidden_zero_point) * v for a, v in zip(h, r, strict=True)]
        first = self.sums.sum(0 if b is None else b[cell], of_x)
        second = requantize(self.sums.sum(0, of_h), self.by.from_hidden[gate])
        total = saturate(requantize(first, self.by.from_input[gate]) + second, 16)
        return self.function("tanh" if gate == 2 else "logistic", total, -12)

    def step(self, x: Any, h: Any, c: Any) -> tuple[list[int], list[int]]:
        """The next hidden and cell state of one batch."""
        hidden, cells = [], []
        products, clip = self.by.products, self.by.cell_clip
        for cell in range(len(c)):
            i, f, g, o = (self.gate(k, x, h, cell) for k in range(4))
            kept = requantize(f * c[cell], products.forget)
            new = saturate(kept + requantize(i * g, products.candidate), 16)
            if clip:
                new = max(-clip, min(clip, new))
            hidden.append(
                requantize(o * self.function("tanh", new, self.by.cell_power), products.hidden)
            )
            cells.append(new)
        return hidden, cells

    def sequence(self) -> tuple[list[State], State, State]:
        """(hidden states by time and batch, last hidden, last cell state)."""
        x, h, c = self.inputs[0], self.inputs[18], self.inputs[19]
        batches, found = range(len(h)), []
        for t in range(len(x) if self.by.time_major else len(x[0])):
            rows = [x[t][b] if self.by.time_major else x[b][t] for b in batches]
            stepped = [self.step(rows[b], h[b], c[b]) for b in batches]
            h, c = [s[0] for s in stepped], [s[1] for s in stepped]
            found.append(h)
        return found, h, c


def oracle(
    operator: UnidirectionalSequenceLstm, inputs: Sequence[Any], accumulator: Accumulator = WRAP32
) -> list[tuple[list[int], tuple[int, ...]]]:
    """The outputs in order and their shape, then those of the hidden and the cell state."""
    found, h, c = Lstm(operator, inputs, accumulator).sequence()
    batch, cells = len(h), len(h[0])
    states = [(leaves(s), (batch, cells)) for s in (h, c)]
    if operator.time_major:
        return [(leaves(found), (len(found), batch, cells)), *states]
    swapped = [[step_states[b] for step_states in found] for b in range(batch)]
    return [(leaves(swapped), (batch, len(found), cells)), *states]
