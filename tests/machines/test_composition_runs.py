"""What a composition leaves alone: the bits that a machine computes, and one model for all runs."""

from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest

import hwconfigs
import workloads
from analysis.spec import SweepSpec
from analysis.sweeps import Sweep
from simulator.cost import estimate
from simulator.errors import BadConfig, Unsupported
from simulator.execute import run
from simulator.mac import MacOperator
from simulator.numeric.datapath import Composition, Datapath
from simulator.stepper.step import step
from tests.one_operator import graphs
from tests.shared import ROOT

COMPOSED: list[Composition] = [name for name in get_args(Composition) if name != "fixed"]


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("conv_2d", {8}),
        ("depthwise_conv_2d", {8}),
        ("fully_connected", {8}),
        ("transpose_conv", {8, 16}),
    ],
)
@pytest.mark.parametrize(
    "accumulator",
    [
        {"accumulator_bits": 48},
        {"accumulator_bits": 18, "overflow": "saturate", "dot_width": 2},
        {"accumulator_bits": 18, "zero_point": "folded"},
    ],
)
def test_the_bits_are_those_of_a_wide_multiplier(
    kind: str, expected: set[int], accumulator: dict[str, Any]
) -> None:
    widths = set()
    for index, (graph, inputs) in enumerate(graphs(kind, 8)):
        composition = COMPOSED[index % len(COMPOSED)]
        wide, _ = run(graph, inputs, Datapath(weight_bits=16, activation_bits=16, **accumulator))
        four = Datapath(weight_bits=4, activation_bits=4, **accumulator)
        found, _ = run(graph, inputs, replace(four, composition=composition))
        for name, value in wide.items():
            np.testing.assert_array_equal(found[name], value)
        widths |= {graph.tensors[name].bits for name in inputs}
        with pytest.raises(Unsupported, match=r"set datapath\.narrow: true"):
            run(graph, inputs, four)
    assert widths == expected


@pytest.mark.parametrize("base", ["systolic_16x16", "hvx_1024", "cortex_m4"])
def test_a_sweep_over_compositions_is_its_estimates(base: str) -> None:
    # The network has 8 bits: narrower multipliers pass several times or refuse it.
    axes: dict[str, Any] = {
        "datapath.composition": ["fixed", *COMPOSED],
        "datapath.weight_bits": [2, 3, 4, 8, 16],
    }
    spec = SweepSpec(name="s", base=base, workload="zoo:digits", axes=axes)
    points, _ = Sweep(Path(), spec).chunk(0)
    assert len(points) == 25
    graph = workloads.load("zoo:digits")
    for row in points.iter_rows(named=True):
        pairs = [(axis, str(row[axis])) for axis in axes]
        machine = hwconfigs.load(base, pairs)
        refused = row["datapath.composition"] == "fixed" and row["datapath.weight_bits"] < 8
        assert (row["refused"] is not None) == refused
        if refused:
            with pytest.raises(Unsupported, match="its weights have 8 bits, the datapath"):
                estimate(graph, machine)
            continue
        totals = estimate(graph, machine).totals
        for name in ("cycles", "energy_fj", "macs", "utilization", "area_mm2"):
            assert row[name] == getattr(totals, name)
        assert 0 < totals.utilization <= 1


def test_layers_say_how_full_their_multipliers_are() -> None:
    made = estimate(workloads.load("zoo:digits"), hwconfigs.load("bitfusion_16x16"))
    for layer in made.layers:
        assert 0 <= layer.utilization <= 1
        assert (layer.utilization > 0) == (layer.macs > 0)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        (
            "composition",
            "fusd",
            "must be 'fixed', 'fused', 'linear', 'serial' or 'bitplane'; found 'fusd'; "
            "did you mean 'fused'?",
        ),
        ("serial_operand", "weight", "must be 'both' or 'activation'; found 'weight'"),
        ("decompress.elements_per_cycle", "0", "must be >= 1.52588e-05; found 0"),
        ("decompress", "4", "must be a mapping of fields; found 4"),
        ("decompress", "{elements_per_cycle: 1, operations_per_element: 257}", None),
    ],
)
def test_faults_are_one_line(field: str, value: str, message: str | None) -> None:
    with pytest.raises(BadConfig) as caught:
        hwconfigs.load("bitfusion_16x16", [(f"datapath.{field}", value)])
    text = str(caught.value)
    assert "\n" not in text
    path = field if message else "decompress.operations_per_element"
    rule = message or "must be <= 256; found 257"
    assert text == f"--set datapath.{field}={value}: datapath.{path}: {rule}"


def test_the_page_prints_what_it_says(capsys: pytest.CaptureFixture[str]) -> None:
    page = (ROOT / "docs" / "compositions.md").read_text(encoding="utf-8")
    program = page.split("```python\n")[1].split("```")[0]
    exec(compile(program, "docs/compositions.md", "exec"), {})
    assert capsys.readouterr().out == page.rsplit("```\n", 2)[1]


def test_the_stepper_has_whole_multipliers() -> None:
    graph, inputs = graphs("conv_2d", 1)[0]
    node, values = graph.nodes[0], {**graph.constants, **inputs}
    operands = [values.get(name) for name in node.inputs]
    operator = node.op
    assert isinstance(operator, MacOperator)
    with pytest.raises(Unsupported, match=r"whole multipliers.*found 'fused'; set it to fixed"):
        step(operator, operands, hwconfigs.load("bitfusion_16x16"), graph.work[0])
