"""Real layers through the stepper: narrow accumulators change their bits, and both agree on how."""

from pathlib import Path

import numpy as np
import pytest

import workloads
from analysis.arrays import random_inputs
from analysis.stepper import step_layer
from tests.machines.works import machine


@pytest.mark.parametrize("dataflow", ["weight_stationary", "output_stationary", "input_stationary"])
@pytest.mark.parametrize(
    ("model", "layer"),
    [
        ("mlperf_ic_resnet8_int8", "conv_2d_1"),
        ("mlperf_kws_dscnn_int8", "depthwise_conv_2d_1"),
        ("mlperf_ad_autoencoder_int8", "fully_connected_0"),
    ],
)
def test_bits_and_cycles(
    shared: Path, tmp_path: Path, model: str, layer: str, dataflow: str
) -> None:
    graph = workloads.load(shared / "models/tflite" / f"{model}.tflite")
    given = random_inputs(graph, np.random.default_rng(0))
    arrays = {f"input_{i}": values for i, values in enumerate(given.values())}
    np.savez(tmp_path / "in.npz", **arrays)  # type: ignore[arg-type]
    target = machine(
        "systolic_16x16",
        array__dataflow=dataflow,
        datapath__zero_point="folded",
        datapath__accumulator={"bits": 12, "overflow": "saturate", "stages": []},
    )
    outcome = step_layer(graph, target, tmp_path / "in.npz", layer, traced=False)
    assert outcome.differing == 0
    assert outcome.stepped.cycles == outcome.layer.cycles.compute
    assert outcome.equal
    reached = set(outcome.stepped.accumulators.ravel().tolist())
    assert reached & {-(2**11), 2**11 - 1}, "the accumulators were never too narrow"
