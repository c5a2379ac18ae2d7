"""Exported `.tflite` files: LiteRT runs them, we read them back, and the bits are the same."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import NodeProto

import workloads
from simulator.graph import Array, Graph
from tests.ops.litert import requires_litert
from tests.ops.onnx_runtime import graph_of, model, node
from tests.quantize.export.operator_values import operators_off
from tests.quantize.export.plans import INT16, UINT8, against_litert, min_max_plan
from tests.shared import absence, expected_folder, shared_folder
from workloads.quantize.export.tflite import to_tflite
from workloads.quantize.ptq import Plan, prepared

needs_shared = pytest.mark.skipif(shared_folder() is None, reason=absence())
NETWORKS = {
    "mlperf_ad_autoencoder": 12.0,
    "mlperf_ic_resnet8": 255.0,
    "mlperf_vww_mobilenetv1_025_96": 1.0,
}
"""Networks and the greatest value of their inputs."""
FORMS: dict[str, dict[str, Any]] = {
    "int8": {},
    "int8, a scale a tensor": {"channels": False},
    "from uint8": {"form": UINT8},
    "int16": {"form": INT16},
    "int4 weights": {"weight_bits": 4},
}


def float_network(name: str) -> Graph:
    return prepared(workloads.load(expected_folder() / "models" / "float" / f"{name}_float.tflite"))


def calibration(name: str, graph: Graph, count: int = 8) -> dict[str, Array]:
    """Real images where shared has them, else uniform values."""
    (given,) = graph.inputs
    shape = (count, *graph.tensors[given].shape)
    if name == "mlperf_ic_resnet8":
        images = labelled()["calibration"][:200]
        return {given: images.astype(np.float32)[:, None]}
    values = np.random.default_rng(1).uniform(0, NETWORKS[name], shape)
    return {given: values.astype(np.float32)}


def labelled() -> Any:
    return np.load(expected_folder() / "data" / "cifar10_eval.npz")


def planned(name: str, **options: Any) -> Plan:
    graph = float_network(name)
    return min_max_plan(graph, calibration(name, graph), **options)


@needs_shared
@requires_litert
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", NETWORKS)
def test_networks_have_litert_bits(name: str, form: str, tmp_path: Path) -> None:
    found = against_litert(to_tflite(planned(name, **FORMS[form])), tmp_path)
    assert (found.differing, found.unseen) == (0, ())
    assert found.values > 3000


@needs_shared
@pytest.mark.parametrize("form", ["int8", "int16", "int4 weights"])
@pytest.mark.parametrize("name", NETWORKS)
def test_operators_of_networks_compute_the_plans_reals(
    name: str, form: str, tmp_path: Path
) -> None:
    graph = float_network(name)
    batch = calibration(name, graph)
    plan = min_max_plan(graph, batch, **FORMS[form])
    path = tmp_path / "exported.tflite"
    path.write_bytes(to_tflite(plan))
    few = {given: values[:4] for given, values in batch.items()}
    assert [off for off in operators_off(plan, workloads.load(path), few) if off.too_far] == []


@needs_shared
@pytest.mark.parametrize("form", FORMS)
def test_weights_stand_for_the_plans(form: str, tmp_path: Path) -> None:
    plan = planned("mlperf_ic_resnet8", **FORMS[form])
    path = tmp_path / "exported.tflite"
    path.write_bytes(to_tflite(plan))
    graph = workloads.load(path)
    assert len(plan.weights) == 10
    for name, held in plan.weights.items():
        quant = graph.tensors[name].quant
        assert quant is not None
        scales = np.array(quant.scale).reshape(-1, *(1,) * (held.codes.ndim - 1))
        np.testing.assert_array_equal(graph.constants[name] * scales, held.real())


@needs_shared
@requires_litert
@pytest.mark.parametrize("form", ["int8", "int16"])
def test_real_ends(form: str, tmp_path: Path) -> None:
    plan = planned("mlperf_ic_resnet8", **FORMS[form])
    found = against_litert(to_tflite(plan, real_ends=True), tmp_path)
    assert found.differing == 0
    graph = workloads.load(tmp_path / "exported.tflite")
    assert (graph.inputs, graph.outputs) == (plan.graph.inputs, plan.graph.outputs)
    assert {graph.tensors[n].dtype for n in (*graph.inputs, *graph.outputs)} == {"float32"}


@needs_shared
@requires_litert
def test_the_vendors_accuracy(tmp_path: Path) -> None:
    """Top-1 of the first 400 labelled images, in LiteRT, beside the vendor's own int8 file."""
    ours = tmp_path / "ours.tflite"
    ours.write_bytes(to_tflite(planned("mlperf_ic_resnet8")))
    vendor = expected_folder() / "models" / "tflite" / "mlperf_ic_resnet8_int8.tflite"
    scores = [top_1(path, 400) for path in (ours, vendor)]
    assert scores[0] >= scores[1] - 0.01


def top_1(path: Path, count: int) -> float:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=str(path), num_threads=1)
    interpreter.allocate_tensors()
    (x,), (y,) = interpreter.get_input_details(), interpreter.get_output_details()
    scale, zero = x["quantization"]
    data = labelled()
    right = 0
    for image, label in zip(data["x"][:count], data["y"][:count], strict=True):
        codes = np.clip(np.rint(image / np.float32(scale)) + zero, -128, 127).astype(np.int8)
        interpreter.set_tensor(x["index"], codes[None])
        interpreter.invoke()
        right += int(interpreter.get_tensor(y["index"])[0].argmax() == label)
    return right / count


@st.composite
def activations(
    draw: st.DrawFn,
    x: str,
    y: str,
    size: list[int],
    channels: int,
    constants: dict[str, Array],
) -> tuple[list[NodeProto], list[int], int]:
    """What stands between two convolutions, and the size and channels of its output."""
    kind = draw(st.sampled_from(["", *FUNCTIONS, "Clip", "Mul", "Add", "Concat", "Split", "Pool"]))
    if kind == "Clip":
        low = draw(st.floats(-1, 0.5, width=32))
        constants[f"{y}low"] = np.array(low, np.float32)
        constants[f"{y}high"] = np.array(low + 1, np.float32)
        return [node("Clip", [x, f"{y}low", f"{y}high"], [y])], size, channels
    if kind in ("Mul", "Add"):
        constants[f"{y}c"] = np.array(draw(st.integers(-20, 20)) / 10, np.float32)
        other = draw(st.sampled_from([x, f"{y}c"]))
        return [node(kind, [x, other], [y])], size, channels
    if kind == "Concat":
        return [node("Concat", [x, x], [y], axis=1)], size, 2 * channels
    if kind == "Split" and channels > 1:
        constants[f"{y}sizes"] = np.array([1, channels - 1])
        parts = node("Split", [x, f"{y}sizes"], [f"{y}0", f"{y}1"], axis=1)
        return [parts, node("Concat", [f"{y}1", f"{y}0"], [y], axis=1)], size, channels
    if kind == "Pool" and min(size) > 1:
        op = draw(st.sampled_from(["MaxPool", "AveragePool"]))
        counted = {"count_include_pad": 1} if op == "AveragePool" else {}
        top = draw(st.integers(0, 1))
        pool = node(op, [x], [y], kernel_shape=[2, 2], pads=[top, 0, 0, 1], **counted)
        return [pool], [size[0] + top - 1, size[1]], channels
    return ([node(kind, [x], [y])] if kind in FUNCTIONS else []), size, channels


FUNCTIONS = ("Relu", "Sigmoid", "Tanh", "LeakyRelu")


@st.composite
def small_networks(draw: st.DrawFn) -> tuple[bytes, int]:
    """An ONNX network of convolutions of every shape, additions and pools, and its seed."""
    seed = draw(st.integers(0, 2**20))
    rng = np.random.default_rng(seed)
    size, channels = [draw(st.integers(4, 9)), draw(st.integers(4, 9))], draw(st.integers(1, 5))
    shape = (1, channels, *size)
    nodes, constants = list[NodeProto](), dict[str, Array]()
    last = "x"
    for k in range(draw(st.integers(1, 3))):
        groups = draw(st.sampled_from([1, channels]))
        filters = groups * draw(st.integers(1, 3)) if groups > 1 else draw(st.integers(1, 6))
        kernel = [draw(st.integers(1, min(3, n))) for n in size]
        pads = [draw(st.integers(0, n - 1)) for n in kernel] * 2
        pads[3] = draw(st.integers(0, 2))
        constants[f"w{k}"] = reals(rng, (filters, channels // groups, *kernel))
        constants[f"b{k}"] = reals(rng, (filters,))
        strides = [draw(st.integers(1, 2)), draw(st.integers(1, 2))]
        options = {"kernel_shape": kernel, "pads": pads, "strides": strides, "group": groups}
        nodes.append(node("Conv", [last, f"w{k}", f"b{k}"], [f"c{k}"], **options))
        last, channels = f"c{k}", filters
        size = [
            (n + pads[i] + pads[i + 2] - kernel[i]) // strides[i] + 1 for i, n in enumerate(size)
        ]
        behind, size, channels = draw(activations(last, f"a{k}", size, channels, constants))
        nodes += behind
        last = behind[-1].output[0] if behind else last
    nodes.append(node("GlobalAveragePool", [last], ["g"]))
    nodes.append(node("Flatten", ["g"], ["f"]))
    constants["w"] = reals(rng, (channels, 5))
    nodes.append(node("Gemm", ["f", "w"], ["l"]))
    nodes.append(node("Softmax", ["l"], ["y"]))
    data = model(nodes, {"x": ("float32", shape)}, {"y": "float32"}, constants)
    return data, seed


def reals(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    return rng.standard_normal(shape).astype(np.float32)


@requires_litert
@settings(
    max_examples=25,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(drawn=small_networks(), form=st.sampled_from(list(FORMS)))
def test_networks_of_any_shape(drawn: tuple[bytes, int], form: str, tmp_path: Path) -> None:
    """0 values differ from LiteRT's."""
    plan, _ = random_plan(drawn, form, tmp_path)
    found = against_litert(to_tflite(plan), tmp_path, seed=drawn[1])
    assert (found.differing, found.unseen) == (0, ())


@settings(
    max_examples=150,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(drawn=small_networks(), form=st.sampled_from(list(FORMS)))
def test_operators_compute_the_plans_reals(
    drawn: tuple[bytes, int], form: str, tmp_path: Path
) -> None:
    """Each on what it reads in the exported network: off by the roundings of its kernel alone."""
    plan, batch = random_plan(drawn, form, tmp_path)
    path = tmp_path / "exported.tflite"
    path.write_bytes(to_tflite(plan))
    each = list(operators_off(plan, workloads.load(path), batch))
    assert len(each) == sum(len(n.outputs) for n in plan.graph.nodes)
    for off in each:
        assert not off.too_far, (off, [n.op for n in plan.graph.nodes])


def random_plan(drawn: tuple[bytes, int], form: str, folder: Path) -> tuple[Plan, dict[str, Array]]:
    """With min-max ranges of 8 samples, which are given too."""
    data, seed = drawn
    graph = prepared(graph_of(data, folder))
    (given_input,) = graph.inputs
    shape = (8, *graph.tensors[given_input].shape)
    batch = {given_input: reals(np.random.default_rng(seed), shape)}
    return min_max_plan(graph, batch, **FORMS[form]), batch
