"""The documented commands, on the shipped network: inspect, exec, golden, hw, help."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest

import hwconfigs
import workloads
from simulator.execute import run
from simulator.graph import Graph
from tests.cli.command import Run, outside
from tests.cli.schemas import INSPECT
from workloads.tflite.writer import OperatorSpec, TensorSpec, write_model

COMMANDS = (
    *((name,) for name in ("demo", "inspect", "exec", "validate", "golden", "estimate")),
    *((name,) for name in ("sweep", "report", "diff", "hw")),
    *(("hw", name) for name in ("list", "show", "check")),
)
SLOW_TO_IMPORT = ("numba", "numpy", "polars", "plotly", "pydantic", "tflite", "scipy", "networkx")
NARROW = ("--hw", "systolic_16x16", "--set", "datapath.accumulator.bits=12")

pytestmark = pytest.mark.usefixtures("workspace")


@pytest.fixture(scope="module")
def graph() -> Graph:
    return workloads.load("zoo:digits")


@pytest.fixture(scope="module")
def five(filled: Path) -> np.ndarray[Any, np.dtype[np.int8]]:
    """The five samples of five.npz."""
    with np.load(filled / "five.npz") as arrays:
        samples: np.ndarray[Any, np.dtype[np.int8]] = arrays["input_0"]
        return samples


def arrays_in(path: Path) -> dict[str, np.ndarray[Any, Any]]:
    with np.load(path, allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}


@pytest.mark.parametrize("command", COMMANDS)
def test_help(bitlane: Run, command: tuple[str, ...]) -> None:
    outcome = bitlane(*command, "--help")
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.out.startswith(f"Usage: bitlane {' '.join(command)} ")
    assert "--help" in outcome.out


def test_help_lists_every_command(bitlane: Run) -> None:
    shown = bitlane("--help").out + bitlane("hw", "--help").out
    listed = {
        line.split()[0] for line in shown.splitlines() if line.startswith("  ") and line[2] != " "
    }
    assert {command[-1] for command in COMMANDS} <= listed


def test_help_imports_nothing_heavy() -> None:
    program = (
        "import sys; sys.argv = ['bitlane', '--help']\n"
        "import analysis.cli\n"
        "try: analysis.cli.main()\n"
        "except SystemExit as end: assert end.code == 0\n"
        f"print([m for m in {SLOW_TO_IMPORT!r} if m in sys.modules], file=sys.stderr)"
    )
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, "[]\n")


def test_inspect(bitlane: Run, tmp_path: Path, graph: Graph) -> None:
    outcome = bitlane("inspect", "zoo:digits", "--json", tmp_path / "i.json")
    assert (outcome.code, outcome.err) == (0, "")
    macs = sum(w.macs for w in graph.work)
    assert f"{macs:,}".replace(",", " ") + " MACs" in outcome.out
    found = json.loads((tmp_path / "i.json").read_text(encoding="utf-8"))
    jsonschema.validate(found, INSPECT)
    assert found["macs"] == macs == sum(layer["macs"] for layer in found["layers"])
    assert [layer["name"] for layer in found["layers"]] == [n.name for n in graph.nodes]
    assert found["weight_bytes"] == sum(
        v.nbytes for v in graph.constants.values() if v.ndim != 1
    ) + sum(graph.constants[n.inputs[2]].nbytes for n in graph.nodes if len(n.inputs) > 2)


def test_inspect_follows_the_dialect(bitlane: Run) -> None:
    outcome = bitlane("inspect", "zoo:digits", "--dialect", "tflm")
    assert outcome.out.startswith("digits_cnn.tflite (tflm)\n")


def test_exec_stacks_samples(
    bitlane: Run, tmp_path: Path, graph: Graph, five: np.ndarray[Any, Any]
) -> None:
    out = tmp_path / "out.npz"
    outcome = bitlane("exec", "zoo:digits", "--inputs", "five.npz", "--out", out)
    assert outcome.code == 0
    assert outcome.out == f"probabilities: int8[5, 10]\nwritten to {out}\n"
    each = [run(graph, {"pixels": five[i : i + 1]})[0]["probabilities"] for i in range(5)]
    found = arrays_in(out)
    assert list(found) == ["probabilities"]
    assert np.array_equal(found["probabilities"], np.concatenate(each))


@pytest.mark.parametrize("key", ["pixels", "input_0", "t0"])
def test_exec_takes_every_name_of_an_input(
    bitlane: Run, tmp_path: Path, five: np.ndarray[Any, Any], key: str
) -> None:
    np.savez(tmp_path / "in.npz", **{key: five})  # type: ignore[arg-type]
    arguments = ("exec", "zoo:digits", "--inputs", tmp_path / "in.npz", "--out")
    assert bitlane(*arguments, tmp_path / "out.npz").code == 0
    bitlane("exec", "zoo:digits", "--inputs", "five.npz", "--out", tmp_path / "same.npz")
    assert (tmp_path / "out.npz").read_bytes() == (tmp_path / "same.npz").read_bytes()


def test_exec_all_tensors(bitlane: Run, tmp_path: Path, graph: Graph) -> None:
    out = tmp_path / "all.npz"
    arguments = ("exec", "zoo:digits", "--inputs", "five.npz", "--out", out)
    assert bitlane(*arguments, "--tensors", "all").code == 0
    found = arrays_in(out)
    assert list(found) == [name for node in graph.nodes for name in node.outputs]
    for name, value in found.items():
        assert value.shape == (5, *graph.tensors[name].shape[1:])
        assert value.dtype == graph.tensors[name].dtype


def test_exec_writes_tensors_without_a_name_by_index(bitlane: Run, tmp_path: Path) -> None:
    from tests.test_tflite_reader import reshapes

    (tmp_path / "m.tflite").write_bytes(reshapes("a", "twice", "", "twice", "file"))
    values = np.arange(4, dtype=np.int8)
    np.savez(tmp_path / "in.npz", t0=values)
    arguments = ("exec", tmp_path / "m.tflite", "--inputs", tmp_path / "in.npz", "--out")
    assert bitlane(*arguments, tmp_path / "out.npz", "--tensors", "all").code == 0
    found = arrays_in(tmp_path / "out.npz")
    assert list(found) == ["t1", "t2", "t3", "file"]
    assert all(np.array_equal(value, values) for value in found.values())


def test_exec_of_a_graph_without_operators_or_inputs(bitlane: Run, tmp_path: Path) -> None:
    known = TensorSpec("a", (1, 4), "int8", (0.5,), (0,), data=np.ones((1, 4), np.int8))
    result = TensorSpec("b", (4,), "int8", (0.5,), (0,))
    passed = write_model([TensorSpec("a", (1, 4), "int8", (0.5,), (0,))], [], [0], [0])
    constant = write_model([known, result], [OperatorSpec("RESHAPE", (0,), (1,))], [], [1])
    np.savez(tmp_path / "a.npz", a=np.ones((2, 4), np.int8))
    np.savez(tmp_path / "none.npz")
    for model, inputs, name, shape in (
        (passed, "a.npz", "a", (2, 4)),
        (constant, "none.npz", "b", (4,)),
    ):
        (tmp_path / "m.tflite").write_bytes(model)
        arguments = ("exec", tmp_path / "m.tflite", "--inputs", tmp_path / inputs, "--out")
        assert bitlane(*arguments, tmp_path / "out.npz").code == 0
        found = arrays_in(tmp_path / "out.npz")
        assert {key: value.tolist() for key, value in found.items()} == {
            name: np.ones(shape, np.int8).tolist()
        }


def test_exec_on_a_narrow_accumulator_changes_bits(bitlane: Run, tmp_path: Path) -> None:
    arguments = ("exec", "zoo:digits", "--inputs", "five.npz", "--tensors", "all", "--out")
    bitlane(*arguments, tmp_path / "own.npz")
    bitlane(*arguments, tmp_path / "wide.npz", "--hw", "systolic_16x16")
    bitlane(*arguments, tmp_path / "narrow.npz", *NARROW)
    own, wide, narrow = (arrays_in(tmp_path / f"{n}.npz") for n in ("own", "wide", "narrow"))
    assert all(np.array_equal(own[name], wide[name]) for name in own)
    assert any(not np.array_equal(own[name], narrow[name]) for name in own)


def test_exec_follows_the_dialect(bitlane: Run, tmp_path: Path, five: np.ndarray[Any, Any]) -> None:
    out = tmp_path / "out.npz"
    arguments = ("exec", "zoo:digits", "--inputs", "five.npz", "--out", out, "--tensors", "all")
    assert bitlane(*arguments, "--dialect", "cmsis-nn-single").code == 0
    graph = workloads.load("zoo:digits", "cmsis-nn-single")
    expected, _ = run(graph, {"pixels": five[:1]})
    assert np.array_equal(arrays_in(out)["probabilities"][:1], expected["probabilities"])


def test_golden_writes_a_pack(bitlane: Run, tmp_path: Path) -> None:
    arguments = ("golden", "zoo:digits", "--inputs", "one.npz", "--out", tmp_path / "pack")
    outcome = bitlane(*arguments, "--layer", "conv_2d_3", "--fold-taps", "16", "--lanes", "4")
    assert (outcome.code, outcome.err) == (0, "")
    manifest = json.loads((tmp_path / "pack/manifest.json").read_text(encoding="utf-8"))
    assert (
        outcome.out == f"{len(manifest['files'])} arrays of 1 layers written to {tmp_path}/pack\n"
    )
    assert manifest["schema"] == "bitlane.golden/1"
    assert manifest["files"]["conv_2d_3/partial_sum"]["shape"][0] == 288 // 16


def test_accumulators(bitlane: Run, tmp_path: Path) -> None:
    out = tmp_path / "a.json"
    arguments = ("inspect", "zoo:digits", "--accumulators", "--inputs", "five.npz")
    outcome = bitlane(*arguments, "--bits", "16", "--json", out)
    assert (outcome.code, outcome.err) == (0, "")
    found = json.loads(out.read_text(encoding="utf-8"))
    assert (found["schema"], found["bits"]) == ("bitlane.accumulators/1", 16)
    for layer in found["layers"]:
        assert layer["name"] in outcome.out
        assert layer["observed"]["final_bits"] <= layer["proved"]["final_bits"]


def test_diff_of_two_estimates(bitlane: Run, tmp_path: Path) -> None:
    out = tmp_path / "e.json"
    bitlane("estimate", "zoo:digits", "--hw", "cortex_m4", "--batch", "2", "--json", out)
    same = bitlane("diff", "estimate.json", "estimate.json")
    assert (same.code, "every layer costs the same" in same.out) == (0, True)
    changed = bitlane("diff", "estimate.json", out)
    assert (changed.code, changed.err) == (0, "")
    assert "conv_2d_3 " in changed.out


def test_hw_list_show_check(bitlane: Run) -> None:
    listed = bitlane("hw", "list").out.split()
    assert listed == hwconfigs.names()
    assert {"systolic_16x16", "hvx_1024", "cortex_m4"} <= set(listed)
    for name in listed:
        shown = bitlane("hw", "show", name)
        assert (shown.code, shown.err) == (0, "")
        # A platform is followed by its machines, each by its technology.
        machine, *_, technology = shown.out.split("\n---\n")
        assert f"name: {name}\n" in machine
        assert "name: horowitz_45nm\n" in technology
        assert bitlane("hw", "check", name).code == 0


def test_hw_show_gives_the_machine_its_own_technology(bitlane: Run, tmp_path: Path) -> None:
    machine, technology = hwconfigs.text("systolic_16x16").split("\n---\n")
    own = machine.replace("technology: horowitz_45nm", "technology: prices.yaml")
    (tmp_path / "m.yaml").write_text(own, encoding="utf-8")
    (tmp_path / "prices.yaml").write_text(technology + "# ours\n", encoding="utf-8")
    assert bitlane("hw", "show", tmp_path / "m.yaml").out == f"{own}\n---\n{technology}# ours\n"


def test_the_program_by_its_name(filled: Path) -> None:
    program = Path(sys.executable).with_name("bitlane")
    if not program.exists():
        pytest.skip("bitlane is not installed beside this interpreter")
    done = subprocess.run([program, "hw", "list"], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout) == (0, outside("hw", "list", cwd=filled).out)
