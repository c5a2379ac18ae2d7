"""Small .tflite models of one operator, and the way they are read back."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from simulator.graph import Graph, TensorType
from simulator.numeric.dialect import dialect
from simulator.registry import known_names
from tests.ops.build import OneOp, tensor
from workloads.tflite.reader import read

ACTIVATION = {"fused_activation_function": "NONE"}
STEPS = {**ACTIVATION, "padding": "SAME", "stride_h": 1, "stride_w": 1}
CONV = {**STEPS, "dilation_h_factor": 1, "dilation_w_factor": 1}
POOL = {**STEPS, "filter_height": 2, "filter_width": 2}
IMAGE = tensor((1, 2, 2, 2), 0.5, 3)
WEIGHTS = tensor((4, 1, 1, 2), (0.5, 0.25, 0.125, 1.0), axis=0)
BIAS = tensor((4,), (0.25, 0.125, 0.0625, 0.5), dtype="int32", axis=0)
FEATURES = tensor((1, 2, 2, 4), 0.5)
ROW = tensor((1, 4), 0.1)
PROBABILITIES = tensor((1, 4), 1 / 256, -128)


def conv(
    x: TensorType = IMAGE,
    w: TensorType = WEIGHTS,
    b: TensorType = BIAS,
    y: TensorType = FEATURES,
    stored: tuple[int, ...] = (1, 2),
    **options: Any,
) -> bytes:
    """A model of one convolution: x 0, weights 1, bias 2, y 3."""
    values = tuple(np.ones(k.shape, k.dtype) for k in (x, w, b))
    return OneOp("CONV_2D", {**CONV, **options}, (x, w, b), y, values, frozenset(stored)).model()


def one(op: str, options: Mapping[str, Any], *kinds: TensorType) -> bytes:
    """A model of one operator without constants; the last type is its output."""
    values = tuple(np.ones(k.shape, k.dtype) for k in kinds[:-1])
    return OneOp(op, options, kinds[:-1], kinds[-1], values).model()


def load(model: bytes, folder: Path, name: str = "m.tflite") -> Graph:
    path = folder / name
    path.write_bytes(model)
    return read(path, dialect("litert-ref"))


def bare(kind: TensorType) -> TensorType:
    return replace(kind, quant=None)


def as_float(kind: TensorType) -> TensorType:
    return TensorType(kind.shape, "float32", 32)


KNOWN: Final = ", ".join(known_names("tflite:"))
"""The TFLite operators that are supported, as refusals list them."""
