"""What operators share that map each element of one tensor by a real function of its own.

A concrete operator names the function; from 8-bit codes a table of 256 is made at import, from
int16 one of 513, from narrower codes one with an entry for each.
"""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, Self

from simulator.decode import DTYPE_RANGE, present, refuse, value_range
from simulator.elementwise import unary_grids
from simulator.errors import IllegalGraph
from simulator.graph import Array, InPlace, Operator, Source, TensorType
from simulator.numeric.coarse import Coarser, CoarseTable
from simulator.numeric.datapath import Datapath
from simulator.numeric.elementwise import nearest_power_of_two
from simulator.numeric.reals import RealFunction
from simulator.numeric.roots import NotNegative
from simulator.numeric.tables import (
    ByteTable,
    FixedPointSigmoid,
    Grids,
    InterpolatedTable,
    SigmoidTable,
    Table,
    table_8,
    table_16,
)
from simulator.work import Work


@dataclass(frozen=True)
class Lookup(Operator):
    """y = f(x), element by element, each tensor on its own grid."""

    in_place: ClassVar[InPlace] = "elementwise"

    table: Table
    dtype: str

    @classmethod
    @abstractmethod
    def tabulate(cls, source: Source) -> Table:
        """The table of f between the source's grids; raises Unsupported for other dtypes."""

    @classmethod
    def decode(cls, source: Source) -> Self:
        """Make the table."""
        return cls(cls.tabulate(source), source.outputs[0].dtype)

    def check(self, inputs: Sequence[TensorType | None], outputs: Sequence[TensorType]) -> None:
        """Refuse another output dtype."""
        if outputs[0].dtype != self.dtype:
            raise IllegalGraph(f"the output must be {self.dtype}; found {outputs[0].dtype}")

    def infer(self, inputs: Sequence[TensorType | None]) -> tuple[tuple[int, ...], ...]:
        """The input's shape."""
        return (present(inputs, 0).shape,)

    def run(self, inputs: Sequence[Array | None], datapath: Datapath) -> tuple[Array, ...]:
        """Look every element up."""
        return (self.table.look_up(present(inputs, 0)),)

    def work(self, inputs: Sequence[TensorType | None], outputs: Sequence[TensorType]) -> Work:
        """The table's operations an element, and the entries that it reads."""
        x, y, inner = present(inputs, 0), outputs[0], innermost(self.table)
        return Work(
            activation_bits=x.bits,
            output_bits=y.bits,
            input_elements=x.elements,
            output_elements=y.elements,
            elementwise=self.table.operations * y.elements,
            lookups=inner.lookups * y.elements,
            real_multiplications=inner.real_multiplications * y.elements,
            real_additions=inner.real_additions * y.elements,
        )


def innermost(table: Table) -> Table:
    """The table that another one rounds or checks, which holds the entries."""
    return innermost(table.inner) if isinstance(table, CoarseTable | NotNegative) else table


def tabulate(source: Source, function: RealFunction, dtypes: tuple[str, ...]) -> Table:
    """The table of a function for tensors of one of `dtypes`, 8 bits or int16."""
    grids, x, y = unary_grids(source, dtypes), present(source.inputs, 0), source.outputs[0]
    codes = value_range(x)
    if y.dtype == "int16" and codes == value_range(y) == DTYPE_RANGE["int16"]:
        return InterpolatedTable(grids, table_16(function, grids))
    # Narrower int16 tensors have an entry a code: interpolation would see few of 512 intervals.
    return ByteTable(grids, codes[0], y.dtype, table_8(function, grids, codes, value_range(y)))


UNITS = 3 * 4096
"""Steps of an int16 operand that stand for 1 in `SigmoidTable`."""


def sigmoid_table(
    source: Source, function: Literal["logistic", "tanh"], greatest_power: int
) -> Table:
    """The int16 form: the operand in units of 1/12288 by an integer multiplier and a shift.

    Scales from 2^-12 to 2^`greatest_power`, if powers of two, are exact; of others the multiplier
    is cut to an integer of up to 15 bits (LiteRT activations.cc:410, :516).
    """
    grids, y = unary_grids(source, ("int16",)), source.outputs[0]
    expected = 2.0 ** (1 - y.bits)
    if (grids.x_zero_point, grids.y_zero_point, grids.y_scale) != (0, 0, expected):
        refuse(
            source.place,
            f"int16 needs zero points of 0 and an output scale of 1/{round(1 / expected)}",
            (grids.x_zero_point, grids.y_zero_point, grids.y_scale),
            "Requantize the tensors.",
        )
    table = _sigmoid(source, grids, function, greatest_power)
    if value_range(y) == DTYPE_RANGE["int16"]:
        return table
    return CoarseTable(table, Coarser(16 - y.bits, 0, 0, *value_range(y)))


def _sigmoid(
    source: Source, grids: Grids, function: Literal["logistic", "tanh"], greatest_power: int
) -> Table:
    """The function in Q0.15."""
    power = nearest_power_of_two(grids.x_scale)
    if power is not None and -12 <= power <= greatest_power:
        if source.dialect.form(f"{function}:int16", "table") == "gemmlowp":
            return FixedPointSigmoid(function, power + 12)
        return SigmoidTable(function, 3 << (power + 12), 0)
    multiplier, shift = grids.x_scale * UNITS, 0
    if multiplier >= 2**16:
        refuse(source.place, "the input scale must be below 16/3", grids.x_scale, "Rescale it.")
    while multiplier <= 32767 / 2 and shift <= 30:
        multiplier, shift = 2 * multiplier, shift + 1
    return SigmoidTable(function, int(multiplier), shift)
