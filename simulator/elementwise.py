"""What operators share that compute each output element from the codes at its place.

`Elementwise` holds shapes and work. `Sum` adds or subtracts two tensors of different grids.
"""

import math
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Final, Self

import numpy as np

from simulator.decode import (
    activation_range,
    present,
    product_scale,
    refuse,
    require_dtypes,
    require_same_dtype,
    single_grid,
    value_range,
)
from simulator.errors import IllegalGraph
from simulator.graph import Array, InPlace, Operator, Source, TensorType
from simulator.numeric.datapath import Datapath
from simulator.numeric.dialect import Scale
from simulator.numeric.elementwise import (
    SumGrids,
    SumScaling,
    nearest_power_of_two,
    power_of_two_sum,
    rescaled_sum,
    shared_shift_sum,
)
from simulator.numeric.pairs import table_of_pairs
from simulator.numeric.requantize import Requantize, requantize_array
from simulator.numeric.tables import Grids
from simulator.prepared import Prepared, PreparedPairs
from simulator.real_work import computes_reals, on_reals
from simulator.shapes import broadcast
from simulator.work import Work

Shape = tuple[int, ...]


PAIRS_PAY_FROM: Final = 2048
"""Elements from which on a table of all pairs is worth its making."""


@dataclass(frozen=True)
class Elementwise(Operator):
    """One output of the broadcast shape of all inputs (NumPy's rules)."""

    in_place: ClassVar[InPlace] = "elementwise"
    operands: ClassVar[int] = 1
    operations: ClassVar[int] = 1
    """Scalar ALU operations an output element, for `work`."""
    real_multiplications: ClassVar[int] = 0
    """Of the operations multiplications and divisions, where the tensors are real."""
    integer_operations: ClassVar[int] = 0
    """Of the operations those that are on codes or bits even so."""
    requantizations: ClassVar[int] = 0
    """How often an output element, or what it is made of, is brought onto another grid."""

    @abstractmethod
    def compute(self, inputs: Sequence[Array]) -> Array:
        """The output from the operands."""

    def check(self, inputs: Sequence[TensorType | None], outputs: Sequence[TensorType]) -> None:
        """Refuse shapes that do not broadcast."""
        self.infer(inputs)

    def infer(self, inputs: Sequence[TensorType | None]) -> tuple[Shape, ...]:
        """The broadcast shape."""
        shapes = [present(inputs, i).shape for i in range(self.operands)]
        try:
            return (broadcast(*shapes),)
        except ValueError:
            listed = " and ".join(str(shape) for shape in shapes)
            raise IllegalGraph(f"shapes {listed} do not broadcast") from None

    def run(self, inputs: Sequence[Array | None], datapath: Datapath) -> tuple[Array, ...]:
        """Compute every element; the datapath's accumulator takes no part."""
        return (np.asarray(self.compute([present(inputs, i) for i in range(self.operands)])),)

    def prepare(
        self,
        inputs: Sequence[TensorType | None],
        constants: Sequence[Array | None],
        datapath: Datapath,
    ) -> Prepared | None:
        """Two large 8-bit tensors of one shape by a table of all pairs of codes."""
        if self.operands != 2 or min(len(inputs), 2) < 2:
            return None
        first, second = present(inputs, 0), present(inputs, 1)
        bytes_each = {first.dtype, second.dtype} <= {"int8", "uint8"}
        if not bytes_each or first.shape != second.shape or first.elements < PAIRS_PAY_FROM:
            return None
        table = table_of_pairs(lambda a, b: self.compute([a, b]), (first.dtype, second.dtype))
        return PreparedPairs(table)

    def work(self, inputs: Sequence[TensorType | None], outputs: Sequence[TensorType]) -> Work:
        """`operations` and `requantizations` an output element."""
        kinds = [present(inputs, i) for i in range(self.operands)]
        y = outputs[0]
        work = Work(
            activation_bits=kinds[0].bits,
            output_bits=y.bits,
            input_elements=sum(kind.elements for kind in kinds),
            output_elements=y.elements,
            elementwise=self.operations * y.elements,
            requantizations=self.requantizations * y.elements,
        )
        if not computes_reals((*kinds, y)):
            return work
        return on_reals(work, self.real_multiplications, self.integer_operations)


def unary_grids(source: Source, dtypes: tuple[str, ...]) -> Grids:
    """The grids of an input and an output of one dtype, which must be one of `dtypes`."""
    require_dtypes(source.place, source.inputs[:1], dtypes)
    require_same_dtype(source)
    x_scale, x_zero = single_grid(source.inputs[0], source.place, "the input")
    y_scale, y_zero = single_grid(source.outputs[0], source.place, "the output")
    return Grids(x_scale, x_zero, y_scale, y_zero)


def binary_grids(source: Source, dtypes: tuple[str, ...]) -> tuple[Grids, Grids]:
    """The grids of two inputs, each with the output's; all three of one dtype in `dtypes`."""
    first = unary_grids(source, dtypes)
    require_dtypes(source.place, source.inputs[1:2], (source.outputs[0].dtype,), first=1)
    scale, zero = single_grid(source.inputs[1], source.place, "input 1")
    return first, Grids(scale, zero, first.y_scale, first.y_zero_point)


def scale_ratio(source: Source, how: Scale, x: float, w: float, y: float) -> float:
    """The ratio x w / y, rounded as `how` says; raises IllegalGraph where it is not finite."""
    with np.errstate(all="ignore"):
        ratio = product_scale(how, x, w, y) if y else math.inf
    if not math.isfinite(ratio):
        raise IllegalGraph(
            f"{source.place}: {x} * {w} / {y} of its scales is not finite; export it again"
        )
    return ratio


def centred(x: Array, zero_point: int) -> Array:
    """The codes less their zero point, as int32."""
    return np.asarray(x.astype(np.int32) - np.int32(zero_point))


XNNPACK_SUM_RATIOS: Final = (2.0**-10, 2.0**8)
"""XNNPACK takes 8-bit sums whose s_in / s_out lie in this half-open range, both of them."""


@dataclass(frozen=True)
class Sum(Elementwise):
    """y = clamp(requantize(rescale(x1 - z1) +- rescale(x2 - z2)) + zy), NumPy broadcasting.

    Both operands are shifted left, then brought onto one grid, so that their sum fits 32 bits. How
    the three rescalings round is the dialect's matter (`simulator.numeric.elementwise`).
    """

    operands = 2
    requantizations = 3
    sign: ClassVar[int]
    """+1 or -1, for the second operand."""

    zero_points: tuple[int, int]
    left_shift: int
    rescale: tuple[Requantize, Requantize]
    requantize: Requantize
    dtype: str

    @classmethod
    def decode(cls, source: Source) -> Self:
        """From two inputs and an output of one dtype, and the fused activation."""
        a, b = binary_grids(source, ("int8", "uint8", "int16"))
        activation = source.options.get("fused_activation_function", "NONE")
        dtype, y = source.outputs[0].dtype, (a.y_scale, a.y_zero_point)
        limits = value_range(source.outputs[0])
        clamp = activation_range(source.place, activation, *y, limits)
        scaling = _scaling(source, cls.kind, SumGrids((a.x_scale, b.x_scale), *y, *clamp))
        return cls(
            zero_points=(a.x_zero_point, b.x_zero_point),
            left_shift=scaling.left_shift,
            rescale=scaling.rescale,
            requantize=scaling.requantize,
            dtype=dtype,
        )

    def compute(self, inputs: Sequence[Array]) -> Array:
        """Rescale both, add or subtract, requantize."""
        first, second = (
            requantize_array(centred(x, zero) << self.left_shift, rescale, "int32")
            for x, zero, rescale in zip(inputs, self.zero_points, self.rescale, strict=True)
        )
        total = first + second if self.sign > 0 else first - second
        return requantize_array(total, self.requantize, self.dtype)


def _scaling(source: Source, kind: str, grids: SumGrids) -> SumScaling:
    """The form that the dialect takes on these grids."""
    dtype = source.outputs[0].dtype
    if dtype == "int16":
        # A tensor that was widened was never meant for the form of power-of-two scales.
        own = source.outputs[0].limits is None
        special = own and source.dialect.form(f"{kind}:int16", "power_of_two") == "power_of_two"
        shifts = _right_shifts(source, grids) if special else None
        if shifts is not None:
            return power_of_two_sum(grids, shifts)
    elif source.dialect.form(kind, "rescale") == "shared_shift":
        least, beyond = XNNPACK_SUM_RATIOS
        first, second = (scale_ratio(source, "single", s, 1.0, grids.y_scale) for s in grids.scales)
        if least <= min(first, second) and max(first, second) < beyond:
            return shared_shift_sum(grids, (first, second))
    # Kernels for equal shapes may round the operands otherwise than those that broadcast.
    a, b = (present(source.inputs, i).shape for i in (0, 1))
    operands = source.dialect.rule(f"{kind}_operand" if a == b else kind, dtype)
    return rescaled_sum(grids, operands, source.dialect.rule(kind, dtype), dtype)


def _right_shifts(source: Source, grids: SumGrids) -> tuple[int, int] | None:
    """log2(s_y / s) of both operands, where the option asks for it and all are powers of two."""
    if not source.options.get("pot_scale_int16", True):
        return None
    a, b, y = (nearest_power_of_two(s) for s in (*grids.scales, grids.y_scale))
    if a is None or b is None or y is None:
        return None
    if min(y - a, y - b) != 0:
        refuse(
            source.place,
            "of power-of-two int16 scales one must equal the output's and none exceed it",
            f"2^{a} and 2^{b} to 2^{y}",
            "Set pot_scale_int16 to false.",
        )
    return y - a, y - b


@dataclass(frozen=True)
class Selection(Elementwise):
    """y = one of x1 and x2 by their codes; the converter puts all three on one grid."""

    operands = 2

    dtype: str

    @staticmethod
    @abstractmethod
    def choose(a: Array, b: Array) -> Array:
        """The codes taken."""

    @classmethod
    def decode(cls, source: Source) -> Self:
        """Two inputs and an output of one dtype."""
        dtypes = ("int8", "uint8", "int16", "int32", "float32")
        require_dtypes(source.place, source.inputs[:2], dtypes)
        require_dtypes(source.place, source.inputs[1:2], (source.outputs[0].dtype,), first=1)
        require_same_dtype(source)
        return cls(source.outputs[0].dtype)

    def compute(self, inputs: Sequence[Array]) -> Array:
        """Compare."""
        return np.asarray(self.choose(inputs[0], inputs[1]))
