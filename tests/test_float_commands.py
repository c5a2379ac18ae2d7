"""What a user sees of a float network: its price on a processor, refusals, wrong inputs."""

from pathlib import Path
from random import Random

import numpy as np
import pytest

import hwconfigs
import simulator
from analysis.arrays import one_sample
from simulator.errors import IllegalValues, Unsupported
from tests.ops.onnx_runtime import graph_of
from tests.test_float_onnx import mobile_block
from workloads.float_graph import fold_batch_norm, fuse_activations

pytest.importorskip("onnxruntime")


def test_a_cpu_with_float_kernels_prices_it(tmp_path: Path) -> None:
    """Products of reals at its float32 rate; a folded and fused network costs less."""
    data, _ = mobile_block(Random(0))
    graph = graph_of(data, tmp_path)
    machine = hwconfigs.load("cortex_m4")
    plain = simulator.estimate(graph, machine)
    # 7 x 7 pixels of 8 filters of 27, 9 and 8 taps, and a head of 5 x 8.
    assert plain.totals.macs == 49 * 8 * (27 + 9 + 8) + 40
    assert any("multiply real numbers" in note for note in plain.notes)
    made = simulator.estimate(fuse_activations(fold_batch_norm(graph)), machine)
    assert made.totals.macs == plain.totals.macs
    assert made.totals.cycles < plain.totals.cycles


def test_an_array_of_integers_refuses_it(tmp_path: Path) -> None:
    graph = graph_of(mobile_block(Random(0))[0], tmp_path)
    message = (
        r"float_conv_2d_0 \(float_conv_2d\) on systolic_16x16: it multiplies real numbers of 32 "
        "bits, the datapath integers of 8; quantize the network, or choose a machine with float32"
    )
    with pytest.raises(Unsupported, match=message):
        simulator.estimate(graph, hwconfigs.load("systolic_16x16"))


def test_codes_given_as_real_values_are_refused(tmp_path: Path) -> None:
    data, feeds = mobile_block(Random(0))
    graph = graph_of(data, tmp_path)
    path = tmp_path / "codes.npz"
    np.savez(path, x=feeds["x"].astype(np.uint8))
    message = r"must be float32; found uint8. Give real values: array.astype\('float32'\)"
    with pytest.raises(IllegalValues, match=message):
        one_sample(graph, path)
