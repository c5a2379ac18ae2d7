"""Signal to quantization noise, in decibels."""

import math
from typing import Final

import numpy as np

from simulator.errors import IllegalValues
from workloads.quantize.quantizer import Array, Layout, Reals

EXACT_DB: Final = 200.0
"""What stands for "nothing differs", and the most there is: a 64-bit float resolves no more."""


def decibels(signal: float, noise: float) -> float:
    """10 log10(signal / noise), from -EXACT_DB to EXACT_DB; EXACT_DB without any noise."""
    if noise == 0:
        return EXACT_DB
    ratio = 10 * (math.log10(signal) - math.log10(noise)) if signal else -EXACT_DB
    return min(max(ratio, -EXACT_DB), EXACT_DB)


def sqnr_db(real: Array, quantized: Array) -> float:
    """10 log10(sum real^2 / sum (real - quantized)^2) of two arrays of one shape.

    Krishnamoorthi 2018 (arXiv 1806.08342) appendix A.
    """
    return float(sqnr_db_by(real, quantized, Layout())[0])


def sqnr_db_by(real: Array, quantized: Array, layout: Layout) -> Reals:
    """The same for each parameter of a layout, such as each channel: (parameters,)."""
    if real.shape != quantized.shape:
        raise IllegalValues(f"shapes must agree; found {real.shape} and {quantized.shape}")
    wide = real.astype(np.float64)
    signal = layout.reduce(np.add, np.square(wide))
    noise = layout.reduce(np.add, np.square(wide - quantized))
    return np.array([decibels(s, n) for s, n in zip(signal.tolist(), noise.tolist(), strict=True)])
