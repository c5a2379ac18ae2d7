"""Operators that multiply and accumulate, seen as blocks of matrix products.

One view serves execution on any accumulator, the overflow audit, golden vectors and toggles.
"""

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from simulator.decode import Weighted, value_range
from simulator.graph import Array, Operator, TensorType
from simulator.numeric.datapath import Datapath
from simulator.numeric.matmul import matmul


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


class MacOperator(Operator):
    """An operator whose outputs are requantized sums of products."""

    weighted: Weighted

    @abstractmethod
    def products(self, inputs: Sequence[Array | None], *, folded: bool) -> Iterator[Product]:
        """The blocks of sums, output channels ascending.

        With `folded`, x holds raw activations (padding has the value zx) and the bias takes the
        zero point's share; else x holds x - zx and padding is 0.
        """

    @abstractmethod
    def accumulate(self, inputs: Sequence[Array | None], datapath: Datapath) -> Array:
        """The raw accumulators, bias included: (rows, channels)."""


def exact_in_int32(
    operator: MacOperator, x: TensorType, w: Array, bias: Array, taps: int, datapath: Datapath
) -> bool:
    """True where sums modulo 2^32 are the datapath's sums, whatever the activations.

    `w` is any shape, `taps` products make one sum. Proved from the dtype of x and the largest
    weight: no partial sum leaves the accumulator, or the accumulator wraps at 32 bits.
    """
    if datapath.stages and not datapath.graph:
        return False
    follows = datapath.graph or datapath.overflow == "wrap"
    bits = operator.weighted.accumulator_bits if datapath.graph else datapath.accumulator_bits
    if follows and bits == 32:
        return True
    low, high = value_range(x)
    zero = operator.weighted.input_zero_point
    largest = max(abs(low - zero), abs(high - zero))
    weights = max(abs(int(w.min())), abs(int(w.max()))) if w.size else 0
    biases = max(abs(int(bias.min())), abs(int(bias.max()))) if bias.size else 0
    ordered = datapath.zero_point == "folded" and not follows
    return not ordered and biases + taps * largest * weights < 1 << (min(bits, 32) - 1)


def sum_products(
    operator: MacOperator, inputs: Sequence[Array | None], datapath: Datapath
) -> Array:
    """Every block of `operator.products`, summed as the datapath does, side by side."""
    folded = datapath.zero_point == "folded" and not datapath.graph
    bits = operator.weighted.accumulator_bits
    blocks = [
        matmul(p.x, p.w, p.bias, datapath, bits, p.first_channel)
        for p in operator.products(inputs, folded=folded)
    ]
    return blocks[0] if len(blocks) == 1 else np.concatenate(blocks, axis=1)
