"""The sound models that the fuzzer damages: made by the project's builders, and the shared ones."""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any, Final

import numpy as np
from onnx import helper

from tests.conformance.cases import cases_root
from tests.ops.onnx_runtime import model, node
from tests.ops.oracles import one_op_kinds, oracle_of
from tests.shared import shared_folder
from workloads.zoo import digits

LARGEST_BYTES: Final = 400_000
"""Larger shared models are left out: most of their bytes are weights."""

Nodes = list[tuple[str, list[str], list[str], dict[str, Any]]]


def seeds() -> dict[str, bytes]:
    """Every seed by name, which ends in `.tflite` or `.onnx`; the same names on every machine
    where the same shared folder lies.
    """
    found = {"digits.tflite": digits.model_path().read_bytes()}
    found |= dict(_tflite_operators())
    found |= {f"{name}.onnx": data for name, data in _onnx_networks().items()}
    found |= dict(_shared())
    return found


def _tflite_operators() -> Iterator[tuple[str, bytes]]:
    for kind in one_op_kinds():
        for i, one in enumerate(islice(oracle_of(kind).one_ops(Random(f"{kind} fuzz"), 4), 2)):
            yield f"{kind}_{i}.tflite", one.model()


def _shared() -> Iterator[tuple[str, bytes]]:
    shared = shared_folder()
    if shared is None:
        return
    for folder in (shared / "models", cases_root()):
        for path in sorted((*folder.rglob("*.tflite"), *folder.rglob("*.onnx"))):
            if path.stat().st_size <= LARGEST_BYTES:
                yield _name(path, folder), path.read_bytes()


def _name(path: Path, folder: Path) -> str:
    return "/".join(path.relative_to(folder).parts)


def _onnx_networks() -> dict[str, bytes]:
    return {
        "qlinear": _qlinear(),
        "fake_quantized": _fake_quantized(),
        "reals": _reals(),
        "moved": _moved(),
        "qonnx": _qonnx(),
        "pulp": _pulp(),
        "dynamic": _dynamic(),
    }


def _made(
    nodes: Nodes, shape: tuple[int, ...], constants: dict[str, Any], opset: int = 13
) -> bytes:
    made = [node(op, inputs, outputs, **attributes) for op, inputs, outputs, attributes in nodes]
    return model(made, {"x": ("float32", shape)}, {"y": "float32"}, constants, opset)


GRID: Final = {"s": np.float32(0.1), "z": np.uint8(7), "i8": np.int8(0), "ws": np.float32(0.02)}
IMAGE: Final = (1, 3, 4, 4)
WEIGHTS: Final = np.arange(-27, 27, dtype=np.int8).reshape(2, 3, 3, 3)
SAME: Final = {"pads": [1, 1, 1, 1], "strides": [1, 1], "kernel_shape": [3, 3]}


def _qlinear() -> bytes:
    grid = ["s", "z"]
    pair = ["c", *grid, "c", *grid, *grid]
    pool = {"kernel_shape": [2, 2], "strides": [2, 2]}
    nodes: Nodes = [
        ("QuantizeLinear", ["x", *grid], ["q"], {}),
        ("QLinearConv", ["q", *grid, "w", "ws", "i8", *grid, "b"], ["c"], SAME),
        ("QLinearAdd", pair, ["a"], {}),
        ("QLinearMul", ["a", *grid, "c", *grid, *grid], ["m"], {}),
        ("QLinearSigmoid", ["m", *grid, *grid], ["g"], {}),
        ("QLinearLeakyRelu", ["g", *grid, *grid], ["l"], {"alpha": 0.1}),
        ("QLinearAveragePool", ["l", *grid, *grid], ["p"], pool),
        ("QLinearConcat", [*grid, "p", *grid, "p", *grid], ["k"], {"axis": 1}),
        ("QLinearGlobalAveragePool", ["k", *grid, *grid], ["v"], {}),
        ("Reshape", ["v", "flat"], ["f"], {}),
        ("QLinearMatMul", ["f", *grid, "d", "ws", "i8", *grid], ["h"], {}),
        ("QLinearSoftmax", ["h", *grid, *grid], ["t"], {"axis": 1, "opset": 13}),
        ("DequantizeLinear", ["t", *grid], ["y"], {}),
    ]
    own: dict[str, Any] = {
        "w": WEIGHTS,
        "b": np.array([5, -9], np.int32),
        "flat": np.array([1, 4]),
        "d": np.arange(-6, 6, dtype=np.int8).reshape(4, 3),
    }
    return _made(nodes, IMAGE, {**GRID, **own})


def _fake_quantized() -> bytes:
    nodes: Nodes = [
        ("QuantizeLinear", ["x", "s", "z"], ["q"], {}),
        ("DequantizeLinear", ["q", "s", "z"], ["r"], {}),
        ("DequantizeLinear", ["w", "cs", "cz"], ["wr"], {"axis": 0}),
        ("DequantizeLinear", ["b", "bs"], ["br"], {"axis": 0}),
        ("Conv", ["r", "wr", "br"], ["c"], SAME),
        ("Relu", ["c"], ["e"], {}),
        ("QuantizeLinear", ["e", "s", "z"], ["eq"], {}),
        ("DequantizeLinear", ["eq", "s", "z"], ["er"], {}),
        ("MaxPool", ["er"], ["p"], {"kernel_shape": [2, 2], "strides": [2, 2]}),
        ("Add", ["p", "p"], ["a"], {}),
        ("QuantizeLinear", ["a", "s", "z"], ["aq"], {}),
        ("DequantizeLinear", ["aq", "s", "z"], ["ar"], {}),
        ("Flatten", ["ar"], ["f"], {"axis": 1}),
        ("DequantizeLinear", ["d", "ws", "i8"], ["dr"], {}),
        ("Gemm", ["f", "dr"], ["g"], {"transB": 1}),
        ("QuantizeLinear", ["g", "s", "z"], ["gq"], {}),
        ("DequantizeLinear", ["gq", "s", "z"], ["y"], {}),
    ]
    own: dict[str, Any] = {
        "w": WEIGHTS,
        "cs": np.array([0.02, 0.01], np.float32),
        "cz": np.zeros(2, np.int8),
        "b": np.array([5, -9], np.int32),
        "bs": np.array([0.002, 0.001], np.float32),
        "d": np.arange(-12, 12, dtype=np.int8).reshape(3, 8),
    }
    return _made(nodes, IMAGE, {**GRID, **own})


def _reals() -> bytes:
    nodes: Nodes = [
        ("Conv", ["x", "w", "b"], ["c"], {**SAME, "dilations": [1, 1], "group": 1}),
        ("BatchNormalization", ["c", "b", "b", "b", "v"], ["n"], {"epsilon": 1e-3}),
        ("Clip", ["n", "low", "high"], ["k"], {}),
        ("AveragePool", ["k"], ["p"], {"kernel_shape": [2, 2], "count_include_pad": 1}),
        ("ReduceMean", ["p"], ["m"], {"axes": [2, 3], "keepdims": 0}),
        ("MatMul", ["m", "d"], ["h"], {}),
        ("Mul", ["h", "v3"], ["u"], {}),
        ("Div", ["u", "v3"], ["t"], {}),
        ("Pow", ["t", "v3"], ["o"], {}),
        ("Tanh", ["o"], ["a"], {}),
        ("Softmax", ["a"], ["y"], {"axis": -1}),
    ]
    own: dict[str, Any] = {
        "w": WEIGHTS.astype(np.float32) / 50,
        "b": np.array([0.5, 0.25], np.float32),
        "v": np.array([1.5, 0.75], np.float32),
        "v3": np.array([1.5, 2, 3], np.float32),
        "low": np.float32(-1),
        "high": np.float32(3),
        "d": np.linspace(-1, 1, 6, dtype=np.float32).reshape(2, 3),
    }
    return _made(nodes, IMAGE, own)


def _moved() -> bytes:
    nodes: Nodes = [
        ("Transpose", ["x"], ["t"], {"perm": [0, 2, 3, 1]}),
        ("Pad", ["t", "pads"], ["p"], {"mode": "constant"}),
        ("Slice", ["p", "from", "to", "axes", "steps"], ["s"], {}),
        ("Split", ["s", "parts"], ["a", "b"], {"axis": 3}),
        ("Concat", ["a", "b", "b"], ["c"], {"axis": 3}),
        ("Gather", ["c", "rows"], ["g"], {"axis": 1}),
        ("Reshape", ["g", "flat"], ["f"], {}),
        ("Unsqueeze", ["f", "axes"], ["u"], {}),
        ("Squeeze", ["u", "axes"], ["q"], {}),
        ("ReduceSum", ["q", "axes"], ["y"], {"keepdims": 1}),
    ]
    own: dict[str, Any] = {
        "pads": np.array([0, 1, 0, 0, 0, 1, 0, 0]),
        "from": np.array([1]),
        "to": np.array([5]),
        "axes": np.array([1]),
        "steps": np.array([2]),
        "parts": np.array([1, 2]),
        "rows": np.array([1, 0, 1]),
        "flat": np.array([1, -1]),
    }
    return _made(nodes, IMAGE, own)


def _general(op: str, inputs: list[str], outputs: list[str], **attributes: Any) -> Any:
    domain = "qonnx.custom_op.general"
    return helper.make_node(op, inputs, outputs, domain=domain, **attributes)


def _qonnx() -> bytes:
    quant = {"signed": 1, "narrow": 0, "rounding_mode": "ROUND"}
    nodes = [
        _general("Quant", ["x", "sc", "zp", "b4"], ["q"], **quant),
        _general("Quant", ["w", "sc", "zp", "b4"], ["wq"], **quant),
        node("Conv", ["q", "wq"], ["c"], **SAME),
        _general("MultiThreshold", ["c", "th"], ["m"], out_dtype="UINT2", out_scale=1.0),
        _general("BipolarQuant", ["m", "sc"], ["b"]),
        _general("Quant", ["b", "sc", "zp", "b4"], ["g"], **quant),
        _general("Trunc", ["g", "sc", "zp", "b4", "b2"], ["y"], rounding_mode="FLOOR"),
    ]
    own: dict[str, Any] = {
        "w": WEIGHTS.astype(np.float32) / 8,
        "sc": np.float32(0.5),
        "zp": np.float32(0),
        "b4": np.float32(4),
        "b2": np.float32(2),
        "th": np.array([[-1, 0, 1], [0, 2, 4]], np.float32),
    }
    return model(nodes, {"x": ("float32", IMAGE)}, {"y": "float32"}, own, 11)


def _pulp() -> bytes:
    def number(value: float) -> Any:
        from onnx import numpy_helper

        return numpy_helper.from_array(np.array(value, np.float32))

    shift = {"div": number(16), "n_levels_out": number(256), "signed": number(1)}
    nodes = [
        node("Conv", ["x", "w"], ["c"], **SAME),
        helper.make_node("RequantShift", ["c", "m", "a"], ["r"], domain="PACTOps", **shift),
        node("MaxPool", ["r"], ["p"], kernel_shape=[2, 2], strides=[2, 2]),
        node("Flatten", ["p"], ["f"]),
        node("Gemm", ["f", "d"], ["g"], transB=1),
        helper.make_node("RequantShift", ["g", "m1", "a1"], ["y"], domain="PACTOps", **shift),
    ]
    own: dict[str, Any] = {
        "w": WEIGHTS.astype(np.float32),
        "m": np.array([3, 5], np.float32).reshape(1, 2, 1, 1),
        "a": np.array([8, 0], np.float32).reshape(1, 2, 1, 1),
        "m1": np.float32(3),
        "a1": np.float32(8),
        "d": np.arange(-12, 12).reshape(3, 8).astype(np.float32),
    }
    return model(nodes, {"x": ("float32", IMAGE)}, {"y": "float32"}, own, 11)


def _dynamic() -> bytes:
    nodes: Nodes = [
        ("DynamicQuantizeLinear", ["x"], ["q", "qs", "qz"], {}),
        ("ConvInteger", ["q", "w", "qz"], ["c"], SAME),
        ("Cast", ["c"], ["r"], {"to": 1}),
        ("Mul", ["r", "qs"], ["m"], {}),
        ("Flatten", ["m"], ["f"], {}),
        ("DynamicQuantizeLinear", ["f"], ["g", "gs", "gz"], {}),
        ("MatMulInteger", ["g", "d", "gz"], ["h"], {}),
        ("Cast", ["h"], ["y"], {"to": 1}),
    ]
    own = {"w": WEIGHTS, "d": np.arange(-48, 48).reshape(32, 3).astype(np.int8)}
    return _made(nodes, IMAGE, own)
