"""QONNX files: read back here, and executed by qonnx itself where its environment is named.

``BITLANE_QONNX`` names a Python with qonnx and the onnx it needs (CONTRIBUTING.md); without it the
comparison with qonnx's executor is left out by name.
"""

import os
import subprocess
from pathlib import Path
from typing import Final

import numpy as np
import onnx
import pytest

import workloads
from simulator.execute import run
from simulator.graph import Array, Graph
from tests.quantize.export.minmax import Widths, drawn, plan_of
from tests.quantize.export.test_qdq import NETWORKS, shared_network
from tests.quantize.export.tflite_nets import CASES, network
from tests.shared import absence, shared_folder
from workloads.quantize.export.qdq import integer
from workloads.quantize.export.qonnx import to_qonnx
from workloads.quantize.ptq import Plan

QONNX: Final = os.environ.get("BITLANE_QONNX")
EXECUTOR: Final = """
import sys
import numpy as np
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.core.onnx_exec import execute_onnx
model = ModelWrapper(sys.argv[1])
name, output = model.graph.input[0].name, model.graph.output[0].name
np.save(sys.argv[3], [execute_onnx(model, {name: x})[output] for x in np.load(sys.argv[2])])
"""
needs_qonnx = pytest.mark.skipif(
    QONNX is None, reason="BITLANE_QONNX names no Python with qonnx (CONTRIBUTING.md)"
)
needs_shared = pytest.mark.skipif(shared_folder() is None, reason=absence())


def written(plan: Plan, folder: Path) -> Graph:
    path = folder / "made.onnx"
    path.write_bytes(to_qonnx(plan).SerializeToString())
    graph = workloads.load(path)
    assert graph.dialect == "qonnx"
    return graph


def outputs(graph: Graph, samples: Array) -> Array:
    (name,) = graph.inputs
    return np.array([run(graph, {name: x})[0][graph.outputs[0]] for x in samples])


def executed(folder: Path, samples: Array) -> Array:
    """What qonnx gives for the file in a folder."""
    np.save(folder / "in.npy", samples)
    assert QONNX is not None
    names = [str(folder / name) for name in ("made.onnx", "in.npy", "out.npy")]
    subprocess.run([QONNX, "-c", EXECUTOR, *names], check=True, capture_output=True)
    return np.asarray(np.load(folder / "out.npy"))


@needs_qonnx
@pytest.mark.parametrize("widths", [Widths(8, 8), Widths(4, 4), Widths(2, 3), Widths(8, 16)])
@pytest.mark.parametrize("seed", range(4))
def test_qonnx_gives_the_same_bits(seed: int, widths: Widths, tmp_path: Path) -> None:
    graph, samples = drawn(seed, tmp_path, functions=False)
    plan = plan_of(graph, {graph.inputs[0]: samples}, widths)
    read = written(plan, tmp_path)
    assert np.count_nonzero(outputs(read, samples) != executed(tmp_path, samples)) == 0


@needs_shared
@needs_qonnx
def test_qonnx_gives_the_same_bits_of_a_trained_network(tmp_path: Path) -> None:
    graph, samples = shared_network("mlperf_ad_autoencoder_float")
    read = written(plan_of(graph, {graph.inputs[0]: samples}, Widths(4, 4)), tmp_path)
    assert np.count_nonzero(outputs(read, samples[:4]) != executed(tmp_path, samples[:4])) == 0


@needs_shared
@pytest.mark.parametrize("widths", [Widths(8, 8), Widths(4, 8), Widths(4, 4)])
@pytest.mark.parametrize("name", NETWORKS)
def test_predictions_are_those_of_qdq(name: str, widths: Widths, tmp_path: Path) -> None:
    """Classes; of the autoencoder every output within a step or two of its grid."""
    graph, samples = shared_network(name)
    plan = plan_of(graph, {graph.inputs[0]: samples}, widths)
    mine = outputs(written(plan, tmp_path), samples)
    theirs = outputs(integer(plan), samples)
    step = plan.activations[graph.outputs[0]].scale[0]
    if "autoencoder" in name:
        assert np.abs(mine - theirs).max() <= 2.01 * step
        assert (mine == theirs).mean() > 0.9
    else:
        rows = [v.reshape(len(samples), -1).argmax(axis=1) for v in (mine, theirs)]
        assert np.count_nonzero(rows[0] != rows[1]) <= len(samples) // 16


@pytest.mark.parametrize("widths", [Widths(8, 8), Widths(8, 8, centred=True), Widths(3, 5)])
@pytest.mark.parametrize("case", CASES)
def test_quantizers_say_the_grids(case: str, widths: Widths, tmp_path: Path) -> None:
    """Of each quantized tensor the scale and the width, read back."""
    graph, samples = network(CASES[case], tmp_path)
    plan = plan_of(graph, {graph.inputs[0]: samples}, widths)
    proto = to_qonnx(plan)
    onnx.checker.check_model(proto)
    held = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in proto.graph.initializer}
    quants = [node for node in proto.graph.node if node.op_type == "Quant"]
    found = {(float(held[n.input[1]].reshape(-1)[0]), int(held[n.input[3]])) for n in quants}
    grids = {grid.scale[0] for grid in plan.activations.values()}
    assert grids <= {scale for scale, _ in found}
    assert {bits for scale, bits in found if scale in grids} == {widths.activations}
    read = written(plan, tmp_path)
    kind = next(k for k in read.tensors.values() if k.quant and len(k.quant.scale) > 1)
    assert kind.quant is not None
    assert kind.quant.scale == plan.weights["w"].grid.scale
    assert kind.bits == widths.weights
    products = [w for w in read.work if w.macs]
    assert {(w.weight_bits, w.activation_bits) for w in products} == {
        (widths.weights, widths.activations)
    }
