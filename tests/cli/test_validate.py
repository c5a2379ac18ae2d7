"""`bitlane validate`: exit 0 bit-exact, 1 with the differing layer named, and --hw, a report."""

import json
import shutil
from pathlib import Path

import jsonschema
import numpy as np
import pytest

import workloads
from analysis.diverge import diverge
from analysis.validate import LayerComparison, sample_inputs, validate
from simulator.errors import Unsupported
from simulator.graph import Graph
from tests.cli.command import Run
from tests.cli.schemas import VALIDATE
from workloads.zoo import digits

pytestmark = pytest.mark.usefixtures("workspace")
LITERT = ("--against", "litert-ref")
SEED = 9


@pytest.fixture(scope="module")
def graph() -> Graph:
    pytest.importorskip("ai_edge_litert", reason="the extra 'reference' is not installed")
    return workloads.load("zoo:digits")


def flipped(graph: Graph, node: str, path: Path) -> Path:
    """A copy of the shipped model with one byte of one node's weights changed."""
    whole = digits.model_path().read_bytes()
    weights = graph.constants[next(n.inputs[1] for n in graph.nodes if n.name == node)].tobytes()
    assert whole.count(weights) == 1
    data = bytearray(whole)
    data[whole.index(weights) + len(weights) // 2] ^= 0x40
    path.write_bytes(bytes(data))
    return path


def test_bit_exact(bitlane: Run, tmp_path: Path, graph: Graph) -> None:
    out = tmp_path / "v.json"
    outcome = bitlane("validate", "zoo:digits", *LITERT, "--samples", "20", "--json", out)
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.out.endswith("0 values differ: bit-exact.\n")
    found = json.loads(out.read_text(encoding="utf-8"))
    jsonschema.validate(found, VALIDATE)
    assert found["bit_exact"]
    assert (found["samples"], found["seed"], found["unseen"]) == (20, 0, [])
    assert [layer["node"] for layer in found["layers"]] == [n.name for n in graph.nodes]
    elements = sum(kind.elements for node in graph.nodes for kind in graph.output_types(node))
    assert found["values"] == 20 * elements


@pytest.mark.parametrize(
    "node", ["conv_2d_0", "depthwise_conv_2d_1", "conv_2d_3", "fully_connected_7"]
)
def test_one_flipped_weight_byte_names_its_layer(
    bitlane: Run, tmp_path: Path, graph: Graph, node: str
) -> None:
    model, out = flipped(graph, node, tmp_path / "flipped.tflite"), tmp_path / "v.json"
    original = ("--reference-model", "digits.tflite")
    outcome = bitlane("validate", model, *LITERT, *original, "--json", out)
    assert (outcome.code, outcome.err) == (1, "")
    assert f"\nfirst difference: {node}, tensor " in outcome.out
    found = json.loads(out.read_text(encoding="utf-8"))
    jsonschema.validate(found, VALIDATE)
    assert not found["bit_exact"]
    assert found["first_differing_node"] == node
    layers = {layer["node"]: layer for layer in found["layers"]}
    before = [layers[n.name]["differing"] for n in graph.nodes[: list(layers).index(node)]]
    assert not any(before)
    assert 0 < layers[node]["differing"] < layers[node]["values"]
    assert found["differing"] == sum(layer["differing"] for layer in found["layers"])
    first = layers[node]["first"]
    assert first["ours"] != first["reference"]
    assert abs(first["ours"] - first["reference"]) <= layers[node]["max_abs_difference"]


def test_the_same_flipped_file_on_both_sides(bitlane: Run, tmp_path: Path, graph: Graph) -> None:
    model = flipped(graph, "conv_2d_3", tmp_path / "flipped.tflite")
    assert bitlane("validate", model, *LITERT).code == 0


def test_another_dialect_differs(bitlane: Run, graph: Graph) -> None:
    arguments = ("validate", "zoo:digits", *LITERT, "--samples", "20")
    outcome = bitlane(*arguments, "--dialect", "cmsis-nn-single")
    assert outcome.code == 1
    assert "\naccumulator " in outcome.out
    assert "the other value follows from double_round" in outcome.out


def test_the_explanation_is_that_of_the_element_named(graph: Graph) -> None:
    """With this seed the first layer differs in a later sample only: its reason is told."""
    single = workloads.load("zoo:digits", "cmsis-nn-single")
    outcome = validate(single, digits.model_path(), "litert-ref", count=20, seed=SEED)
    assert outcome.first is not None
    assert outcome.first.first is not None
    sample = outcome.first.first.sample
    given = list(sample_inputs(single, 20, SEED, None))
    found = [diverge(single, graph, values) for values in given]
    earlier = [d for d in found[:sample] if d is not None]
    assert earlier
    assert outcome.first.node not in {d.node for d in earlier}
    expected = found[sample]
    assert expected is not None
    assert (outcome.first.node, outcome.explanation) == (expected.node, expected.reason)


def test_given_inputs_and_seed(bitlane: Run, tmp_path: Path, graph: Graph) -> None:
    by_file = bitlane("validate", "zoo:digits", *LITERT, "--inputs", "five.npz")
    assert (by_file.code, "5 samples (given inputs)" in by_file.out) == (0, True)
    seeded = bitlane("validate", "zoo:digits", *LITERT, "--samples", "2", "--seed", "9")
    assert (seeded.code, "2 samples (uniform, seed 9)" in seeded.out) == (0, True)


def test_a_machine_against_the_graph_reports_and_exits_0(bitlane: Run, tmp_path: Path) -> None:
    out = tmp_path / "d.json"
    arguments = ("validate", "zoo:digits", "--hw", "systolic_16x16", "--inputs", "five.npz")
    wide = bitlane(*arguments)
    assert (wide.code, wide.err) == (0, "")
    assert wide.out.endswith("no value of any layer changes.\n")
    narrow = bitlane(*arguments, "--set", "datapath.accumulator.bits=12", "--json", out)
    assert (narrow.code, narrow.err) == (0, "")
    found = json.loads(out.read_text(encoding="utf-8"))
    assert found["schema"] == "bitlane.damage/1"
    assert sum(layer["changed"] for layer in found["layers"]) > 0


def test_shapes_that_disagree_are_no_comparison() -> None:
    layer = LayerComparison("conv_2d_0", "conv_2d", "y")
    with pytest.raises(Unsupported, match="are these one model"):
        layer.add(0, np.zeros((1, 2), np.int8), np.zeros((1, 3), np.int8))


def test_the_model_is_not_touched(bitlane: Run, tmp_path: Path, graph: Graph) -> None:
    copy = tmp_path / "copy.tflite"
    shutil.copy("digits.tflite", copy)
    assert bitlane("validate", copy, *LITERT, "--samples", "1").code == 0
    assert copy.read_bytes() == digits.model_path().read_bytes()
