"""Every output recorded beside a public network, in every runtime we name: 0 differing values.

`test_goldens` compares with the runtime that a file states; here are the others it ran, and every
intermediate tensor of every file that stores them, its variables among them.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import numpy as np
import pytest

import workloads
from simulator.execute import run
from simulator.graph import Array, Graph, Node
from tests.conformance.goldens import Golden, folder_of, names

DIALECT_OF: Final = {"REF": "litert-ref", "TFLM": "tflm", "XNN": "litert-xnnpack"}
"""The dialect of each recording runtime. OPT, LiteRT's x86 kernels, is none of ours."""

every_model = pytest.mark.parametrize("name", names())


def outputs(graph: Graph, golden: Golden, runtime: str) -> Iterator[tuple[Array, Array]]:
    """(ours, theirs) of each output of each sample; a streaming network keeps its state."""
    state = None
    for inputs, expected in golden.samples(runtime):
        found, after = run(graph, dict(zip(graph.inputs, inputs, strict=True)), state=state)
        if golden.about["stateful_sequence"]:
            state = after
        yield from zip((found[name] for name in graph.outputs), expected, strict=True)


@every_model
@pytest.mark.parametrize("runtime", DIALECT_OF)
def test_outputs_of_every_runtime_that_ran_the_file(name: str, runtime: str, shared: Path) -> None:
    golden = Golden(folder_of(shared), name)
    if golden.about["resolvers"][runtime] != "ok":
        assert runtime != golden.about["golden_base"]
        pytest.skip(f"{runtime} itself refuses {name}; nothing is recorded")
    graph = workloads.load(golden.model, DIALECT_OF[runtime])
    pairs = list(outputs(graph, golden, runtime))
    assert len(pairs) == len(golden.about["samples"]) * len(graph.outputs)
    for ours, theirs in pairs:
        assert (ours.dtype, ours.shape) == (theirs.dtype, theirs.shape)
    assert sum(int(np.count_nonzero(ours != theirs)) for ours, theirs in pairs) == 0


@every_model
def test_every_recorded_tensor(name: str, shared: Path) -> None:
    """All that LiteRT showed after sample 0; what it shows besides is scratch memory."""
    golden = Golden(folder_of(shared), name)
    if not golden.has_tensors:
        pytest.skip(f"no intermediate tensors are stored for {name}")
    graph, recorded = workloads.load(golden.model), golden.tensors()
    inputs, _ = next(iter(golden.samples("REF")))
    values = {**graph.constants, **dict(zip(graph.inputs, inputs, strict=True))}

    def keep(node: Node, _: Sequence[Array | None], results: Sequence[Array]) -> None:
        values.update(zip(node.outputs, results, strict=True))

    _, state = run(graph, dict(zip(graph.inputs, inputs, strict=True)), tap=keep)
    values.update(state)
    indices = {graph.source_index[tensor]: tensor for tensor in values}
    produced = {y for node in graph.nodes for y in node.outputs}
    assert {graph.source_index[y] for y in produced} <= set(recorded)
    # LiteRT also shows scratch memory, and the grids of a recurrent cell, which are empty.
    assert all(i > max(indices) or not recorded[i].size for i in recorded.keys() - indices.keys())
    for index in recorded.keys() & indices.keys():
        ours, theirs = values[indices[index]], recorded[index]
        assert (ours.dtype, ours.shape) == (theirs.dtype, theirs.shape)
        assert int(np.count_nonzero(ours != theirs)) == 0, indices[index]
