"""Units that take values in turn, a requantizer of its own, and coded weights: closed forms."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import hwconfigs
import workloads
from analysis.estimate import document
from analysis.mapping_files import write_mappings
from simulator.cost import estimate, evaluate_designs
from simulator.designs import batched_works
from simulator.errors import BadConfig
from simulator.machines.actions import (
    COMPUTE_CYCLES,
    LEVEL_0,
    OVERHEAD_CYCLES,
    STALL_CYCLES,
    TOTAL_CYCLES,
    TOTAL_ENERGY_FJ,
)
from simulator.machines.spatial import Spatial
from simulator.mapped import cost_mapping, map_work
from simulator.mapping.loopnest import from_plain
from simulator.residency import retention_of, works_on
from simulator.work import Work
from tests.machines.works import conv
from workloads.mappings.files import read_pins

NAMES = [f"ethos_u55_{units}" for units in (32, 64, 128, 256)]
FLASH = 5


def machine(name: str, *sets: tuple[str, Any]) -> Spatial:
    made = hwconfigs.load(name, sets)
    assert isinstance(made, Spatial)
    return made


def actions(work: Work, target: Spatial) -> list[int]:
    found = evaluate_designs([work], [target], per_layer=True)
    row: list[int] = found.actions[0, 0].tolist()
    return row


def cycles(work: Work, target: Spatial) -> int:
    return int(evaluate_designs([work], [target]).totals[0, TOTAL_CYCLES])


def least_steps(work: Work, rows: int, columns: int, filters: int) -> int:
    """Steps of four cycles, from the definition: the least of what a step may cover."""
    pixels = [math.ceil(work.oy / rows) * math.ceil(work.ox / columns)]
    if rows == 2:
        pixels.append(work.oy * math.ceil(work.ox / 4))
    channels, taps = math.ceil(work.oc / filters) * work.groups, work.ky * work.kx
    some = [math.ceil(taps_y / a) * math.ceil(taps_x / b) for a, b in ((1, 4), (4, 1), (2, 2))
            for taps_y, taps_x in ((work.ky, work.kx),)]  # fmt: skip
    deep = min(pixels) * channels * taps * math.ceil(work.ic / 32)
    part = pixels[0] * channels * min(some) * math.ceil(work.ic / 8)
    single = math.ceil(work.groups / filters) * work.oc * work.ic
    return min(deep, part, pixels[0] * single * min(some))


@settings(max_examples=25, deadline=None)
@given(
    name=st.sampled_from(NAMES),
    sides=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    oc=st.integers(1, 40),
    kernel=st.sampled_from([(1, 1), (3, 3), (1, 5), (5, 1), (10, 4)]),
    ic=st.integers(1, 70),
    groups=st.sampled_from([1, 1, 1, 3, 24]),
)
def test_a_step_takes_four_cycles_however_little_it_covers(
    name: str, sides: tuple[int, int], oc: int, kernel: tuple[int, int], ic: int, groups: int
) -> None:
    """Whatever mapping is best, its steps are those of one of the unrollings, and none is saved."""
    shape = {"32": (1, 1, 4), "64": (1, 1, 8), "128": (1, 2, 8), "256": (2, 2, 8)}[name[10:]]
    work = conv(sides, oc, kernel, ic, groups)
    found = actions(work, machine(name))
    least = 4 * least_steps(work, *shape)
    assert found[COMPUTE_CYCLES] % 4 == 0
    assert found[COMPUTE_CYCLES] >= least >= work.macs / math.prod(shape) / 8
    # Another unrolling is taken only where its steps cost less than the waiting they save.
    total = found[COMPUTE_CYCLES] + found[STALL_CYCLES] + found[OVERHEAD_CYCLES]
    assert total == cycles(work, machine(name))


def test_steps_where_nothing_waits() -> None:
    """Large images, few filters: the array alone counts."""
    wide = ("memory.2.bits_per_cycle", 8192)
    for ic, taps in ((3, 12), (16, 24), (32, 36), (33, 60)):
        work = conv((32, 32), 8, (3, 3), ic)
        found = actions(work, machine("ethos_u55_256", wide))
        assert found[COMPUTE_CYCLES] == 16 * 16 * taps
    depthwise = conv((32, 32), 1, (3, 3), 1, 16)
    assert actions(depthwise, machine("ethos_u55_256", wide))[COMPUTE_CYCLES] == 256 * 2 * 12


def test_a_mapping_reads_back_in_the_same_cycles() -> None:
    work, target = conv((12, 12), 24, (3, 3), 20), machine("ethos_u55_128")
    found = map_work(work, target)
    again = cost_mapping(work, target, found.nest)
    assert again.latency == found.latency
    assert again.cycles == found.cycles
    assert again.energy_fj == found.energy_fj
    ideal = found.cycles["ideal"]
    assert ideal == actions(work, target)[COMPUTE_CYCLES]


def test_the_mappings_of_an_estimate_are_those_it_was_costed_with() -> None:
    """Coded weights change what is best; the document pins the mapping of the coded ones."""
    graph, target = workloads.load("zoo:digits"), machine("ethos_u55_32")
    found = estimate(graph, target)
    told = document(graph, [found], 1)["machines"][0]["layers"]
    works = works_on(graph, retention_of(target))
    seen = 0
    for work, layer, entry in zip(works, found.layers, told, strict=True):
        if work.macs:
            nest = from_plain(entry["mapping"], target.chains())
            again = cost_mapping(work, target, nest).cycles
            assert again["ideal"] == layer.cycles.compute
            assert 0 < work.coded_weight_bits < 8 * work.weight_elements
            seen += 1
    assert seen > 1


def test_a_layer_is_searched_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The document and the files have the nests of the estimate; a second search agrees."""
    graph, target = workloads.load("zoo:digits"), machine("ethos_u55_32")
    found = estimate(graph, target, 2)
    works = batched_works(works_on(graph, retention_of(target), 2), 2)
    nests = [map_work(work, target).nest if work.macs else None for work in works]
    assert found.nests == tuple(nests)
    assert estimate(graph, hwconfigs.load("cortex_m4")).nests is None

    def searched(*_: object) -> int:
        raise AssertionError

    monkeypatch.setattr("simulator.mapped.map_layer", searched)
    layers = document(graph, [found], 2)["machines"][0]["layers"]
    told = [from_plain(x["mapping"], target.chains()) if "mapping" in x else None for x in layers]
    assert told == nests
    write_mappings(tmp_path, "bitlane", graph, [target], [found], 2)
    files = sorted((tmp_path / target.name).iterdir())
    read = [read_pins(file, target)[0] for file in files]
    assert [pin.loops for pin in read] == [nest.loops for nest in nests if nest is not None]


def test_the_requantizer_bounds_array_and_vector_layers() -> None:
    """One input channel, one tap: an output costs the array less than its requantization."""
    work = conv((32, 32), 64, (1, 1), 1)
    slow = machine("ethos_u55_256", ("vector.requantizations_per_cycle", 0.125))
    found = actions(work, slow)
    assert found[COMPUTE_CYCLES] + found[STALL_CYCLES] == work.output_elements * 8
    added = Work(input_elements=2000, output_elements=1000, elementwise=1000, requantizations=3000)
    for rate in (0.5, 1, 4):
        target = machine("ethos_u55_256", ("vector.requantizations_per_cycle", rate))
        assert actions(added, target)[COMPUTE_CYCLES] == 3000 / rate
    shared = machine("ethos_u55_256", ("vector", {"lanes": 8}))
    assert actions(added, shared)[COMPUTE_CYCLES] == 500
    pooled = replace(added, elementwise=49_000, requantizations=1000)
    assert actions(pooled, machine("ethos_u55_256"))[COMPUTE_CYCLES] == 49_000 / 8


def test_coded_weights_move_as_they_are_coded() -> None:
    """A quarter of the bits is a quarter of the flash's bytes, and of its time where it rules."""
    target = machine("ethos_u55_256", ("memory.5.bits_per_cycle", 4))
    plain = replace(conv((1, 1), 256, (1, 1), 256), bias_elements=0)
    bits = plain.weight_elements * 8
    quarter = replace(plain, coded_weight_bits=bits // 4)
    read = LEVEL_0 + 2 * FLASH
    assert actions(plain, target)[read] == bits // 8
    assert actions(quarter, target)[read] == bits // 32
    assert cycles(plain, target) >= bits // 4
    ratio = cycles(plain, target) / cycles(quarter, target)
    assert 3.5 < ratio <= 4
    energies = [
        int(evaluate_designs([w], [target]).totals[0, TOTAL_ENERGY_FJ]) for w in (plain, quarter)
    ]
    assert energies[1] < energies[0]
    # Weights of one value take a bit, and the biases rule.
    single = actions(replace(plain, coded_weight_bits=1), target)
    assert single[read] == 1
    assert sum(single[k] for k in (COMPUTE_CYCLES, STALL_CYCLES, OVERHEAD_CYCLES)) < bits // 32
    # What a coder cannot make smaller stays as it is.
    for coded in (bits, 2 * bits):
        assert actions(replace(plain, coded_weight_bits=coded), target) == actions(plain, target)


@pytest.mark.parametrize(
    ("sets", "message"),
    [
        ([("memory.0.coded", True)], "coded: only a memory that holds weights alone"),
        (
            [("memory.1.shared_along", ["rows"])],
            "shared_along must name 'products'",
        ),
        ([("array.dimensions.products.in_turn", 2)], "products must use <= 16 units; found 32"),
        ([("vector.requantizations_per_cycle", 0)], "vector.requantizations_per_cycle"),
        (
            [("array.commands", {"steps": 16, "issue_cycles": 4})],
            "array.commands needs units that take one value a step; found array.dimensions with",
        ),
    ],
)
def test_faults_name_their_place(sets: list[tuple[str, Any]], message: str) -> None:
    with pytest.raises(BadConfig) as error:
        machine("ethos_u55_256", *sets)
    assert message in str(error.value)
