"""The TFLite reader: what it takes over exactly, and what it refuses, in its exact words."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import workloads
from simulator.errors import BadFile, BitlaneError, IllegalGraph, Unsupported
from simulator.execute import run
from simulator.graph import QuantParams
from simulator.numeric.dialect import dialect
from tests.ops import flatbuffer as fb
from tests.ops.build import OneOp, tensor
from tests.ops.models import (
    ACTIVATION,
    BIAS,
    FEATURES,
    IMAGE,
    KNOWN,
    POOL,
    ROW,
    WEIGHTS,
    as_float,
    bare,
    conv,
    load,
    one,
)
from workloads.tflite.reader import read
from workloads.tflite.writer import OperatorSpec, TensorSpec, write_model


def reshapes(*names: str, codes: int = 1) -> bytes:
    """Reshapes in a row over tensors of these names; `codes` versions of the operator in turn."""
    specs = [TensorSpec(n, (4,), "int8", (0.5,), (0,)) for n in names]
    nodes = [
        OperatorSpec("RESHAPE", (i,), (i + 1,), version=1 + i % codes)
        for i in range(len(names) - 1)
    ]
    return write_model(specs, nodes, [0], [len(names) - 1])


NODE = "m.tflite, node 0 (CONV_2D)"
UNQUANTIZED = (
    "has no quantization parameters. Only fully quantized graphs run here; quantize the model "
    "first."
)
NAN, INFINITY = float("nan"), float("inf")


def poked(make: Any, *arguments: Any) -> bytes:
    return fb.damaged(conv(), make(*arguments))


REFUSALS: dict[str, tuple[bytes, type[BitlaneError], str]] = {
    "empty file": (b"", BadFile, "{path}: the file is empty; export the model again"),
    "no flatbuffer": (
        b"Hello, reader of models!",
        BadFile,
        "{path}: not a TFLite model: bytes 4-7 are b'o, r', not b'TFL3'; give a .tflite flatbuffer",
    ),
    "four bytes": (
        b"TFL3",
        BadFile,
        "{path}: not a TFLite model: bytes 4-7 are b'', not b'TFL3'; give a .tflite flatbuffer",
    ),
    "another identifier": (
        conv().replace(b"TFL3", b"TFL2", 1),
        BadFile,
        "{path}: not a TFLite model: bytes 4-7 are b'TFL2', not b'TFL3'; give a .tflite flatbuffer",
    ),
    "only the header": (
        conv()[:8],
        BadFile,
        "{path}: the file is truncated or damaged: one of its tables leads outside its "
        "8 bytes; fetch or export it again",
    ),
    "unknown operator": (
        one("BROADCAST_ARGS", {}, ROW, ROW, ROW),
        Unsupported,
        "m.tflite, node 0 (BROADCAST_ARGS): operator BROADCAST_ARGS is not supported. "
        f"Supported: {KNOWN}.",
    ),
    "operator of a later schema": (
        poked(fb.code_edit, 0, 9999),
        Unsupported,
        f"m.tflite, node 0 (code 9999): operator code 9999 is not supported. Supported: {KNOWN}.",
    ),
    "operator code out of range": (
        fb.damaged(
            reshapes("a", "b", "c", codes=2), fb.node_edit(1, fb.put_scalar, fb.NODE_CODE, "I", 7)
        ),
        BadFile,
        "m.tflite: operator code 7 does not exist; the file is damaged",
    ),
    "activation without quantization": (
        conv(x=bare(IMAGE)),
        IllegalGraph,
        f"{NODE}: the input {UNQUANTIZED}",
    ),
    "output without quantization": (
        conv(y=bare(FEATURES)),
        IllegalGraph,
        f"{NODE}: the output {UNQUANTIZED}",
    ),
    "weights without quantization": (
        conv(w=bare(WEIGHTS)),
        IllegalGraph,
        f"{NODE}: the weight tensor {UNQUANTIZED}",
    ),
    "real activations, coded weights": (
        conv(as_float(IMAGE), WEIGHTS, as_float(BIAS), as_float(FEATURES)),
        Unsupported,
        f"{NODE}: input 1 must be float32 or float64; found int8. "
        "Convert the model to full integer quantization.",
    ),
    "unsigned input": (
        conv(x=tensor((1, 2, 2, 2), 0.5, 3, dtype="uint8")),
        Unsupported,
        f"{NODE}: input 1 must be uint8; found int8. "
        "Convert the model to full integer quantization.",
    ),
    "computed weights": (
        conv(stored=(2,)),
        Unsupported,
        f"{NODE}: weights must be constant; input 1 is computed at run time. "
        "Fold it before export.",
    ),
    "asymmetric weights": (
        conv(w=tensor((4, 1, 1, 2), 0.5, 1)),
        IllegalGraph,
        f"{NODE}: int8 weights must have zero point 0",
    ),
    "activation per channel": (
        conv(x=tensor((1, 2, 2, 2), (0.5, 0.25), axis=3)),
        IllegalGraph,
        f"{NODE}: the input must have one scale; found 2. Only weights may be quantized per "
        "channel.",
    ),
    "fused TANH": (
        conv(fused_activation_function="TANH"),
        Unsupported,
        f"{NODE}: fused activation must be one of NONE, RELU, RELU6, RELU_N1_TO_1; found TANH. "
        "Export it as its own op.",
    ),
    "options left to their defaults": (
        one("AVERAGE_POOL_2D", {}, IMAGE, IMAGE),
        IllegalGraph,
        "m.tflite, average_pool_2d_0: pooling needs a 4-D input, filter and stride >= 1; "
        "found (1, 2, 2, 2), (0, 0), (0, 0)",
    ),
    "pooling between grids": (
        one("AVERAGE_POOL_2D", POOL, IMAGE, tensor((1, 2, 2, 2), 0.25, 3)),
        Unsupported,
        "m.tflite, node 0 (AVERAGE_POOL_2D): pooling keeps its grid: input and output "
        "scale and zero point must agree; found (0.5, 3) and (0.25, 3). "
        "Quantize them on one grid.",
    ),
    "softmax on another grid": (
        one("SOFTMAX", {"beta": 1.0}, ROW, tensor((1, 4), 0.5, -128)),
        Unsupported,
        "m.tflite, node 0 (SOFTMAX): softmax output must have scale 1/256 and zero point -128; "
        "found (0.5, -128). Requantize the output.",
    ),
    "shuffled weights": (
        OneOp(
            "FULLY_CONNECTED",
            {**ACTIVATION, "weights_format": "SHUFFLED4x16INT8"},
            (ROW, tensor((2, 4), 0.5)),
            tensor((1, 2), 0.5),
            (None, np.ones((2, 4), np.int8)),
            frozenset({1}),
        ).model(),
        Unsupported,
        "m.tflite, node 0 (FULLY_CONNECTED): weights_format must be DEFAULT; "
        "found SHUFFLED4x16INT8. Export it unshuffled.",
    ),
    "negative scale": (
        poked(fb.grid_edit, 0, fb.put_element, fb.QUANTIZATION_SCALE, 0, "f", -0.5),
        IllegalGraph,
        "m.tflite, tensor 0 ('x0'): quantization: scale must be positive and finite; found -0.5",
    ),
    "zero scale": (
        poked(fb.grid_edit, 1, fb.put_element, fb.QUANTIZATION_SCALE, 2, "f", 0.0),
        IllegalGraph,
        "m.tflite, tensor 1 ('x1'): quantization: scale must be positive and finite; found 0.0",
    ),
    "scale that is no number": (
        poked(fb.grid_edit, 3, fb.put_element, fb.QUANTIZATION_SCALE, 0, "f", NAN),
        IllegalGraph,
        "m.tflite, tensor 3 ('y'): quantization: scale must be positive and finite; found nan",
    ),
    "infinite scale": (
        poked(fb.grid_edit, 3, fb.put_element, fb.QUANTIZATION_SCALE, 0, "f", INFINITY),
        IllegalGraph,
        "m.tflite, tensor 3 ('y'): quantization: scale must be positive and finite; found inf",
    ),
    "more zero points than scales": (
        poked(fb.grid_edit, 1, fb.put_length, fb.QUANTIZATION_ZERO_POINT, 3),
        IllegalGraph,
        "m.tflite, tensor 1 ('x1'): quantization: 4 scales against 3 zero points; "
        "give one of each per channel, or one for the tensor",
    ),
    "fewer scales than channels": (
        poked(fb.grid_edit, 1, fb.put_length, fb.QUANTIZATION_SCALE, 3),
        IllegalGraph,
        "m.tflite, tensor 1 ('x1'): 3 scales along dimension 0 of shape (4, 1, 1, 2); "
        "there must be one per index",
    ),
    "dynamic shape": (
        poked(fb.tensor_edit, 0, fb.put_element, fb.TENSOR_SHAPE, 0, "i", -1),
        Unsupported,
        "m.tflite, tensor 0 ('x0'): shape (-1, 2, 2, 2) is not fixed; export it with fixed shapes",
    ),
    "tensor type of a later schema": (
        poked(fb.tensor_edit, 0, fb.put_scalar, fb.TENSOR_TYPE, "b", 99),
        Unsupported,
        "m.tflite, tensor 0 ('x0'): tensors of type 99 are not supported",
    ),
    "tensor of complex numbers": (
        poked(fb.tensor_edit, 0, fb.put_scalar, fb.TENSOR_TYPE, "b", 8),
        Unsupported,
        "m.tflite, tensor 0 ('x0'): tensors of type COMPLEX64 are not supported",
    ),
    "node input out of range": (
        poked(fb.node_edit, 0, fb.put_element, fb.NODE_INPUTS, 1, "i", 4),
        BadFile,
        "m.tflite: tensor 4 of 4 does not exist; the file is damaged, export it again",
    ),
    "node input below -1": (
        poked(fb.node_edit, 0, fb.put_element, fb.NODE_INPUTS, 2, "i", -2),
        BadFile,
        "m.tflite: tensor -2 of 4 does not exist; the file is damaged, export it again",
    ),
    "graph output out of range": (
        poked(fb.graph_edit, fb.put_element, fb.GRAPH_OUTPUTS, 0, "i", 2**31 - 1),
        BadFile,
        "m.tflite: tensor 2147483647 of 4 does not exist; the file is damaged, export it again",
    ),
    "buffer out of range": (
        poked(fb.tensor_edit, 1, fb.put_scalar, fb.TENSOR_BUFFER, "I", 77),
        BadFile,
        "m.tflite, tensor 1 ('x1'): buffer 77 is not in the file; export it again",
    ),
    "too little data": (
        poked(fb.tensor_edit, 1, fb.put_element, fb.TENSOR_SHAPE, 3, "i", 3),
        BadFile,
        "m.tflite, tensor 1 ('x1'): int8 of shape (4, 1, 1, 3) needs 12 bytes; the file holds 8. "
        "Export the model again",
    ),
    "more operators than bytes": (
        poked(fb.graph_edit, fb.put_length, fb.GRAPH_OPERATORS, 2**31),
        BadFile,
        f"m.tflite: 2147483648 operators in a file of {len(conv())} bytes; "
        "the file is damaged, export it again",
    ),
    "more inputs than bytes": (
        poked(fb.node_edit, 0, fb.put_length, fb.NODE_INPUTS, 2**31),
        BadFile,
        f"{{path}}: the file is truncated or damaged: one of its tables leads outside its "
        f"{len(conv())} bytes; fetch or export it again",
    ),
    "no inputs": (
        poked(fb.node_edit, 0, fb.put_length, fb.NODE_INPUTS, 0),
        IllegalGraph,
        f"{NODE}: an operator needs at least one input and one output",
    ),
    "no subgraph": (
        fb.damaged(conv(), lambda m, d: fb.put_length(m, fb.MODEL_SUBGRAPHS, 0)(m, d)),
        IllegalGraph,
        "m.tflite: the model holds no subgraph; export it again",
    ),
    "an input nobody computes": (
        poked(fb.graph_edit, fb.put_element, fb.GRAPH_INPUTS, 0, "i", 2),
        IllegalGraph,
        "m.tflite, conv_2d_0: input 'x0' is not known yet; it is neither a graph input, a "
        "constant nor the output of an earlier node",
    ),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_refusals_in_their_words(name: str, tmp_path: Path) -> None:
    model, error, message = REFUSALS[name]
    with pytest.raises(BitlaneError) as caught:
        load(model, tmp_path)
    assert str(caught.value) == message.replace("{path}", str(tmp_path / "m.tflite"))
    assert type(caught.value) is error


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(BadFile) as caught:
        read(tmp_path / "none.tflite", dialect("litert-ref"))
    assert str(caught.value) == (
        f"{tmp_path}/none.tflite: cannot be read (No such file or directory); check the path"
    )


def test_names_scales_and_places_are_kept(tmp_path: Path) -> None:
    odd = (float(np.float32(0.1)), 1e-30, 3e38, float(np.float32(1 / 3)))
    w = tensor((4, 1, 1, 2), tuple(float(np.float32(s)) for s in odd), axis=0)
    graph = load(conv(w=w), tmp_path)
    assert (graph.name, graph.inputs, graph.outputs) == ("m.tflite", ("x0",), ("y",))
    assert graph.tensors["x0"] == IMAGE
    assert graph.tensors["x1"].quant == QuantParams(w.quant.scale if w.quant else (), (0,) * 4, 0)
    assert set(graph.constants) == {"x1", "x2"}
    assert graph.source_index == {"x0": 0, "x1": 1, "x2": 2, "y": 3}
    (node,) = graph.nodes
    assert (node.name, node.inputs, node.outputs) == ("conv_2d_0", ("x0", "x1", "x2"), ("y",))
    assert not graph.constants["x1"].flags.writeable


def test_empty_and_repeated_names_become_indices(tmp_path: Path) -> None:
    graph = load(reshapes("a", "twice", "", "twice", "b"), tmp_path)
    assert graph.inputs == ("a",)
    assert [n.outputs for n in graph.nodes] == [("t1",), ("t2",), ("t3",), ("b",)]
    outputs, _ = run(graph, {"a": np.arange(4, dtype=np.int8)})
    assert outputs["b"].tolist() == [0, 1, 2, 3]


def test_a_name_that_looks_like_an_index(tmp_path: Path) -> None:
    with pytest.raises(Unsupported) as caught:
        load(reshapes("t1", "", "b"), tmp_path)
    assert str(caught.value) == (
        "m.tflite: tensor name 't1' is that of a tensor without one; rename it"
    )
    assert load(reshapes("t1", "t0", "b"), tmp_path).inputs == ("t1",)


def test_the_zoo_loads_and_runs() -> None:
    graph = workloads.load("zoo:digits")
    (name,) = graph.inputs
    outputs, _ = run(graph, {name: np.zeros(graph.tensors[name].shape, np.int8)})
    assert [v.shape for v in outputs.values()] == [graph.tensors[n].shape for n in graph.outputs]
