"""The `spatial` kind: laws, the search against every nest there is, pins, constraints, faults."""

import itertools
import math
from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import hwconfigs
import workloads
from analysis.estimate import document as document_of
from simulator.cost import estimate, evaluate_designs
from simulator.document import Document
from simulator.errors import BadConfig, Unsupported
from simulator.machines.actions import TOTAL_CYCLES, TOTAL_ENERGY_FJ
from simulator.machines.registry import machine_from
from simulator.machines.spatial import Spatial
from simulator.mapped import MappedLayer, cost_mapping, map_work
from simulator.mapping.layout import LOOPS, OPERANDS
from simulator.mapping.loopnest import LoopNest, from_plain
from simulator.work import Work
from tests import imagenet
from tests.machines.works import compulsory_bytes, conv, cost

SMALL = [
    ("array.dimensions", {"a": {"size": 4}, "b": {"size": 2}}),
    ("array.unrollings", [{"a": {"oc": 4}, "b": {"ic": 2}}]),
    (
        "memory",
        [
            {
                "name": "register",
                "bytes": 8,
                "bits_per_cycle": 16,
                "holds": ["output"],
                "shared_along": ["b"],
                "ports": "two_sided",
                "kind": "register",
            },
            {
                "name": "sram",
                "bytes": 512,
                "bits_per_cycle": 64,
                "word_bits": 16,
                "holds": ["weight", "input", "output"],
                "shared_along": "all",
                "ports": "read_write",
            },
            {
                "name": "dram",
                "bytes": 1 << 30,
                "bits_per_cycle": 16,
                "holds": ["weight", "input", "output"],
                "shared_along": "all",
                "kind": "dram",
            },
        ],
    ),
    ("mapping.cuts", "all"),
    ("mapping.orders", 10_000),
]


@cache
def document() -> Document:
    return hwconfigs.document("tpu_like")


def small(*changes: tuple[str, Any]) -> Spatial:
    machine = machine_from(document(), [*SMALL, *changes])
    assert isinstance(machine, Spatial)
    return machine


@st.composite
def tiny(draw: st.DrawFn) -> Work:
    few = st.sampled_from([1, 2, 3, 4])
    return conv((draw(few), draw(few)), draw(few), (draw(few), 1), draw(few))


def cycles(machine: Spatial, work: Work) -> int:
    return int(evaluate_designs([work], [machine]).totals[0, TOTAL_CYCLES])


@given(work=tiny(), data=st.data())
@settings(max_examples=60, deadline=None)
def test_more_bandwidth_memory_or_units_never_cost_cycles(work: Work, data: st.DataObject) -> None:
    path, value = data.draw(
        st.sampled_from(
            [
                ("memory.0.bytes", 32),
                ("memory.0.bits_per_cycle", 64),
                ("memory.1.bytes", 2048),
                ("memory.1.bits_per_cycle", 256),
                ("memory.2.bits_per_cycle", 64),
            ]
        )
    )
    assert cycles(small((path, value)), work) <= cycles(small(), work)
    more = [
        ("array.dimensions", {"a": {"size": 8}, "b": {"size": 2}}),
        ("array.unrollings", [SMALL[1][1][0], {"a": {"oc": 4, "ox": 2}, "b": {"ic": 2}}]),  # type: ignore[index]
    ]
    assert cycles(small(*more), work) <= cycles(small(), work)


@given(work=tiny())
@settings(max_examples=40, deadline=None)
def test_bytes_utilization_and_energy(work: Work) -> None:
    machine = small()
    counted = cost(machine, work)
    assert counted["refusal"] == 0
    assert counted["dram_read"] + counted["dram_write"] >= compulsory_bytes(work)
    assert counted["macs"] == work.macs
    assert work.macs <= counted["cycles"] * machine.peak_macs_per_cycle
    total = int(evaluate_designs([work], [machine]).totals[0, TOTAL_ENERGY_FJ])
    assert total == counted["energy_fj"]


@pytest.mark.parametrize("name", ["tpu_like", "meta_prototype", "edge_tpu_like", "gemmini_like"])
def test_no_port_moves_its_words_faster_than_it_can(name: str) -> None:
    """The outermost memory has a port for all words, or one each for what is read and written."""
    target = hwconfigs.load(name)
    assert isinstance(target, Spatial)
    rate = target.memory[-1].bits_per_cycle
    graphs = [workloads.load("zoo:digits").work, imagenet.mobilenet_v2()[:12]]
    works = [work for graph in graphs for work in graph if work.macs]
    works += [conv((s, s), c, (k, k), c) for s in (1, 7) for c in (32, 512) for k in (1, 3)]
    for work in works:
        counted = cost(target, work)
        moved = counted["dram_read"], counted["dram_write"]
        most = 8 * (sum(moved) if target.memory[-1].ports == "shared" else max(moved))
        assert counted["cycles"] * rate >= most - 8 * 7, work


def every_nest(work: Work, machine: Spatial) -> list[MappedLayer]:
    """All orders of all prime factors with all cuts, by brute force in Python."""
    bounds = {"oc": -(-work.oc // 4), "ic": -(-work.ic // 2), "oy": work.oy, "ky": work.ky}
    bounds["ox"] = work.ox
    primes = [
        (loop, p)
        for loop, bound in bounds.items()
        for p in {1: (), 2: (2,), 3: (3,), 4: (2, 2)}[bound]
    ]
    found = []
    chains = machine.chains()
    for loops in set(itertools.permutations(primes)):
        n = len(loops)
        for w, i, a, b in itertools.product(range(n + 1), repeat=4):
            cuts = {"weight": (w, n), "input": (i, n), "output": (a, b, n)}
            if a > b:
                continue
            try:
                nest = LoopNest((), tuple(loops), cuts, chains)
                found.append(cost_mapping(work, machine, nest))
            except Unsupported:
                continue
    return found


@pytest.mark.parametrize("objective", ["latency", "energy", "edp"])
@pytest.mark.parametrize("shape", [((2, 2), 8, (1, 1), 4), ((3, 1), 5, (2, 1), 3)])
def test_the_search_finds_the_best_of_all_nests(shape: Any, objective: str) -> None:
    """Nothing that the bounds skip is better."""
    work, machine = conv(*shape), small(("mapping.objective", objective))
    scores = {
        "latency": lambda m: m.latency,
        "energy": lambda m: m.energy_fj,
        "edp": lambda m: m.latency * m.energy_fj,
    }
    best = min(scores[objective](nest) for nest in every_nest(work, machine))
    found = map_work(work, machine)
    assert scores[objective](found) == pytest.approx(best, rel=1e-12)
    assert found.costed <= found.decided


def test_a_pin_and_constraints_hold() -> None:
    work = conv((4, 4), 8, (3, 3), 4)
    machine = small(("mapping.cuts", "filled"))
    free = map_work(work, machine)
    bound = small(
        ("mapping.cuts", "filled"),
        ("mapping.innermost", ["kx", "ky"]),
        ("mapping.outermost", ["oc", "ox"]),
    )
    nest = map_work(work, bound).nest
    names = [loop for loop, _ in nest.loops]
    assert names[:2] == ["kx", "ky"]
    assert names[-1] == "oc"
    assert names[-3:-1] == ["ox", "ox"]
    assert map_work(work, bound).latency >= free.latency
    pinned = small(("mapping.cuts", "filled"), ("mapping.pinned", [nest.to_plain()]))
    assert map_work(work, pinned).nest.loops == nest.loops
    assert map_work(work, pinned).costed == 0
    assert cycles(pinned, work) == cycles(bound, work)


def test_the_same_search_twice_and_no_growth() -> None:
    work = conv((8, 8), 16, (3, 3), 16)
    machine = hwconfigs.load("eyeriss_like")
    first = evaluate_designs([work, work], [machine, machine], per_layer=True)
    assert np.array_equal(first.actions[0], first.actions[1])
    assert np.array_equal(first.actions[0, 1][3:], first.actions[0, 0][3:])


def test_the_estimates_document_carries_each_nest() -> None:
    graph, machine = workloads.load("zoo:digits"), hwconfigs.load("tpu_like")
    assert isinstance(machine, Spatial)
    found = document_of(graph, [estimate(graph, machine)], 1)
    layers = found["machines"][0]["layers"]
    assert any(layer["macs"] for layer in layers)
    for layer in layers:
        assert ("mapping" in layer) == (layer["macs"] > 0)
        if layer["macs"]:
            nest = from_plain(layer["mapping"], machine.chains())
            assert math.prod(factor for _, factor in nest.loops) == layer["cycles"]["compute"]
            assert layer["mapping"]["text"] == nest.to_text()


def test_every_fault_is_one_line() -> None:
    for path, value, text in [
        ("array.unrollings", [{"a": {"oc": 5}}], "must use <= 4 units; found 5"),
        ("array.unrollings", [{"z": {"oc": 4}}], "names the dimension 'z'"),
        ("memory.1.word_bits", 24, "must be a multiple of word_bits"),
        ("memory.1.shared_along", ["q"], "shared_along names 'q'"),
        ("memory.1.read_pj", 1, "read_pj and write_pj must both be given"),
        ("mapping.pinned", [{"loops": ["oc x"], "cuts": {o: [0] for o in OPERANDS}}], "no loop"),
    ]:
        with pytest.raises(BadConfig) as caught:
            small((path, value))
        assert text in str(caught.value)
        assert "\n" not in str(caught.value)


def test_a_layer_that_does_not_fit_is_refused() -> None:
    """The memory that is too small is named: one step's tile inside, all that is held outside."""
    work = conv((4, 4), 8, (3, 3), 4)
    # In a step 4 x 2 weights and 2 inputs of a byte each, and 4 sums that end as bytes.
    step = "memory 'sram' has 4 bytes, and the tile of one step needs 14; enlarge memory.1.bytes"
    with pytest.raises(Unsupported, match=f"no loop nest fits the memories: {step} or unroll"):
        map_work(work, small(("memory.1.bytes", 4)))
    weights, inputs, outputs = 4 * 8 * 9, work.input_elements, work.output_elements
    needed = weights + inputs + outputs
    layer = f"memory 'dram' has 300 bytes, and what it holds of the whole layer {needed}"
    with pytest.raises(Unsupported, match=f"{layer}; enlarge memory.2.bytes or split the layer"):
        map_work(work, small(("memory.2.bytes", 300)))
    assert len(LOOPS) == 8
