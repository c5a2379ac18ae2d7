"""What recurrent operators share: sums of products outside a convolution, zero points included."""

import numpy as np

from simulator.graph import Array
from simulator.mac import Product
from simulator.numeric.datapath import Datapath
from simulator.numeric.matmul import matmul


def weighted_sums(
    x: Array,
    zero_point: int,
    w: Array,
    bias: Array | None,
    datapath: Datapath,
    reference_bits: int = 32,
) -> Array:
    """Sum (x - zero_point) @ w.T + bias for x (rows, taps), w (channels, taps), in the datapath.

    A datapath that folds zero points multiplies raw x, and the bias takes the rest.
    """
    folded = datapath.zero_point == "folded" and not datapath.graph
    product = weighted_product(x, zero_point, w, bias, folded=folded)
    return matmul(product.x, product.w, product.bias, datapath, reference_bits)


def weighted_product(
    x: Array, zero_point: int, w: Array, bias: Array | None, *, folded: bool
) -> Product:
    """The operands of `weighted_sums` as they enter the multiplier."""
    weights = np.ascontiguousarray(w.astype(np.int16))
    start = np.zeros(len(w), dtype=np.int32) if bias is None else bias
    if folded:
        return Product(x.astype(np.int16), weights, start).folded(zero_point)
    return Product(x.astype(np.int16) - np.int16(zero_point), weights, start)
