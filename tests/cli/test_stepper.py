"""`exec --stepper` on the shipped network: bits, cycles, and a page that holds every cycle."""

import json
import re
from pathlib import Path

import pytest

import analysis.stepper
from analysis.stepper import Outcome as Stepping
from tests.cli.command import Run

STEP = ("exec", "zoo:digits", "--inputs", "one.npz", "--stepper", "--hw", "systolic_16x16")
pytestmark = pytest.mark.usefixtures("workspace")
LAYERS = ("conv_2d_0", "depthwise_conv_2d_1", "conv_2d_2", "conv_2d_3", "fully_connected_7")


@pytest.mark.parametrize("layer", LAYERS)
def test_every_layer_steps_to_the_same_bits_and_cycles(bitlane: Run, layer: str) -> None:
    outcome = bitlane(*STEP, "--layer", layer, "--set", "datapath.accumulator.bits=18")
    assert outcome.code == 0
    assert outcome.err == ""
    lines = outcome.out.splitlines()
    assert lines[0] == f"{layer} on systolic_16x16: 16 x 16, weight stationary, timing physical"
    assert re.fullmatch(r"cycles       [\d ]+, as the analytic model counts", lines[1])
    assert re.fullmatch(r"utilization  \d+\.\d%", lines[2])
    assert re.fullmatch(r"bits         equal: [\d ]+ accumulators as the engine .*", lines[3])
    assert [line.split()[0] for line in lines[7:]] == ["weight", "activation", "accumulator"]


def test_the_page_holds_every_register(bitlane: Run, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    small = ("--set", "array.rows=4", "--set", "array.cols=4")
    outcome = bitlane(*STEP, "--layer", "conv_2d_0", *small, "--html", page)
    assert outcome.code == 0
    cycles = int(outcome.out.split("cycles", 1)[1].split(",")[0].replace(" ", ""))
    text = page.read_text(encoding="utf-8")
    assert not re.search(r"(src|href)=\"(?!data:)", text)
    data = json.loads(text.split('id="data">', 1)[1].split("</script>", 1)[0])
    assert (data["rows"], data["cols"], data["lanes"], data["cycles"]) == (4, 4, 1, cycles)
    assert [len(cycle) for cycle in data["trace"]] == [4 * 4 * 5] * cycles


def test_a_difference_is_told_and_exits_with_1(
    bitlane: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Stepping, "equal", property(lambda _: False))
    assert bitlane(*STEP, "--layer", "conv_2d_0").code == 1
    assert analysis.stepper.Outcome is Stepping


def test_topologies_are_estimated_and_swept(bitlane: Run, tmp_path: Path) -> None:
    outcome = bitlane("estimate", "topology.csv", "--hw", "scalesim_compatible")
    assert outcome.code == 0
    # Output stationary, 32 x 32: one fold each of 32 + 32 + 9 - 2 and 32 + 32 + 4 - 2 cycles.
    assert [line.split()[2] for line in outcome.out.splitlines()[3:5]] == ["71", "66"]
    spec = tmp_path / "spec.yaml"
    spec.write_text(
        f"name: t\nbase: scalesim_compatible\nworkload: {Path('topology.csv').resolve()}\n"
        "axes: {array.rows: [4, 8]}\n",
        encoding="utf-8",
    )
    outcome = bitlane("sweep", spec, "--out", tmp_path / "run")
    assert outcome.code == 0
    assert "2 points" in outcome.out
