"""Public networks against the outputs recorded from LiteRT and TFLM: 0 differing values."""

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

import workloads
from simulator.errors import BitlaneError, IllegalGraph, Unsupported
from simulator.execute import run
from simulator.graph import Array, Graph, Node
from tests.conformance.goldens import Golden, folder_of, names

MACS = {
    "mlperf_ic_resnet8_int8": 12_501_632,
    "mlperf_vww_mobilenetv1_025_96_int8": 7_489_664,
    "mlperf_kws_dscnn_int8": 2_656_768,
    "mlperf_ad_autoencoder_int8": 264_192,
    # LiteRT 2.3.0 refuses this file; its goldens are TFLM's.
    "person_detect_int8": 7_157_888,
}
DIALECT_OF = {"REF": "litert-ref", "TFLM": "tflm"}


@pytest.fixture
def golden(request: pytest.FixtureRequest, shared: Path) -> Golden:
    """The model the test is about."""
    return Golden(folder_of(shared), str(request.param))


RECORDED_INSIDE = [name for name in MACS if name != "person_detect_int8"]
five = pytest.mark.parametrize("golden", MACS, indirect=True)
every = pytest.mark.parametrize("golden", names(), indirect=True)


def differing(graph: Graph, samples: Sequence[tuple[list[Array], list[Array]]]) -> int:
    """How many output values differ over all samples, shapes and dtypes being equal."""
    total = 0
    for inputs, expected in samples:
        outputs, _ = run(graph, dict(zip(graph.inputs, inputs, strict=True)))
        for name, value in zip(graph.outputs, expected, strict=True):
            assert outputs[name].shape == value.shape
            assert outputs[name].dtype == value.dtype
            total += int(np.count_nonzero(outputs[name] != value))
    return total


@five
@pytest.mark.parametrize("dialect", ["litert-ref", "tflm"])
def test_outputs_equal_the_goldens(golden: Golden, dialect: str) -> None:
    """In the dialect of the recording runtime, on every sample."""
    base = golden.about["golden_base"]
    runtime = {"litert-ref": "REF", "tflm": "TFLM"}[dialect]
    assert golden.about["resolvers"]["TFLM"] == "ok"
    if golden.about["resolvers"][runtime] != "ok":
        # The runtime itself refuses the file; ours still must give what the other one gives.
        runtime = base
    samples = list(golden.samples(runtime))
    assert len(samples) == len(golden.about["samples"]) >= 3
    assert differing(workloads.load(golden.model, dialect), samples) == 0


@pytest.mark.parametrize("golden", RECORDED_INSIDE, indirect=True)
def test_every_intermediate_equals_the_golden(golden: Golden) -> None:
    """All tensors that LiteRT shows for sample 0, constants included."""
    graph = workloads.load(golden.model)
    inputs, _ = next(iter(golden.samples("REF")))
    values = {**graph.constants, **dict(zip(graph.inputs, inputs, strict=True))}

    def keep(node: Node, _: Sequence[Array | None], results: Sequence[Array]) -> None:
        values.update(zip(node.outputs, results, strict=True))

    run(graph, dict(zip(graph.inputs, inputs, strict=True)), tap=keep)
    recorded = golden.tensors()
    produced = {name for node in graph.nodes for name in node.outputs}
    assert {graph.source_index[name] for name in produced} <= set(recorded)
    for name, value in values.items():
        if graph.source_index[name] in recorded:
            np.testing.assert_array_equal(value, recorded[graph.source_index[name]], err_msg=name)


@five
def test_macs(golden: Golden) -> None:
    macs = sum(work.macs for work in workloads.load(golden.model).work)
    assert macs == MACS[golden.name] == golden.about["macs"]


@five
def test_shapes_and_grids_are_those_of_the_description(golden: Golden) -> None:
    """A batch dimension that the signature leaves open is read at its stored size, 1."""
    graph = workloads.load(golden.model)
    for names_here, described in (
        (graph.inputs, golden.about["inputs"]),
        (graph.outputs, golden.about["outputs"]),
    ):
        for name, about in zip(names_here, described, strict=True):
            kind = graph.tensors[name]
            assert kind.quant is not None
            assert list(kind.shape) == about["shape"]
            assert (kind.quant.scale, kind.quant.zero_point) == ((about["scale"],), (about["zp"],))


@every
def test_every_model_is_exact_or_refused_in_a_line(golden: Golden) -> None:
    """A model that loads gives its goldens; another is refused by the operator that is missing."""
    base = golden.about["golden_base"]
    try:
        graph = workloads.load(golden.model, DIALECT_OF[base])
    except (Unsupported, IllegalGraph) as error:
        refusal: BitlaneError = error
    else:
        if graph.variables:
            return  # test_stateful_networks feeds these in order
        assert differing(graph, list(golden.samples(base))) == 0
        assert sum(work.macs for work in graph.work) == golden.about["macs"]
        return
    assert golden.name not in MACS
    found = re.fullmatch(rf"{golden.name}\.tflite, node \d+ \((\w+)\): .+", str(refusal))
    assert found, str(refusal)
    assert found[1] in golden.about["ops"]


def test_the_folder_holds_the_five(shared: Path) -> None:
    """A missing file is a failure, not a skip."""
    assert set(MACS) <= set(names())
