"""The laws of a technology as its YAML writes them: cited points, fits and tables with bounds."""

from abc import ABC, abstractmethod
from typing import Annotated, Final, Literal, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from simulator.schema import FieldError, Positive, PositiveReal, Schema, Text
from simulator.technology.laws import (
    COEFFICIENTS,
    CONSTANT,
    FIT,
    GRID,
    GRID_VALUES,
    LINEAR,
    MAX_POINTS,
    MAX_WORDS,
    POWER,
    PRODUCT,
    SIZES,
    STEP,
    TABLE,
    VALUES,
    WIDEST,
    power_between,
)

Bound: TypeAlias = Literal["low", "value", "high"]
BOUNDS: Final[tuple[Bound, ...]] = ("low", "value", "high")
Floats: TypeAlias = NDArray[np.float64]
_LAWS: Final = {"constant": CONSTANT, "linear": LINEAR, "power": POWER, "step": STEP}


class Spread(Schema):
    """A value with its bounds."""

    value: PositiveReal
    low: PositiveReal
    high: PositiveReal

    @model_validator(mode="after")
    def _bounds_hold_the_value(self) -> Self:
        if not self.low <= self.value <= self.high:
            raise ValueError(
                f"must have low <= value <= high; found {self.low:g}, {self.value:g}, {self.high:g}"
            )
        return self


class Point(Spread):
    """A cited value with its bounds; `at` is the size it holds for, in bits or bytes."""

    at: PositiveReal = 1


class Curve(Schema, ABC):
    """Points and the curve through them: one constant, straight lines, a power law, or steps.

    Between the points a value is interpolated; outside them it is extrapolated, and reported so.
    """

    law: Literal["constant", "linear", "power", "step"]
    points: Annotated[tuple[Point, ...], Field(min_length=1, max_length=MAX_POINTS)]
    source: Text

    @model_validator(mode="after")
    def _points_fit_the_law(self) -> Self:
        sizes = [point.at for point in self.points]
        if sorted(set(sizes)) != sizes:
            raise ValueError("must have points with increasing 'at'")
        if (self.law == "constant") != (len(sizes) == 1):
            raise ValueError(
                f"must have one point for 'constant' and more for other laws; found {len(sizes)} "
                f"for '{self.law}'"
            )
        return self

    @property
    @abstractmethod
    def use(self) -> float:
        """What the points are for, as the row has it."""

    def extrapolates(self, size: float) -> bool:
        """Whether `size` lies outside the cited points."""
        return self.law != "constant" and not self.points[0].at <= size <= self.points[-1].at

    def interpolates(self, size: float) -> bool:
        """Whether `size` lies between two cited points; a step holds for all below it."""
        between = self.law in ("linear", "power") and not self.extrapolates(size)
        return between and all(point.at != size for point in self.points)

    def table(self, bound: Bound) -> Floats:
        """The law as `simulator.technology.laws.look_up` reads it: float64 [TABLE]."""
        table = np.zeros(TABLE)
        count = len(self.points)
        table[:3] = _LAWS[self.law], count, self.use
        table[SIZES : SIZES + count] = [point.at for point in self.points]
        table[VALUES : VALUES + count] = [getattr(point, bound) for point in self.points]
        return table


class Law(Curve):
    """A law of one size in bits or bytes, or a constant."""

    @property
    def use(self) -> float:
        """Nothing to choose."""
        return 0


class Operands(Curve):
    """A law of two operands: of their product of bits, or of the wider one."""

    at_is: Literal["product_bits", "widest_bits"] = "product_bits"

    @property
    def use(self) -> float:
        """`PRODUCT` or `WIDEST`."""
        return WIDEST if self.at_is == "widest_bits" else PRODUCT

    def size(self, w: int, a: int) -> int:
        """What the points are looked up with."""
        return max(w, a) if self.at_is == "widest_bits" else w * a


class Access(Curve):
    """A constant for an access of `access_bits`, of which every byte costs its share."""

    access_bits: Positive

    @model_validator(mode="after")
    def _is_constant(self) -> Self:
        if self.law != "constant":
            raise FieldError(("law",), f"must be 'constant' here; found '{self.law}'")
        return self

    @property
    def use(self) -> float:
        """The bits of an access."""
        return self.access_bits


class Coefficients(Schema):
    """Of ``product * w a + sum * (w + a) + accumulator * bits + constant``."""

    product: float = 0.0
    sum: float = 0.0
    accumulator: float = 0.0
    constant: float = 0.0

    def at(self, w: float, a: float, accumulator: float) -> float:
        """The fit's value."""
        return (
            self.product * w * a
            + self.sum * (w + a)
            + self.accumulator * accumulator
            + self.constant
        )


class Derived(Schema):
    """A cost made of others of the same technology, with their bounds: it has no points of its own.

    A requantization is a multiplication of the accumulator and two additions.
    """

    law: Literal["derived"]
    source: Text


Within: TypeAlias = tuple[Positive, Positive]


class Fit(Schema):
    """A law fitted to many rows of a source: coefficients of operand and accumulator bits.

    `within` are the widths it was fitted on, `error` how far its rows lie from it. Wider operands
    are extrapolated, and reported so; narrower ones cost as the narrowest.
    """

    law: Literal["fit"]
    value: Coefficients
    low: Coefficients
    high: Coefficients
    operand_bits: Within
    accumulator_bits: Within = (1, 1)
    error: Text
    source: Text

    @model_validator(mode="after")
    def _is_positive_and_in_order(self) -> Self:
        for name in ("operand_bits", "accumulator_bits"):
            low, high = getattr(self, name)
            if low > high:
                raise FieldError((name,), f"must be the least and the most; found {low}, {high}")
        for bits in self.operand_bits:
            for accumulator in self.accumulator_bits:
                low, value, high = (getattr(self, b).at(bits, bits, accumulator) for b in BOUNDS)
                if not 0 < low <= value <= high:
                    raise ValueError(
                        f"must have 0 < low <= value <= high at {bits} bits and an accumulator of "
                        f"{accumulator}; found {low:g}, {value:g}, {high:g}"
                    )
        return self

    def extrapolates(self, w: int, a: int, accumulator: int = 0) -> bool:
        """Whether it was fitted to no operands or accumulator of these widths."""
        least, most = self.operand_bits
        inside = least <= min(w, a) and max(w, a) <= most
        if self.value.accumulator:
            inside &= self.accumulator_bits[0] <= accumulator <= self.accumulator_bits[1]
        return not inside

    def table(self, bound: Bound) -> Floats:
        """As `simulator.technology.laws.at_widths` reads it: float64 [TABLE]."""
        table = np.zeros(TABLE)
        table[:2] = FIT, len(COEFFICIENTS)
        least = self.operand_bits[0]
        table[SIZES : SIZES + 3] = least, least, self.accumulator_bits[0]
        values = [getattr(getattr(self, bound), name) for name in COEFFICIENTS]
        table[VALUES : VALUES + len(values)] = values
        return table


Cells: TypeAlias = tuple[PositiveReal | None, ...]


_FIELD: Final = {"low": "low", "value": "values", "high": "high"}


class Grid(Schema):
    """A printed table of memories: a row for each size in bytes, a column for each word in bits.

    `null` where the source has no cell. Between cells a value is interpolated along power laws;
    outside them, or next to a missing one, it is extrapolated, and reported so. `low` and `high`
    are tables like `values`, or factors of every value.
    """

    law: Literal["grid"]
    bytes: Annotated[tuple[PositiveReal, ...], Field(min_length=1, max_length=MAX_POINTS)]
    word_bits: Annotated[tuple[PositiveReal, ...], Field(min_length=1, max_length=MAX_WORDS)]
    values: Annotated[tuple[Cells, ...], Field(min_length=1)]
    low: PositiveReal | tuple[Cells, ...]
    high: PositiveReal | tuple[Cells, ...]
    source: Text

    @model_validator(mode="after")
    def _is_a_table(self) -> Self:
        for name in ("bytes", "word_bits"):
            if sorted(set(getattr(self, name))) != list(getattr(self, name)):
                raise FieldError((name,), "must increase")
        rows, columns = len(self.bytes), len(self.word_bits)
        for bound in BOUNDS:
            if [len(row) for row in self.cells(bound)] != [columns] * rows:
                text = f"must have {rows} rows of {columns} values, as bytes and word_bits"
                raise FieldError((_FIELD[bound],), text)
        for column, word in enumerate(self.word_bits):
            if sum(row[column] is not None for row in self.values) < min(2, rows):
                raise FieldError(("values",), f"must have two values or more for {word:g} bits")
        for row, cells in enumerate(zip(*map(self.cells, BOUNDS), strict=True)):
            for column, (low, value, high) in enumerate(zip(*cells, strict=True)):
                given = low is not None and value is not None and high is not None
                if given and not low <= value <= high:
                    raise FieldError(
                        ("values", row, column),
                        f"must have low <= value <= high; found {low:g}, {value:g}, {high:g}",
                    )
        return self

    def cells(self, bound: Bound) -> tuple[Cells, ...]:
        """The table of one bound."""
        found = getattr(self, _FIELD[bound])
        if isinstance(found, tuple):
            return found
        return tuple(
            tuple(None if cell is None else cell * found for cell in row) for row in self.values
        )

    def accesses(self, size_bytes: float, word_bits: float) -> tuple[float, float, int]:
        """Bytes and word of each of so many memories side by side, as the price is reached."""
        if len(self.word_bits) == 1:
            return size_bytes, self.word_bits[0], 1
        word = max(word_bits, self.word_bits[0])
        side = max(1, -int(-word // self.word_bits[-1]))
        return size_bytes / side, word / side, side

    def extrapolates(self, size_bytes: float, word_bits: float) -> bool:
        """Whether a memory lies outside the cited cells, or beside one that is missing."""
        size, word, _ = self.accesses(size_bytes, word_bits)
        if not self.bytes[0] <= size <= self.bytes[-1]:
            return True
        rows, columns = _around(self.bytes, size), _around(self.word_bits, word)
        return any(self.values[row][column] is None for row in rows for column in columns)

    def interpolates(self, size_bytes: float, word_bits: float) -> bool:
        """Whether a memory lies between cells."""
        size, word, _ = self.accesses(size_bytes, word_bits)
        return not self.extrapolates(size_bytes, word_bits) and (
            size not in self.bytes or word not in self.word_bits
        )

    def table(self, bound: Bound) -> Floats:
        """As `simulator.technology.laws.in_grid` reads it: float64 [GRID], no cell missing."""
        table = np.zeros(GRID)
        rows, columns = len(self.bytes), len(self.word_bits)
        table[:2] = rows, columns
        table[2 : 2 + rows] = self.bytes
        table[2 + MAX_POINTS : 2 + MAX_POINTS + columns] = self.word_bits
        filled = [_whole(self.bytes, column) for column in zip(*self.cells(bound), strict=True)]
        cells = np.array(filled).T.ravel()
        table[GRID_VALUES : GRID_VALUES + cells.size] = cells
        return table


def _around(sizes: tuple[float, ...], size: float) -> tuple[int, ...]:
    """The places of the cited sizes that `size`, which lies among them, is read from."""
    if size in sizes:
        return (sizes.index(size),)
    upper = next(place for place, at in enumerate(sizes) if at > size)
    return (upper - 1, upper)


def _whole(sizes: tuple[float, ...], column: Cells) -> list[float]:
    """A column with its missing cells on the power law of the two nearest given ones."""
    given = [(size, value) for size, value in zip(sizes, column, strict=True) if value is not None]
    whole = []
    for size, value in zip(sizes, column, strict=True):
        if value is None:
            near = sorted(sorted(given, key=lambda at: abs(np.log(at[0] / size)))[:2])
            (size_0, value_0), (size_1, value_1) = near
            value = float(power_between(size, size_0, size_1, value_0, value_1))
        whole.append(value)
    return whole


AnyLaw: TypeAlias = Curve | Derived | Fit | Grid
