"""Accumulators of a machine on plain integers: stages of narrow sums, then one register."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod

from tests.oracle.primitives import Accumulator, TrapError


@dataclass(frozen=True)
class Narrow:
    """A stage: `fan_in` inputs added exactly, then fitted to `bits`."""

    fan_in: int
    bits: int
    overflow: str


@dataclass(frozen=True)
class Register:
    """The accumulator behind its stages; without stages it takes `dot_width` products at a time."""

    bits: int
    overflow: str
    dot_width: int = 1
    stages: tuple[Narrow, ...] = ()

    @property
    def group(self) -> int:
        """How many products reach the accumulator as one."""
        return prod(stage.fan_in for stage in self.stages) if self.stages else self.dot_width

    def _parts(self, products: list[int]) -> list[int]:
        """What reaches the accumulator: a stage hands on its last sum though it is not full."""
        for stage in self.stages or (Narrow(self.dot_width, 1000, "wrap"),):
            fit = Accumulator(stage.bits, stage.overflow).fit
            products = [
                fit(sum(products[first : first + stage.fan_in]), None)
                for first in range(0, len(products), stage.fan_in)
            ]
        return products

    def held(self, start: int, products: list[int]) -> Iterator[int]:
        """What the accumulator holds: at the start, then after each part; TrapError names a tap."""
        fit = Accumulator(self.bits, self.overflow).fit
        value = fit(start, None)
        yield value
        for number, part in enumerate(self._parts(products)):
            value = fit(value + part, number * self.group)
            yield value

    def sum(self, start: int, products: list[int]) -> int:
        """The last value held."""
        return list(self.held(start, products))[-1]

    def trap(self, start: int, products: list[int]) -> str | None:
        """What a trapping accumulator says of the place: the bias, or a group's first tap."""
        try:
            self.sum(start, products)
        except TrapError as trap:
            return "the bias" if trap.tap is None else f"tap {trap.tap}"
        return None


def bits_for(value: int) -> int:
    """The fewest two's complement bits that hold a value, by trying."""
    return next(b for b in range(1, 200) if -(2 ** (b - 1)) <= value < 2 ** (b - 1))
