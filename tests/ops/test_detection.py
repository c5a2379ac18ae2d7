"""Detection post-process: against its oracle and LiteRT, from files with open output shapes."""

from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
from flatbuffers import flexbuffers

import workloads
from simulator.errors import IllegalGraph, IllegalValues, Unsupported
from simulator.execute import run
from simulator.graph import Array
from simulator.numeric.datapath import GRAPH_DATAPATH
from simulator.ops.detection_post_process import DetectionPostProcess
from tests.ops.litert import requires_litert
from tests.ops.oracles import nested
from tests.ops.stateful_model import Op, Part, Tensor, model
from tests.ops.structure import OneNode
from tests.oracle import detection_post_process as oracle

NAMES = ("boxes", "classes", "scores", "count")


def packed(options: Mapping[str, Any]) -> bytes:
    """A flexbuffer map, its keys sorted as the format wants them."""
    builder = flexbuffers.Builder()
    with builder.Map():
        for key in sorted(options):
            value = options[key]
            builder.Key(key)
            if isinstance(value, bool):
                builder.Bool(value)
            elif isinstance(value, int):
                builder.Int(value)
            else:
                builder.Float(value, 4)
    return bytes(builder.Finish())


def file_of(node: OneNode, options: bytes | None = None) -> bytes:
    """The node's model; the shapes of its outputs are left open, as converters leave them."""
    tensors = []
    for i, given in enumerate(node.given):
        assert given is not None
        quant = given.kind.quant
        scale, zero = (quant.scale[0], quant.zero_point[0]) if quant else (None, 0)
        data = given.value if given.stored else None
        tensors.append(Tensor(f"x{i}", given.kind.shape, given.kind.dtype, scale, zero, data))
    tensors += [Tensor(name, (), "float32", ranked=False) for name in NAMES]
    op = Op(
        node.op,
        (0, 1, 2),
        (3, 4, 5, 6),
        custom=packed(node.options) if options is None else options,
    )
    return model(Part(tensors, (op,), (0, 1), (3, 4, 5, 6)))


def ours(data: bytes, values: list[Array], folder: Path) -> dict[str, Array]:
    path = folder / "m.tflite"
    path.write_bytes(data)
    graph = workloads.load(path)
    return run(graph, dict(zip(graph.inputs, values, strict=True)))[0]


def test_operator_equals_its_oracle() -> None:
    found = 0.0
    for operator, types, values in islice(oracle.cases(Random("detection")), 200):
        assert isinstance(operator, DetectionPostProcess)
        results = operator.run(values, GRAPH_DATAPATH)
        expected = oracle.oracle(operator, nested(values))
        for got, (flat, shape), inferred in zip(
            results, expected, operator.infer(types), strict=True
        ):
            assert got.shape == shape == inferred
            assert got.dtype == np.float32
            assert got.reshape(-1).tolist() == flat
        found += float(results[3][0])
    assert found > 200


@requires_litert
def test_models_equal_litert(tmp_path: Path) -> None:
    """Bit for bit, in the places that count: LiteRT leaves the others as they were."""
    from ai_edge_litert.interpreter import Interpreter

    compared = 0
    for node in islice(oracle.one_ops(Random("detection litert"), 80), 120):
        data = file_of(node)
        interpreter = Interpreter(model_content=data)
        interpreter.allocate_tensors()
        for detail, value in zip(interpreter.get_input_details(), node.fed, strict=True):
            interpreter.set_tensor(detail["index"], value)
        interpreter.invoke()
        theirs = [interpreter.get_tensor(d["index"]) for d in interpreter.get_output_details()]
        outputs = ours(data, node.fed, tmp_path)
        assert list(outputs) == list(NAMES)
        assert outputs["count"].tolist() == theirs[3].tolist()
        regular, width = "use_regular_nms" in node.options, 1
        if not regular:
            width = node.options["max_classes_per_detection"]
        counted = int(theirs[3][0]) * width
        used = [i for i in range(counted) if regular or i % width < node.options["num_classes"]]
        for name, reference in zip(NAMES[:3], theirs, strict=False):
            np.testing.assert_array_equal(outputs[name][0, used], reference[0, used])
            compared += outputs[name][0, used].size
    assert compared > 1000


def first() -> OneNode:
    return next(oracle.one_ops(Random("one")))


def test_a_box_of_negative_size_is_refused(tmp_path: Path) -> None:
    node = next(n for n in oracle.one_ops(Random(3)) if n.inputs[2] and n.inputs[2].dtype[0] == "f")
    given = node.given[2]
    assert given is not None
    given.value[:, 2:] *= -1
    with pytest.raises(IllegalValues) as caught:
        ours(file_of(node), node.fed, tmp_path)
    assert str(caught.value) == (
        "m.tflite, detection_post_process_0: a box has a negative size; anchors must have "
        "positive sizes"
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"nms_iou_threshold": 0.0}, "nms_iou_threshold must lie in (0, 1]; found 0.0. Re-export"),
        ({"max_detections": 0}, "classes and detections must be at least 1; found ("),
    ],
)
def test_options_out_of_range_are_refused(
    changes: dict[str, Any], message: str, tmp_path: Path
) -> None:
    node = first()
    data = file_of(node, packed({**node.options, **changes}))
    with pytest.raises(Unsupported) as caught:
        ours(data, node.fed, tmp_path)
    place = "m.tflite, node 0 (CUSTOM:TFLite_Detection_PostProcess): "
    assert str(caught.value).startswith(place + message)


@pytest.mark.parametrize("options", [b"\x00", b"\xff" * 9, packed({}) + b"\x00", b"\x07\x04\x01"])
def test_damaged_options_are_refused(options: bytes, tmp_path: Path) -> None:
    with pytest.raises(IllegalGraph) as caught:
        ours(file_of(first(), options), first().fed, tmp_path)
    place = "m.tflite, node 0 (CUSTOM:TFLite_Detection_PostProcess): "
    assert str(caught.value).startswith(place)


def test_scores_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    node = first()
    data = file_of(node, packed({**node.options, "num_classes": 50}))
    with pytest.raises(IllegalGraph, match=r"scores must be \(1, \d+, 50 or one more\)"):
        ours(data, node.fed, tmp_path)
