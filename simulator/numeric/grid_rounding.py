"""Real values brought onto a grid of one scale, in the float32 steps of QONNX's quantizer."""

from typing import Any

import numpy as np

from simulator.jit import njit


@njit
def round_onto_grid(x: Any, scale: Any, zero: Any, least: Any, greatest: Any, out: Any) -> None:
    """Out = (rint(clamp(x / scale + zero)) - zero) * scale, each step in float32.

    x and out flat float32; ties to even; a NaN stays one. `scale` is not 0.
    """
    if scale == np.float32(0):
        return
    for i in range(x.size):
        code = np.float32(np.float32(x[i] / scale) + zero)
        code = greatest if code > greatest else code
        code = least if code < least else code
        out[i] = np.float32(np.float32(np.rint(code) - zero) * scale)
