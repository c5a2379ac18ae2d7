"""Depthwise sums without patches, channels side by side."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from simulator.numeric.datapath import Datapath
from simulator.numeric.direct import direct_depthwise
from simulator.numeric.matmul import Window, wrap_array


def depthwise(
    x: NDArray[np.int16],
    w: NDArray[np.int16],
    bias: NDArray[Any],
    window: Window,
    datapath: Datapath,
) -> NDArray[Any]:
    """Depthwise sums of x (n, h, w, c) with w (ky, kx, c * multiplier): (n * oy * ox, outputs).

    Only for sums that `wraps_in_int32`.
    """
    sums = direct_depthwise(x.shape, w, bias, window, 0).all_sums(np.ascontiguousarray(x))
    narrow = not datapath.graph and datapath.accumulator_bits < 32
    return wrap_array(sums, datapath.accumulator_bits) if narrow else sums
