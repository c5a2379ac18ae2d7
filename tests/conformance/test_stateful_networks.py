"""Public networks with state against what LiteRT and TFLM computed: 0 differing values."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

import workloads
from simulator.execute import run
from simulator.graph import Array, Node
from tests.conformance.goldens import Golden, folder_of

NETWORKS = {
    "keyword_scrambled_svdf": 24,
    "mnist_lstm_int8": 13,
    "esphome_okay_nabu_v2_stream_int8": 24,
}


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("runtime", ["REF", "TFLM"])
def test_networks_with_state_equal_the_goldens(name: str, runtime: str, shared: Path) -> None:
    """Samples in order; a streaming network keeps its state between them, another starts afresh."""
    golden = Golden(folder_of(shared), name)
    graph = workloads.load(golden.model, {"REF": "litert-ref", "TFLM": "tflm"}[runtime])
    assert graph.variables
    samples, state, differing = list(golden.samples(runtime)), None, 0
    assert len(samples) == NETWORKS[name]
    for inputs, expected in samples:
        outputs, after = run(graph, dict(zip(graph.inputs, inputs, strict=True)), state=state)
        if golden.about["stateful_sequence"]:
            state = after
        for y, value in zip(graph.outputs, expected, strict=True):
            assert (outputs[y].dtype, outputs[y].shape) == (value.dtype, value.shape)
            differing += int(np.count_nonzero(outputs[y] != value))
    assert differing == 0


@pytest.mark.parametrize("name", ["keyword_scrambled_svdf", "mnist_lstm_int8"])
def test_intermediates_and_states_equal_the_goldens(name: str, shared: Path) -> None:
    """Every tensor that LiteRT showed after sample 0, the variables among them."""
    golden = Golden(folder_of(shared), name)
    graph, recorded = workloads.load(golden.model), golden.tensors()
    inputs, _ = next(iter(golden.samples("REF")))
    seen: dict[str, Array] = {}

    def keep(node: Node, _: Sequence[Array | None], results: Sequence[Array]) -> None:
        seen.update(zip(node.outputs, results, strict=True))

    _, state = run(graph, dict(zip(graph.inputs, inputs, strict=True)), tap=keep)
    computed = {**seen, **state}
    assert set(graph.variables) <= set(computed)
    for tensor_name, value in computed.items():
        expected = recorded[graph.source_index[tensor_name]]
        np.testing.assert_array_equal(value, expected, err_msg=tensor_name)
