"""CMSIS-NN's convolutions and matrix products as graphs of our operators.

Each node is decoded under the dialect `cmsis-nn` on unit grids, which fixes geometry, dtypes and
rounding; then its requantizer takes the multipliers, shifts and bounds that the case states.
Offsets are as CMSIS-NN passes them (FORMATS.md).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from simulator.graph import Array, Operator
from simulator.numeric.requantize import Requantize
from tests.conformance.one_node import Adjust, Chain, grid

Params = Mapping[str, Any]
Arrays = Mapping[str, Array]


def scaled(
    by: Requantize,
    multiplier: Iterable[int],
    shift: Iterable[int],
    zero: int,
    bounds: tuple[int, int],
) -> Requantize:
    """The same rounding by the case's own numbers."""
    multipliers, shifts = tuple(map(int, multiplier)), tuple(map(int, shift))
    real = tuple(m * 2.0 ** (s - 31) for m, s in zip(multipliers, shifts, strict=True))
    low, high = bounds
    return Requantize(by.rounding, real, multipliers, shifts, zero, low, high)


def bounds_of(p: Params) -> tuple[int, int]:
    """The output's clamp."""
    return p["out_activation_min"], p["out_activation_max"]


def weighted(
    multiplier: Iterable[int], shift: Iterable[int], zero: int, bounds: tuple[int, int]
) -> Adjust:
    """Set the requantizer of an operator that multiplies by weights."""

    def adjust(operator: Any) -> Operator:
        by = scaled(operator.weighted.requantize, multiplier, shift, zero, bounds)
        changed: Operator = replace(operator, weighted=replace(operator.weighted, requantize=by))
        return changed

    return adjust


def nibbles(packed: Array, count: int) -> Array:
    """4-bit two's complement values, the low nibble of each byte first."""
    raw = packed.view(np.uint8)
    pairs = np.stack([raw & 15, raw >> 4], axis=1).reshape(-1)[:count].astype(np.int8)
    return np.where(pairs > 7, pairs - 16, pairs).astype(np.int8)


def weights_of(chain: Chain, about: Params, shape: tuple[int, ...], packed: Array) -> str:
    """The weight constant, 4-bit ones unpacked."""
    if about["weight_bits"] == 4:
        return chain.constant("w", grid(shape, "int4"), nibbles(packed, int(np.prod(shape))))
    return chain.constant("w", grid(shape, "int8"), packed)


def constant_of(
    chain: Chain, arrays: Arrays, name: str, shape: tuple[int, ...], dtype: str = "int8"
) -> str:
    """A constant under its own name."""
    return chain.constant(name, grid(shape, dtype), arrays[name])


def bias_of(chain: Chain, about: Params, arrays: Arrays, channels: int) -> str:
    """The bias constant; zeros in 32 bits stand for the 32-bit sums of an int16 kernel."""
    if "biases" in arrays:
        value = arrays["biases"]
        return chain.constant("b", grid((channels,), str(value.dtype)), value)
    if about["act_dtype"] == "int16" and about["int32_bias"]:
        return chain.constant("b", grid((channels,), "int32"), np.zeros(channels, np.int32))
    return ""


def padding_of(sizes: Sequence[tuple[int, int, int, int, int, int]]) -> str:
    """SAME or VALID, whichever gives the outputs and leading padding of both axes.

    Each axis: input, kernel, stride, dilation, output, padding.
    """
    for name in ("SAME", "VALID"):
        fits = []
        for size, kernel, stride, dilation, output, pad in sizes:
            reach = (kernel - 1) * dilation + 1
            same = -(-size // stride)
            lead = max((same - 1) * stride + reach - size, 0) // 2
            valid = max(-(-(size - reach + 1) // stride), 0)
            fits.append((output, pad) == ((same, lead) if name == "SAME" else (valid, 0)))
        if all(fits):
            return name
    raise AssertionError(f"neither SAME nor VALID padding gives {sizes}")


def window_options(p: Params) -> dict[str, Any]:
    """The options of a convolution."""
    axes = [
        (
            p[f"input_{side}"],
            p[f"filter_{axis}"],
            p[f"stride_{axis}"],
            p[f"dilation_{axis}"],
            p[f"output_{side}"],
            p[f"pad_{axis}"],
        )
        for axis, side in (("y", "h"), ("x", "w"))
    ]
    return {
        "padding": padding_of(axes),
        "stride_h": p["stride_y"],
        "stride_w": p["stride_x"],
        "dilation_h_factor": p["dilation_y"],
        "dilation_w_factor": p["dilation_x"],
        "fused_activation_function": "NONE",
    }


def batch_of(p: Params, x: Array) -> int:
    """How many images the input holds."""
    return x.size // int(p["input_h"] * p["input_w"] * p["in_ch"])


def conv2d(about: Params, p: Params, arrays: Arrays) -> Array:
    chain, dtype, n = Chain(about["case"]), about["act_dtype"], batch_of(p, arrays["input"])
    x_kind = grid((n, p["input_h"], p["input_w"], p["in_ch"]), dtype, -p["input_offset"])
    x = chain.feed("x", x_kind, arrays["input"])
    taps = (p["filter_y"], p["filter_x"], p.get("filter_ch", p["in_ch"]))
    w = weights_of(chain, about, (p["out_ch"], *taps), arrays["weights"])
    b = bias_of(chain, about, arrays, p["out_ch"])
    y = grid((n, p["output_h"], p["output_w"], p["out_ch"]), dtype)
    by = weighted(arrays["output_mult"], arrays["output_shift"], p["output_offset"], bounds_of(p))
    return chain.run(chain.node("CONV_2D", window_options(p), (x, w, b), y, by))


def depthwise(about: Params, p: Params, arrays: Arrays) -> Array:
    chain, dtype, n = Chain(about["case"]), about["act_dtype"], batch_of(p, arrays["input"])
    x_kind = grid((n, p["input_h"], p["input_w"], p["in_ch"]), dtype, -p["input_offset"])
    x = chain.feed("x", x_kind, arrays["input"])
    shape = (1, p["filter_y"], p["filter_x"], p["out_ch"])
    w = weights_of(chain, about, shape, arrays["weights"])
    b = bias_of(chain, about, arrays, p["out_ch"])
    y = grid((n, p["output_h"], p["output_w"], p["out_ch"]), dtype)
    options = {**window_options(p), "depth_multiplier": p["ch_mult"]}
    by = weighted(arrays["output_mult"], arrays["output_shift"], p["output_offset"], bounds_of(p))
    return chain.run(chain.node("DEPTHWISE_CONV_2D", options, (x, w, b), y, by))


def transpose_conv(about: Params, p: Params, arrays: Arrays) -> Array:
    """Padding is VALID or SAME by how much of the scatter the output leaves out."""
    chain, dtype, n = Chain(about["case"]), about["act_dtype"], batch_of(p, arrays["input"])
    x_kind = grid((n, p["input_h"], p["input_w"], p["in_ch"]), dtype, -p["input_offset"])
    x = chain.feed("x", x_kind, arrays["input"])
    shape = (n, p["output_h"], p["output_w"], p["out_ch"])
    size = chain.constant("size", grid((4,), "int32"), np.array(shape, dtype=np.int32))
    taps = (p["filter_y"], p["filter_x"], p["in_ch"])
    w = weights_of(chain, about, (p["out_ch"], *taps), arrays["weights"])
    b = bias_of(chain, about, arrays, p["out_ch"])
    leads = {
        "VALID": (0, 0),
        "SAME": tuple(
            max((p[f"input_{s}"] - 1) * p[f"stride_{a}"] + p[f"filter_{a}"] - p[f"output_{s}"], 0)
            // 2
            for a, s in (("y", "h"), ("x", "w"))
        ),
    }
    padding = next(k for k, v in leads.items() if v == (p["pad_y"], p["pad_x"]))
    options = {
        "padding": padding,
        "stride_h": p["stride_y"],
        "stride_w": p["stride_x"],
        "fused_activation_function": "NONE",
    }
    by = weighted(arrays["output_mult"], arrays["output_shift"], p["output_offset"], bounds_of(p))
    inputs = (size, w, x, b) if b else (size, w, x)
    return chain.run(chain.node("TRANSPOSE_CONV", options, inputs, grid(shape, dtype), by))


def fully_connected(about: Params, p: Params, arrays: Arrays) -> Array:
    chain, dtype, taps = Chain(about["case"]), about["act_dtype"], p["accumulation_depth"]
    x_kind = grid((arrays["input"].size // taps, taps), dtype, -p["input_offset"])
    x = chain.feed("x", x_kind, arrays["input"])
    w = weights_of(chain, about, (p["out_ch"], taps), arrays["weights"])
    b = bias_of(chain, about, arrays, p["out_ch"])
    by = weighted([p["output_multiplier"]], [p["output_shift"]], p["output_offset"], bounds_of(p))

    def adjust(operator: Any) -> Operator:
        # TFLite has no weights with a zero point in int8; CMSIS-NN does.
        offset = (-p.get("filter_offset", 0),)
        return by(replace(operator, weighted=replace(operator.weighted, weight_zero_points=offset)))

    y = grid((x_kind.shape[0], p["out_ch"]), dtype)
    options = {"fused_activation_function": "NONE"}
    return chain.run(chain.node("FULLY_CONNECTED", options, (x, w, b), y, adjust))


def batch_matmul(about: Params, p: Params, arrays: Arrays) -> Array:
    chain, dtype = Chain(about["case"]), about["act_dtype"]
    names = []
    for side in ("lhs", "rhs"):
        shape = tuple(p[f"{side}_{axis}"] for axis in ("batch", "height", "rows", "cols"))
        kind = grid(shape, dtype, -p[f"{side}_offset"])
        names.append(chain.feed(side, kind, arrays[f"{side}_input_tensor"]))
    shape = tuple(p[f"output_{axis}"] for axis in ("batch", "height", "rows", "cols"))
    bounds = (p["activation_min"], p["activation_max"])
    by = weighted([p["output_multiplier"]], [p["output_shift"]], p["output_offset"], bounds)
    options = {"adj_x": bool(p["adj_x"]), "adj_y": bool(p["adj_y"])}
    return chain.run(chain.node("BATCH_MATMUL", options, tuple(names), grid(shape, dtype), by))
