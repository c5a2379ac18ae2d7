"""Platforms: every timeline replayed event by event, and what it must equal on one machine."""

from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import hwconfigs
import simulator
import workloads
from analysis.spec import SweepSpec
from analysis.sweeps import Sweep, sweep
from simulator.cost import Estimate
from simulator.designs import evaluate_designs
from simulator.errors import BadConfig, Unsupported
from simulator.flow import flow_of
from simulator.graph import Graph, Node
from simulator.machines.actions import ACTION_NAMES, COMPONENT_NAMES
from simulator.machines.platform import Platform
from simulator.machines.registry import machine_from
from simulator.machines.timeline import in_host_cycles
from simulator.numeric.datapath import Datapath
from simulator.platforms import datapaths
from tests.ops.build import OneOp, tensor
from tests.shared import absence, shared_folder

FOLDER = shared_folder()
MODELS = ["zoo:digits"] + [
    str(FOLDER / "models" / "tflite" / f"{name}.tflite")
    for name in ("mlperf_ic_resnet8_int8", "mlperf_kws_dscnn_int8", "mlperf_strww_int8")
    if FOLDER
]
VARIANTS: list[dict[str, Any]] = [
    {},
    {"attach__npu__link__double_buffered": False},
    {"attach__npu__link": None},
    {"attach__npu__operators": "[any]", "units__npu__dispatch__cycles_per_inference": 5000},
    {"attach__npu__operators": "[depthwise, add, fully_connected]", "host": "hvx_1024"},
]
BASE = hwconfigs.document("systolic_and_m4")


def platform(**changes: Any) -> Platform:
    pairs = [(path.replace("__", "."), value) for path, value in changes.items()]
    made = hwconfigs.load("systolic_and_m4", pairs)
    assert isinstance(made, Platform)
    return made


@cache
def graph_of(name: str) -> Graph:
    return workloads.load(name)


def add(graph_name: str, *nodes: tuple[str, str, str, str]) -> Graph:
    """A graph of additions of 1000 bytes over the input x: (name, left, right, output)."""
    kind = tensor((1, 1000), 0.5, 3)
    options = {"fused_activation_function": "NONE"}
    op = OneOp("ADD", options, (kind, kind), kind, (None, None)).operator()
    made = tuple(Node(name, op, (a, b), (y,)) for name, a, b, y in nodes)
    kinds = dict.fromkeys(["x", *(y for *_, y in nodes)], kind)
    return Graph(graph_name, made, kinds, {}, ("x",), (nodes[-1][3],))


def replay(graph: Graph, target: Platform, made: Estimate) -> int:
    """Check every event against the others, from the graph alone; returns the end."""
    assert made.timeline is not None
    events = [event for event in made.timeline if event.cycles]
    for unit in {event.unit for event in events}:
        spans = sorted((e.start, e.start + e.cycles) for e in events if e.unit == unit)
        assert all(a[1] <= b[0] for a, b in pairwise(spans)), unit
    layers = {layer.name: layer for layer in made.layers}
    runs = {e.layer: e for e in made.timeline if e.what == "run"}
    producer = {y: node.name for node in graph.nodes for y in node.outputs}
    copies = {(e.what, e.unit, e.tensor): e for e in events if e.what.startswith("copy")}
    assert len(copies) == len([e for e in events if e.what.startswith("copy")])

    def there(name: str, unit: str) -> int:
        """When a tensor is in the memory of a unit, by the copies that are on the timeline."""
        home = layers[producer[name]].unit if name in producer else "host"
        at = runs[producer[name]].start + runs[producer[name]].cycles if name in producer else 0
        linked = {u for u in target.units if target.attach[u].link is not None}
        for what, end in (("copy out", home), ("copy in", unit)):
            if home != unit and end in linked:
                copy = copies[what, f"{end}.link", name]
                link = target.attach[end].link
                assert link is not None
                bytes_ = -(-graph.tensors[name].elements * graph.tensors[name].bits // 8)
                assert copy.start >= at
                assert copy.cycles == link.latency_cycles + np.ceil(bytes_ / link.bytes_per_cycle)
                at = copy.start + copy.cycles
        return at

    for node in graph.nodes:
        layer, run = layers[node.name], runs[node.name]
        assert (run.start, run.cycles, run.unit) == (layer.start, layer.cycles.total, layer.unit)
        activations = [n for n in node.inputs if n and n not in graph.constants]
        ready = max((there(n, layer.unit) for n in activations), default=0)
        if layer.unit != "host":
            (start,) = (e for e in made.timeline if e.what == "dispatch" and e.layer == node.name)
            assert start.unit == "host"
            assert start.start >= ready
            ready = start.start + start.cycles
        assert run.start >= ready
    back = [there(name, "host") for name in graph.outputs]
    return max([*back, *(run.start + run.cycles for run in runs.values())])


@pytest.mark.parametrize("variant", range(len(VARIANTS)))
@pytest.mark.parametrize("name", MODELS)
def test_the_timeline_and_its_sums(name: str, variant: int) -> None:
    graph, target = graph_of(name), platform(**VARIANTS[variant])
    made = simulator.estimate(graph, target)
    assert made.totals.cycles == replay(graph, target, made)
    assert made.totals.energy_fj == sum(sum(e.values()) for e in made.energy_fj)
    assert made.totals.macs == sum(work.macs for work in graph.work)
    assert made.totals.latency_s == made.totals.cycles / (target.host.clock_mhz * 1e6)
    flow: nx.DiGraph[str] = nx.DiGraph(graph.to_networkx())
    cycles = {layer.name: layer.cycles.total for layer in made.layers}
    assert min(cycles.values()) >= 1
    path: dict[str, int] = {}
    for node in nx.topological_sort(flow):
        path[node] = cycles[node] + max((path[p] for p in flow.predecessors(node)), default=0)
    busy = sum(event.cycles for event in made.timeline or ())
    assert max(path.values()) <= made.totals.cycles <= busy
    outer = sum(
        sum(traffic.read + traffic.write for traffic in layer.bytes.values())
        for layer in made.layers
    )
    least = sum(
        w.input_elements * w.activation_bits + w.output_elements * w.output_bits for w in graph.work
    )
    assert outer >= least // 8


@pytest.mark.parametrize("name", MODELS[:2])
def test_each_layer_costs_what_it_costs_on_its_own_machine(name: str) -> None:
    graph, target = graph_of(name), platform()
    made = simulator.estimate(graph, target)
    assert {layer.unit for layer in made.layers} == {"host", "npu"}
    for layer, energy, work in zip(made.layers, made.energy_fj, graph.work, strict=True):
        assert (layer.unit == "npu") == (work.macs > 0)
        machine = target.machines[layer.unit]
        alone = evaluate_designs([work], [machine], per_layer=True)
        own = dict(zip(ACTION_NAMES, alone.actions[0, 0].tolist(), strict=True))
        assert dict(zip(ACTION_NAMES, layer.actions, strict=True)) == own
        components = (*COMPONENT_NAMES, *(f"{layer.unit}.{level}" for level in machine.levels))
        values = alone.energy_fj[0, 0].tolist()
        assert [energy.get(c, 0) for c in components] == values[: len(components)]
        cycles = sum(own[f"{part}_cycles"] for part in ("compute", "stall", "overhead"))
        ratio = target.host.clock_mhz / machine.clock_mhz
        assert layer.cycles.total == int(np.ceil(round(cycles * ratio, 6)))
        moved = layer.bytes["npu.link"].read + layer.bytes["npu.link"].write
        assert energy["link"] == moved * 243_750
        assert energy["dispatch"] == (400 * 70_000 if layer.unit == "npu" else 0)


def test_what_no_unit_runs_runs_on_the_host_as_without_units() -> None:
    graph = graph_of("zoo:digits")
    alone = simulator.estimate(graph, hwconfigs.load("cortex_m4"))
    changes = ({"units__npu__datapath__weight_bits": 4}, {"attach__npu__operators": "[svdf]"})
    for change in changes:
        made = simulator.estimate(graph, platform(**change))
        assert {layer.unit for layer in made.layers} == {"host"}
        assert made.totals.cycles == alone.totals.cycles
        assert made.totals.energy_fj == alone.totals.energy_fj
        assert [layer.actions for layer in made.layers] == [layer.actions for layer in alone.layers]
    with pytest.raises(Unsupported, match=r"on systolic_and_m4: its host cortex_m4: its weights"):
        simulator.estimate(graph, platform(host__datapath__weight_bits=4,
                                           units__npu__datapath__weight_bits=4))  # fmt: skip


def test_branches_overlap_and_a_chain_does_not() -> None:
    """Two units of one kind: y = (x + x) + (x + x) with its halves on one each, by hand."""
    npu = hwconfigs.document("hvx_1024").root.plain()
    npu["dispatch"]["cycles_per_inference"] = 0
    attachment = {"operators": ["add"], "dispatch": {"cycles": 7, "instructions": 1}}
    link = {"bytes_per_cycle": 8, "latency_cycles": 10, "pj_per_byte": 0}
    pairs = [
        ("host.clock_mhz", 500),
        ("units.npu", npu),
        ("attach.npu", attachment | {"link": link}),
    ]
    target = machine_from(BASE, pairs)
    chain = add("chain", ("a", "x", "x", "p"), ("b", "p", "p", "y"))
    made = simulator.estimate(chain, target)
    each = made.layers[0].cycles.total
    copy = 10 + 1000 // 8
    assert [layer.start for layer in made.layers] == [copy + 7, copy + 7 + each + 7]
    assert made.totals.cycles == copy + 2 * (7 + each) + copy
    fork = add("fork", ("a", "x", "x", "p"), ("b", "x", "x", "q"), ("c", "p", "q", "y"))
    alone = simulator.estimate(fork, target)
    # The second is dispatched while the first runs: 7 cycles are hidden.
    assert alone.totals.cycles == copy + 7 + 2 * each + 7 + each + copy
    mixed = machine_from(BASE, [*pairs, ("attach.npu.operators", ["any"])])
    assert simulator.estimate(fork, mixed).totals.cycles == alone.totals.cycles


def test_a_link_that_the_unit_waits_for_is_never_faster() -> None:
    for name in MODELS:
        graph = graph_of(name)
        waiting = platform(attach__npu__link__double_buffered=False)
        beside, within = (simulator.estimate(graph, t).totals for t in (platform(), waiting))
        shared = simulator.estimate(graph, platform(attach__npu__link=None)).totals
        assert shared.cycles < beside.cycles <= within.cycles
        assert shared.energy_fj < beside.energy_fj == within.energy_fj


def test_starting_an_inference_is_charged_once_a_unit() -> None:
    graph = graph_of("zoo:digits")
    plain = simulator.estimate(graph, platform())
    slow = {"units__npu__dispatch__cycles_per_inference": 4000,
            "host__dispatch__cycles_per_inference": 900}  # fmt: skip
    late = simulator.estimate(graph, platform(**slow))
    more = [b.cycles.total - a.cycles.total for a, b in zip(plain.layers, late.layers, strict=True)]
    first = [layer.unit for layer in plain.layers]
    wanted = [0] * len(more)
    wanted[first.index("npu")], wanted[first.index("host")] = 4000 * 120 // 800, 900
    assert more == wanted


def test_a_sweep_has_what_an_estimate_says() -> None:
    axes: dict[str, Any] = {"units.npu.array.rows": [8, 16], "attach.npu.dispatch.cycles": [0, 900]}
    spec = SweepSpec(name="s", base="systolic_and_m4", workload="zoo:digits", axes=axes)
    table = sweep(spec)
    assert len(table) == 4
    points, layers = Sweep(Path(), spec).chunk(0)
    for row in table.iter_rows(named=True):
        changes = [(path, row[path]) for path in axes]
        made = simulator.estimate(
            graph_of("zoo:digits"), hwconfigs.load("systolic_and_m4", changes)
        )
        assert (row["cycles"], row["energy_fj"]) == (made.totals.cycles, made.totals.energy_fj)
        own = layers.filter(pl.col("point") == row["point"])
        assert own["start"].to_list() == [layer.start for layer in made.layers]
        parts = [c for c in own.columns if c.endswith("_fj")]
        assert own.select(pl.sum_horizontal(parts)).sum().item() == made.totals.energy_fj
        assert own["npu.link_bytes"].to_list() == [
            layer.bytes["npu.link"].read + layer.bytes["npu.link"].write for layer in made.layers
        ]
    assert points["area_mm2"].n_unique() == 2


def test_each_node_computes_on_the_datapath_of_its_unit() -> None:
    graph, target = graph_of("zoo:digits"), platform()
    found = datapaths(graph, target)
    assert isinstance(found, dict)
    for node, work in zip(graph.nodes, graph.work, strict=True):
        name = "systolic_16x16" if work.macs else "cortex_m4"
        assert found[node.name] == hwconfigs.load(name).datapath.datapath()
    assert isinstance(datapaths(graph, hwconfigs.load("cortex_m4")), Datapath)


def test_clocks_are_converted_exactly_and_rounded_up() -> None:
    for cycles, up, down in ((7, 3, 20), (10**17, 3, 20), (20, 3, 20), (0, 1, 1), (5, 20, 3)):
        assert in_host_cycles(cycles, up, down) == -(-cycles * up // down)
    assert in_host_cycles(2**60, 3, 1) == -1


@pytest.mark.skipif(FOLDER is None, reason=absence())
def test_users_of_a_variable_keep_their_order_on_all_units() -> None:
    """State lies with the host: read from there, and back at the end of the timeline."""
    assert FOLDER is not None
    graph = graph_of(str(FOLDER / "models/tflite/esphome_okay_nabu_v2_stream_int8.tflite"))
    given = "[read_variable, assign_variable, conv_2d, strided_slice]"
    made = simulator.estimate(graph, platform(attach__npu__operators=given))
    assert {layer.unit for layer in made.layers} == {"host", "npu"}
    spans = {layer.name: (layer.start or 0, layer.cycles.total) for layer in made.layers}
    assert graph.variables
    for name in graph.variables:
        users = [spans[node.name] for node in graph.nodes if name in node.inputs]
        assert len(users) > 1
        assert all(a[0] + a[1] <= b[0] for a, b in pairwise(users))
    flow = flow_of(graph)
    assert (np.diff(flow.producers) >= 0).all()
    last = [e for e in made.timeline or () if e.what == "copy out" and e.tensor in graph.variables]
    assert len(last) >= len(graph.variables)
    assert all(e.start + e.cycles <= made.totals.cycles for e in last)
    assert made.totals.energy_fj == sum(sum(e.values()) for e in made.energy_fj)


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("units.npu.array.colz", 8, "units.npu.array.colz: unknown field; did you mean 'cols'?"),
        ("host.clock_mhz", -3, "host.clock_mhz: must be >= 0.001; found -3"),
        ("clock_mhz", 3, "clock_mhz: is that of host on a platform; set host.clock_mhz"),
        ("units.npu.model", "sistolic", "units.npu: unknown 'model' 'sistolic'; did you mean"),
        ("units.npu", "sistolic", "units.npu: no machine is named 'sistolic'; did you mean"),
        ("attach.npu.operators", "[conv]", "no operator or class is named 'conv'"),
        ("units.host", "cortex_m4", "a unit's name must be a word other than 'host'"),
        ("units.dsp", "hvx_1024", "attach has no 'dsp'; say how the unit is attached"),
        ("units.npu.clock_mhz", 999_999.999_999, "no ratio of integers below 2^31; round one"),
    ],
)
def test_faults_of_nested_machines(path: str, value: object, message: str) -> None:
    with pytest.raises(BadConfig) as caught:
        hwconfigs.load("systolic_and_m4", [(path, value)])
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@given(
    rate=st.integers(1, 64),
    latency=st.integers(0, 2000),
    dispatch=st.integers(0, 5000),
    buffered=st.booleans(),
    taken=st.sampled_from(["macs", "depthwise", "any"]),
    factor=st.integers(2, 5),
)
@settings(max_examples=25, deadline=None)
def test_faster_links_and_dispatches_never_cost_cycles(
    rate: int, latency: int, dispatch: int, buffered: bool, taken: str, factor: int
) -> None:
    """Every resource keeps its order: times are sums and maxima of what is waited for."""

    def cycles(rate: int, latency: int, dispatch: int) -> int:
        link = {"bytes_per_cycle": rate, "latency_cycles": latency, "pj_per_byte": 1}
        changes = {
            "attach.npu.link": {**link, "double_buffered": buffered},
            "attach.npu.dispatch.cycles": dispatch,
            "attach.npu.operators": [taken],
        }
        target = hwconfigs.load("systolic_and_m4", list(changes.items()))
        return simulator.estimate(graph_of("zoo:digits"), target).totals.cycles

    slow = cycles(rate, latency, dispatch)
    assert cycles(rate * factor, latency, dispatch) <= slow
    assert cycles(rate, latency // factor, dispatch) <= slow
    assert cycles(rate, latency, dispatch // factor) <= slow
