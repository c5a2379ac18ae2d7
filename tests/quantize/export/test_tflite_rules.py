"""What TFLite's rules make of a plan: shifted, adapted, or refused in one line."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import NodeProto

import workloads
from simulator.errors import Unsupported
from simulator.execute import run_batch
from simulator.graph import Array, Graph
from tests.ops.litert import requires_litert
from tests.ops.onnx_runtime import graph_of, model, node
from tests.quantize.export.plans import INT8, INT16, UINT8, against_litert, min_max_plan
from workloads.float_graph import with_constants
from workloads.quantize import affine, float32_scales, symmetric
from workloads.quantize.export.tflite import to_tflite
from workloads.quantize.ptq import Plan, Weights, prepared, simulated

SHAPE = (1, 3, 6, 6)


def network(
    folder: Path, behind: list[NodeProto], extra: Mapping[str, Array] | None = None
) -> Plan:
    """A convolution of 3 to 4 channels and what comes behind `c`, in int8 by least and most."""
    graph = float_network(folder, behind, extra)
    return min_max_plan(graph, batch_of(graph))


def float_network(
    folder: Path, behind: list[NodeProto], extra: Mapping[str, Array] | None = None, **options: Any
) -> Graph:
    rng = np.random.default_rng(3)
    constants: dict[str, Array] = {
        "w": rng.standard_normal((4, 3, 3, 3)).astype(np.float32),
        "b": rng.standard_normal(4).astype(np.float32),
        **(extra or {}),
    }
    nodes = [node("Conv", ["x", "w", "b"], ["c"], kernel_shape=[3, 3], **options), *behind]
    outputs = {nodes[-1].output[0]: "float32"}
    return prepared(graph_of(model(nodes, {"x": ("float32", SHAPE)}, outputs, constants), folder))


def batch_of(graph: Graph, count: int = 6) -> dict[str, Array]:
    values = np.random.default_rng(5).standard_normal((count, *SHAPE)).astype(np.float32)
    return {graph.inputs[0]: values}


def exported(plan: Plan, folder: Path) -> Graph:
    """Read back, its bits LiteRT's."""
    found = against_litert(to_tflite(plan), folder)
    assert (found.differing, found.unseen) == (0, ())
    return workloads.load(folder / "exported.tflite")


def kinds(graph: Graph) -> list[str]:
    return [n.op.kind for n in graph.nodes]


def outputs_apart(plan: Plan, graph: Graph) -> float:
    """From the simulated network, in steps of the output's grid: the greatest over the batch."""
    batch = batch_of(plan.graph)
    (wanted,) = run_batch(simulated(plan), batch)[0].values()
    x, y = (graph.tensors[n].quant for n in (*graph.inputs, *graph.outputs))
    assert x is not None
    assert y is not None
    dtype = graph.tensors[graph.inputs[0]].dtype
    (values,), ends = batch.values(), np.iinfo(dtype)
    steps = np.rint(values.astype(np.float64) / x.scale[0]) + x.zero_point[0]
    codes = np.clip(steps, ends.min, ends.max).astype(dtype)
    (got,) = run_batch(graph, {graph.inputs[0]: codes})[0].values()
    return float(np.abs(got.astype(np.float64) - y.zero_point[0] - wanted / y.scale[0]).max())


@requires_litert
def test_unsigned_codes_are_shifted(tmp_path: Path) -> None:
    graph = float_network(tmp_path, [node("Relu", ["c"], ["y"])])
    plan = min_max_plan(graph, batch_of(graph), UINT8)
    made = exported(plan, tmp_path)
    for name in ("x", "y@nhwc"):
        (scale,), (zero,) = plan.activations[name].scale, plan.activations[name].zero_point
        quant = made.tensors[name].quant
        assert quant is not None
        assert (quant.scale, quant.zero_point) == ((scale,), (zero - 128,))
    assert outputs_apart(plan, made) <= 1


@requires_litert
@pytest.mark.parametrize(
    ("pads", "strides", "wanted"),
    [
        ([1, 1, 1, 1], [1, 1], "conv_2d"),
        ([0, 0, 1, 1], [2, 2], "conv_2d"),
        ([0, 0, 0, 0], [2, 2], "conv_2d"),
        ([1, 1, 0, 0], [2, 2], "pad"),
        ([2, 1, 2, 1], [1, 1], "pad"),
    ],
)
def test_padding_is_a_scheme_or_a_node(
    pads: list[int], strides: list[int], wanted: str, tmp_path: Path
) -> None:
    behind = [node("Relu", ["c"], ["y"])]
    graph = float_network(tmp_path, behind, pads=pads, strides=strides)
    plan = min_max_plan(graph, batch_of(graph))
    made = exported(plan, tmp_path)
    assert ("pad" in kinds(made)) == (wanted == "pad")
    assert outputs_apart(plan, made) <= 1


@requires_litert
@pytest.mark.parametrize(
    ("pads", "counted", "wanted"),
    [
        ([0, 0, 1, 1], 1, "pad"),
        ([1, 0, 0, 1], 1, "pad"),
        ([0, 0, 0, 0], 1, "average_pool_2d"),
        ([0, 0, 1, 1], 0, "average_pool_2d"),
    ],
)
def test_padding_counts_in_an_average(
    pads: list[int], counted: int, wanted: str, tmp_path: Path
) -> None:
    """In TFLite it never does: where it should, zeros are put around."""
    options = {"kernel_shape": [2, 2], "pads": pads, "count_include_pad": counted}
    plan = network(tmp_path, [node("AveragePool", ["c"], ["y"], **options)])
    made = exported(plan, tmp_path)
    assert ("pad" in kinds(made)) == (wanted == "pad")
    assert outputs_apart(plan, made) <= 2


@requires_litert
@pytest.mark.parametrize("ends", [(-0.4, 0.9), (0.25, 3.0), (-1.0, 0.5)])
def test_bounds_that_no_activation_has(ends: tuple[float, float], tmp_path: Path) -> None:
    """Cut by MAXIMUM and MINIMUM; inside the range of a wider grid they are seen."""
    limits = {"low": np.array(ends[0], np.float32), "high": np.array(ends[1], np.float32)}
    graph = float_network(tmp_path, [node("Clip", ["c", "low", "high"], ["y"])], limits)
    plan = min_max_plan(graph, batch_of(graph))
    wide = dict.fromkeys(("y@nhwc", "y"), INT8(-4.0, 4.0))
    plan = Plan(graph, plan.weights, {**plan.activations, **wide})
    made = exported(plan, tmp_path)
    assert {"maximum", "minimum"} <= set(kinds(made))
    assert outputs_apart(plan, made) <= 1


@requires_litert
def test_other_grids_behind_fixed_ones(tmp_path: Path) -> None:
    """A softmax and an average pool write their own grid; a QUANTIZE follows."""
    behind = [
        node("AveragePool", ["c"], ["a"], kernel_shape=[2, 2], strides=[2, 2]),
        node("Flatten", ["a"], ["f"]),
        node("Softmax", ["f"], ["y"]),
    ]
    plan = network(tmp_path, behind)
    made = exported(plan, tmp_path)
    assert kinds(made) == [
        *("transpose", "conv_2d", "average_pool_2d", "quantize", "transpose"),
        *("reshape", "softmax"),
    ]
    other = Plan(plan.graph, plan.weights, {**plan.activations, "y": INT8(0.0, 0.5)})
    assert kinds(exported(other, tmp_path))[-2:] == ["softmax", "quantize"]
    # The rows of the softmax's Jacobian add up to 1/2 at most: two steps of the logits become one.
    (logits,), (scale,) = plan.activations["f"].scale, other.activations["y"].scale
    made = workloads.load(tmp_path / "exported.tflite")
    assert outputs_apart(other, made) <= (logits + 1 / 256) / scale


@requires_litert
@pytest.mark.parametrize("wide", ["c@nhwc", "y"])
def test_layers_of_16_bits_among_those_of_8(wide: str, tmp_path: Path) -> None:
    """A node of tensors of both computes in 16; codes less their zero point are the same reals."""
    extra = {"v": np.random.default_rng(8).standard_normal((64, 5)).astype(np.float32)}
    behind = [node("Flatten", ["c"], ["f"]), node("MatMul", ["f", "v"], ["y"])]
    graph = float_network(tmp_path, behind, extra)
    plan, fine = (min_max_plan(graph, batch_of(graph), form) for form in (INT8, INT16))
    group = ("c@nhwc", "c", "f") if wide != "y" else ("y",)
    grids = {**plan.activations, **{name: fine.activations[name] for name in group}}
    mixed = Plan(graph, plan.weights, grids)
    made = exported(mixed, tmp_path)
    assert {made.tensors[n].dtype for n in group} == {"int16"}
    assert made.tensors["x"].dtype == "int8"
    assert outputs_apart(mixed, made) <= (2 if wide == "c@nhwc" else 200)


@requires_litert
def test_a_filter_too_small_for_its_bias(tmp_path: Path) -> None:
    """Weights of 1e-12 beside a bias of 1: on s_x s_w it needs 40 bits and more."""
    graph = float_network(tmp_path, [node("Relu", ["c"], ["y"])])
    values, bias = graph.constants["w@nhwc"].copy(), graph.constants["b"].copy()
    values[1], bias[1] = values[1] * np.float32(1e-12), 1
    small = with_constants(graph, {"w@nhwc": values, "b": bias})
    plan = min_max_plan(small, batch_of(small))
    made = exported(plan, tmp_path)
    assert np.abs(made.constants["b"].astype(np.int64)).max() < 2**31 - 1
    (codes,) = run_batch(made, {"x": np.zeros((1, *SHAPE), np.int8)})[0].values()
    (scale,), (zero,) = plan.activations["y"].scale, plan.activations["y"].zero_point
    assert np.abs((codes[:, :, 1].astype(float) - zero) * scale - 1).max() <= scale / 2


@requires_litert
@pytest.mark.parametrize("bits", [2, 3, 4])
def test_weights_of_four_bits_and_fewer(bits: int, tmp_path: Path) -> None:
    extra = {"v": np.random.default_rng(8).standard_normal((64, 5)).astype(np.float32)}
    behind = [node("Flatten", ["c"], ["f"]), node("MatMul", ["f", "v"], ["y"])]
    graph = float_network(tmp_path, behind, extra)
    plan = min_max_plan(graph, batch_of(graph), weight_bits=bits)
    made = exported(plan, tmp_path)
    assert [made.tensors[n].dtype for n in plan.weights] == ["int4"] * 2
    assert outputs_apart(plan, made) <= 3


def _without(plan: Plan, name: str) -> Plan:
    kept = {n: g for n, g in plan.activations.items() if n not in (name, f"{name}@nhwc")}
    return Plan(plan.graph, plan.weights, kept)


def _with_weights(plan: Plan, change: Callable[[Weights], Weights]) -> Plan:
    return Plan(plan.graph, {n: change(w) for n, w in plan.weights.items()}, plan.activations)


def _in(form: Any, plan: Plan) -> Plan:
    return min_max_plan(plan.graph, batch_of(plan.graph), form)


def _narrow(names: str, plan: Plan) -> Plan:
    """A plan with some tensors on a grid of very small steps."""
    grids = {n: INT8(-1e-8, 1e-8) for n in plan.activations if n.removesuffix("@nhwc") in names}
    return Plan(plan.graph, plan.weights, {**plan.activations, **grids})


def _lowest(held: Weights) -> Weights:
    codes = held.codes.copy()
    codes.reshape(-1)[0] = -128
    return Weights(codes, replace(held.grid, low=-128))


def _shifted(held: Weights) -> Weights:
    zeros = (3,) * len(held.grid.scale)
    return Weights(held.codes, replace(held.grid, zero_point=zeros))


RELU = [node("Relu", ["c"], ["y"])]
AFFINE_16 = float32_scales(partial(affine, bits=16, signed=True))
REFUSALS: dict[str, tuple[list[NodeProto], Callable[[Plan], Plan], str]] = {
    "activations of 4 bits": (
        RELU,
        partial(_in, float32_scales(partial(affine, bits=4))),
        "one.onnx, tensor 'x': activations use all codes of int8 or int16; found 0 to 15. "
        "Quantize activations to 8 or 16 bits, not restricted.",
    ),
    "restricted activations": (
        RELU,
        partial(_in, float32_scales(partial(symmetric, bits=8, restricted=True))),
        "one.onnx, tensor 'x': activations use all codes of int8 or int16; found -127 to 127. "
        "Quantize activations to 8 or 16 bits, not restricted.",
    ),
    "a zero point in 16 bits": (
        RELU,
        partial(_in, AFFINE_16),
        "one.onnx, tensor 'x': int16 activations have zero point 0; found ",
    ),
    "the code -128 of weights": (
        RELU,
        lambda plan: _with_weights(plan, _lowest),
        "one.onnx, weights 'w@nhwc': codes of weights are -127 to 127; found -128 to 127. "
        "Quantize weights to 8 bits, symmetric and restricted.",
    ),
    "a zero point of weights": (
        RELU,
        lambda plan: _with_weights(plan, _shifted),
        "one.onnx, weights 'w@nhwc': weights have zero point 0; found 3. "
        "Quantize weights symmetrically.",
    ),
    "float weights": (
        RELU,
        lambda plan: Plan(plan.graph, {}, plan.activations),
        "one.onnx, node 0 (Conv): a full-integer .tflite has no float weights; found 'w@nhwc' "
        "without a grid. Quantize it too.",
    ),
    "a float tensor": (
        RELU,
        lambda plan: _without(plan, "y"),
        "one.onnx, tensor 'y@nhwc': a full-integer .tflite has a grid on every tensor; found none. "
        "Quantize it too, or cut the network there.",
    ),
    "an operator without codes": (
        [node("Erf", ["c"], ["y"])],
        lambda plan: plan,
        "one.onnx, node 1 (Erf): functions of codes are abs, exp, hard_swish, leaky_relu, sigmoid, "
        "tanh, relu, clip; found 'erf'. Replace it, or cut the network before it.",
    ),
    "a softmax across": (
        [node("Softmax", ["c"], ["y"], axis=1)],
        lambda plan: plan,
        "one.onnx, node 1 (Softmax): SOFTMAX is over the last axis; found (1,). "
        "Transpose it there.",
    ),
    "a softmax of tiny steps": (
        [node("Flatten", ["c"], ["f"]), node("Softmax", ["f"], ["y"])],
        partial(_narrow, "cf"),
        "one.onnx, node 2 (Softmax): beta times the input's scale is above 2^-26, or LiteRT's "
        "softmax ends the process; found 7.84314e-11. Give its input a wider range.",
    ),
    "a sum of tiny steps": (
        [node("Add", ["c", "c"], ["y"])],
        partial(_narrow, "y"),
        "one.onnx, node 1 (Add): a sum's operands have less than 524288 times its scale; found 0.",
    ),
    "a dilated pool": (
        [node("MaxPool", ["c"], ["y"], kernel_shape=[2, 2], dilations=[2, 2])],
        lambda plan: plan,
        "one.onnx, node 1 (MaxPool): MAX_POOL_2D has no dilation; found (2, 2). "
        "Export the network without.",
    ),
    "padding beside the average": (
        [node("AveragePool", ["c"], ["y"], kernel_shape=[2, 2], pads=[1, 1, 0, 0])],
        lambda plan: plan,
        "one.onnx, node 1 (AveragePool): AVERAGE_POOL_2D leaves padding out only where it is SAME; "
        "found (1, 1, 0, 0). Count the padding, or pad as SAME.",
    ),
    "hard swish of 16 bits": (
        [node("HardSwish", ["c"], ["y"])],
        partial(_in, INT16),
        "one.onnx, node 1 (HardSwish): HARD_SWISH takes int8; found int16. "
        "Quantize its tensors to 8 bits.",
    ),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_refused_by_one_line(case: str, tmp_path: Path) -> None:
    behind, change, message = REFUSALS[case]
    plan = change(network(tmp_path, behind))
    with pytest.raises(Unsupported) as caught:
        to_tflite(plan)
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)
