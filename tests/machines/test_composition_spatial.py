"""Compositions on a `spatial` machine: nests by hand, storage, prices and passes."""

from typing import Any

import pytest

import hwconfigs
from simulator.cost import evaluate_designs
from simulator.machines.actions import ACTION_NAMES
from simulator.machines.registry import machine_from
from simulator.machines.spatial import Spatial
from simulator.mapped import cost_mapping, map_work
from simulator.work import Work
from tests.machines.composition_oracle import cycles_of_a_product, steps
from tests.machines.test_composition import COMPOSED, COMPOSITIONS, fields
from tests.machines.test_spatial import SMALL
from tests.machines.works import conv

UNIT = (8, 8)
PAIRS = [(8, 8), (4, 4), (8, 4), (4, 8), (2, 2), (16, 8), (8, 16), (16, 16)]


def composed(name: str, *more: tuple[str, Any]) -> Spatial:
    """4 filters by 2 groups of channels, with room for all operands in the SRAM."""
    given: Any = dict(SMALL)["memory"]
    memories = [dict(level) for level in given]
    memories[1] |= {"bytes": 1 << 20, "bits_per_cycle": 4096}
    memories[2] |= {"bits_per_cycle": 4096, "word_bits": 8}
    paths = [(path.replace("__", "."), value) for path, value in fields(name, UNIT).items()]
    changes = [*SMALL[:2], ("memory", memories), ("timing", "physical"), *paths, *more]
    made = machine_from(hwconfigs.document("meta_prototype"), changes)
    assert isinstance(made, Spatial)
    return made


def layer(w: int, a: int, taps: int = 32, kernel: int = 1) -> Work:
    widths = {"weight_bits": w, "activation_bits": a, "output_bits": 8}
    return conv((4, 6), 8, (kernel, kernel), taps, **widths)


def counted(machine: Spatial, work: Work) -> dict[str, int]:
    found = evaluate_designs([work], [machine], per_layer=True)
    told = dict(zip(ACTION_NAMES, found.actions[0, 0].tolist(), strict=True))
    assert told["refusal"] == 0
    return told


@pytest.mark.parametrize("kernel", [1, 3])
@pytest.mark.parametrize("name", COMPOSED)
def test_steps_of_the_temporal_loop_by_hand(name: str, kernel: int) -> None:
    """4 x 6 pixels, 8 filters on 4 columns, the channels' steps on 2 rows, taps in turn."""
    machine = composed(name)
    for w, a in PAIRS:
        work = layer(w, a, kernel=kernel)
        told = counted(machine, work)
        channels = steps(name, UNIT, w, a, 32, 1)
        assert told["compute_cycles"] == 24 * 2 * -(-channels // 2) * kernel**2
        each = cycles_of_a_product(name, UNIT, w, a)
        assert told["macs"] == work.macs
        assert told["multiplier_cycles"] == -(-work.macs * each // 1)
        assert told["accumulations"] == work.macs * max(1, -(-each // 1))


@pytest.mark.parametrize("name", COMPOSITIONS)
def test_4_bit_weights_halve_what_comes_from_dram(name: str) -> None:
    machine = composed(name, ("mapping.objective", "energy"))
    read = {}
    for w in (8, 4):
        work = layer(w, 8)
        read[w] = counted(machine, work)["level_2_read_bytes"]
        rest = work.input_elements + work.bias_elements * 4
        assert read[w] - rest == work.weight_elements * w // 8
    assert read[8] - read[4] == layer(8, 8).weight_elements // 2


@pytest.mark.parametrize("name", COMPOSED[:-1])
def test_full_width_takes_the_nests_of_a_fixed_array(name: str) -> None:
    """At the multiplier's own width nothing but prices differs.

    Not so `bitplane`, whose words hold 64 one-bit products of one pass.
    """
    one, other = (counted(composed(n), layer(8, 8)) for n in ("fixed", name))
    for action in ACTION_NAMES:
        assert one[action] == other[action]


@pytest.mark.parametrize("name", COMPOSED)
def test_a_pinned_nest_costs_what_the_search_said(name: str) -> None:
    machine = composed(name)
    for w, a in ((4, 4), (16, 8)):
        found = map_work(layer(w, a), machine)
        again = cost_mapping(layer(w, a), machine, found.nest)
        assert (again.latency, again.energy_fj) == (found.latency, found.energy_fj)
        told = counted(machine, layer(w, a))
        assert found.cycles["ideal"] == told["compute_cycles"]


def test_fixed_refuses_wider_operands_and_composed_takes_them() -> None:
    found = evaluate_designs([layer(16, 8)], [composed(name) for name in COMPOSITIONS])
    assert found.refused.tolist() == [True] + [False] * 5


def test_decompression_is_counted_at_reads_of_the_sram() -> None:
    """One weight a cycle: 256 weights at least, each an operation; none at full width."""
    rates = {"elements_per_cycle": 1, "operations_per_element": 2}
    machine = composed("fixed", ("datapath.decompress", rates))
    plain = counted(composed("fixed"), layer(4, 8))
    told = counted(machine, layer(4, 8))
    weights = (told["elementwise"] - plain["elementwise"]) // 2
    assert weights * 4 % 8 == 0
    assert weights >= layer(4, 8).weight_elements
    busy = told["compute_cycles"] + told["stall_cycles"]
    assert busy >= max(weights, plain["compute_cycles"])
    assert counted(machine, layer(8, 8)) == counted(composed("fixed"), layer(8, 8))


def test_area_is_that_of_the_composed_multiplier() -> None:
    areas = evaluate_designs([], [composed(name) for name in COMPOSITIONS]).area_mm2.tolist()
    assert areas[1] > areas[0]
    assert areas[2] > areas[0]
    # Lanes of one bit or of a weight have as many adder bits and registers.
    assert areas[3] == areas[4] == areas[5] != areas[0]
