"""Grids and biases as a file holds them."""

import numpy as np

from workloads.quantize import Grid
from workloads.quantize.export.tflite_grids import FileGrid, FileWeights, file_grid, with_bias


def test_biases_stay_in_32_bits_with_their_sums() -> None:
    x = FileGrid("int8", 0.5, -128)
    weights = FileWeights(np.full((2, 4), 127, np.int8), (1e-11, 0.25), "int8")
    made, steps = with_bias(weights, np.array([1.0, 1.0]), x, 0, "w")
    assert steps.dtype == np.int32
    assert steps[1] == 8
    assert made.scales[1] == 0.25
    np.testing.assert_allclose(steps[0] * 0.5 * made.scales[0], 1.0, rtol=1e-6)
    reach = np.abs(made.codes.astype(int)).sum(axis=1) * 255
    assert (np.abs(steps.astype(np.int64)) + reach < 2**31).all()


def test_grids_of_a_file_hold_the_plans_reals() -> None:
    grid = Grid((0.25,), (3,), 0, 255)
    held = file_grid(grid, "x")
    codes = np.arange(256)
    assert held == FileGrid("int8", 0.25, -125)
    np.testing.assert_array_equal(
        grid.dequantize(codes), (codes - 128 - held.zero_point) * held.scale
    )
