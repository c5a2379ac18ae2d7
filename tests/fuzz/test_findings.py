"""What the fuzzer found, once fixed: each damaged file made here and answered as it should be."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import onnx
import pytest

import hwconfigs
import workloads
from analysis.inspect import describe, to_text
from simulator.cost import estimate
from simulator.errors import BadFile, BitlaneError, IllegalGraph, Unsupported
from simulator.graph import QuantParams
from tests.fuzz.seeds import seeds
from tests.ops import flatbuffer as fb
from tests.ops.models import conv
from tests.ops.onnx_runtime import model, node
from tests.ops.stateful_model import Part, Tensor, assign, handle, read
from tests.ops.stateful_model import model as stateful
from tests.oracle import svdf

SEEDS = {name: data for name, data in seeds().items() if "/" not in name}


def refusal(folder: Path, name: str, data: bytes) -> str:
    """The one line that refuses a file."""
    path = folder / name
    path.write_bytes(data)
    with pytest.raises(BitlaneError) as caught:
        workloads.load(path)
    assert str(caught.value).isprintable()
    return f"{type(caught.value).__name__}: {caught.value}"


def edited(seed: str, change: Callable[[onnx.ModelProto], None]) -> bytes:
    """A seed after a change of its protobuf."""
    proto = onnx.load_model_from_string(SEEDS[seed])
    change(proto)
    return bytes(proto.SerializeToString())


def test_an_operator_without_outputs_is_shown(tmp_path: Path) -> None:
    """ASSIGN_VARIABLE has none: `inspect` looked at the first."""
    row: dict[str, Any] = {"shape": (1, 3), "scale": 0.5, "zero": 7}
    tensors = [Tensor("x", **row), Tensor("h", (), "resource"), Tensor("y", **row)]
    ops = (handle(1, "v"), read(1, 2), assign(1, 0))
    path = tmp_path / "m.tflite"
    path.write_bytes(stateful(Part(tensors, ops, (0,), (2,))))
    graph = workloads.load(path)
    lines = to_text(graph).splitlines()
    assert next(line for line in lines if line.startswith("assign_variable")).split()[1] == "-"
    assert describe(graph)["layers"][1]["outputs"] == []


@pytest.mark.parametrize("byte", [b"\x00", b"\n", b"\x1b", b"\x7f"])
def test_a_name_with_control_characters(byte: bytes, tmp_path: Path) -> None:
    """They went into the message as they were, a line break and all."""
    data = conv()
    assert data.count(b"\x02\0\0\0x1\0") == 1
    damaged = data.replace(b"\x02\0\0\0x1\0", b"\x02\0\0\0x" + byte + b"\0")
    assert refusal(tmp_path, "m.tflite", damaged) == (
        f"{BadFile.__name__}: m.tflite, tensor 1: its name is no text; the file is damaged, fetch "
        "or export it again"
    )


def test_a_shape_as_long_as_the_file(tmp_path: Path) -> None:
    """A damaged length gave hundreds of dimensions, and a message of thousands of letters."""
    data = fb.damaged(conv(), fb.tensor_edit(0, fb.put_length, fb.TENSOR_SHAPE, 12))
    assert refusal(tmp_path, "m.tflite", data) == (
        f"{Unsupported.__name__}: m.tflite, tensor 0 ('x0'): has 12 dimensions; up to 8 are "
        "supported"
    )


def test_an_attribute_that_refers_to_a_function(tmp_path: Path) -> None:
    """Outside functions the onnx package raises a ValueError of several lines."""

    def refer(proto: onnx.ModelProto) -> None:
        node = next(n for n in proto.graph.node if n.op_type == "Softmax")
        node.attribute[0].ref_attr_name = "outer"

    assert refusal(tmp_path, "m.onnx", edited("reals.onnx", refer)) == (
        f"{IllegalGraph.__name__}: m.onnx, node 10 (Softmax): attribute 'axis' refers to a "
        "function's; the node is in none. Export the model again"
    )


def test_an_option_with_control_characters(tmp_path: Path) -> None:
    def damage(proto: onnx.ModelProto) -> None:
        mode = next(a for a in proto.graph.node[0].attribute if a.name == "rounding_mode")
        mode.s = b"\x1fOUN\xff\n"

    found = refusal(tmp_path, "m.onnx", edited("qonnx.onnx", damage))
    assert "rounding_mode must be one of ROUND, " in found
    assert "found \ufffdOUN\ufffd\ufffd. Export the model with one of them." in found


def test_an_error_never_carries_control_characters() -> None:
    assert str(BadFile("a\x1b[31m\u2028b\u00fc")) == "a\\x1b[31m\\u2028b\u00fc"


@pytest.mark.parametrize(("place", "scale"), [(0, 3e38), (4, 1e-44)])
def test_scales_whose_product_is_not_finite(place: int, scale: float, tmp_path: Path) -> None:
    """SVDF multiplies them in float32: the overflow was a warning on standard error."""
    one = next(svdf.one_ops(Random("findings"), 4))
    kinds = list(one.inputs)
    for i in {place, 1 if place == 0 else place}:
        kind = kinds[i]
        assert kind is not None
        assert kind.quant is not None
        quant = QuantParams((float(np.float32(scale)),), kind.quant.zero_point)
        kinds[i] = replace(kind, quant=quant)
    damaged = replace(one, inputs=tuple(kinds))
    found = refusal(tmp_path, "m.tflite", damaged.model())
    assert found.startswith(f"{IllegalGraph.__name__}: m.tflite, node 0 (SVDF): its scales or ")
    assert found.endswith("export the model again")


def test_a_dimension_of_2_to_the_40(tmp_path: Path) -> None:
    """Energies beyond 2^63 femtojoules came out negative."""
    inputs = {"x": ("uint8", (1, 1, 1 << 40, 3))}
    constants = {"w": np.ones((1, 1, 2, 2), np.uint8)}
    made = model([node("ConvInteger", ["x", "w"], ["y"])], inputs, {"y": "int32"}, constants)
    path = tmp_path / "m.onnx"
    path.write_bytes(made)
    graph = workloads.load(path)
    for name in hwconfigs.names():
        with pytest.raises(Unsupported, match=rf"^m\.onnx, \w+ \(\w+\) on {name}: "):
            estimate(graph, hwconfigs.load(name))


def test_huge_shapes_broadcast(tmp_path: Path) -> None:
    """NumPy refuses to join shapes that it could not hold, and the message blamed the shapes."""
    shape = (1 << 30, 1 << 30, 8)
    data = model(
        [node("Add", ["x", "y"], ["z"])],
        {"x": ("float32", shape), "y": ("float32", (1, 8))},
        {"z": "float32"},
        {},
    )
    path = tmp_path / "m.onnx"
    path.write_bytes(data)
    assert workloads.load(path).tensors["z"].shape == shape
