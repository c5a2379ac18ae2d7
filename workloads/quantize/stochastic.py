"""Stochastic rounding: unbiased in the mean, for training; never for inference."""

from dataclasses import replace

import numpy as np

from workloads.quantize.grid import Grid
from workloads.quantize.quantizer import Array, Codes, reals


def quantize_stochastic(
    x: Array, grid: Grid, generator: np.random.Generator, *, erratum_noise: bool = False
) -> Codes:
    """round((x + scale * e) / scale) + zero_point, clamped; e uniform in [-1/2, 1/2).

    Krishnamoorthi 2018 section 2.3. The expected real value is x within the range. Rounds to
    nearest whatever the grid's rule; the same seed gives the same codes. `erratum_noise` is the
    formula as printed, round((x + e) / scale) + z: unbiased at scale 1 alone, and at small scales
    noise of many steps.
    """
    wide = reals(x)
    noise = generator.random(wide.shape) - 0.5
    if not erratum_noise:
        noise *= grid.layout.spread(np.array(grid.scale, dtype=np.float64), wide.shape)
    return replace(grid, rounding="half_even").quantize(wide + noise)
