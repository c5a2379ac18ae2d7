"""Where quantizers stand, what a plan refuses, and what the simulated network computes."""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from random import Random

import numpy as np
import pytest

from simulator.errors import IllegalGraph, Unsupported
from simulator.execute import run
from simulator.graph import Array, Graph
from tests.ops.onnx_runtime import graph_of, model, node
from tests.test_float_onnx import reals
from workloads.float_graph import Layer, layers
from workloads.quantize import Grid, affine, float32_scales, per_channel, symmetric
from workloads.quantize.ptq import Plan, Weights, forward, places, prepared, simulated
from workloads.quantize.ptq.plan import bias_codes, real_bias

pytest.importorskip("onnxruntime")


def small_net(folder: Path, seed: int = 0) -> Graph:
    """Two branches, concatenated; a max pool, a flatten, a product, a softmax."""
    rng = Random(seed)
    constants: Mapping[str, Array] = {
        "w0": reals(rng, (8, 4, 3, 3), 36),
        "b0": reals(rng, (8,)),
        "w1": reals(rng, (6, 8, 1, 1), 8),
        "w2": reals(rng, (2, 8, 1, 1), 8),
        "w3": reals(rng, (72, 5), 72),
        "b3": reals(rng, (5,)),
    }
    nodes = [
        node("Conv", ["x", "w0", "b0"], ["c0"], kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
        node("Relu", ["c0"], ["r0"]),
        node("Conv", ["r0", "w1"], ["left"], kernel_shape=[1, 1]),
        node("Conv", ["r0", "w2"], ["right"], kernel_shape=[1, 1]),
        node("Concat", ["left", "right"], ["both"], axis=1),
        node("MaxPool", ["both"], ["small"], kernel_shape=[2, 2], strides=[2, 2]),
        node("Flatten", ["small"], ["flat"]),
        node("Gemm", ["flat", "w3", "b3"], ["logits"]),
        node("Softmax", ["logits"], ["y"]),
    ]
    data = model(nodes, {"x": ("float32", (1, 4, 6, 7))}, {"y": "float32"}, constants)
    return prepared(graph_of(data, folder))


def weight_grid(graph: Graph, layer: Layer, bits: int) -> Weights:
    values = graph.constants[layer.weights]
    layout = per_channel(layer.filter_axis)
    form = float32_scales(partial(symmetric, bits=bits, restricted=True))
    grid = form(layout.reduce(np.minimum, values), layout.reduce(np.maximum, values), layout=layout)
    return Weights(grid.quantize(values), grid)


def plan_of(graph: Graph, batch: Mapping[str, Array], bits: int = 8) -> Plan:
    found = places(graph)
    (values,) = forward(graph, [batch], found.tensors)
    form = float32_scales(partial(affine, bits=bits, signed=True))
    grids = dict[str, Grid]()
    for group in found.groups:
        low = np.array([min(values[name].min() for name in group)])
        high = np.array([max(values[name].max() for name in group)])
        grids |= dict.fromkeys(group, form(low, high))
    weights = {layer.weights: weight_grid(graph, layer, bits) for layer in layers(graph)}
    return Plan(graph, weights, grids)


def batch_of(graph: Graph, seed: int, count: int = 5) -> dict[str, Array]:
    rng = np.random.default_rng(seed)
    shape = (count, *graph.tensors[graph.inputs[0]].shape)
    return {graph.inputs[0]: rng.standard_normal(shape, dtype=np.float32)}


def test_a_quantizer_for_what_the_integer_network_stores(tmp_path: Path) -> None:
    graph = small_net(tmp_path)
    found = places(graph)
    by_name = {name: set(found.group_of(name)) for name in found.tensors}
    moved = {"left@nhwc", "right@nhwc", "both@nhwc", "small@nhwc", "small", "flat"}
    assert by_name["left@nhwc"] == by_name["right@nhwc"] == moved
    assert "c0@nhwc" not in by_name  # the activation is fused: one tensor, one grid
    assert by_name["r0@nhwc"] == {"r0@nhwc"}
    assert by_name["logits"] == {"logits"}
    assert found.known == {"y": (0.0, 1.0)}
    assert found.groups[0][0] == graph.inputs[0]


def test_nothing_that_only_floats_touch(tmp_path: Path) -> None:
    nodes = [
        node("Exp", ["x"], ["e"]),
        node("MatMul", ["e", "w"], ["m"]),
        node("Log", ["m"], ["l"]),
        node("Exp", ["l"], ["y"]),
    ]
    constants = {"w": np.ones((3, 2), np.float32)}
    data = model(nodes, {"x": ("float32", (1, 3))}, {"y": "float32"}, constants)
    assert places(prepared(graph_of(data, tmp_path))).tensors == ("e", "m")


@pytest.mark.parametrize("bits", [4, 8, 16])
def test_simulated_tensors_lie_on_their_grids(bits: int, tmp_path: Path) -> None:
    graph = small_net(tmp_path)
    batch = batch_of(graph, 1)
    plan = plan_of(graph, batch, bits)
    made = simulated(plan)
    names = [name for name in plan.activations if name not in graph.inputs]
    real = [f"{name}/real" for name in names if f"{name}/real" in made.tensors]
    (values,) = forward(made, [batch], [*names, *real])
    checked = 0
    for name in names:
        grid = plan.activations[name]
        codes = np.rint(values[name].astype(np.float64) / grid.scale[0]) + grid.zero_point[0]
        assert codes.min() >= grid.low
        assert codes.max() <= grid.high
        held = (codes - grid.zero_point[0]).astype(np.float32) * np.float32(grid.scale[0])
        np.testing.assert_array_equal(values[name], held)
        if f"{name}/real" in values:
            (low,), (high,) = grid.ends()
            wide = np.abs(values[name] - np.clip(values[f"{name}/real"], low, high))
            assert wide.max() <= grid.scale[0] * 0.5000001 + 1e-7
            checked += 1
    assert checked == 5


def test_sixteen_bits_are_near_the_float_network(tmp_path: Path) -> None:
    graph = small_net(tmp_path, 3)
    batch = batch_of(graph, 3)
    (true,) = forward(graph, [batch], ["logits"])
    (found,) = forward(simulated(plan_of(graph, batch, 16)), [batch], ["logits"])
    np.testing.assert_allclose(found["logits"], true["logits"], rtol=0, atol=2e-3)


def test_a_plan_without_grids_is_the_float_network(tmp_path: Path) -> None:
    graph = small_net(tmp_path)
    batch = batch_of(graph, 2, 1)
    x = {name: value[0] for name, value in batch.items()}
    before, after = run(graph, x)[0], run(simulated(Plan(graph, {}, {})), x)[0]
    np.testing.assert_array_equal(before["y"], after["y"])


def test_biases_are_on_the_grid_of_the_products(tmp_path: Path) -> None:
    graph = small_net(tmp_path)
    plan = plan_of(graph, batch_of(graph, 0))
    layer = next(layer for layer in layers(graph) if layer.bias == "b0")
    step = plan.activations[layer.activations].scale[0] * np.array(
        plan.weights[layer.weights].grid.scale
    )
    np.testing.assert_allclose(real_bias(plan, layer), bias_codes(plan, layer) * step, rtol=1e-15)
    error = np.abs(real_bias(plan, layer) - graph.constants["b0"])
    assert (error <= step / 2 * (1 + 1e-9)).all()
    assert plan.is_integer(layer)


def test_forward_holds_one_batch_at_a_time(tmp_path: Path) -> None:
    graph = small_net(tmp_path)
    drawn = list[int]()

    def stream() -> "list[dict[str, Array]]":  # type: ignore[misc]
        for seed in range(4):
            drawn.append(seed)
            yield batch_of(graph, seed, 2)

    for count, _ in enumerate(forward(graph, stream(), ["logits", "x"]), start=1):
        assert len(drawn) == count


def test_plans_that_cannot_be(tmp_path: Path) -> None:
    graph = small_net(tmp_path)
    plan = plan_of(graph, batch_of(graph, 0))
    (layer, *_) = layers(graph)
    held = plan.weights[layer.weights]
    with pytest.raises(IllegalGraph, match="not the weights of a layer"):
        replace(plan, weights={"w9": held})
    with pytest.raises(IllegalGraph, match="must have shape"):
        replace(plan, weights={layer.weights: replace(held, codes=held.codes[:1])})
    with pytest.raises(IllegalGraph, match="no quantizer belongs at"):
        replace(plan, activations={**plan.activations, "c9": plan.activations["x"]})
    with pytest.raises(IllegalGraph, match="need one grid"):
        replace(plan, activations={n: g for n, g in plan.activations.items() if n != "flat"})
    down = replace(plan.activations["x"], rounding="floor")
    with pytest.raises(Unsupported, match="round 'half_even'"):
        replace(plan, activations={**plan.activations, "x": down})


def test_a_quantized_network_is_no_float_network() -> None:
    import workloads

    with pytest.raises(Unsupported, match="quantized already"):
        prepared(workloads.load("zoo:digits"))
