"""CMSIS-NN's unit tests as graphs of our operators: one adapter a function family."""

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final

import numpy as np

from simulator.graph import Array, Operator
from tests.conformance.cases import CaseFile
from tests.conformance.cmsis_recurrent import lstm, svdf
from tests.conformance.cmsis_weighted import (
    Arrays,
    Params,
    batch_matmul,
    bounds_of,
    conv2d,
    depthwise,
    fully_connected,
    padding_of,
    transpose_conv,
)
from tests.conformance.one_node import Chain, grid


def pool(about: Params, p: Params, arrays: Arrays) -> Array:
    chain, dtype = Chain(about["case"]), about["act_dtype"]
    image = (p["input_h"], p["input_w"], p["input_c"])
    n = arrays["input"].size // int(np.prod(image))
    x = chain.feed("x", grid((n, *image), dtype), arrays["input"])
    axes = [
        (
            p[f"input_{s}"],
            p[f"filter_{s}"],
            p[f"stride_{s}"],
            1,
            p[f"output_{s}"],
            p[f"padding_{s}"],
        )
        for s in ("h", "w")
    ]
    options = {
        "padding": padding_of(axes),
        "filter_height": p["filter_h"],
        "filter_width": p["filter_w"],
        "stride_h": p["stride_h"],
        "stride_w": p["stride_w"],
        "fused_activation_function": "NONE",
    }
    op = {"avg_pool": "AVERAGE_POOL_2D", "max_pool": "MAX_POOL_2D"}[about["op"]]
    low, high = p["activation_min"], p["activation_max"]
    y = grid((n, p["output_h"], p["output_w"], p["output_c"]), dtype)
    return chain.run(chain.node(op, options, (x,), y, lambda o: replace(o, low=low, high=high)))


def maximum_minimum(about: Params, p: Params, arrays: Arrays) -> Array:
    chain, names = Chain(about["case"]), []
    shapes = []
    for i in (1, 2):
        shapes.append(tuple(p[f"{axis}_{i}"] for axis in ("batch", "height", "width", "channel")))
        kind = grid(shapes[-1], about["act_dtype"])
        names.append(chain.feed(f"x{i}", kind, arrays[f"input_tensor_{i}"]))
    y = grid(np.broadcast_shapes(*shapes), about["act_dtype"])
    return chain.run(chain.node(p["layer_type"].upper(), {}, tuple(names), y))


def pad(about: Params, p: Params, arrays: Arrays) -> Array:
    chain, dtype = Chain(about["case"]), about["act_dtype"]
    axes = ("n", "h", "w", "c")
    shape = tuple(p[f"input_{a}"] for a in axes)
    pads = np.array([[p[f"pre_pad_{a}"], p[f"post_pad_{a}"]] for a in axes], dtype=np.int32)
    x = chain.feed("x", grid(shape, dtype, p["pad_value"]), arrays["input"])
    amounts = chain.constant("paddings", grid((4, 2), "int32"), pads)
    y = grid(
        tuple(int(n) + int(a.sum()) for n, a in zip(shape, pads, strict=True)),
        dtype,
        p["pad_value"],
    )
    return chain.run(chain.node("PAD", {}, (x, amounts), y))


def transpose(about: Params, p: Params, arrays: Arrays) -> Array:
    chain, rank = Chain(about["case"]), p["perm_size"]
    x = chain.feed("x", grid(tuple(p["in_dim"][:rank]), about["act_dtype"]), arrays["input"])
    order = chain.constant("perm", grid((rank,), "int32"), np.array(p["perm"], dtype=np.int32))
    y = grid(tuple(p["out_dim"][:rank]), about["act_dtype"])
    return chain.run(chain.node("TRANSPOSE", {}, (x, order), y))


def binary(about: Params, p: Params, arrays: Arrays) -> Array:
    """ADD and MUL, on grids from which the case's multipliers follow exactly."""
    chain, dtype, op = Chain(about["case"]), about["act_dtype"], about["op"].upper()
    shape, bounds = (p["dst_size"],), bounds_of(p)
    real = p["output_mult"] * 2.0 ** (p["output_shift"] - 31)
    if op == "ADD":
        # Operands of one scale s: each is halved, and the output takes 2 s / (2^left s_out).
        assert {p["input1_mult"], p["input2_mult"]} == {1 << 30}
        assert {p["input1_shift"], p["input2_shift"]} == {0}
        scales = (1.0, 1.0, 2.0 / (real * 2.0 ** p["left_shift"]))
    else:
        scales = (real, 1.0, 1.0)
    names = tuple(
        chain.feed(f"x{i}", grid(shape, dtype, -p[f"input{i}_offset"], s), arrays[f"input{i}"])
        for i, s in ((1, scales[0]), (2, scales[1]))
    )

    def adjust(operator: Any) -> Operator:
        by = operator.requantize
        assert (by.multiplier, by.shift) == ((p["output_mult"],), (p["output_shift"],))
        changed: Operator = replace(operator, requantize=replace(by, low=bounds[0], high=bounds[1]))
        return changed

    y = grid(shape, dtype, p["output_offset"], scales[2])
    options = {"fused_activation_function": "NONE"}
    return chain.run(chain.node(op, options, names, y, adjust))


def softmax(about: Params, p: Params, arrays: Arrays) -> Array:
    """On the input scale from which the case's multiplier follows."""
    chain, dtype = Chain(about["case"]), about["act_dtype"]
    shape = (p["num_rows"], p["row_size"])
    real = p["input_mult"] * 2.0 ** (p["input_left_shift"] - 31)
    scale = real * 10 / 65535 if dtype == "int16" else real / 2**26
    x = chain.feed("x", grid(shape, dtype, 0, scale), arrays["input"])
    result = str(arrays["output_ref"].dtype)
    grids = {
        ("int8", "int8"): (-128, 1 / 256),
        ("int8", "int16"): (-32768, 1 / 65536),
        ("int16", "int16"): (0, 1 / 32768),
    }
    y = grid(shape, result, *grids[dtype, result])
    return chain.run(chain.node("SOFTMAX", {"beta": 1.0}, (x,), y))


LAYERS: Final = {
    "conv_2d": conv2d,
    "depthwise_conv_2d": depthwise,
    "average_pool_2d": pool,
    "fully_connected": fully_connected,
    "softmax": softmax,
}


def network(about: Params, p: Params, arrays: Arrays) -> Array:
    """Layer after layer, each as in its own family; flattening takes a number but no layer."""
    value = arrays["input"]
    found = {m.groups() for key in p if (m := re.match(r"([a-z_2]+?)_(\d+)_", key))}
    for kind, number in sorted(found, key=lambda layer: int(layer[1])):
        own = {
            k.removeprefix(f"{kind}_{number}_"): v
            for k, v in p.items()
            if k.startswith(f"{kind}_{number}_")
        }
        held = {
            k.removeprefix(f"layer_{number}_{kind}_"): v
            for k, v in arrays.items()
            if k.startswith(f"layer_{number}_{kind}_")
        }
        held |= {"input": value, "output_ref": arrays["output_ref"]}
        if "bias" in held:
            held["biases"] = held.pop("bias")
        if kind == "depthwise_conv_2d":
            own["ch_mult"] = 1
        elif kind == "average_pool_2d":
            own |= {"input_c": own["in_ch"], "output_c": own["out_ch"]}
            own |= {"padding_h": own["pad_h"], "padding_w": own["pad_w"]}
            own |= {f"activation_{b}": own[f"out_activation_{b}"] for b in ("min", "max")}
        elif kind == "fully_connected":
            own |= {"accumulation_depth": value.size, "out_ch": held["biases"].size}
        elif kind == "softmax":
            own |= {"input_mult": own["mult"], "input_left_shift": own["shift"]}
        layer_about = {**about, "op": {"average_pool_2d": "avg_pool"}.get(kind, kind)}
        value = LAYERS[kind](layer_about, own, held).reshape(-1)
    return value


ADAPTERS: Final[Mapping[str, Callable[[Params, Params, Arrays], Array]]] = {
    "add": binary,
    "avg_pool": pool,
    "batch_matmul": batch_matmul,
    "conv2d": conv2d,
    "conv2d_w4": conv2d,
    "depthwise": depthwise,
    "depthwise_w4": depthwise,
    "fully_connected": fully_connected,
    "fully_connected_w4": fully_connected,
    "lstm": lstm,
    "max_min": maximum_minimum,
    "max_pool": pool,
    "mul": binary,
    "network": network,
    "pad": pad,
    "softmax": softmax,
    "softmax_s16": softmax,
    "softmax_s8_s16": softmax,
    "svdf": svdf,
    "transpose": transpose,
    "transpose_conv": transpose_conv,
}


def compute(case: CaseFile) -> Array:
    """What our operators give for a case, flat."""
    about = case.about()
    assert case.group in ADAPTERS, f"{case.label}: no adapter for this family"
    return ADAPTERS[case.group](about, about["params"], case.arrays()).reshape(-1)
