"""A technology: energy and area per action, each a law through cited points with bounds."""

from typing import Annotated, Any, Final, Literal, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from simulator.schema import PositiveReal, Schema, Text
from simulator.technology.laws import (
    AREA_ACTIONS,
    CONSTANT,
    ENERGY_ACTIONS,
    LINEAR,
    MAX_POINTS,
    POWER,
    ROW,
    TABLE,
)

Bound: TypeAlias = Literal["low", "value", "high"]
_LAWS: Final = {"constant": CONSTANT, "linear": LINEAR, "power": POWER}


class Point(Schema):
    """A cited value with its bounds; `at` is the size it holds for, in bits or bytes."""

    at: PositiveReal = 1
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


class Law(Schema):
    """Points and the curve through them: one constant, straight lines, or a power law.

    Between the points a value is interpolated; outside them it is extrapolated, and reported so.
    """

    law: Literal["constant", "linear", "power"]
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

    def extrapolates(self, size: float) -> bool:
        """Whether `size` lies outside the cited points."""
        return self.law != "constant" and not self.points[0].at <= size <= self.points[-1].at

    def table(self, bound: Bound) -> NDArray[np.float64]:
        """The law as `simulator.technology.laws.look_up` reads it: float64 [TABLE]."""
        table = np.zeros(TABLE)
        count = len(self.points)
        table[:2] = _LAWS[self.law], count
        table[2 : 2 + count] = [point.at for point in self.points]
        values = [getattr(point, bound) for point in self.points]
        table[2 + MAX_POINTS : 2 + MAX_POINTS + count] = values
        return table


class Energy(Schema):
    """Picojoules per action.

    `multiply` is given by w * a product bits, `add` by bits, `sram_64_bit` by the bytes of the
    memory; the others are constants.
    """

    multiply: Law
    add: Law
    register_bit: Law
    instruction: Law
    sram_64_bit: Law
    flash_64_bit: Law
    dram_64_bit: Law


class Area(Schema):
    """Square micrometres: a multiplier by product bits, an adder by bits, one bit, one byte."""

    multiply: Law
    add: Law
    register_bit: Law
    sram_byte: Law


class Technology(Schema):
    """A process as a table of cited costs. Area is a proxy: datapath, registers and SRAM only."""

    name: Text
    node_nm: PositiveReal
    voltage_v: PositiveReal
    source: Text
    energy_pj: Energy
    area_um2: Area

    def row(self, bound: Bound = "value") -> NDArray[np.float64]:
        """The tables of one bound as float64 [ROW], for the scalar price functions."""
        laws: list[Any] = [getattr(self.energy_pj, name) for name in ENERGY_ACTIONS]
        laws += [getattr(self.area_um2, name) for name in AREA_ACTIONS]
        row = np.concatenate([law.table(bound) for law in laws])
        assert row.size == ROW
        return row
