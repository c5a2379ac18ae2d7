"""What movement, pooling, reduction, resize and product operators refuse, and in which words."""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import pytest

from simulator.errors import BitlaneError, IllegalValues
from simulator.graph import TensorType
from simulator.numeric.datapath import GRAPH_DATAPATH
from simulator.numeric.dialect import DIALECTS
from tests.ops.structure import Given, OneNode, kind_of, stored

REFERENCE: Final = DIALECTS["litert-ref"]


def fed(shape: tuple[int, ...], dtype: str = "int8", scale: float = 0.5, zero: int = 0) -> Given:
    return Given(kind_of(shape, dtype, scale, zero), np.zeros(shape, dtype=dtype))


def made(
    op: str, given: list[Given], output: TensorType, options: Mapping[str, Any] | None = None
) -> OneNode:
    return OneNode(op, options or {}, tuple(given), (output,))


def grid(shape: tuple[int, ...], scale: float = 0.5, zero: int = 0) -> TensorType:
    return kind_of(shape, "int8", scale, zero)


POOL: Final = {
    "padding": "VALID",
    "filter_height": 2,
    "filter_width": 2,
    "stride_h": 1,
    "stride_w": 1,
    "fused_activation_function": "NONE",
}
MASKS: Final = {
    f"{name}_mask": 0 for name in ("begin", "end", "ellipsis", "new_axis", "shrink_axis")
}
SCATTER: Final = {"padding": "SAME", "stride_h": 2, "stride_w": 2}
PLANE: Final = (1, 4, 4, 1)
BOTH: Final = {"align_corners": True, "half_pixel_centers": True}

REFUSED: Final[dict[str, tuple[OneNode, str]]] = {
    "axis outside": (
        made("EXPAND_DIMS", [fed((2, 3)), stored(4)], grid((2, 3, 1))),
        "axis 4 lies outside a tensor of 3 dimensions",
    ),
    "computed axis": (
        made("ARG_MAX", [fed((2, 3)), Given(kind_of((), "int32"), np.array(1))], grid((2,))),
        "the axis must be constant; input 1 is computed at run time",
    ),
    "not a permutation": (
        made("TRANSPOSE", [fed((2, 3)), stored([0, 0])], grid((2, 2))),
        "is no permutation of the axes of shape (2, 3)",
    ),
    "mirror wider than its tensor": (
        made("MIRROR_PAD", [fed((2,)), stored([[2, 0]])], grid((4,)), {"mode": "REFLECT"}),
        "reflect padding of 2 and 0 on an axis of 2",
    ),
    "slice beyond the end": (
        made("SLICE", [fed((4,)), stored([2]), stored([3])], grid((3,))),
        "takes elements 2 to 4 of an axis of 4",
    ),
    "offset with a mask": (
        made(
            "STRIDED_SLICE",
            [fed((4,)), stored([0]), stored([2]), stored([1])],
            grid((2,)),
            {**MASKS, "end_mask": 1, "offset": True},
        ),
        "offset takes no masks",
    ),
    "stride of 0": (
        made(
            "STRIDED_SLICE",
            [fed((4,)), stored([0]), stored([2]), stored([0])],
            grid((2,)),
            MASKS,
        ),
        "no stride of 0",
    ),
    "int8 concatenation of grids": (
        made("CONCATENATION", [fed((2,)), fed((2,), scale=0.25)], grid((4,)), {"axis": 0}),
        "int8 inputs must be on the output's grid (0.5, 0); found (0.25, 0) for input 1",
    ),
    "pool onto another grid": (
        made("MAX_POOL_2D", [fed(PLANE)], grid((1, 3, 3, 1), 0.25), POOL),
        "pooling keeps its grid",
    ),
    "maximum onto another grid": (
        made("REDUCE_MAX", [fed((2, 3)), stored(1)], grid((2,), 0.25)),
        "input and output must be on one grid",
    ),
    "int16 mean with a zero point": (
        made("MEAN", [fed((2, 3), "int16", 0.5, 1), stored(1)], kind_of((2,), "int16", 0.5)),
        "int16 tensors need a zero point of 0",
    ),
    "corners and centres": (
        made("RESIZE_BILINEAR", [fed(PLANE), stored([8, 8])], grid((1, 8, 8, 1)), BOTH),
        "align_corners and half_pixel_centers exclude each other",
    ),
    "block that does not divide": (
        made("SPACE_TO_DEPTH", [fed((1, 3, 4, 1))], grid((1, 1, 2, 4)), {"block_size": 2}),
        "a block of 2 does not divide the plane of shape (1, 3, 4, 1)",
    ),
    "matrices that do not multiply": (
        made("BATCH_MATMUL", [fed((2, 3)), fed((4, 2))], grid((2, 2))),
        "(2, 3) and (4, 2) do not multiply",
    ),
    "filter of other channels": (
        made(
            "TRANSPOSE_CONV",
            [
                stored([1, 8, 8, 1]),
                Given(grid((1, 2, 2, 3)), np.zeros((1, 2, 2, 3), np.int8), True),
                fed(PLANE),
            ],
            grid((1, 8, 8, 1)),
            SCATTER,
        ),
        "1 input channels, 3 channels a filter",
    ),
}


def decode_and_check(node: OneNode) -> None:
    operator = node.operator(REFERENCE)
    operator.check(node.inputs, node.outputs)
    operator.infer(node.inputs)


@pytest.mark.parametrize("name", REFUSED)
def test_refusals_name_the_rule_and_the_value(name: str) -> None:
    node, words = REFUSED[name]
    with pytest.raises(BitlaneError) as caught:
        decode_and_check(node)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_uneven_split_is_refused() -> None:
    whole = fed((2, 3))
    node = OneNode("SPLIT", {}, (stored(1), whole), (grid((2, 1)), grid((2, 2))))
    with pytest.raises(BitlaneError, match="3 elements do not split into 2 equal parts"):
        node.operator(REFERENCE)


def test_an_index_outside_its_axis_is_refused_at_run_time() -> None:
    indices = Given(kind_of((2,), "int32"), np.array([0, 4], dtype=np.int32))
    node = made("GATHER", [fed((2, 4)), indices], grid((2, 2)), {"axis": 1, "batch_dims": 0})
    with pytest.raises(IllegalValues, match="index 4 lies outside axis 1 of 4 elements"):
        node.operator(REFERENCE).run(node.values, GRAPH_DATAPATH)


def test_an_output_shape_other_than_declared_is_refused_at_run_time() -> None:
    weights = Given(grid((1, 2, 2, 1)), np.zeros((1, 2, 2, 1), np.int8), True)
    shape = Given(kind_of((4,), "int32"), np.array([1, 8, 7, 1], dtype=np.int32))
    node = made("TRANSPOSE_CONV", [shape, weights, fed(PLANE)], grid((1, 8, 8, 1)), SCATTER)
    with pytest.raises(IllegalValues, match=r"must be \(1, 8, 8, 1\), as declared"):
        node.operator(REFERENCE).run(node.values, GRAPH_DATAPATH)
