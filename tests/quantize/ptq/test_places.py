"""Quantizers of operators that float `.tflite` files have under names of their own."""

from pathlib import Path

import numpy as np
import pytest

from simulator.graph import Graph
from tests.quantize.export.tflite_nets import CASES, Behind, network
from workloads.quantize.ptq import places

TENTHS = np.linspace(-1, 1, 8, dtype=np.float32)


def behind_convolution(case: Behind, folder: Path) -> Graph:
    graph, _ = network(case, folder)
    return graph


@pytest.mark.parametrize(("case", "limits"), [("logistic", (0.0, 1.0)), ("tanh", (-1.0, 1.0))])
def test_functions_with_limits(case: str, limits: tuple[float, float], tmp_path: Path) -> None:
    graph = behind_convolution(CASES[case], tmp_path)
    assert [node.op.kind for node in graph.nodes][-1] == case
    found = places(graph)
    assert found.groups == (("x",), ("c",), ("y0",))
    assert found.known == {"y0": limits}


@pytest.mark.parametrize("op", ["MAXIMUM", "MINIMUM"])
def test_the_larger_and_the_smaller_of_two(op: str, tmp_path: Path) -> None:
    """A constant operand is quantized like any tensor."""
    graph = behind_convolution(Behind(op, constants=(TENTHS,)), tmp_path)
    assert places(graph).groups == (("x",), ("c",), ("k0",), ("y0",))
