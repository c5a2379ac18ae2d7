"""Single operators whose narrowing is a matter of its own."""

from pathlib import Path

import numpy as np
import pytest

from simulator.errors import Unsupported
from simulator.graph import Graph
from simulator.narrow import requantized
from simulator.numeric.datapath import Datapath
from tests.narrowing.networks import in_reals, random_values
from tests.ops.models import load
from workloads.tflite.writer import OperatorSpec, TensorSpec, write_model

FOUR = Datapath(weight_bits=4, activation_bits=4, narrow=True)
WIDE = Datapath(activation_bits=16, widen=True)


def written(folder: Path, tensors: list[TensorSpec], operator: OperatorSpec) -> Graph:
    """A graph of one operator whose inputs are the tensors without data but the last."""
    free = [i for i, t in enumerate(tensors[:-1]) if t.data is None]
    return load(write_model(tensors, [operator], free, [len(tensors) - 1]), folder)


def joined(folder: Path, dtype: str, scales: tuple[float, float, float]) -> Graph:
    """A concatenation of two vectors."""
    sizes = (2, 3, 5)
    specs = [
        TensorSpec(name, (1, size), dtype, (scale,), (4,))
        for name, size, scale in zip("aby", sizes, scales, strict=True)
    ]
    options = {"axis": 1, "fused_activation_function": "NONE"}
    return written(folder, specs, OperatorSpec("CONCATENATION", (0, 1), (2,), options))


def test_uint8_parts_on_other_grids_are_rescaled_or_refused(tmp_path: Path) -> None:
    graph = joined(tmp_path, "uint8", (0.3, 0.7, 0.7))
    values = random_values(graph)
    own = in_reals(graph, values, None)["y"]
    found = in_reals(graph, values, FOUR)["y"]
    assert np.abs(found - own).max() <= 2 * 0.7 * 17
    with pytest.raises(Unsupported, match="int16 inputs must be on the output's grid"):
        requantized(graph, WIDE)


def test_parts_on_one_grid_stay_on_one(tmp_path: Path) -> None:
    graph = joined(tmp_path, "int8", (0.3, 0.3, 0.3))
    values = random_values(graph)
    own = in_reals(graph, values, None)["y"]
    assert np.abs(in_reals(graph, values, FOUR)["y"] - own).max() <= 0.3 * 17 / 2 + 1e-6
    assert np.array_equal(in_reals(graph, values, WIDE)["y"], own)


@pytest.mark.parametrize("quantized", [True, False])
def test_a_fill_is_a_value_where_it_has_a_grid(tmp_path: Path, quantized: bool) -> None:
    """PADV2: a fill on a grid is re-quantized; a bare code keeps its tensors as they are."""
    grid = ((0.3,), (-7,))
    specs = [
        TensorSpec("x", (1, 3), "int8", *grid),
        TensorSpec("pads", (2, 2), "int32", data=np.array([[0, 0], [1, 1]], np.int32)),
        TensorSpec(
            *("fill", (), "int8"),
            scale=grid[0] if quantized else None,
            zero_point=grid[1] if quantized else None,
            data=np.array(100, np.int8),
        ),
        TensorSpec("y", (1, 5), "int8", *grid),
    ]
    graph = written(tmp_path, specs, OperatorSpec("PADV2", (0, 1, 2), (3,)))
    values = random_values(graph)
    own = in_reals(graph, values, None)["y"]
    found = in_reals(graph, values, FOUR)["y"]
    assert (requantized(graph, FOUR).graph is graph) == (not quantized)
    assert np.abs(found - own).max() <= (0.3 * 17 if quantized else 0)


def test_a_widened_sum_of_power_of_two_scales(tmp_path: Path) -> None:
    """LiteRT has a form of its own for int16 there, with refusals of its own."""
    specs = [
        TensorSpec(name, (1, 64), "int8", (scale,), (0,))
        for name, scale in (("a", 0.5), ("b", 0.25), ("y", 0.125))
    ]
    options = {"fused_activation_function": "NONE"}
    graph = written(tmp_path, specs, OperatorSpec("ADD", (0, 1), (2,), options))
    values = random_values(graph)
    own, found = (in_reals(graph, values, d)["y"] for d in (None, WIDE))
    assert np.abs(found - own).max() <= 0.125 / 2
