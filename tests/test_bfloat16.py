"""bfloat16 operands: the rounding by bit patterns, and networks whose products take them."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from simulator.execute import run
from tests.quantize.ptq.test_plan import small_net
from workloads.float_graph import layers
from workloads.float_graph.bfloat16 import as_bfloat16, rounded


def by_bits(x: NDArray[np.float32]) -> NDArray[np.float32]:
    """Half to even on the upper 16 bits of the pattern."""
    bits = x.view(np.uint32).astype(np.uint64)
    upper = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16
    return (upper << 16).astype(np.uint32).view(np.float32)


def test_every_pattern_of_some_exponents() -> None:
    for exponent in (0, 1, 64, 127, 200, 254):
        for sign in (0, 1):
            bits = np.arange(1 << 23, step=37, dtype=np.uint32)
            x = (bits | np.uint32(exponent << 23) | np.uint32(sign << 31)).view(np.float32)
            np.testing.assert_array_equal(rounded(x), by_bits(x))
    ties = np.array([1 + 2**-8, 1 + 3 * 2**-8, -1 - 2**-8, 2**-126 * 1.5], np.float32)
    np.testing.assert_array_equal(rounded(ties), by_bits(ties))
    ends = np.array([np.inf, -np.inf, 0.0, np.finfo(np.float32).max], np.float32)
    np.testing.assert_array_equal(rounded(ends), [np.inf, -np.inf, 0.0, np.inf])


def test_layers_multiply_rounded_operands(tmp_path: Path) -> None:
    graph = small_net(tmp_path)
    made = as_bfloat16(graph)
    (name,) = graph.inputs
    x = np.random.default_rng(0).normal(0, 1, graph.tensors[name].shape).astype(np.float32)
    for layer in layers(made):
        assert layer.activations.endswith("/bfloat16")
        held = made.constants[layer.weights]
        np.testing.assert_array_equal(held, by_bits(graph.constants[layer.weights]))
    outputs, _ = run(made, {name: x})
    before, _ = run(graph, {name: x})
    again, _ = run(as_bfloat16(made), {name: x})
    np.testing.assert_array_equal(outputs["y"], again["y"])
    assert 0 < np.abs(outputs["y"] - before["y"]).max() < 0.02
    # 1.005 is no bfloat16: a layer of one product takes 1.0078125.
    assert float(rounded(np.array([1.005], np.float32))[0]) == 1.0078125
