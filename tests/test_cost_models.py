"""Cost models in units of their own: the three laws of arXiv 2105.03536, exact, from the zoo.

Reference values: `reference/SEEDS.md` of the shared folder, section C.2, derived from the paper's
published code; they are integers of its ResNet-50 at 224 and hold to the last digit.
"""

import json

import pytest

import hwconfigs
import workloads
from analysis.estimate import document, to_text
from simulator.cost import Estimate, estimate
from simulator.errors import BadFile, Unsupported
from simulator.graph import Graph

RESNET50 = "zoo:resnet50_v1.5"


def cost(law: str, weight_bits: int, activation_bits: int, width: float = 1.0) -> Estimate:
    machine = hwconfigs.load(
        "systolic_16x16",
        [
            ("technology", f"pareto_{law}"),
            ("datapath.weight_bits", weight_bits),
            ("datapath.activation_bits", activation_bits),
            ("datapath.zero_point", "folded"),
            ("datapath.narrow", True),
        ],
    )
    return estimate(network(width), machine)


def network(width: float = 1.0) -> Graph:
    return workloads.load(f"{RESNET50},width={width},bits=16")


def test_the_network_has_the_papers_counts() -> None:
    works = workloads.load(RESNET50).work
    assert sum(work.macs for work in works) == 4_089_184_256
    assert sum(work.weight_elements for work in works) == 25_502_912
    assert {work.weight_bits for work in works if work.macs} == {8}


@pytest.mark.parametrize(
    ("weight_bits", "activation_bits", "expected"),
    [
        (16, 16, 1_046_831_169_536),
        (8, 16, 523_415_584_768),
        (4, 16, 261_707_792_384),
        (8, 8, 261_707_792_384),
        (4, 4, 65_426_948_096),
        (4, 2, 32_713_474_048),
    ],
)
def test_the_quadratic_costs_of_resnet50(
    weight_bits: int, activation_bits: int, expected: int
) -> None:
    totals = cost("quadratic", weight_bits, activation_bits).totals
    assert totals.cost == expected
    assert totals.energy_fj_low == totals.energy_fj_high == totals.energy_fj == 1000 * expected


@pytest.mark.parametrize(
    ("bits", "expected"), [(16, 408_046_592), (8, 204_023_296), (4, 102_011_648)]
)
def test_the_memory_costs_of_resnet50(bits: int, expected: int) -> None:
    assert cost("memory", bits, bits).totals.cost == expected


@pytest.mark.parametrize(
    ("weight_bits", "activation_bits", "taken"), [(4, 4, 4), (4, 8, 8), (8, 8, 8), (2, 9, 16)]
)
def test_the_linear_cost_takes_the_wider_operand_of_4_8_or_16(
    weight_bits: int, activation_bits: int, taken: int
) -> None:
    found = cost("linear", weight_bits, activation_bits)
    assert found.totals.cost == 4_089_184_256 * taken


@pytest.mark.parametrize(
    ("width", "gmac", "quadratic"), [(0.5, 1.127, 0.069), (1.5, 9.003, 0.550), (2.0, 15.870, 0.970)]
)
def test_wider_networks_against_the_half_precision_one(
    width: float, gmac: float, quadratic: float
) -> None:
    found = cost("quadratic", 8, 8, width).totals
    assert found.macs / 1e9 == pytest.approx(gmac, abs=5e-4)
    assert found.cost is not None
    assert found.cost / 1_046_831_169_536 == pytest.approx(quadratic, abs=5e-4)


def test_a_cost_is_printed_in_its_unit_and_never_as_joules() -> None:
    machine = hwconfigs.load("systolic_16x16", [("technology", "pareto_quadratic")])
    graph = workloads.load("zoo:digits")
    found = estimate(graph, machine)
    text = to_text(graph, [found])
    assert f"{found.totals.energy_fj // 1000} bit products" in text
    assert "cost is counted by pareto_quadratic in bit products: it is no energy" in text
    (entry,) = json.loads(json.dumps(document(graph, [found], 1)))["machines"]
    assert not [name for name in entry["totals"] if "energy" in name or name == "power_w"]
    assert entry["totals"]["unit"] == "bit products"
    layers = sum(value for layer in entry["layers"] for value in layer["cost"].values())
    assert layers == entry["totals"]["cost"] == entry["totals"]["cost_low"] == found.totals.cost


def test_a_board_costs_its_cycles_and_nothing_else() -> None:
    machine = hwconfigs.load("cortex_m4", [("technology", "mcu_boards")])
    found = estimate(workloads.load("zoo:digits"), machine)
    assert found.totals.energy_fj == 427_000 * found.totals.cycles
    assert all(set(e) - {k for k, v in e.items() if v == 0} == {"time"} for e in found.energy_fj)
    assert found.totals.area_mm2 == 0


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (
            "zoo:resnet50_v1.5,width=9",
            "zoo:resnet50_v1.5,width=9: width must be 0.125 to 4; found '9'",
        ),
        (
            "zoo:resnet50_v1.5,wdth=1",
            "zoo:resnet50_v1.5,wdth=1: options are side=32 to 4096; classes=1 to 100000; "
            "width=0.125 to 4; and bits=4, 8 or 16; "
            "found 'wdth=1'. Did you mean 'width'?",
        ),
        (
            "zoo:resnet50",
            "zoo:resnet50: no such network in the zoo; did you mean zoo:resnet50_v2 or "
            "zoo:resnet50_v1 or zoo:resnet50_v1.5?",
        ),
    ],
)
def test_a_zoo_name_that_is_none_is_refused(model: str, message: str) -> None:
    with pytest.raises(BadFile) as caught:
        workloads.load(model)
    assert str(caught.value) == message


def test_a_network_of_shapes_has_no_file_and_no_arithmetic() -> None:
    from workloads.source import resolve

    with pytest.raises(Unsupported, match="holds shapes and no values"):
        resolve(RESNET50)
    with pytest.raises(Unsupported, match="holds shapes and no values"):
        workloads.load(RESNET50, "tflm")
