"""Biases of filters whose weights are nearly 0: in the plan, simulated, and in every format."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from onnx import ModelProto, numpy_helper

import workloads
from simulator.execute import run_batch
from simulator.graph import Array, Graph
from tests.float_builder import FloatNet
from tests.quantize.export.minmax import Widths, plan_of
from tests.quantize.export.operator_values import operators_off
from workloads.float_graph import layers
from workloads.quantize import Grid, per_group, single
from workloads.quantize.export.qdq import integer, to_qdq
from workloads.quantize.export.qonnx import to_qonnx
from workloads.quantize.export.tflite import to_tflite
from workloads.quantize.ptq import Plan, Weights, simulated
from workloads.quantize.ptq.biases import with_room_for_biases
from workloads.quantize.ptq.plan import bias_bits, bias_codes, real_bias

BIAS = np.array([3.0, 0.125, -2.0, 0.01])
SIZES = np.array([1e-9, 0.5, 1e-30, 0.7])


def network() -> tuple[Graph, Array]:
    """A convolution whose filters 0 and 2 are all but dead, and samples [16, 1, 5, 5, 2]."""
    draw = np.random.default_rng(4)
    net = FloatNet((1, 5, 5, 2))
    filters = draw.standard_normal((4, 3, 3, 2)) * SIZES.reshape(-1, 1, 1, 1)
    graph = net.graph(net.conv("x", filters, BIAS))
    return graph, draw.standard_normal((16, 1, 5, 5, 2)).astype(np.float32)


def planned(widths: Widths) -> tuple[Plan, Array]:
    graph, samples = network()
    return plan_of(graph, {graph.inputs[0]: samples}, widths), samples


def sums(plan: Plan) -> list[int]:
    """The farthest that bias and products of each filter come, in steps: exact."""
    (layer,) = layers(plan.graph)
    held, x = plan.weights[layer.weights], plan.activations[layer.activations]
    farthest = max(abs(end - x.zero_point[0]) for end in (x.low, x.high))
    zeros = np.broadcast_to(held.grid.zero_point, len(BIAS)).tolist()
    codes = [
        [int(c) - z for c in row.reshape(-1)] for row, z in zip(held.codes, zeros, strict=True)
    ]
    steps = [
        abs(round(float(b) / (single(x).scale[0] * s)))
        for b, s in zip(BIAS, np.broadcast_to(held.grid.scale, len(BIAS)).tolist(), strict=True)
    ]
    return [b + sum(map(abs, row)) * farthest for b, row in zip(steps, codes, strict=True)]


def factors(plan: Plan) -> list[float]:
    """What brings the sums of each filter onto the output's grid."""
    (layer,) = layers(plan.graph)
    (x,), (y,) = (plan.activations[n].scale for n in (layer.activations, layer.output))
    return [x * s / y for s in plan.weights[layer.weights].grid.scale]


@pytest.mark.parametrize(
    "widths",
    [Widths(8, 8), Widths(4, 4), Widths(8, 8, affine_weights=True), Widths(8, 16), Widths(16, 16)],
)
def test_sums_stay_in_the_accumulator(widths: Widths) -> None:
    plan, _ = planned(widths)
    (layer,) = layers(plan.graph)
    bits = 32 if max(widths.weights, widths.activations) <= 8 else 48
    assert bias_bits(plan, layer) == bits
    assert max(sums(plan)) > 2 ** (bits - 1)
    made = with_room_for_biases(plan)
    assert max(sums(made)) < 2 ** (bits - 1)
    before, after = (p.weights[layer.weights] for p in (plan, made))
    assert after.grid == replace(before.grid, scale=after.grid.scale)
    assert all(np.float32(s) == s for s in after.grid.scale)
    multipliers = factors(made)
    assert min(multipliers) >= 2**-31
    for k in (1, 3):
        assert before.grid.scale[k] == after.grid.scale[k]
        np.testing.assert_array_equal(before.codes[k], after.codes[k])
    np.testing.assert_allclose(real_bias(made, layer)[[0, 2]], BIAS[[0, 2]], rtol=2e-7)
    again = with_room_for_biases(made)
    assert again.weights[layer.weights].grid == after.grid
    np.testing.assert_array_equal(again.weights[layer.weights].codes, after.codes)


def test_weights_of_one_scale_keep_one() -> None:
    draw = np.random.default_rng(4)
    net = FloatNet((1, 6))
    graph = net.graph(net.dense("x", draw.standard_normal((4, 6)) * 1e-9, BIAS))
    samples = draw.standard_normal((16, 1, 6)).astype(np.float32)
    plan = plan_of(graph, {"x": samples}, Widths(8, 8, by_channel=False))
    made = with_room_for_biases(plan)
    (layer,) = layers(graph)
    assert len(made.weights[layer.weights].grid.scale) == 1
    assert max(sums(made)) < 2**31
    step = made.weights[layer.weights].grid.scale[0] * made.activations["x"].scale[0]
    np.testing.assert_allclose(real_bias(made, layer), BIAS, rtol=0, atol=step / 2)


def test_scales_per_group_are_left_alone() -> None:
    plan, _ = planned(Widths(8, 8))
    (layer,) = layers(plan.graph)
    grid = Grid((1e-9,) * 8, (0,) * 8, -127, 127, layout=per_group(0, 3, 1))
    held = Weights(plan.weights[layer.weights].codes, grid)
    made = with_room_for_biases(Plan(plan.graph, {layer.weights: held}, plan.activations))
    assert made.weights[layer.weights] is held


@pytest.mark.parametrize("widths", [Widths(8, 8), Widths(8, 16, centred=True), Widths(16, 16)])
def test_what_is_simulated_is_near_the_float_network(widths: Widths) -> None:
    """Within half a step of the output, and what the weights and the input lose."""
    plan, samples = planned(widths)
    made = with_room_for_biases(plan)
    (given,), (name,) = plan.graph.inputs, plan.graph.outputs
    wanted = run_batch(plan.graph, {given: samples})[0][name]
    found = run_batch(simulated(made), {given: samples})[0][name]
    (step,), (x_step,) = made.activations[name].scale, made.activations[given].scale
    # Filters 0 and 2 give their biases, whatever the input.
    for k in (0, 2):
        np.testing.assert_allclose(found[..., k], BIAS[k], rtol=0, atol=step / 2 * 1.001)
    (held,) = made.weights.values()
    lost = 18 * (3 * x_step / 2 + 5 * max(held.grid.scale[1::2]) / 2)
    np.testing.assert_allclose(found, wanted, rtol=0, atol=step / 2 + lost)


@pytest.mark.parametrize("widths", [Widths(8, 8), Widths(8, 16, centred=True), Widths(16, 16)])
def test_files_of_onnx_hold_the_biases(widths: Widths) -> None:
    """As given, before anyone made room: QDQ on 2^k s_x s_w of each filter, QONNX in reals."""
    plan, samples = planned(widths)
    (given,), (name,) = plan.graph.inputs, plan.graph.outputs
    (step,) = plan.activations[name].scale
    for proto in (to_qdq(plan), to_qonnx(plan)):
        held = biases_of(proto)
        np.testing.assert_allclose(held[[0, 2]], BIAS[[0, 2]], rtol=2e-7)
        np.testing.assert_allclose(held, BIAS, rtol=0, atol=1e-3)
    made = integer(plan)
    found = run_batch(made, {made.inputs[0]: samples})[0][made.outputs[0]]
    wanted = run_batch(simulated(with_room_for_biases(plan)), {given: samples})[0][name]
    np.testing.assert_allclose(found, wanted, rtol=0, atol=step * 1.001)


def biases_of(proto: ModelProto) -> Array:
    """What the convolution's third input holds, in reals."""
    held = {value.name: numpy_helper.to_array(value) for value in proto.graph.initializer}
    (conv,) = (node for node in proto.graph.node if node.op_type == "Conv")
    makers = {node.output[0]: node for node in proto.graph.node}
    name = conv.input[2]
    if name in held:
        return np.asarray(held[name], np.float64)
    codes, scale = (held[n] for n in makers[name].input[:2])
    assert codes.dtype == np.int32
    return np.asarray(codes.astype(np.float64) * scale)


@pytest.mark.parametrize("widths", [Widths(8, 8), Widths(8, 16, centred=True)])
def test_files_of_tflite_hold_the_biases(widths: Widths, tmp_path: Path) -> None:
    """And its kernels compute with them: multipliers below 2^-32 would be 0."""
    plan, samples = planned(widths)
    path = tmp_path / "made.tflite"
    path.write_bytes(to_tflite(plan))
    read = workloads.load(path)
    assert [off for off in operators_off(plan, read, {"x": samples}) if off.too_far] == []
    (layer,) = layers(plan.graph)
    room = with_room_for_biases(plan)
    np.testing.assert_array_equal(read.constants[layer.bias], bias_codes(room, layer))
    np.testing.assert_array_equal(
        read.constants[layer.weights], room.weights[layer.weights].codes.astype(np.int8)
    )
