"""`bitlane validate --against onnxruntime`: outputs, and node by node every tensor."""

import importlib.util
import json
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import onnx
import pytest
from onnx import numpy_helper

import workloads
from analysis.validate import LayerComparison, Validation
from simulator.graph import Array
from tests.cli.command import Run
from tests.cli.schemas import VALIDATE
from tests.ops.onnx_runtime import model, node, runtime

requires_runtime = pytest.mark.skipif(
    importlib.util.find_spec("onnxruntime") is None,
    reason="the extra 'reference' is not installed",
)
LEVELS = ("onnxruntime", "onnxruntime-unfused")
GRID = ("s", "z")
WEIGHTS = np.random.default_rng(4).integers(-90, 90, (4, 3, 3, 3)).astype(np.int8)


@pytest.fixture
def convolutions(tmp_path: Path) -> Path:
    """Two QLinearConv in NCHW, the first of which no output shows."""
    last = WEIGHTS[:, :, :1, :1].repeat(2, axis=1)[:, :4]
    constants: dict[str, Array] = {
        "s": np.array(0.1, np.float32),
        "z": np.array(7, np.uint8),
        "zero": np.array(0, np.int8),
        "ws": np.array(0.004, np.float32),
        "first": WEIGHTS,
        "last": np.ascontiguousarray(last),
    }
    nodes = [
        node("QuantizeLinear", ["x", *GRID], ["q"]),
        node("QLinearConv", ["q", *GRID, "first", "ws", "zero", *GRID], ["c"]),
        node("QLinearConv", ["c", *GRID, "last", "ws", "zero", *GRID], ["d"]),
        node("DequantizeLinear", ["d", *GRID], ["y"]),
    ]
    path = tmp_path / "convolutions.onnx"
    given = {"x": ("float32", (1, 3, 6, 5))}
    path.write_bytes(model(nodes, given, {"y": "float32", "d": "uint8"}, constants))
    return path


def flipped(path: Path, name: str) -> Path:
    """A copy with one bit of one weight changed."""
    proto = onnx.load(path)
    tensor = next(t for t in proto.graph.initializer if t.name == name)
    codes = numpy_helper.to_array(tensor).copy()
    codes.flat[codes.size // 2] ^= 0x40
    tensor.CopyFrom(numpy_helper.from_array(codes, name))
    other = path.with_name("flipped.onnx")
    onnx.save(proto, other)
    return other


def document(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    jsonschema.validate(found, VALIDATE)
    return found


@requires_runtime
@pytest.mark.parametrize("against", LEVELS)
def test_bit_exact(against: str, bitlane: Run, convolutions: Path, tmp_path: Path) -> None:
    out = tmp_path / "v.json"
    arguments = ("validate", convolutions, "--against", against, "--samples", "3", "--json", out)
    outcome = bitlane(*arguments)
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.out.endswith("0 values differ: bit-exact.\n")
    found = document(out)
    assert (found["against"], found["seed"], found["bit_exact"]) == (against, 0, True)
    # c, d and y are (1, 4, 4, 3); x and q (1, 3, 6, 5). Ours has q and d in two layouts.
    elements = {"q": 90, "c": 48, "d": 48, "y": 48}
    for layer in found["layers"]:
        name = layer["tensor"].removesuffix("@nhwc")
        shown = against == "onnxruntime-unfused" or name in ("d", "y")
        if name in elements:
            assert layer["values"] == (3 * elements[name] if shown else 0), layer
            assert (layer["tensor"] in found["unseen"]) is not shown
    assert found["values"] == sum(layer["values"] for layer in found["layers"])


@requires_runtime
@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize(("weights", "place"), [("first", 0), ("last", 1)])
def test_a_flipped_weight_names_the_first_layer_shown(
    level: str, weights: str, place: int, bitlane: Run, convolutions: Path, tmp_path: Path
) -> None:
    """Its element and value are those of the runtime, and no reason is told of hidden operands."""
    out, other = tmp_path / "v.json", flipped(convolutions, weights)
    x = np.random.default_rng(2).standard_normal((1, 3, 6, 5)).astype(np.float32)
    np.savez(tmp_path / "x.npz", x=x)
    compare = ("--against", level, "--reference-model", other, "--inputs", tmp_path / "x.npz")
    outcome = bitlane("validate", convolutions, *compare, "--json", out)
    assert (outcome.code, outcome.err) == (1, "")
    found = document(out)
    graph = workloads.load(convolutions, level)
    multiplying = [n for n in graph.nodes if n.op.kind == "conv_2d"]
    named = multiplying[1 if level == "onnxruntime" else place]
    assert found["first_differing_node"] == named.name
    assert (found["explanation"] is None) is (level == "onnxruntime")
    layers = {layer["tensor"]: layer for layer in found["layers"]}
    y, d = runtime(other.read_bytes(), {"x": x}, optimized=level == "onnxruntime")
    ours = runtime(convolutions.read_bytes(), {"x": x}, optimized=level == "onnxruntime")
    assert layers["y"]["differing"] == np.count_nonzero(y != ours[0]) > 0
    assert layers["d"]["differing"] == np.count_nonzero(d != ours[1]) > 0
    index = tuple(layers["d"]["first"]["index"])
    assert layers["d"]["first"]["ours"] == ours[1][index]
    assert layers["d"]["first"]["reference"] == d[index]


@requires_runtime
def test_functions_of_reals_differ_alone(bitlane: Run, shared: Path, tmp_path: Path) -> None:
    """Softmax's last bit depends on the instruction set; all before it is equal."""
    path, out = shared / "models/onnx/mlperf_dscnn_qdq_tf2onnx.onnx", tmp_path / "v.json"
    arguments = ("validate", path, "--against", "onnxruntime-unfused", "--samples", "1")
    outcome = bitlane(*arguments, "--json", out)
    found = document(out)
    assert outcome.code == int(not found["bit_exact"])
    assert {layer["op"] for layer in found["layers"] if layer["differing"]} <= {"float_softmax"}
    assert all(layer["max_abs_difference"] < 1e-6 for layer in found["layers"])


@requires_runtime
def test_a_public_network_is_bit_exact(bitlane: Run, shared: Path) -> None:
    path = shared / "models/onnx/ort_resnet8_qop_u8s8_pc.onnx"
    outcome = bitlane("validate", path, "--against", "onnxruntime", "--samples", "2")
    assert (outcome.code, outcome.err) == (0, "")
    assert "compared: Identity; the reference shows no other of 20\n" in outcome.out


def test_files_of_the_other_runtime(bitlane: Run, convolutions: Path) -> None:
    tflite = bitlane("validate", "zoo:digits", "--against", "onnxruntime")
    assert (tflite.code, tflite.out) == (2, "")
    assert tflite.err == (
        "bitlane: digits_cnn.tflite: --against onnxruntime runs .onnx files; found '.tflite'; "
        "choose --against litert-ref\n"
    )
    onnx_file = bitlane("validate", convolutions, "--against", "litert-ref")
    assert (onnx_file.code, onnx_file.out) == (2, "")
    assert onnx_file.err == (
        "bitlane: convolutions.onnx: --against litert-ref runs .tflite files; found '.onnx'; "
        "choose --against onnxruntime or onnxruntime-unfused\n"
    )


@requires_runtime
@pytest.mark.parametrize("against", LEVELS)
def test_the_runtime_refuses(
    against: str, bitlane: Run, convolutions: Path, tmp_path: Path
) -> None:
    words, other = tmp_path / "words.onnx", tmp_path / "other.onnx"
    words.write_text("no model")
    nodes = [node("Relu", ["x"], ["y"])]
    other.write_bytes(model(nodes, {"x": ("float32", (2, 2))}, {"y": "float32"}, {}))
    arguments = ("validate", convolutions, "--against", against, "--reference-model")
    for file, told in (
        (words, f"words.onnx: {against} refuses the model: "),
        (other, f"other.onnx: {against} refuses the inputs: Invalid rank for input: x"),
    ):
        outcome = bitlane(*arguments, file)
        assert (outcome.code, outcome.out) == (2, "")
        assert outcome.err.startswith(f"bitlane: {told}")
        assert outcome.err.count("\n") == 1


def test_the_sign_of_a_zero_is_a_bit() -> None:
    layer = LayerComparison("float_unary_0", "float_unary", "y")
    layer.add(0, np.array([0.0, -0.0, 2], np.float32), np.array([-0.0, -0.0, 2], np.float32))
    assert (layer.differing, layer.max_abs_difference) == (1, 0)
    assert layer.first is not None
    assert layer.first.index == (0,)


def test_values_that_are_not_finite() -> None:
    """NaN equals NaN; JSON has null for what it cannot hold."""
    layer = LayerComparison("float_unary_0", "float_unary", "y")
    reals = np.array([1, np.nan, np.inf, np.nan], np.float32)
    layer.add(0, reals, reals.copy())
    assert layer.differing == 0
    layer.add(1, reals, np.array([1, np.nan, 5, np.nan], np.float32))
    assert (layer.differing, layer.values) == (1, 8)
    outcome = Validation("m.onnx", "onnxruntime", "onnxruntime", 2, 0, (layer,), "standard normal")
    found = outcome.to_json_dict()
    jsonschema.validate(json.loads(json.dumps(found, allow_nan=False)), VALIDATE)
    first = found["layers"][0]["first"]
    assert first == {"sample": 1, "index": (2,), "ours": None, "reference": 5.0}
