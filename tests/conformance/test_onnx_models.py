"""Public ONNX networks against ONNX Runtime, qonnx and Deeploy: 0 differing integers.

Real tensors are equal to the last bit as well, but for softmax, whose exponential depends on the
instruction set: it stays within rtol 1e-5, atol 1e-6.
"""

from pathlib import Path

import numpy as np
import pytest

import workloads
from simulator.errors import IllegalValues
from simulator.execute import run
from simulator.graph import Graph
from simulator.numeric.datapath import Datapath
from tests.conformance.onnx_goldens import (
    OnnxGolden,
    assert_close_or_equal,
    differing,
    every_tensor,
    names,
)

MACS = {
    "mlperf_dscnn_qdq_tf2onnx": 2_656_768,
    "mlperf_resnet8_qdq_tf2onnx": 12_501_632,
    "ort_resnet8_dyn_u8": 12_501_632,
    "ort_resnet8_qop_u8s8_pc": 12_501_632,
    "qonnx_kwsmlp_w3a3_mlperf": 259_584,
    "qonnx_tfc_2w2a": 59_008,
    "deeploy_mlperf_imageclassification": 12_501_632,
}
LEVELS = {"none": "onnxruntime-unfused", "all": "onnxruntime"}

onnx_models = pytest.mark.parametrize("name", names("onnx"))
qonnx_models = pytest.mark.parametrize("name", names("qonnx"))
deeploy_models = pytest.mark.parametrize("name", names("deeploy_int"))
levels = pytest.mark.parametrize("level", LEVELS)


def golden_of(shared: Path, kind: str, name: str) -> OnnxGolden:
    return OnnxGolden(shared / "models" / kind, name)


def ends_in_softmax(graph: Graph) -> set[str]:
    """Tensors that come out of a real softmax, and what is computed from them."""
    found: set[str] = set()
    for node in graph.nodes:
        if node.op.kind == "float_softmax" or found.intersection(node.inputs):
            found.update(node.outputs)
    return found


@onnx_models
@levels
def test_outputs_equal_the_runtimes(name: str, level: str, shared: Path) -> None:
    """On every recorded sample, with no optimization and with every one."""
    golden = golden_of(shared, "onnx", name)
    graph = workloads.load(golden.model, LEVELS[level])
    samples = list(golden.samples(level))
    assert len(samples) == len(golden.about["samples"])
    for value, outputs in samples:
        found, _ = run(graph, {graph.inputs[0]: value})
        for output, expected in zip(graph.outputs, outputs, strict=True):
            assert_close_or_equal(found[output], expected)
            if output not in ends_in_softmax(graph):
                assert differing(found[output], expected) == 0


@onnx_models
def test_every_tensor_equals_the_runtimes(name: str, shared: Path) -> None:
    """Node by node as written: each recorded intermediate of the last sample, end to end."""
    golden = golden_of(shared, "onnx", name)
    graph = workloads.load(golden.model, "onnxruntime-unfused")
    last, _ = list(golden.samples("none"))[-1]
    found = every_tensor(graph, [last])
    recorded = golden.tensors("none_tensors")
    near = ends_in_softmax(graph)
    compared = 0
    for tensor, expected in recorded.items():
        if tensor not in found:
            # Computed from constants alone, and folded here.
            continue
        compared += 1
        assert_close_or_equal(found[tensor], expected)
        assert tensor in near or differing(found[tensor], expected) == 0, tensor
    assert compared > 0.9 * len(recorded)


@onnx_models
@levels
def test_installed_runtime_agrees(name: str, level: str, shared: Path) -> None:
    """The runtime that is installed, on inputs nobody recorded."""
    pytest.importorskip("onnxruntime")
    from tests.ops.onnx_runtime import runtime

    golden = golden_of(shared, "onnx", name)
    graph = workloads.load(golden.model, LEVELS[level])
    value, _ = next(golden.samples(level))
    rng = np.random.default_rng(20)
    for _ in range(2):
        drawn = rng.permutation(value.reshape(-1)).reshape(value.shape)
        feeds = {graph.inputs[0]: drawn}
        expected = runtime(golden.model.read_bytes(), feeds, optimized=level == "all")
        found, _ = run(graph, feeds)
        for output, theirs in zip(graph.outputs, expected, strict=True):
            assert_close_or_equal(found[output], theirs)


@qonnx_models
@pytest.mark.parametrize("suffix", ["", ".clean"])
def test_qonnx_outputs_are_equal(name: str, suffix: str, shared: Path) -> None:
    """The file as published and as cleaned, every sample, every bit of the float32 carrier."""
    golden = golden_of(shared, "qonnx", name)
    graph = workloads.load(golden.folder / f"{name}{suffix}.onnx")
    assert graph.dialect == "qonnx"
    held = golden.arrays()
    samples = [key for key in held if key.startswith("in")]
    assert samples
    for key in samples:
        found, _ = run(graph, {graph.inputs[0]: held[key]})
        assert differing(found[graph.outputs[0]], held[key.replace("in", "out")]) == 0


@qonnx_models
def test_every_qonnx_tensor_is_equal(name: str, shared: Path) -> None:
    golden = golden_of(shared, "qonnx", name)
    graph = workloads.load(golden.folder / f"{name}.clean.onnx")
    held = golden.arrays()
    last = held[f"in{len(golden.about['samples']) - 1}"]
    found = every_tensor(graph, [last])
    recorded = golden.tensors("tensors")
    assert sum(differing(found[tensor], value) for tensor, value in recorded.items()) == 0


@qonnx_models
def test_qonnx_sums_of_codes_are_the_same_numbers(name: str, shared: Path) -> None:
    """On a machine's 32-bit accumulator: exact sums, scaled once, beside float32's own."""
    golden = golden_of(shared, "qonnx", name)
    graph = workloads.load(golden.model)
    held = golden.arrays()
    value = {graph.inputs[0]: held["in0"]}
    ours, _ = run(graph, value, datapath=Datapath(accumulator_bits=32))
    np.testing.assert_allclose(ours[graph.outputs[0]], held["out0"], rtol=1e-5, atol=1e-5)
    narrow, _ = run(graph, value, datapath=Datapath(accumulator_bits=5, overflow="saturate"))
    assert (narrow[graph.outputs[0]] != ours[graph.outputs[0]]).any()


@deeploy_models
def test_deeploy_outputs_are_equal(name: str, shared: Path) -> None:
    golden = golden_of(shared, "deeploy_int", name)
    graph = workloads.load(golden.model)
    assert graph.dialect == "pulp"
    held = golden.arrays()
    found, _ = run(graph, {graph.inputs[0]: held["in0_0"].astype(np.float32)})
    output = found[graph.outputs[0]]
    assert output.dtype == np.float32
    assert differing(output, held["out0_0"].astype(np.float32)) == 0


def test_deeploy_inputs_must_be_codes(shared: Path) -> None:
    golden = golden_of(shared, "deeploy_int", names("deeploy_int")[0])
    graph = workloads.load(golden.model)
    value = golden.arrays()["in0_0"].astype(np.float32)
    with pytest.raises(IllegalValues, match=r"integers from -128 to 255; found 0\.5"):
        run(graph, {graph.inputs[0]: np.full_like(value, 0.5)})


@pytest.mark.parametrize(("name", "macs"), MACS.items())
def test_multiply_accumulates_are_counted(name: str, macs: int, shared: Path) -> None:
    kind = "qonnx" if "qonnx" in name else "deeploy_int" if "deeploy" in name else "onnx"
    graph = workloads.load(golden_of(shared, kind, name).model)
    assert sum(work.macs for work in graph.work) == macs


def test_no_model_is_left_out(shared: Path) -> None:
    """Every model of the three folders is among those above."""
    found = {
        p.stem
        for kind in ("onnx", "qonnx", "deeploy_int")
        for p in (shared / "models" / kind).glob("*.onnx")
    }
    tested = {*names("onnx"), *names("qonnx"), *names("deeploy_int")}
    assert {name.removesuffix(".clean") for name in found} == tested
    assert len(tested) >= 15
