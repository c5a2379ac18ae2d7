"""Operators that move elements, behind a convolution (NHWC here): as ONNX Runtime has them."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import NodeProto

from tests.ops.onnx_runtime import differing, graph_of, model, node

pytest.importorskip("onnxruntime")


def ints(*values: int) -> np.ndarray[Any, Any]:
    return np.array(values, dtype=np.int64)


MOVES: list[tuple[str, list[NodeProto], dict[str, Any]]] = [
    ("reshape", [node("Reshape", ["c", "k"], ["y"])], {"k": ints(2, -1)}),
    ("flatten", [node("Flatten", ["c"], ["y"], axis=1)], {}),
    ("squeeze", [node("Squeeze", ["c", "k"], ["y"])], {"k": ints(3)}),
    ("unsqueeze", [node("Unsqueeze", ["c", "k"], ["y"])], {"k": ints(0, 5)}),
    ("to nhwc", [node("Transpose", ["c"], ["y"], perm=[0, 2, 3, 1])], {}),
    ("transpose", [node("Transpose", ["c"], ["y"], perm=[3, 1, 0, 2])], {}),
    ("gather", [node("Gather", ["c", "k"], ["y"], axis=1)], {"k": ints(3, -1, 0)}),
    ("pad", [node("Pad", ["c", "k"], ["y"])], {"k": ints(0, 1, 2, 0, 0, 0, 1, 1)}),
    (
        "slice",
        [node("Slice", ["c", "s", "e", "a", "t"], ["y"])],
        {"s": ints(3, -1), "e": ints(0, 100), "a": ints(1, 2), "t": ints(-1, 2)},
    ),
    ("split", [node("Split", ["c"], ["y", "z"], axis=1, num_outputs=2)], {}),
    ("concat", [node("Concat", ["c", "x"], ["y"], axis=1)], {}),
    ("identity", [node("Identity", ["c"], ["y"])], {}),
    ("depth to space", [node("DepthToSpace", ["c"], ["y"], blocksize=2)], {}),
    ("the same, CRD", [node("DepthToSpace", ["c"], ["y"], blocksize=2, mode="CRD")], {}),
    (
        "space to depth",
        [
            node("Tile", ["c", "k"], ["t"]),
            node("SpaceToDepth", ["t"], ["y"], blocksize=2),
        ],
        {"k": ints(1, 1, 2, 4)},
    ),
    ("expand", [node("Expand", ["c", "k"], ["y"])], {"k": ints(1, 4, 5, 3)}),
    ("tile", [node("Tile", ["c", "k"], ["y"])], {"k": ints(2, 1, 3, 2)}),
    ("global max", [node("GlobalMaxPool", ["c"], ["y"])], {}),
    (
        "there and back",
        [
            node("Transpose", ["c"], ["t"], perm=[0, 2, 3, 1]),
            node("Transpose", ["t"], ["y"], perm=[0, 3, 1, 2]),
        ],
        {},
    ),
]


@pytest.mark.parametrize(("name", "nodes", "constants"), MOVES, ids=[m[0] for m in MOVES])
def test_moves(
    name: str, nodes: list[NodeProto], constants: dict[str, Any], tmp_path: Path
) -> None:
    rng = np.random.default_rng(0)
    shape = (2, 3, 5, 1)
    weights = rng.standard_normal((4, 3, 1, 1)).astype(np.float32)
    outputs = dict.fromkeys(nodes[-1].output, "float32")
    data = model(
        [node("Conv", ["x", "w"], ["c"]), *nodes],
        {"x": ("float32", shape)},
        outputs,
        {"w": weights, **constants},
    )
    x = rng.standard_normal(shape).astype(np.float32)
    assert differing(data, {"x": x}, tmp_path) == 0


def test_layouts_change_at_the_border_only(tmp_path: Path) -> None:
    """Two convolutions, an addition and a pool: one transpose in, one out."""
    nodes = [
        node("Conv", ["x", "w"], ["a"], pads=[1, 1, 1, 1]),
        node("Relu", ["a"], ["r"]),
        node("Conv", ["r", "w"], ["b"], pads=[1, 1, 1, 1]),
        node("Add", ["a", "b"], ["s"]),
        node("MaxPool", ["s"], ["y"], kernel_shape=[2, 2], strides=[2, 2]),
    ]
    weights = np.random.default_rng(0).standard_normal((3, 3, 3, 3)).astype(np.float32)
    data = model(nodes, {"x": ("float32", (1, 3, 6, 6))}, {"y": "float32"}, {"w": weights})
    graph = graph_of(data, tmp_path)
    kinds = [n.op.kind for n in graph.nodes]
    assert kinds.count("transpose") == 2
    assert kinds[0] == kinds[-1] == "transpose"
    assert graph.tensors["x"].shape == (1, 3, 6, 6)
    assert graph.tensors["y"].shape == (1, 3, 3, 3)
    assert graph.source_view["a@nhwc"] == ("a", (0, 3, 1, 2))


@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize("keep", [0, 1])
@pytest.mark.parametrize("op", ["ArgMax", "ArgMin"])
def test_extremes(op: str, keep: int, axis: int, tmp_path: Path) -> None:
    """Of values that repeat: the first of equals."""
    nodes = [node("Relu", ["x"], ["r"]), node(op, ["r"], ["y"], axis=axis, keepdims=keep)]
    data = model(nodes, {"x": ("float32", (3, 4, 5, 6))}, {"y": "int64"}, {})
    x = np.random.default_rng(0).integers(-3, 3, (3, 4, 5, 6)).astype(np.float32)
    assert differing(data, {"x": x}, tmp_path) == 0
