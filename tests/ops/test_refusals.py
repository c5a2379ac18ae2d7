"""What each operator refuses of its types, in its exact words."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from simulator.errors import IllegalGraph
from simulator.graph import Array, Graph, Node, Operator
from tests.ops.build import OneOp, tensor
from tests.ops.models import ACTIVATION, CONV, IMAGE, POOL

ROW = tensor((1, 8), 0.5, 3)


def operator(op: str, options: Mapping[str, Any], inputs: int = 2, **changes: Any) -> Operator:
    """An operator decoded from legal types; its own check sees others later."""
    kinds = {
        "CONV_2D": (IMAGE, tensor((2, 1, 1, 2), 0.5), tensor((2,), 0.25, dtype="int32")),
        "DEPTHWISE_CONV_2D": (IMAGE, tensor((1, 1, 1, 2), 0.5)),
        "FULLY_CONNECTED": (ROW, tensor((2, 8), 0.5)),
        "AVERAGE_POOL_2D": (IMAGE,),
        "ADD": (IMAGE, IMAGE),
        "SOFTMAX": (ROW,),
        "RESHAPE": (IMAGE,),
    }[op][:inputs]
    output = {"SOFTMAX": tensor((1, 8), 1 / 256, -128), "RESHAPE": ROW}.get(op, IMAGE)
    values: tuple[Array | None, ...] = tuple(np.zeros(k.shape, k.dtype) for k in kinds)
    stored = frozenset({1, 2}) if op.endswith(("CONV_2D", "CONNECTED")) else frozenset[int]()
    decoded = OneOp(op, options, kinds, output, values, stored).operator()
    return replace(decoded, **changes)  # type: ignore[type-var]


X4, X3 = (1, 2, 2, 2), (2, 2, 2)
REFUSALS: dict[str, tuple[Operator, list[tuple[int, ...] | None], str]] = {
    "convolution rank": (
        operator("CONV_2D", CONV),
        [X3, (2, 1, 1, 2)],
        "a convolution needs 4-D input and weights; found (2, 2, 2) and (2, 1, 1, 2)",
    ),
    "stride of 0": (
        operator("CONV_2D", {**CONV, "stride_h": 0}),
        [X4, (2, 1, 1, 2)],
        "stride (0, 1) and dilation (1, 1) must be >= 1",
    ),
    "dilation of 0": (
        operator("CONV_2D", {**CONV, "dilation_w_factor": 0}),
        [X4, (2, 1, 1, 2)],
        "stride (1, 1) and dilation (1, 0) must be >= 1",
    ),
    "bias length": (
        operator("CONV_2D", CONV),
        [X4, (2, 1, 1, 2), (3,)],
        "bias must have shape (2,); found (3,)",
    ),
    "input channels": (
        operator("CONV_2D", CONV),
        [X4, (2, 1, 1, 3)],
        "2 input channels do not divide into groups for 2 filters of 3 channels",
    ),
    "filters of groups": (
        operator("CONV_2D", CONV),
        [X4, (3, 1, 1, 1)],
        "2 input channels do not divide into groups for 3 filters of 1 channels",
    ),
    "no input channels": (
        operator("CONV_2D", CONV),
        [X4, (2, 1, 1, 0)],
        "2 input channels do not divide into groups for 2 filters of 0 channels",
    ),
    "depthwise layout": (
        operator("DEPTHWISE_CONV_2D", {**CONV, "depth_multiplier": 1}),
        [X4, (2, 1, 1, 2)],
        "depthwise weights must be (1, ky, kx, a multiple of 2 channels); found (2, 1, 1, 2)",
    ),
    "depthwise multiple": (
        operator("DEPTHWISE_CONV_2D", {**CONV, "depth_multiplier": 1}),
        [X4, (1, 1, 1, 3)],
        "depthwise weights must be (1, ky, kx, a multiple of 2 channels); found (1, 1, 1, 3)",
    ),
    "no weights": (
        operator("CONV_2D", CONV),
        [X4, None],
        "input 1 is missing; this operator needs it",
    ),
    "too few inputs": (
        operator("ADD", ACTIVATION),
        [X4],
        "input 1 is missing; this operator needs it",
    ),
    "fully connected weights": (
        operator("FULLY_CONNECTED", ACTIVATION),
        [(1, 9), (2, 8)],
        "weights (2, 8) do not divide an input of (1, 9)",
    ),
    "fully connected bias": (
        operator("FULLY_CONNECTED", ACTIVATION),
        [(1, 8), (2, 8), (8,)],
        "bias must have shape (2,); found (8,)",
    ),
    "fully connected kept dimensions": (
        operator("FULLY_CONNECTED", {**ACTIVATION, "keep_num_dims": True}),
        [(8, 4), (2, 8)],
        "weights (2, 8) need a last dimension of 8",
    ),
    "addition": (
        operator("ADD", ACTIVATION),
        [(2, 3), (2, 4)],
        "shapes (2, 3) and (2, 4) do not broadcast",
    ),
    "pooling rank": (
        operator("AVERAGE_POOL_2D", POOL, 1),
        [X3],
        "pooling needs a 4-D input, filter and stride >= 1; found (2, 2, 2), (2, 2), (1, 1)",
    ),
    "pooling filter": (
        operator("AVERAGE_POOL_2D", {**POOL, "filter_width": 0}, 1),
        [X4],
        "pooling needs a 4-D input, filter and stride >= 1; found (1, 2, 2, 2), (2, 0), (1, 1)",
    ),
    "softmax of a scalar": (
        operator("SOFTMAX", {"beta": 1.0}, 1),
        [()],
        "softmax needs at least one dimension",
    ),
    "reshape": (
        operator("RESHAPE", {}, 1),
        [(1, 7)],
        "(1, 7) has 7 elements; (1, 8) needs 8",
    ),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_operators_refuse_in_these_words(name: str) -> None:
    """The operator's sentence, after the graph and the node it stands in."""
    op, shapes, message = REFUSALS[name]
    kinds = {f"i{i}": tensor(s, 0.5) for i, s in enumerate(shapes) if s is not None}
    names = tuple("" if s is None else f"i{i}" for i, s in enumerate(shapes))
    tensors = {**kinds, "o": ROW}
    node = Node("node", op, names, ("o",))
    with pytest.raises(IllegalGraph) as caught:
        Graph("net", (node,), tensors, {}, tuple(kinds), ("o",))
    assert str(caught.value) == f"net, node: {message}"


def test_one_scale_or_one_for_every_filter() -> None:
    scales: dict[str, tuple[dict[str, Any], tuple[int, ...], str]] = {
        "CONV_2D": (CONV, (2, 1, 1, 2), "3 weight scales, 2 filters"),
        "FULLY_CONNECTED": (ACTIVATION, (2, 8), "3 weight scales, 2 outputs"),
    }
    for op, (options, shape, message) in scales.items():
        decoded: Any = operator(op, options)
        by = replace(decoded.weighted.requantize, scale=(0.5,) * 3)
        changed = replace(decoded, weighted=replace(decoded.weighted, requantize=by))
        kinds = (IMAGE, tensor(shape, 0.5))
        with pytest.raises(IllegalGraph) as caught:
            changed.check(kinds, (IMAGE,))
        assert str(caught.value) == message
