"""Post-training quantization of the digits network to int8, and its .tflite graph.

The rules are those of the LiteRT 8-bit quantization specification
(https://ai.google.dev/edge/litert/models/quantization_spec): weights symmetric in -127..127,
one scale per output channel for convolutions and one in all for FULLY_CONNECTED; bias int32
with scale s_in * s_w; activations asymmetric per tensor, here by minimum and maximum over the
training images; AVERAGE_POOL_2D and RESHAPE keep their input's scale; SOFTMAX has 1/256, -128.
"""

from typing import Any

import numpy as np

from workloads.tflite.writer import OperatorSpec, TensorSpec, write_model

Array = np.ndarray[Any, Any]
QuantParams = tuple[float, int]
Layers = dict[str, tuple[Array, Array]]

# 15 codes a grey level, exactly: quantizing a pixel of 0..16 loses nothing and has no ties.
INPUT_QUANT: QuantParams = (float(np.float32(1 / 15)), -128)
SOFTMAX_QUANT: QuantParams = (1 / 256, -128)

_SAME = {"padding": "SAME"}
_RELU = {"fused_activation_function": "RELU"}


def activation_quant(values: Array) -> QuantParams:
    """Return (scale, zero point) of int8 codes that span the values and zero; scale is float32."""
    low, high = min(float(values.min()), 0.0), max(float(values.max()), 0.0)
    scale = float(np.float32((high - low) / 255))
    return scale, int(np.clip(np.rint(-128 - low / scale), -128, 127))


def quantize_weights(weights: Array, axis: int | None) -> tuple[Array, Array]:
    """Return int8 codes in -127..127 and float32 scales: one per slice of `axis`, or one in all."""
    others = None if axis is None else tuple(i for i in range(weights.ndim) if i != axis)
    largest = np.abs(weights).max(axis=others, keepdims=True)
    scales = (np.maximum(largest, 1e-9) / 127).astype(np.float32)
    codes = np.clip(np.rint(weights / scales.astype(np.float64)), -127, 127).astype(np.int8)
    return codes, scales.reshape(-1)


class _Graph:
    """The tensors and operators so far, in execution order."""

    def __init__(self, layers: Layers, quants: dict[str, QuantParams]) -> None:
        self.layers = layers
        self.quants = quants
        self.tensors: list[TensorSpec] = []
        self.operators: list[OperatorSpec] = []

    def activation(self, name: str, shape: tuple[int, ...]) -> int:
        """Append an int8 activation, return its index."""
        scale, zero_point = self.quants[name]
        self.tensors.append(TensorSpec(name, shape, "int8", (scale,), (zero_point,)))
        return len(self.tensors) - 1

    def constant(self, name: str, data: Array, scales: Array | None, axis: int | None) -> int:
        """Append a constant with zero point 0, return its index."""
        scale = None if scales is None else tuple(float(s) for s in scales)
        zero_point = None if scale is None else (0,) * len(scale)
        spec = TensorSpec(name, data.shape, str(data.dtype), scale, zero_point, axis or 0, data)
        self.tensors.append(spec)
        return len(self.tensors) - 1

    def parameters(self, name: str, source: int, axis: int | None) -> tuple[int, int]:
        """Append a layer's weights and bias, quantized for the source tensor's scale."""
        weights, bias = self.layers[name]
        codes, scales = quantize_weights(weights, axis)
        source_scale = self.quants[self.tensors[source].name][0]
        bias_scales = (source_scale * scales.astype(np.float64)).astype(np.float32)
        bias_codes = np.rint(bias / bias_scales.astype(np.float64)).astype(np.int32)
        return (
            self.constant(f"{name}/weights", codes, scales, axis),
            self.constant(f"{name}/bias", bias_codes, bias_scales, 0),
        )

    def operator(
        self,
        op: str,
        version: int,
        inputs: tuple[int, ...],
        result: tuple[str, tuple[int, ...]],
        **options: object,
    ) -> int:
        """Append an operator and the activation that it writes, return the activation's index."""
        output = self.activation(*result)
        self.operators.append(OperatorSpec(op, inputs, (output,), options, version))
        return output


def quantize(layers: Layers, activations: dict[str, Array]) -> bytes:
    """Return the int8 network as .tflite bytes; input (1, 8, 8, 1), output (1, 10).

    `layers` holds float weights (OHWI, 1HWC, OI) and biases for raw pixels 0..16;
    `activations` the float values, over the calibration images, of each tensor with a range
    of its own. Operator versions are those that TensorFlow's converter writes for int8.
    """
    quants = {name: activation_quant(values) for name, values in activations.items()}
    quants |= {"pixels": INPUT_QUANT, "probabilities": SOFTMAX_QUANT}
    quants |= {"pool": quants["residual"], "features": quants["residual"]}
    g = _Graph(layers, quants)
    x = g.activation("pixels", (1, 8, 8, 1))
    one, two = {"stride_w": 1, "stride_h": 1}, {"stride_w": 2, "stride_h": 2}

    weights = g.parameters("stem", x, axis=0)
    x = g.operator("CONV_2D", 3, (x, *weights), ("stem", (1, 8, 8, 16)), **_SAME, **_RELU, **one)
    weights = g.parameters("depthwise", x, axis=3)
    result = ("depthwise", (1, 4, 4, 16))
    options = {**_SAME, **_RELU, **two, "depth_multiplier": 1}
    x = g.operator("DEPTHWISE_CONV_2D", 3, (x, *weights), result, **options)
    weights = g.parameters("pointwise", x, axis=0)
    result = ("pointwise", (1, 4, 4, 32))
    x = g.operator("CONV_2D", 3, (x, *weights), result, **_SAME, **_RELU, **one)
    weights = g.parameters("branch", x, axis=0)
    y = g.operator("CONV_2D", 3, (x, *weights), ("branch", (1, 4, 4, 32)), **_SAME, **one)
    x = g.operator("ADD", 2, (x, y), ("residual", (1, 4, 4, 32)), **_RELU)

    options = {"padding": "VALID", **two, "filter_width": 2, "filter_height": 2}
    x = g.operator("AVERAGE_POOL_2D", 2, (x,), ("pool", (1, 2, 2, 32)), **options)
    shape = g.constant("features/shape", np.array([-1, 128], np.int32), None, None)
    x = g.operator("RESHAPE", 1, (x, shape), ("features", (1, 128)), new_shape=(-1, 128))
    weights = g.parameters("classifier", x, axis=None)
    x = g.operator("FULLY_CONNECTED", 4, (x, *weights), ("logits", (1, 10)))
    x = g.operator("SOFTMAX", 2, (x,), ("probabilities", (1, 10)), beta=1.0)
    return write_model(g.tensors, g.operators, [0], [x])
