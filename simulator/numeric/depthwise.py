"""Depthwise sums without patches, channels side by side."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from simulator.numeric.datapath import Datapath
from simulator.numeric.direct import WRAP_32, Accumulator, direct_depthwise
from simulator.numeric.matmul import Window


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
    rule = WRAP_32 if datapath.graph else Accumulator(datapath.accumulator_bits)
    direct = direct_depthwise(x.shape, w, bias, window, (0, 0), rule)
    return direct.all_sums(np.ascontiguousarray(x))
