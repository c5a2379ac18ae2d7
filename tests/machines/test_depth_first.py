"""Chains of layers by tiles: pixels against a walk over sets, and laws of what they move."""

from functools import cache
from typing import Any

import pytest

import hwconfigs
import simulator
import workloads
from analysis.estimate import document, to_text
from analysis.spec import SweepSpec
from analysis.sweeps import sweep
from simulator.cost import Estimate
from simulator.depth_first import chains_to, plan_chains, tile_works, traced
from simulator.errors import BadConfig
from simulator.graph import Graph
from simulator.machines.base import DepthFirst
from simulator.memory import plan_arena
from simulator.receptive import Room
from tests.machines.depth_first_oracle import walk
from tests.machines.networks import CHANNELS, network
from tests.shared import absence, shared_folder

FOLDER = shared_folder()
MODELS = ["zoo:digits"] + [
    str(FOLDER / "models" / "tflite" / name)
    for name in (
        "mlperf_ic_resnet8_int8.tflite",
        "mlperf_vww_mobilenetv1_025_96_int8.tflite",
        "tinyengine_vww_mcunet_int8.tflite",
    )
    if FOLDER
]
TILES = ((1, 0), (2, 0), (3, 2), (2, 5), (0, 3))
ROOMS = (2048, 16_384, 65_535)


def room(tile: tuple[int, int], overlap: str, size: int = 2**40) -> Room:
    tiles: dict[str, Any] = {"tile_rows": tile[0], "tile_columns": tile[1], "overlap": overlap}
    return Room(DepthFirst(**tiles), size, 2**40)


@pytest.mark.parametrize("overlap", ["cache", "recompute"])
@pytest.mark.parametrize("seed", range(60))
def test_every_chain_against_a_walk_over_sets_of_pixels(seed: int, overlap: str) -> None:
    graph, steps = network(seed)
    cached = overlap == "cache"
    last = len(graph.nodes) - 1
    kernels = {node.name: graph.work[i] for i, node in enumerate(graph.nodes)}
    for tile in TILES[: 5 if seed < 20 else 2]:
        own = room(tile, overlap)
        chains = list(chains_to(graph, last, own, 1, ()))
        assert chains[-1].first == 0
        for chain in chains:
            part = steps[chain.first :]
            inner = {step.output for step in part[:-1]}
            told = walk(part, tile, cached)
            works = tile_works(graph, chain, own, 1, (), ())
            trace = traced(graph, chain, own, 1, ())
            for index, step in zip(chain.nodes, part, strict=True):
                tiles, whole = works[index], kernels[step.output]
                made = told.made[step.output]
                whole_pixels = step.size[0] * step.size[1]
                assert sum(w.times * w.output_elements for w in tiles) == made * CHANNELS
                macs = whole.macs // whole_pixels * made
                assert sum(w.times * w.macs for w in tiles) == macs
                if cached:
                    assert macs == whole.macs
                taken = [told.taken[step.output, r.tensor] for r in step.readers]
                assert sum(w.times * w.input_elements for w in tiles) == sum(taken) * CHANNELS
                kept = sum(
                    told.taken[step.output, r.tensor]
                    - (0 if r.tensor in inner else told.new[step.output, r.tensor])
                    for r in step.readers
                )
                assert sum(w.times * w.kept_inputs for w in tiles) == kept * CHANNELS
                assert [w.more for w in tiles] == [1] * (len(tiles) - 1) + [0]
                loads = sum(w.times for w in tiles if not w.kept_weights)
                assert loads == 1
            if cached:
                _check_buffers(told.waiting, trace.buffers(), inner)


def _check_buffers(
    waiting: dict[tuple[str, str], int], buffers: dict[str, int], inner: set[str]
) -> None:
    """Lines of what has one reader exactly; with several a buffer serves all of them."""
    for name in {tensor for _, tensor in waiting}:
        each = [count * CHANNELS for (_, tensor), count in waiting.items() if tensor == name]
        if name not in inner:
            assert buffers.get(name, 0) == sum(each)
        elif len(each) == 1:
            assert buffers[name] == each[0]
        else:
            assert buffers[name] >= max(each)


@pytest.mark.parametrize("overlap", ["cache", "recompute"])
@pytest.mark.parametrize("size", ROOMS)
@pytest.mark.parametrize("seed", range(20))
def test_plans_fit_and_lie_apart(seed: int, size: int, overlap: str) -> None:
    graph, _ = network(seed, 7)
    own = room((2, 0), overlap, size)
    end = -1
    for chain in plan_chains(graph, own, 1, ()):
        assert end < chain.first < chain.last
        end = chain.last
        assert chain.peak_bytes <= size
        assert chain.bits[0] < chain.bits[1]
        inner = {graph.nodes[index].outputs[0] for index in chain.nodes[:-1]}
        readers = [i for i, node in enumerate(graph.nodes) if inner & set(node.inputs)]
        assert set(readers) <= set(chain.nodes)
        assert not inner & set(graph.outputs)


@cache
def graph_of(name: str) -> Graph:
    return network(int(name), 6)[0] if name.isdigit() else workloads.load(name)


PATHS = {"systolic_16x16": "memory.ofmap_sram", "hvx_1024": "memory.l2"}


def run(name: str, machine: str, size: int, *more: tuple[str, Any], batch: int = 1) -> Estimate:
    changes = [(f"{PATHS[machine]}.bytes", 262_144), (f"{PATHS[machine]}.resident_bytes", size)]
    target = hwconfigs.load(machine, [*changes, *more])
    return simulator.estimate(graph_of(name), target, batch)


def outer(found: Estimate) -> int:
    return sum(t.read + t.write for layer in found.layers for t in [layer.bytes["dram"]])


def compulsory(graph: Graph, batch: int) -> int:
    """Inputs, outputs and constants of the graph, each once."""
    ends = sum(graph.tensors[n].elements * graph.tensors[n].bits // 8
               for n in (*graph.inputs, *graph.outputs))  # fmt: skip
    weights = sum(
        w.weight_elements * w.weight_bits // 8 + w.bias_elements * w.bias_bits // 8
        for w in graph.work
    )
    return ends * batch + weights


@pytest.mark.parametrize("overlap", ["cache", "recompute"])
@pytest.mark.parametrize("machine", list(PATHS))
@pytest.mark.parametrize("name", [*MODELS, "1", "2", "3", "4"])
def test_laws_of_what_moves(name: str, machine: str, overlap: str) -> None:
    graph = graph_of(name)
    for size, batch, fusion in ((4096, 1, "none"), (65_536, 1, "elementwise"), (65_536, 2, "none")):
        shared = (("fusion", fusion),)
        plain = run(name, machine, size, *shared, batch=batch)
        found = run(
            name, machine, size, *shared, ("depth_first.tile_rows", 4),
            ("depth_first.overlap", overlap), batch=batch,
        )  # fmt: skip
        assert compulsory(graph, batch) <= outer(found) <= outer(plain)
        assert found.chains is not None
        assert all(chain.peak_bytes <= size for chain in found.chains)
        again = sum(chain.recomputed_macs for chain in found.chains)
        assert again >= 0
        assert found.totals.macs == plain.totals.macs + again
        if overlap == "cache":
            assert again == 0
            for before, after in zip(plain.layers, found.layers, strict=True):
                assert before.macs == after.macs
        assert found.totals.energy_fj == sum(sum(e.values()) for e in found.energy_fj)
        assert found.totals.cycles == sum(layer.cycles.total for layer in found.layers)
        assert plain.chains is None
        if not found.chains:
            assert found.layers == plain.layers


@pytest.mark.skipif(FOLDER is None, reason=absence())
def test_inner_tensors_never_move() -> None:
    """Within a chain whose weights stay, DRAM takes its ends, its other operands and weights."""
    name = MODELS[2]
    graph = graph_of(name)
    found = run(name, "systolic_16x16", 32_768, ("depth_first.tile_rows", 8))
    assert found.chains
    nodes = {node.name: (i, node) for i, node in enumerate(graph.nodes)}
    for chain in found.chains:
        assert chain.weights == "kept"
        layers = [found.layers[nodes[layer][0]] for layer in chain.layers]
        # One dispatch of 64 cycles for every tile of every layer.
        tiles = chain.tiles_down * chain.tiles_across
        assert all(layer.actions[12] == tiles for layer in layers)
        for layer in layers[:-1]:
            assert layer.bytes["dram"].write == 0
        for layer in layers[1:]:
            work = graph.work[nodes[layer.name][0]]
            own = work.weight_elements + work.bias_elements * 4
            assert layer.bytes["dram"].read == own
    kept = sum(layer.bytes["dram"].write for layer in found.layers)
    plain = run(name, "systolic_16x16", 32_768)
    assert kept < sum(layer.bytes["dram"].write for layer in plain.layers)


@pytest.mark.parametrize("name", MODELS[1:3])
def test_the_arena_shrinks(name: str) -> None:
    """What never exists whole takes no room; the rest is placed as before."""
    plain = run(name, "systolic_16x16", 16_384)
    found = run(name, "systolic_16x16", 16_384, ("depth_first.tile_rows", 4))
    assert found.chains
    graph = graph_of(name)
    assert plain.totals.peak_memory_bytes == plan_arena(graph).bytes
    assert found.totals.peak_memory_bytes < plain.totals.peak_memory_bytes


def test_an_objective_is_never_made_worse() -> None:
    for name in ("1", "2", "3", "4", "5"):
        plain = run(name, "systolic_16x16", 16_384)
        for objective, total in (("latency", "cycles"), ("energy", "energy_fj")):
            tiles = ("depth_first.tile_rows", 4), ("depth_first.objective", objective)
            found = run(name, "systolic_16x16", 16_384, *tiles)
            assert getattr(found.totals, total) <= getattr(plain.totals, total)
            assert outer(found) <= outer(plain)


def test_fields_are_axes_of_a_sweep() -> None:
    axes: dict[str, Any] = {
        "depth_first.tile_rows": [0, 1, 2],
        "depth_first.overlap": ["cache", "recompute"],
        "memory.ofmap_sram.resident_bytes": [384, 900],
        "array.rows": [8, 16],
    }
    table = sweep(SweepSpec(name="s", base="systolic_16x16", workload="zoo:digits", axes=axes))
    for row in table.iter_rows(named=True):
        target = hwconfigs.load("systolic_16x16", [(path, row[path]) for path in axes])
        totals = simulator.estimate(graph_of("zoo:digits"), target).totals
        assert (row["cycles"], row["energy_fj"]) == (totals.cycles, totals.energy_fj)
    assert table["energy_fj"].n_unique() >= 6


@pytest.mark.parametrize(
    ("name", "path", "reason"),
    [
        ("cortex_m4", "depth_first.tile_rows", "a cpu keeps no activations between layers"),
        ("systolic_and_m4", "units.npu.depth_first.tile_rows", "nodes of a platform run whole"),
        ("systolic_16x16", "depth_first.tile_columns", "needs depth_first.tile_rows"),
    ],
)
def test_what_it_does_not_go_with_says_so(name: str, path: str, reason: str) -> None:
    with pytest.raises(BadConfig, match=reason):
        hwconfigs.load(name, [(path, 4)])


def test_an_estimate_names_its_chains() -> None:
    graph = graph_of("zoo:digits")
    found = run("zoo:digits", "systolic_16x16", 900, ("depth_first.tile_rows", 1))
    assert found.chains
    (entry,) = document(graph, [found], 1)["machines"]
    assert [chain["layers"] for chain in entry["chains"]] == [c.layers for c in found.chains]
    names = {"layers", "tiles_down", "tiles_across", "peak_bytes", "weights"}
    names |= {"recomputed_macs", "outer_bytes", "layer_by_layer_bytes"}
    assert set(entry["chains"][0]) == names
    text = to_text(graph, [found])
    assert "depth first" in text
    assert "are made and used a tile at a time" in text
    plain = run("zoo:digits", "systolic_16x16", 900)
    assert "chains" not in document(graph, [plain], 1)["machines"][0]
    assert "depth first" not in to_text(graph, [plain])
