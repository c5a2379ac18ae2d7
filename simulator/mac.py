"""Operators that multiply and accumulate, seen as blocks of matrix products.

One view serves execution on any accumulator, the overflow audit, golden vectors and toggles.
"""

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from simulator.decode import Weighted
from simulator.graph import Array, Operator
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
    positions: ClassVar[tuple[int, int, int]] = (0, 1, 2)
    """Where activations, weights and bias stand among the inputs."""

    @abstractmethod
    def products(self, inputs: Sequence[Array | None], *, folded: bool) -> Iterator[Product]:
        """The blocks of sums, output channels ascending.

        With `folded`, x holds raw activations (padding has the value zx) and the bias takes the
        zero point's share; else x holds x - zx and padding is 0.
        """

    @abstractmethod
    def accumulate(self, inputs: Sequence[Array | None], datapath: Datapath) -> Array:
        """The raw accumulators, bias included: (rows, channels)."""


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
