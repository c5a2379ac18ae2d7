"""AQT's product in the engine against its formula in Python integers, and what it refuses."""

from itertools import product
from math import floor
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from simulator.errors import IllegalGraph, Unsupported
from simulator.execute import run
from simulator.graph import Array, Graph
from tests.ops.onnx_runtime import graph_of, model, node
from tests.quantize.ptq.test_plan import small_net
from tests.test_float_onnx import reals
from workloads.float_graph import Layer, layers, with_constants, with_outputs
from workloads.quantize.aqt import EPSILON
from workloads.quantize.aqt_network import AqtLayer, aqt_network
from workloads.quantize.ptq import prepared

pytest.importorskip("onnxruntime")
F = np.float32


def one_layer(folder: Path, groups: int, pads: int, stride: int, bias: bool) -> Graph:
    rng = Random(f"{groups} {pads} {stride}")
    constants: dict[str, Array] = {"w": reals(rng, (6, 6 // groups, 3, 2), 54 // groups)}
    names = ["x", "w"]
    if bias:
        constants["b"] = reals(rng, (6,))
        names.append("b")
    settings = {"pads": [pads] * 4, "strides": [stride, stride], "group": groups}
    nodes = [
        node("Conv", names, ["c"], kernel_shape=[3, 2], **settings),
        node("Relu", ["c"], ["y"]),
    ]
    data = model(nodes, {"x": ("float32", (1, 6, 5, 6))}, {"y": "float32"}, constants)
    return prepared(graph_of(data, folder))


def by_formula(graph: Graph, layer: Layer, x: Array, settings: AqtLayer) -> NDArray[np.int64]:
    """The integer sums, tap by tap: floor(clip(x s) + 1/2) times floor(w t / s + 1/2)."""
    w = graph.constants[layer.weights]
    top = {"signed": 2 ** (settings.activation_bits - 1) - 1}.get(
        settings.form, 2**settings.activation_bits
    )
    bounds = np.broadcast_to(np.asarray(settings.bound, np.float64), (x.shape[-1],))
    s = [float(F(top / (b + EPSILON))) for b in bounds.tolist()]
    each = w.shape[3]
    per_group = w.shape[0] // layer.groups
    window = layer.node.op.windows  # type: ignore[attr-defined]
    (sy, sx), (top_pad, left, _, _) = window.stride, window.padding
    _, rows, columns, filters = graph.tensors[layer.output].shape
    sums = np.zeros((1, rows, columns, filters), np.int64)
    limit = 2 ** (settings.weight_bits - 1) - 1
    for f in range(filters):
        start = f // per_group * each
        scaled = [
            [
                [float(w[f, ky, kx, c] * (F(1) / F(s[start + c]))) for c in range(each)]
                for kx in range(w.shape[2])
            ]
            for ky in range(w.shape[1])
        ]
        t = limit / (max(abs(v) for a in scaled for b in a for v in b) + EPSILON)
        codes = [
            [[floor(min(max(v * t, -limit), limit) + 0.5) for v in b] for b in a] for a in scaled
        ]
        for oy, ox in product(range(rows), range(columns)):
            total = 0
            for ky, kx, c in product(range(w.shape[1]), range(w.shape[2]), range(each)):
                iy, ix = oy * sy + ky - top_pad, ox * sx + kx - left
                if 0 <= iy < x.shape[1] and 0 <= ix < x.shape[2]:
                    code = code_of(x[0, iy, ix, start + c], s[start + c], settings)
                    total += code * codes[ky][kx][c]
            sums[0, oy, ox, f] = total
    return sums


def code_of(x: Any, s: float, settings: AqtLayer) -> int:
    scaled = F(x) * F(s)
    if settings.form == "unsigned":
        highest: int = 2**settings.activation_bits - 1
        return min(max(floor(float(scaled)), 0), highest)
    top = F(2 ** (settings.activation_bits - 1) - 1)
    return floor(float(min(max(scaled, -top), top) + F(0.5)))


@pytest.mark.parametrize("form", ["signed", "unsigned"])
@pytest.mark.parametrize("by_channel", [False, True])
@pytest.mark.parametrize(("groups", "pads", "stride"), [(1, 1, 1), (2, 0, 2), (6, 1, 1)])
def test_sums_of_a_convolution_are_the_formulas(
    groups: int, pads: int, stride: int, by_channel: bool, form: Any, tmp_path: Path
) -> None:
    graph = one_layer(tmp_path, groups, pads, stride, bias=True)
    (layer,) = layers(graph)
    rng = np.random.default_rng(groups)
    bound = rng.uniform(0.1, 4, 6) if by_channel else 2.5
    settings = AqtLayer(int(rng.integers(2, 9)), int(rng.integers(2, 9)), bound, form)
    made = aqt_network(graph, {layer.weights: settings})
    x = rng.normal(0, 2, (1, 6, 5, 6)).astype(F)
    names = [f"{layer.output}/accumulators", layer.output]
    sums, real = (run(with_outputs(made, names), {"x": x})[0][n] for n in names)
    wanted = by_formula(graph, layer, x.transpose(0, 2, 3, 1), settings)
    np.testing.assert_array_equal(sums, wanted)
    assert np.abs(wanted).max() > 3
    scale = made.constants[f"{layer.output}/scale"]
    after = np.maximum(wanted.astype(F) * scale + graph.constants[layer.bias], 0)
    np.testing.assert_array_equal(real, after)


def test_a_bound_an_input_channel_beats_one_for_all(tmp_path: Path) -> None:
    """Channels of sizes 1/32 to 32: one bound leaves the small ones no codes."""
    graph = one_layer(tmp_path, 1, 1, 1, bias=False)
    (layer,) = layers(graph)
    sizes = 2.0 ** np.linspace(-5, 5, 6)
    weights = graph.constants[layer.weights] / sizes.astype(F)
    graph = with_constants(graph, {layer.weights: weights})
    errors = []
    x = (np.random.default_rng(0).normal(0, 1, (1, 6, 5, 6)) * sizes[:, None, None]).astype(F)
    true = run(graph, {"x": x})[0]["y"]
    largest = np.abs(x).max(axis=(0, 2, 3)).astype(np.float64)
    for bound in (float(largest.max()), largest):
        made = aqt_network(graph, {layer.weights: AqtLayer(8, 8, bound)})
        errors.append(float(np.square(run(made, {"x": x})[0]["y"] - true).mean()))
    assert errors[1] < errors[0] / 100


def test_a_whole_network_is_near_the_float_one(tmp_path: Path) -> None:
    graph = small_net(tmp_path)
    settings = {layer.weights: AqtLayer(8, 8, 4.0) for layer in layers(graph)}
    made = aqt_network(graph, settings)
    assert {"conv_integer", "matmul_integer"} <= {n.op.kind for n in made.nodes}
    assert not any(n.op.kind.startswith(("float_conv", "float_mat")) for n in made.nodes)
    x = np.random.default_rng(1).normal(0, 1, (1, 4, 6, 7)).astype(F)
    before, after = (run(g, {"x": x})[0]["y"] for g in (graph, made))
    assert 0 < np.abs(after - before).max() < 0.02


def test_widths_are_those_that_machines_are_asked_for(tmp_path: Path) -> None:
    graph = one_layer(tmp_path, 1, 0, 1, bias=True)
    (layer,) = layers(graph)
    made = aqt_network(graph, {layer.weights: AqtLayer(4, 3, 1.0, "unsigned")})
    (found,) = [n for n in made.nodes if n.op.kind == "conv_integer"]
    inputs = [made.tensors[name] for name in found.inputs]
    work = found.op.work(inputs, [made.tensors[found.outputs[0]]])
    assert (work.weight_bits, work.activation_bits) == (4, 3)


def test_what_no_integer_product_carries(tmp_path: Path) -> None:
    graph = one_layer(tmp_path, 1, 1, 1, bias=True)
    (layer,) = layers(graph)
    with pytest.raises(Unsupported, match=r"shape \(5, 6\).*cannot be folded"):
        aqt_network(graph, {layer.weights: AqtLayer(8, 8, np.ones((5, 6)))})
    with pytest.raises(Unsupported, match="half_shift has no code for 0"):
        aqt_network(graph, {layer.weights: AqtLayer(8, 8, 1.0, "half_shift")})
    with pytest.raises(Unsupported, match="up to 8 bits"):
        aqt_network(graph, {layer.weights: AqtLayer(8, 16, 1.0)})
    with pytest.raises(IllegalGraph, match="not the weights of a layer"):
        aqt_network(graph, {"w9": AqtLayer(8, 8, 1.0)})
    flat = small_net(tmp_path)
    last = layers(flat)[-1]
    aqt_network(flat, {last.weights: AqtLayer(8, 8, np.ones(72))})
