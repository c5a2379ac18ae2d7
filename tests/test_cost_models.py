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
from simulator.errors import BadConfig, BadFile, Unsupported
from simulator.graph import Graph
from simulator.machines.base import Machine
from simulator.machines.spatial import Spatial

RESNET50, FOR = "zoo:resnet50_v1.5", "mapping.objective"


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


COSTS = {"pareto_linear": 16, "pareto_quadratic": 8 * 9}
"""What a product of 8-bit weights and activations costs, these less their zero point."""


@pytest.mark.parametrize("law", COSTS)
def test_a_cost_has_no_part_in_the_joules_of_a_machines_own(law: str) -> None:
    machine = hwconfigs.load("eyeriss_like", [("technology", law)])
    assert isinstance(machine, Spatial)
    assert machine.mac_pj is not None
    found = estimate(workloads.load("zoo:digits"), machine)
    totals = found.totals
    assert totals.cost == totals.macs * COSTS[law]
    assert totals.energy_fj_low == totals.energy_fj == totals.energy_fj_high
    assert any("without the machine's own mac_pj, read_pj of" in note for note in found.notes)


def test_power_times_time_holds_the_joules_of_a_machines_own() -> None:
    machine = hwconfigs.load("tpu_like", [("technology", "mcu_boards")])
    found = estimate(workloads.load("zoo:digits"), machine)
    assert found.totals.energy_fj == 427_000 * found.totals.cycles
    own = estimate(workloads.load("zoo:digits"), hwconfigs.load("tpu_like"))
    assert own.totals.energy_fj > found.totals.energy_fj
    assert not any("own" in note for note in own.notes)


def on_a_platform(host: str, unit: str) -> Machine:
    changes = [("host.technology", host), ("units.npu.technology", unit)]
    return hwconfigs.load("systolic_and_m4", changes)


def test_a_platform_counts_one_unit_and_no_joules_of_its_links_in_it() -> None:
    found = estimate(workloads.load("zoo:digits"), on_a_platform("pareto_linear", "pareto_linear"))
    assert found.totals.cost == found.totals.macs * COSTS["pareto_linear"]
    assert found.totals.energy_fj_low == found.totals.energy_fj == found.totals.energy_fj_high
    assert "npu: the energy of its link is left out of multiplication bits" in found.notes
    message = "units.npu.technology: pareto_linear counts multiplication bits and the host's"
    with pytest.raises(BadConfig, match=message):
        on_a_platform("horowitz_45nm", "pareto_linear")
    with pytest.raises(BadConfig, match="horowitz_45nm counts pJ and the host's pareto_quadratic"):
        on_a_platform("pareto_quadratic", "horowitz_45nm")


@pytest.mark.parametrize("objective", ["edp", "energy"])
@pytest.mark.parametrize("law", ["pareto_memory", "pareto_quadratic", "mcu_boards"])
def test_where_every_nest_costs_the_same_the_fastest_is_the_best(law: str, objective: str) -> None:
    """`pareto_memory` and `mcu_boards` price no access and no product: no nest has an energy."""
    graph = workloads.load("zoo:digits")
    costs = [
        estimate(graph, hwconfigs.load("gemmini_like", [("technology", law), (FOR, wanted)]))
        for wanted in (objective, "latency")
    ]
    assert costs[0].totals.cycles == costs[1].totals.cycles
    assert costs[0].totals.energy_fj == costs[1].totals.energy_fj


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
            "width=0.125 to 4; bits=4, 8 or 16; and seed=0 to 999999; "
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
