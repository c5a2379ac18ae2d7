"""Sound files whose operators have types, grids or options that mean nothing: refused at import."""

from pathlib import Path

import numpy as np
import pytest

from simulator.errors import BitlaneError, IllegalGraph, Unsupported
from simulator.execute import run
from tests.ops import flatbuffer as fb
from tests.ops.build import OneOp, tensor
from tests.ops.models import ACTIVATION, IMAGE, POOL, PROBABILITIES, ROW, conv, load, one
from workloads.tflite.writer import OperatorSpec, TensorSpec, write_model

INT8_ONLY: dict[str, bytes] = {
    **{
        f"convolution to {dtype}": conv(y=tensor((1, 2, 2, 4), 0.5, dtype=dtype))
        for dtype in ("uint8", "int16", "int64", "float32")
    },
    **{
        f"convolution with bias of {dtype}": conv(b=tensor((4,), 0.25, dtype=dtype))
        for dtype in ("int8", "int64", "float32")
    },
    "addition to int16": one("ADD", ACTIVATION, ROW, ROW, tensor((1, 4), 0.1, dtype="int16")),
    "pooling to uint8": one(
        "AVERAGE_POOL_2D", POOL, IMAGE, tensor((1, 2, 2, 2), 0.5, 3, dtype="uint8")
    ),
    "softmax to uint8": one(
        "SOFTMAX", {"beta": 1.0}, ROW, tensor((1, 4), 1 / 256, 0, dtype="uint8")
    ),
    "softmax to float": one(
        "SOFTMAX", {"beta": 1.0}, ROW, tensor((1, 4), 1 / 256, 0, dtype="float32")
    ),
    "fully connected to int16": OneOp(
        "FULLY_CONNECTED",
        ACTIVATION,
        (ROW, tensor((2, 4), 0.5)),
        tensor((1, 2), 0.5, dtype="int16"),
        (None, np.ones((2, 4), np.int8)),
        frozenset({1}),
    ).model(),
}


@pytest.mark.parametrize("name", INT8_ONLY)
def test_other_types_of_bias_and_output_are_refused(name: str, tmp_path: Path) -> None:
    """LiteRT refuses each of these in Prepare; none may run on silently reinterpreted codes."""
    with pytest.raises((IllegalGraph, Unsupported)) as caught:
        load(INT8_ONLY[name], tmp_path)
    assert "\n" not in str(caught.value)


NONSENSE: dict[str, bytes] = {
    "convolution with padding 7": conv(padding=7),
    "pooling with padding 7": one(
        "AVERAGE_POOL_2D", {**POOL, "padding": 7}, IMAGE, tensor((1, 1, 1, 2), 0.5, 3)
    ),
    "input zero point of 2^40": write_model(
        [TensorSpec("x", (4,), "int8", (0.5,), (2**40,)), TensorSpec("y", (2, 2), "int8")],
        [OperatorSpec("RESHAPE", (0,), (1,))],
        [0],
        [1],
    ),
    "softmax with beta below 0": one("SOFTMAX", {"beta": -1.0}, ROW, PROBABILITIES),
    "softmax with beta no number": one("SOFTMAX", {"beta": float("nan")}, ROW, PROBABILITIES),
    "RELU6 where 6 has no code": conv(
        y=tensor((1, 2, 2, 4), 1e-44), fused_activation_function="RELU6"
    ),
    "addition of one": one("ADD", ACTIVATION, ROW, ROW),
    "two outputs of a reshape": write_model(
        [TensorSpec(n, (4,), "int8", (0.5,), (0,)) for n in "xyz"],
        [OperatorSpec("RESHAPE", (0,), (1, 2))],
        [0],
        [1],
    ),
}


@pytest.mark.parametrize("name", NONSENSE)
def test_nonsense_is_an_illegal_graph(name: str, tmp_path: Path) -> None:
    """The bytes are sound, the graph is not: neither a crash nor 'the file is truncated'."""
    with pytest.raises((IllegalGraph, Unsupported)) as caught:
        load(NONSENSE[name], tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "edit",
    [
        fb.node_edit(0, fb.put_element, fb.NODE_OUTPUTS, 0, "i", -1),
        fb.graph_edit(fb.put_element, fb.GRAPH_INPUTS, 0, "i", -1),
        fb.graph_edit(fb.put_element, fb.GRAPH_OUTPUTS, 0, "i", -1),
    ],
    ids=["node output", "graph input", "graph output"],
)
def test_an_absent_tensor_where_one_must_be(edit: fb.Edit, tmp_path: Path) -> None:
    """Index -1 stands for an optional input that is left out, and for nothing else."""
    with pytest.raises(BitlaneError) as caught:
        load(fb.damaged(conv(), edit), tmp_path)
    assert "\n" not in str(caught.value)


def test_softmax_of_nothing_is_nothing(tmp_path: Path) -> None:
    empty = tensor((1, 0), 0.1)
    graph = load(one("SOFTMAX", {"beta": 1.0}, empty, tensor((1, 0), 1 / 256, -128)), tmp_path)
    outputs, _ = run(graph, {"x0": np.zeros((1, 0), np.int8)})
    assert outputs["y"].shape == (1, 0)
