"""Float TFLite networks of a convolution and one operator behind it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import numpy as np

import workloads
from simulator.graph import Array, Graph
from workloads.quantize.ptq import prepared
from workloads.tflite.writer import OperatorSpec, TensorSpec, write_model

IMAGE: Final = (1, 4, 6, 8)
"""What the operator behind the convolution reads."""
CONVOLUTION: Final = {
    "padding": "SAME",
    "stride_h": 1,
    "stride_w": 1,
    "dilation_h_factor": 1,
    "dilation_w_factor": 1,
    "fused_activation_function": "NONE",
}
POOL: Final = {
    "padding": "SAME",
    "stride_h": 2,
    "stride_w": 2,
    "filter_height": 2,
    "filter_width": 3,
    "fused_activation_function": "NONE",
}
ALIGNED: Final = {"align_corners": False, "half_pixel_centers": False}
SLICED: Final = {
    "begin_mask": 0,
    "end_mask": 0,
    "ellipsis_mask": 0,
    "new_axis_mask": 0,
    "shrink_axis_mask": 2,
}


@dataclass(frozen=True)
class Behind:
    """An operator on IMAGE: constant inputs after it (or, for SPLIT, before), output shapes."""

    op: str
    shapes: tuple[tuple[int, ...], ...] = (IMAGE,)
    options: Mapping[str, Any] = field(default_factory=dict)
    constants: tuple[Any, ...] = ()
    first: bool = False
    twice: bool = False


def _rows(*values: int) -> Array:
    return np.array(values, np.int32)


def _fused(name: str) -> dict[str, str]:
    return {"fused_activation_function": name}


CASES: Final[Mapping[str, Behind]] = MappingProxyType(
    {
        "add itself": Behind("ADD", options=_fused("NONE"), twice=True),
        "add constant": Behind(
            "ADD", options=_fused("RELU6"), constants=(np.linspace(-1, 1, 8, dtype=np.float32),)
        ),
        "sub": Behind("SUB", options=_fused("RELU"), twice=True),
        "mul constant": Behind(
            "MUL", options=_fused("NONE"), constants=(np.array(0.3, np.float32),)
        ),
        "average pool": Behind("AVERAGE_POOL_2D", ((1, 2, 3, 8),), POOL),
        "average pool, relu6": Behind("AVERAGE_POOL_2D", ((1, 2, 3, 8),), POOL | _fused("RELU6")),
        "max pool": Behind("MAX_POOL_2D", ((1, 2, 3, 8),), POOL),
        "max pool, relu": Behind("MAX_POOL_2D", ((1, 2, 3, 8),), POOL | _fused("RELU")),
        "mean of the image": Behind("MEAN", ((1, 8),), {"keep_dims": False}, (_rows(1, 2),)),
        "mean, kept": Behind("MEAN", ((1, 1, 1, 8),), {"keep_dims": True}, (_rows(1, 2),)),
        "mean of channels": Behind("MEAN", ((1, 4, 6, 1),), {"keep_dims": True}, (_rows(3),)),
        "logistic": Behind("LOGISTIC"),
        "tanh": Behind("TANH"),
        "hard swish": Behind("HARD_SWISH"),
        "leaky relu": Behind("LEAKY_RELU", options={"alpha": 0.2}),
        "elu": Behind("ELU"),
        "softmax": Behind("SOFTMAX", options={"beta": 1.0}),
        "softmax, sharper": Behind("SOFTMAX", options={"beta": 2.0}),
        "maximum": Behind("MAXIMUM", constants=(np.array(0.25, np.float32),)),
        "reshape": Behind("RESHAPE", ((1, 192),), {"new_shape": [1, 192]}, (_rows(1, 192),)),
        "expand": Behind("EXPAND_DIMS", ((1, 1, 4, 6, 8),), {}, (_rows(1),)),
        "transpose": Behind("TRANSPOSE", ((1, 6, 4, 8),), {}, (_rows(0, 2, 1, 3),)),
        "to channels first": Behind("TRANSPOSE", ((1, 8, 4, 6),), {}, (_rows(0, 3, 1, 2),)),
        "pad": Behind(
            "PAD", ((1, 7, 7, 8),), {}, (np.array([[0, 0], [1, 2], [0, 1], [0, 0]], np.int32),)
        ),
        "slice": Behind("SLICE", ((1, 2, 3, 5),), {}, (_rows(0, 1, 2, 3), _rows(1, 2, 3, 5))),
        "strided slice": Behind(
            "STRIDED_SLICE",
            ((1, 3, 4),),
            SLICED,
            (_rows(0, 1, 5, 0), _rows(1, 2, -7, 8), _rows(1, 1, -2, 2)),
        ),
        "split": Behind(
            "SPLIT", ((1, 4, 6, 4), (1, 4, 6, 4)), {"num_splits": 2}, (np.array(3, np.int32),), True
        ),
        "unpack": Behind("UNPACK", ((1, 6, 8),) * 4, {"num": 4, "axis": 1}),
        "pack": Behind("PACK", ((1, 4, 2, 6, 8),), {"values_count": 2, "axis": 2}, twice=True),
        "concat": Behind(
            "CONCATENATION", ((1, 4, 6, 16),), {"axis": 3, **_fused("NONE")}, twice=True
        ),
        "gather": Behind("GATHER", ((1, 4, 3, 8),), {"axis": 2}, (_rows(5, 0, 3),)),
        "tile": Behind("TILE", ((1, 8, 6, 8),), {}, (_rows(1, 2, 1, 1),)),
        "depth to space": Behind("DEPTH_TO_SPACE", ((1, 8, 12, 2),), {"block_size": 2}),
        "space to depth": Behind("SPACE_TO_DEPTH", ((1, 2, 3, 32),), {"block_size": 2}),
        "nearest": Behind("RESIZE_NEAREST_NEIGHBOR", ((1, 7, 12, 8),), ALIGNED, (_rows(7, 12),)),
        "bilinear": Behind("RESIZE_BILINEAR", ((1, 7, 12, 8),), ALIGNED, (_rows(7, 12),)),
        "exp": Behind("EXP"),
        "squeeze": Behind("SQUEEZE", ((4, 6, 8),), {"squeeze_dims": [0]}),
    }
)


def network(case: Behind, folder: Path) -> tuple[Graph, Array]:
    """The prepared graph of a case, and samples [4, 1, 4, 6, 5]."""
    draw = np.random.default_rng(3)
    filters = (draw.standard_normal((8, 1, 1, 5)) / 2).astype(np.float32)
    bias = draw.standard_normal(8).astype(np.float32)
    tensors = [
        TensorSpec("x", (*IMAGE[:3], 5), "float32"),
        TensorSpec("w", filters.shape, "float32", data=filters),
        TensorSpec("b", (8,), "float32", data=bias),
        TensorSpec("c", IMAGE, "float32"),
    ]
    held = [
        TensorSpec(f"k{i}", np.shape(value), value.dtype.name, data=value)
        for i, value in enumerate(case.constants)
    ]
    made = [TensorSpec(f"y{i}", shape, "float32") for i, shape in enumerate(case.shapes)]
    constants = tuple(range(4, 4 + len(held)))
    outputs = tuple(range(4 + len(held), 4 + len(held) + len(made)))
    inputs = (3, 3) if case.twice else (*constants, 3) if case.first else (3, *constants)
    operators = [
        OperatorSpec("CONV_2D", (0, 1, 2), (3,), CONVOLUTION),
        OperatorSpec(case.op, inputs, outputs, dict(case.options)),
    ]
    path = folder / "net.tflite"
    path.write_bytes(_model([*tensors, *held, *made], operators, outputs))
    samples = draw.standard_normal((4, *IMAGE[:3], 5)).astype(np.float32)
    return prepared(workloads.load(path)), samples


def _model(
    tensors: Sequence[TensorSpec], operators: Sequence[OperatorSpec], outputs: tuple[int, ...]
) -> bytes:
    return write_model(tensors, operators, (0,), outputs)
