"""Operator versions of a .tflite: by them a reader that is too old refuses a file.

Facts: tensorflow/lite/tools/versioning/op_version.cc. Only forms that are exported are listed.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from workloads.tflite.writer import TensorSpec

_BY_DTYPE: Final[Mapping[str, tuple[int, int]]] = {
    "ABS": (2, 3),
    "ADD": (2, 3),
    "AVERAGE_POOL_2D": (2, 3),
    "BATCH_MATMUL": (2, 3),
    "BATCH_TO_SPACE_ND": (2, 4),
    "BROADCAST_TO": (3, 3),
    "CONCATENATION": (2, 3),
    "CONV_2D": (3, 4),
    "DEPTHWISE_CONV_2D": (3, 5),
    "DEQUANTIZE": (2, 3),
    "EXP": (2, 2),
    "FULLY_CONNECTED": (4, 7),
    "GATHER": (2, 4),
    "LEAKY_RELU": (1, 2),
    "LOGISTIC": (2, 3),
    "LOG_SOFTMAX": (2, 1),
    "MAXIMUM": (2, 4),
    "MAX_POOL_2D": (2, 3),
    "MEAN": (2, 3),
    "MINIMUM": (2, 4),
    "MIRROR_PAD": (2, 3),
    "MUL": (2, 4),
    "PACK": (2, 3),
    "PAD": (2, 3),
    "PADV2": (2, 3),
    "REDUCE_MAX": (2, 3),
    "REDUCE_MIN": (2, 3),
    "RELU": (2, 3),
    "RELU6": (2, 3),
    "RESIZE_BILINEAR": (2, 4),
    "RESIZE_NEAREST_NEIGHBOR": (2, 4),
    "SLICE": (2, 4),
    "SOFTMAX": (2, 3),
    "SPACE_TO_DEPTH": (2, 2),
    "SPACE_TO_BATCH_ND": (2, 4),
    "SPLIT_V": (2, 1),
    "STRIDED_SLICE": (2, 1),
    "SUB": (2, 5),
    "TANH": (2, 3),
    "TRANSPOSE": (2, 5),
    "UNPACK": (2, 4),
}
"""For a first input of int8 and of int16; 1 for operators that are not listed, among them those of
which BUILTIN_REF of LiteRT 2.3.0 knows no later version (DEPTH_TO_SPACE 2, TILE 3)."""
INT8_ONLY: Final = frozenset(
    (
        *("DEPTH_TO_SPACE", "HARD_SWISH", "LOG_SOFTMAX", "RELU_0_TO_1", "RELU_N1_TO_1"),
        "SPACE_TO_DEPTH",
    )
)
"""Operators whose kernels in LiteRT 2.3.0 take no int16."""
_BEYOND_4_AXES: Final = {"PAD": 4, "PADV2": 4, "SLICE": 5, "STRIDED_SLICE": 4, "TRANSPOSE": 4}

_OF_INT4: Final = {"CONV_2D": 7, "DEPTHWISE_CONV_2D": 6, "FULLY_CONNECTED": 10}
"""With int4 weights. op_version.cc says 7 of the second, which BUILTIN_REF of LiteRT 2.3.0 does not
know, though its kernel takes them."""


def version_of(
    op: str,
    inputs: Sequence[TensorSpec],
    output: TensorSpec,
    options: Mapping[str, object],
) -> int:
    """The version of an operator on these tensors with these options."""
    x, wide = inputs[0], inputs[0].dtype == "int16"
    version = _BY_DTYPE.get(op, (1, 1))[wide]
    if op in ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"):
        if inputs[1].dtype == "int4":
            version = _OF_INT4[op]
        if op == "CONV_2D" and inputs[1].shape[3] != x.shape[3]:
            version = max(version, 6)
        if options.get("keep_num_dims"):
            version = max(version, 5)
    if op == "QUANTIZE":
        version = 2 if output.dtype == "int16" else 1
    if op.startswith("RESIZE") and options.get("half_pixel_centers"):
        version = max(version, 3)
    if op == "RESIZE_NEAREST_NEIGHBOR" and options.get("align_corners"):
        version = max(version, 3)
    if op == "MUL" and not wide and _grows(inputs, output):
        version = 3
    if op in ("BATCH_TO_SPACE_ND", "SPACE_TO_BATCH_ND") and len(x.shape) != 4:
        version = max(version, 3)
    if len(x.shape) > 4:
        version = max(version, _BEYOND_4_AXES.get(op, 1))
    return version


def _grows(inputs: Sequence[TensorSpec], output: TensorSpec) -> bool:
    """Whether the rescaling of a product is by 1 or more."""
    (a, b), y = ((t.scale or (1.0,))[0] for t in inputs[:2]), (output.scale or (1.0,))[0]
    return a * b / y >= 1
