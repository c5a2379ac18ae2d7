"""Operators that multiply and accumulate, seen as blocks of matrix products.

One view serves execution on any accumulator, the overflow audit, golden vectors and toggles.
"""

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from simulator.decode import Weighted, value_range
from simulator.graph import Array, Operator, TensorType
from simulator.numeric.bitplane_matmul import plane_sums
from simulator.numeric.datapath import Datapath
from simulator.numeric.direct import WRAP_32, Accumulator
from simulator.numeric.matmul import matmul
from simulator.numeric.requantize import Requantize


@dataclass(frozen=True)
class Product:
    """bias + x @ w.T: x (rows, taps) and w (channels, taps) int16, taps in the order ky, kx, ic.

    `first_channel` is the output channel of w's first row.
    """

    x: NDArray[np.int16]
    w: NDArray[np.int16]
    bias: Array
    first_channel: int = 0

    def folded(self, zero_point: int) -> "Product":
        """The same sums from raw x: the bias takes -zx sum(w); x must hold raw values."""
        shift = zero_point * self.w.astype(np.int64).sum(axis=1)
        return Product(self.x, self.w, self.bias.astype(np.int64) - shift, self.first_channel)

    def sums(self, datapath: Datapath, reference_bits: int) -> Array:
        """The block as the datapath sums it: in planes of bits where it has those, same bits."""
        planes = plane_sums(self.x, self.w, self.bias, datapath)
        if planes is not None:
            return planes
        return matmul(self.x, self.w, self.bias, datapath, reference_bits, self.first_channel)


@dataclass(frozen=True)
class LaneSums:
    """An accumulator of vector lanes, what is subtracted from x and what pads it, and the bias."""

    accumulator: Accumulator
    values: tuple[int, int]
    bias: NDArray[np.int64]


@dataclass(frozen=True)
class Sums:
    """One matrix product within an operator, and what its sums are brought onto a grid by.

    `name` is empty where the operator has no other. `operands` are the positions of the inputs
    that activations and weights come from. `products` have as many rows each, output channels
    ascending; `bits` is the (wrapping) accumulator of the reference; `dtype` that of the
    requantized values.
    """

    name: str
    operands: tuple[int, int]
    products: tuple[Product, ...]
    requantize: Requantize
    bits: int
    dtype: str

    def accumulate(self, datapath: Datapath) -> Array:
        """Every block, summed as the datapath does, side by side: (rows, channels)."""
        blocks = [p.sums(datapath, self.bits) for p in self.products]
        return blocks[0] if len(blocks) == 1 else np.concatenate(blocks, axis=1)


class AccumulatingOperator(Operator):
    """An operator that requantizes sums of products, one set of them or several."""

    roles: ClassVar[tuple[str, ...]]
    """What each input is, by position; `input` names the activations."""

    @abstractmethod
    def sums(
        self, inputs: Sequence[Array | None], results: Sequence[Array], *, folded: bool
    ) -> tuple[Sums, ...]:
        """The sums of one run, given what `run` took and gave; `folded` as in `products`."""


class MacOperator(AccumulatingOperator):
    """An operator whose outputs are requantized sums of products."""

    roles: ClassVar[tuple[str, ...]] = ("input", "weights", "bias")
    weighted: Weighted

    @property
    def positions(self) -> tuple[int, int, int]:
        """Where activations, weights and bias stand among the inputs; behind all if absent."""
        first, second, third = (
            self.roles.index(role) if role in self.roles else len(self.roles)
            for role in ("input", "weights", "bias")
        )
        return first, second, third

    def sums(
        self, inputs: Sequence[Array | None], results: Sequence[Array], *, folded: bool
    ) -> tuple[Sums, ...]:
        """The one set of sums, from `products`."""
        blocks = tuple(self.products(inputs, folded=folded))
        by = self.weighted
        operands = self.roles.index("input"), self.roles.index("weights")
        return (Sums("", operands, blocks, by.requantize, by.accumulator_bits, by.dtype),)

    @abstractmethod
    def products(self, inputs: Sequence[Array | None], *, folded: bool) -> Iterator[Product]:
        """The blocks of sums, output channels ascending.

        With `folded`, x holds raw activations (padding has the value zx) and the bias takes the
        zero point's share; else x holds x - zx and padding is 0.
        """

    @abstractmethod
    def accumulate(self, inputs: Sequence[Array | None], datapath: Datapath) -> Array:
        """The raw accumulators, bias included: (rows, channels)."""


def lane_sums(
    operator: MacOperator, x: TensorType, w: Array, bias: Array, datapath: Datapath
) -> LaneSums | None:
    """How int32 lanes give the datapath's sums, whatever the activations; None where they do not.

    `w` holds a row a filter. Proved from the dtype of x and the weights: no partial sum leaves the
    accumulator, or the accumulator wraps at 32 bits or less, or it saturates and int32 holds it and
    one dot product.
    """
    if datapath.stages and not datapath.graph:
        return None
    follows = datapath.graph or datapath.overflow == "wrap"
    bits = operator.weighted.accumulator_bits if datapath.graph else datapath.accumulator_bits
    low, high = value_range(x)
    zero = operator.weighted.input_zero_point
    folded = datapath.zero_point == "folded" and not datapath.graph
    values = (0, zero) if folded and not follows else (zero, 0)
    rows = np.abs(w.astype(np.int64))
    start = bias.astype(np.int64)
    if values[0] != zero:
        start = start - zero * w.astype(np.int64).sum(axis=1)
    if follows and bits <= 32:
        return LaneSums(Accumulator(bits), values, start)
    largest = max(abs(low - values[0]), abs(high - values[0]))
    bound = int((np.abs(start) + largest * rows.sum(axis=1)).max(initial=0))
    if bound < 1 << (min(bits, 32) - 1):
        return LaneSums(WRAP_32, values, start)
    if datapath.overflow != "saturate" or datapath.graph or bits > 31:
        return None
    product = datapath.dot_width * largest * int(rows.max(initial=0))
    if (1 << (bits - 1)) + product >= 1 << 31:
        return None
    return LaneSums(Accumulator(bits, True, datapath.dot_width), values, start)


def sum_products(
    operator: MacOperator, inputs: Sequence[Array | None], datapath: Datapath
) -> Array:
    """Every block of `operator.products`, summed as the datapath does, side by side."""
    folded = datapath.zero_point == "folded" and not datapath.graph
    bits = operator.weighted.accumulator_bits
    blocks = [p.sums(datapath, bits) for p in operator.products(inputs, folded=folded)]
    return blocks[0] if len(blocks) == 1 else np.concatenate(blocks, axis=1)
