"""`bitlane exec`, `validate` and `golden` on a machine that narrows the graph."""

import json
from pathlib import Path

import numpy as np
import pytest

import hwconfigs
import workloads
from simulator.execute import run
from simulator.graph import Graph
from simulator.layers import datapaths
from simulator.narrow import requantized
from simulator.numeric.datapath import Datapath
from tests.cli.command import Run
from tests.narrowing.networks import real

pytestmark = pytest.mark.usefixtures("workspace")
FOUR = ("--hw", "four.yaml")


@pytest.fixture(scope="module")
def graph() -> Graph:
    return workloads.load("zoo:digits")


def test_exec_writes_narrow_codes_and_says_so(
    bitlane: Run, tmp_path: Path, filled: Path, graph: Graph
) -> None:
    out = tmp_path / "four.npz"
    arguments = ("exec", "zoo:digits", "--inputs", "five.npz", "--out", out, "--tensors", "all")
    outcome = bitlane(*arguments, *FOUR)
    assert (outcome.code, outcome.err) == (0, "")
    lines = outcome.out.splitlines()
    assert lines[0] == (
        "re-quantized: 10 tensors of activations from 8 to 4 bits, 4 tensors of weights from 8 to "
        "4 bits"
    )
    assert "probabilities: int8[5, 10], 4 bits, scale 0.0625, zero point -8" in lines
    datapath = datapaths(hwconfigs.load(filled / "four.yaml").datapath, graph)
    assert not isinstance(datapath, Datapath)
    with np.load(filled / "five.npz") as arrays:
        pixels = arrays["input_0"]
    with np.load(out) as found:
        assert set(found.files) == {name for node in graph.nodes for name in node.outputs}
        assert all(-8 <= found[name].min() <= found[name].max() <= 7 for name in found.files)
        for i in range(5):
            expected, _ = run(graph, {graph.inputs[0]: pixels[i : i + 1]}, datapath)
            assert np.array_equal(found["probabilities"][i : i + 1], expected["probabilities"])


def test_exec_on_the_same_widths_writes_the_same_bits(bitlane: Run, tmp_path: Path) -> None:
    own, same = tmp_path / "own.npz", tmp_path / "same.npz"
    arguments = ("exec", "zoo:digits", "--inputs", "five.npz", "--tensors", "all", "--out")
    bitlane(*arguments, own)
    outcome = bitlane(*arguments, same, "--hw", "systolic_16x16", "--set", "datapath.narrow=true")
    assert (outcome.code, "re-quantized" in outcome.out) == (0, False)
    with np.load(own) as a, np.load(same) as b:
        assert a.files == b.files
        assert all(np.array_equal(a[name], b[name]) for name in a.files)


def test_validate_compares_in_reals(
    bitlane: Run, tmp_path: Path, filled: Path, graph: Graph
) -> None:
    out = tmp_path / "d.json"
    arguments = ("validate", "zoo:digits", "--inputs", "five.npz", "--json", out)
    outcome = bitlane(*arguments, *FOUR)
    assert (outcome.code, outcome.err) == (0, "")
    assert "re-quantized: 10 tensors of activations from 8 to 4 bits" in outcome.out
    found = json.loads(out.read_text(encoding="utf-8"))
    assert {(c["role"], c["bits"], c["new_bits"]) for c in found["requantized"]} == {
        ("activations", 8, 4),
        ("weights", 8, 4),
    }
    datapath = datapaths(hwconfigs.load(filled / "four.yaml").datapath, graph)
    kinds = (
        requantized(graph, datapath).graph.tensors["probabilities"],
        graph.tensors["probabilities"],
    )
    signal = noise = 0.0
    agreeing = 0
    with np.load(filled / "five.npz") as arrays:
        for pixels in arrays["input_0"]:
            values = {graph.inputs[0]: pixels[None]}
            hardware, own = (run(graph, values, d)[0]["probabilities"] for d in (datapath, None))
            there, here = real(hardware, kinds[0]), real(own, kinds[1])
            signal += float(np.square(here).sum())
            noise += float(np.square(there - here).sum())
            agreeing += int(here.argmax() == there.argmax())
    last = found["layers"][-1]
    assert last["sqnr_db"] == pytest.approx(10 * np.log10(signal / noise), abs=1e-6)
    assert last["top_1_agreement"] == agreeing / 5


def test_more_bits_come_nearer(bitlane: Run, tmp_path: Path) -> None:
    ratios = []
    for bits in (3, 4, 6, 7):
        out = tmp_path / f"{bits}.json"
        narrow = ("--set", "datapath.narrow=true", "--set", f"datapath.activation_bits={bits}")
        bitlane(
            *("validate", "zoo:digits", "--inputs", "five.npz", "--json", out),
            *("--hw", "systolic_16x16", *narrow),
        )
        layers = json.loads(out.read_text(encoding="utf-8"))["layers"]
        ratios.append(next(x["sqnr_db"] for x in layers if x["node"] == "fully_connected_7"))
    assert ratios == sorted(ratios)
    assert ratios[0] < ratios[-1] - 10


def test_golden_vectors_of_a_narrow_machine(bitlane: Run, tmp_path: Path) -> None:
    outcome = bitlane("golden", "zoo:digits", "--inputs", "one.npz", "--out", tmp_path / "g", *FOUR)
    assert (outcome.code, outcome.err) == (0, "")
    manifest = json.loads((tmp_path / "g" / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["files"]["conv_2d_3/weights"]["bits"] == 4
    assert manifest["files"]["conv_2d_0/weights"]["bits"] == 8
    assert manifest["files"]["conv_2d_0/output"]["bits"] == 4
    sums = next(x for x in manifest["layers"] if x["name"] == "conv_2d_3")
    assert sums["requantize"]["rounding"] == "single_round"
    assert sums["requantize"]["clamp"][0] >= -8
