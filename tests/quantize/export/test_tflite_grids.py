"""Grids and biases as a file holds them."""

import numpy as np
import pytest

from simulator.errors import Unsupported
from workloads.quantize import Grid
from workloads.quantize.export.tflite_grids import FileGrid, FileWeights, file_bias, file_grid


def test_biases_lie_in_32_bits_and_beside_int16_in_48() -> None:
    """4 taps of 127 * 255 leave 129 540 steps less for the bias."""
    x, wide = FileGrid("int8", 0.5, -128), FileGrid("int16", 0.5, 0)
    weights = FileWeights(np.full((2, 4), 127, np.int8), (0.5, 0.25), "int8")
    most = 2**31 - 1 - 129_540
    steps = file_bias(weights, np.array([-1.0, most / 8]), x, 0, "w")
    assert (steps.dtype.name, steps.tolist()) == ("int32", [-4, most])
    beyond = np.array([-1.0, (most + 1) / 8])
    line = rf"^w: bias and sum of products of filter 1 stay in {2**31 - 1} steps; found {2**31}\."
    with pytest.raises(Unsupported, match=line):
        file_bias(weights, beyond, x, 0, "w")
    steps = file_bias(weights, beyond, wide, 0, "w")
    assert (steps.dtype.name, steps[1]) == ("int64", most + 1)


def test_grids_of_a_file_hold_the_plans_reals() -> None:
    grid = Grid((0.25,), (3,), 0, 255)
    held = file_grid(grid, "x")
    codes = np.arange(256)
    assert held == FileGrid("int8", 0.25, -125)
    np.testing.assert_array_equal(
        grid.dequantize(codes), (codes - 128 - held.zero_point) * held.scale
    )
