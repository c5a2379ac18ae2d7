"""Activations that stay on chip between layers: room, lifetimes and the traffic that is saved."""

from functools import cache
from itertools import combinations
from typing import Any

import pytest

import hwconfigs
import simulator
import workloads
from analysis.spec import SweepSpec
from analysis.sweeps import sweep
from simulator.cost import Estimate
from simulator.errors import BadConfig
from simulator.graph import Graph
from simulator.memory import lifetimes
from simulator.residency import Retention, residents, works_on
from tests.shared import shared_folder

FOLDER = shared_folder()
MODELS = ["zoo:digits"] + [
    str(FOLDER / "models" / "tflite" / name)
    for name in ("mlperf_ic_resnet8_int8.tflite", "mlperf_vww_mobilenetv1_025_96_int8.tflite")
    if FOLDER
]
ROOMS = (0, 700, 4096, 20_000, 65_535)
PATHS = {"systolic_16x16": "memory.ofmap_sram", "hvx_1024": "memory.l2"}


@cache
def graph_of(name: str) -> Graph:
    return workloads.load(name)


def keeps(room: int, fused: bool = False) -> Retention:
    return Retention(fused, room, None)


def run(name: str, machine: str, room: int, *more: tuple[str, Any]) -> Estimate:
    changes = [(f"{PATHS[machine]}.bytes", 262_144), (f"{PATHS[machine]}.resident_bytes", room)]
    return simulator.estimate(graph_of(name), hwconfigs.load(machine, [*changes, *more]))


def size(graph: Graph, name: str) -> int:
    kind = graph.tensors[name]
    return kind.elements * kind.bits // 8


@pytest.mark.parametrize("room", ROOMS)
@pytest.mark.parametrize("name", MODELS)
def test_no_two_living_residents_share_room(name: str, room: int) -> None:
    graph = graph_of(name)
    alive, kept = lifetimes(graph), residents(graph, keeps(room))
    assert all(offset + size(graph, n) <= room for n, offset in kept.items())
    for a, b in combinations(kept, 2):
        together = alive[a][0] <= alive[b][1] and alive[b][0] <= alive[a][1]
        apart = kept[a] + size(graph, a) <= kept[b] or kept[b] + size(graph, b) <= kept[a]
        assert apart or not together
    assert not set(kept) & {*graph.inputs, *graph.outputs}
    if room == 0:
        assert kept == {}
        assert works_on(graph, keeps(0)) == graph.work


@pytest.mark.parametrize("machine", list(PATHS))
@pytest.mark.parametrize("name", MODELS)
def test_a_resident_saves_its_write_and_each_read(name: str, machine: str) -> None:
    """Layers whose operands fit on chip move each once: what is saved is known to the byte."""
    graph = graph_of(name)
    spilled = run(name, machine, 0)
    least = {
        node.name: (
            work.input_elements * work.activation_bits // 8
            + work.weight_elements * work.weight_bits // 8
            + work.bias_elements * work.bias_bits // 8
        )
        for node, work in zip(graph.nodes, graph.work, strict=True)
    }
    before = spilled
    for room in ROOMS[1:]:
        kept = residents(graph, keeps(room))
        made = run(name, machine, room)
        for old, new, node in zip(spilled.layers, made.layers, graph.nodes, strict=True):
            written = sum(size(graph, n) for n in node.outputs if n in kept)
            assert old.bytes["dram"].write - new.bytes["dram"].write == written
            read = sum(size(graph, n) for n in node.inputs if n in kept)
            if old.bytes["dram"].read == least[node.name]:
                assert new.bytes["dram"].read == old.bytes["dram"].read - read
            assert new.macs == old.macs
        assert made.totals.energy_fj == sum(sum(e.values()) for e in made.energy_fj)
        assert made.totals.energy_fj <= before.totals.energy_fj
        assert made.totals.peak_memory_bytes == spilled.totals.peak_memory_bytes
        before = made
    assert before.totals.energy_fj < spilled.totals.energy_fj


def test_all_that_fits_leaves_the_compulsory_traffic_alone() -> None:
    """With room for everything, digits moves its input, its output and its constants."""
    graph = graph_of("zoo:digits")
    made = run("zoo:digits", "systolic_16x16", 65_535)
    kept = residents(graph, keeps(65_535))
    inner = {n for node in graph.nodes for n in node.outputs} - set(graph.outputs)
    constants = sum(
        w.weight_elements * w.weight_bits // 8 + w.bias_elements * w.bias_bits // 8
        for w in graph.work
    )
    ends = sum(size(graph, name) for name in (*graph.inputs, *graph.outputs))
    moved = sum(t.read + t.write for layer in made.layers for t in [layer.bytes["dram"]])
    spilled = inner - set(kept)
    assert moved >= constants + ends
    if not spilled:
        assert moved == constants + ends


def test_a_batch_needs_its_own_room_for_each_inference() -> None:
    graph = graph_of("zoo:digits")
    one, four = (residents(graph, keeps(1024), batch) for batch in (1, 4))
    assert 0 < len(four) < len(one)
    assert all(offset + 4 * size(graph, name) <= 1024 for name, offset in four.items())


def test_an_estimate_says_what_stays_and_what_is_spilled() -> None:
    graph = graph_of("zoo:digits")
    kept = residents(graph, keeps(1024))
    inner = {n for node in graph.nodes for n in node.outputs} - set(graph.outputs)
    rest = inner - set(kept)
    notes = run("zoo:digits", "systolic_16x16", 1024).notes
    said = (
        f"{len(kept)} of {len(inner)} activations stay on chip between layers, "
        f"{sum(size(graph, n) for n in kept)} bytes; the other {len(rest)}, "
        f"{sum(size(graph, n) for n in rest)} bytes, are spilled to DRAM"
    )
    assert said in notes
    assert not any("on chip" in note for note in run("zoo:digits", "systolic_16x16", 0).notes)


def test_resident_bytes_are_an_axis() -> None:
    axes: dict[str, Any] = {
        "memory.ofmap_sram.resident_bytes": [0, 1024, 4096],
        "fusion": ["none", "elementwise"],
    }
    table = sweep(SweepSpec(name="s", base="systolic_16x16", workload="zoo:digits", axes=axes))
    for row in table.iter_rows(named=True):
        target = hwconfigs.load("systolic_16x16", [(path, row[path]) for path in axes])
        totals = simulator.estimate(graph_of("zoo:digits"), target).totals
        assert (row["cycles"], row["energy_fj"]) == (totals.cycles, totals.energy_fj)
    assert table["energy_fj"].n_unique() >= 4


def test_on_a_platform_only_between_nodes_of_the_unit() -> None:
    graph = graph_of("zoo:digits")
    changes = [("units.npu.memory.ofmap_sram.resident_bytes", 16_384)]
    made = simulator.estimate(graph, hwconfigs.load("systolic_and_m4", changes))
    plain = simulator.estimate(graph, hwconfigs.load("systolic_and_m4"))
    on = frozenset(i for i, layer in enumerate(plain.layers) if layer.unit == "npu")
    kept = residents(graph, keeps(16_384), 1, on)
    assert kept
    for old, new, node in zip(plain.layers, made.layers, graph.nodes, strict=True):
        written = sum(size(graph, n) for n in node.outputs if n in kept)
        assert old.bytes["npu.dram"].write - new.bytes["npu.dram"].write == written
        assert old.bytes["npu.link"] == new.bytes["npu.link"]
    assert made.totals.cycles <= plain.totals.cycles


def test_the_memory_must_keep_room_to_work() -> None:
    with pytest.raises(BadConfig, match="resident_bytes must be below the 65536 bytes"):
        hwconfigs.load("systolic_16x16", [("memory.ofmap_sram.resident_bytes", 65_536)])
