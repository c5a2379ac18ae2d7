"""Models of one operator, with inputs and outputs that one can see by eye."""

from typing import Any

import numpy as np

from workloads.tflite.writer import OperatorSpec, TensorSpec, write_model

Array = np.ndarray[Any, Any]

CONV = {"padding": "SAME", "stride_w": 1, "stride_h": 1}
POOL = {"padding": "VALID", "stride_w": 2, "stride_h": 2, "filter_width": 2, "filter_height": 2}
FEATURES = np.arange(-16, 16, dtype=np.int8).reshape(1, 4, 4, 2)
ROW = np.array([[-128, -40, -1, 0, 1, 7, 90, 127]], np.int8)


def act(
    shape: tuple[int, ...], scale: float = 0.5, zero: int = 0, dtype: str = "int8"
) -> TensorSpec:
    """An int8 activation (or of another dtype), quantized per tensor."""
    return TensorSpec("x", shape, dtype, (scale,), (zero,))


def real(shape: tuple[int, ...]) -> TensorSpec:
    """A float32 activation."""
    return TensorSpec("x", shape, "float32")


def const(data: Array, scale: float | tuple[float, ...] | None = None, axis: int = 0) -> TensorSpec:
    """A constant, quantized symmetrically if a scale is given."""
    scales = (scale,) if isinstance(scale, float) else scale
    zeros = None if scales is None else (0,) * len(scales)
    return TensorSpec("c", data.shape, str(data.dtype), scales, zeros, axis, data)


ABSENT = TensorSpec("absent", (0,), "float32")


def bias(channels: int, scale: float) -> TensorSpec:
    return const(np.zeros(channels, np.int32), (scale,) * channels)


def identity_taps() -> Array:
    """A depthwise 3x3 kernel over two channels with only the centre set."""
    taps = np.zeros((1, 3, 3, 2), np.int8)
    taps[0, 1, 1] = 1
    return taps


def ints(*values: int) -> Array:
    return np.array(values, np.int32)


# name: (operator, options, inputs, output, values of the non-constant inputs, expected output)
Case = tuple[str, dict[str, object], list[TensorSpec], TensorSpec, list[Array], Array]
CASES: dict[str, Case] = {
    "convolution by the identity, one scale per channel": (
        "CONV_2D",
        {**CONV, "dilation_w_factor": 1, "dilation_h_factor": 1},
        [
            act((1, 4, 4, 2)),
            const(np.array([[1, 0], [0, 2]], np.int8).reshape(2, 1, 1, 2), (1.0, 0.5)),
            const(np.zeros(2, np.int32), (0.5, 0.25)),
        ],
        act((1, 4, 4, 2)),
        [FEATURES],
        FEATURES,
    ),
    "strided convolution keeps the corners": (
        "CONV_2D",
        {"padding": "VALID", "stride_w": 3, "stride_h": 3, "fused_activation_function": "RELU"},
        [
            act((1, 4, 4, 2)),
            const(np.eye(2, dtype=np.int8).reshape(2, 1, 1, 2), (1.0, 1.0)),
            bias(2, 0.5),
        ],
        act((1, 2, 2, 2)),
        [FEATURES],
        np.maximum(FEATURES[:, ::3, ::3], 0),
    ),
    "float fully connected without bias": (
        "FULLY_CONNECTED",
        {},
        [real((1, 2)), const(np.array([[3, 1]], np.float32)), ABSENT],
        real((1, 1)),
        [np.array([[2, 5]], np.float32)],
        np.array([[11]], np.float32),
    ),
    "depthwise convolution by the centre tap": (
        "DEPTHWISE_CONV_2D",
        {**CONV, "depth_multiplier": 1},
        [act((1, 4, 4, 2)), const(identity_taps(), (1.0, 1.0), axis=3), bias(2, 0.5)],
        act((1, 4, 4, 2)),
        [FEATURES],
        FEATURES,
    ),
    "fully connected swaps two": (
        "FULLY_CONNECTED",
        {"weights_format": "DEFAULT", "keep_num_dims": False},
        [act((1, 2)), const(np.array([[0, 1], [1, 0]], np.int8), 1.0), const(ints(0, 10), 0.5)],
        act((1, 2)),
        [np.array([[3, -4]], np.int8)],
        np.array([[-4, 13]], np.int8),
    ),
    "addition": (
        "ADD",
        {"fused_activation_function": "NONE"},
        [act((1, 8)), act((1, 8))],
        act((1, 8), 1.0),
        [ROW, ROW],
        ROW,
    ),
    "subtraction": (
        "SUB",
        {},
        [act((1, 8)), const(np.full((1, 8), 1, np.int8), 0.5)],
        act((1, 8)),
        [ROW],
        np.maximum(ROW.astype(np.int16) - 1, -128).astype(np.int8),
    ),
    "multiplication": (
        "MUL",
        {},
        [act((1, 8)), const(np.full((1, 8), -2, np.int8), 0.5)],
        act((1, 8)),
        [ROW],
        np.minimum(-ROW.astype(np.int16), 127).astype(np.int8),
    ),
    "average pooling": (
        "AVERAGE_POOL_2D",
        POOL,
        [act((1, 2, 4, 1))],
        act((1, 1, 2, 1)),
        [np.array([[0, 4, -8, -8], [4, 8, -8, -8]], np.int8).reshape(1, 2, 4, 1)],
        np.array([4, -8], np.int8).reshape(1, 1, 2, 1),
    ),
    "max pooling": (
        "MAX_POOL_2D",
        POOL,
        [act((1, 4, 4, 2))],
        act((1, 2, 2, 2)),
        [FEATURES],
        FEATURES[:, 1::2, 1::2],
    ),
    "softmax of equals": (
        "SOFTMAX",
        {"beta": 1.0},
        [act((1, 4))],
        act((1, 4), 1 / 256, -128),
        [np.full((1, 4), 9, np.int8)],
        np.full((1, 4), 256 // 4 - 128, np.int8),
    ),
    "reshape by its option": (
        "RESHAPE",
        {"new_shape": (2, 4)},
        [act((1, 8))],
        act((2, 4)),
        [ROW],
        ROW.reshape(2, 4),
    ),
    "reshape by a tensor": (
        "RESHAPE",
        {},
        [act((1, 8)), const(ints(4, -1))],
        act((4, 2)),
        [ROW],
        ROW.reshape(4, 2),
    ),
    "padding with the zero point": (
        "PAD",
        {},
        [act((1, 8), zero=5), const(np.array([[0, 0], [1, 2]], np.int32))],
        act((1, 11), zero=5),
        [ROW],
        np.pad(ROW, ((0, 0), (1, 2)), constant_values=5),
    ),
    "mean": (
        "MEAN",
        {"keep_dims": True},
        [act((1, 2, 2, 1)), const(ints(1, 2))],
        act((1, 1, 1, 1)),
        [np.array([1, 2, 3, 6], np.int8).reshape(1, 2, 2, 1)],
        np.full((1, 1, 1, 1), 3, np.int8),
    ),
    "concatenation": (
        "CONCATENATION",
        {"axis": 1},
        [act((1, 8)), act((1, 8))],
        act((1, 16)),
        [ROW, ROW],
        np.concatenate([ROW, ROW], 1),
    ),
    "logistic of zero": (
        "LOGISTIC",
        {},
        [act((1, 1))],
        act((1, 1), 1 / 256, -128),
        [np.zeros((1, 1), np.int8)],
        np.zeros((1, 1), np.int8),
    ),
    "quantize": (
        "QUANTIZE",
        {},
        [real((1, 3))],
        act((1, 3), 0.5, 1),
        [np.array([[0, 1, -1]], np.float32)],
        np.array([[1, 3, -1]], np.int8),
    ),
    "dequantize": (
        "DEQUANTIZE",
        {},
        [act((1, 3), 0.5, 1)],
        real((1, 3)),
        [np.array([[1, 3, -1]], np.int8)],
        np.array([[0, 1, -1]], np.float32),
    ),
    "relu": ("RELU", {}, [act((1, 8))], act((1, 8)), [ROW], np.maximum(ROW, 0)),
    "relu6": ("RELU6", {}, [act((1, 8))], act((1, 8)), [ROW], np.clip(ROW, 0, 12)),
    "16-bit addition": (
        "ADD",
        {"pot_scale_int16": False},
        [act((1, 2), 0.5, dtype="int16"), act((1, 2), 0.5, dtype="int16")],
        act((1, 2), 0.5, dtype="int16"),
        [np.array([[300, -7]], np.int16), np.array([[1000, 8]], np.int16)],
        np.array([[1300, 1]], np.int16),
    ),
}


def one_operator(case: Case) -> bytes:
    """Build the case's model; constants and ABSENT are not inputs of the graph."""
    op, options, sources, result, _, _ = case
    tensors = [*sources, result]
    absent = {i for i, t in enumerate(sources) if t is ABSENT}
    feeds = [i for i, t in enumerate(sources) if t.data is None and i not in absent]
    inputs = tuple(-1 if i in absent else i for i in range(len(sources)))
    node = OperatorSpec(op, inputs, (len(sources),), options)
    return write_model(tensors, [node], feeds, [len(sources)])
