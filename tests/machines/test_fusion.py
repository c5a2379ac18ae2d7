"""Fused operators save the traffic of the tensor between them, to the byte, and nothing else."""

from dataclasses import replace
from functools import cache
from typing import Any

import networkx as nx
import pytest

import hwconfigs
import simulator
import workloads
from analysis.spec import SweepSpec
from analysis.sweeps import sweep
from simulator.cost import Estimate
from simulator.errors import BadConfig
from simulator.fusion import fusible
from simulator.graph import Graph
from tests.shared import absence, shared_folder

FOLDER = shared_folder()
MODELS = ["zoo:digits"] + [
    str(FOLDER / "models" / name)
    for name in (
        "tflite/mlperf_ic_resnet8_int8.tflite",
        "onnx/ort_resnet8_qop_u8s8_pc.onnx",
        "onnx/mlperf_resnet8_qdq_tf2onnx.onnx",
        "qonnx/qonnx_tfc_2w2a.clean.onnx",
    )
    if FOLDER
]
RESNET = "tflite/mlperf_ic_resnet8_int8.tflite"


@cache
def graph_of(name: str) -> Graph:
    return workloads.load(name)


@cache
def estimated(name: str, machine: str, fusion: str) -> Estimate:
    return simulator.estimate(graph_of(name), hwconfigs.load(machine, [("fusion", fusion)]))


def tensor_bytes(graph: Graph, name: str) -> int:
    kind = graph.tensors[name]
    return kind.elements * kind.bits // 8


@pytest.mark.parametrize("machine", ["systolic_16x16", "hvx_1024"])
@pytest.mark.parametrize("name", MODELS)
def test_exactly_the_tensors_between_are_saved(name: str, machine: str) -> None:
    graph = graph_of(name)
    apart, fused = (estimated(name, machine, how) for how in ("none", "elementwise"))
    written = {graph.nodes[p.producer].name: tensor_bytes(graph, p.tensor) for p in fusible(graph)}
    read = {graph.nodes[p.consumer].name: tensor_bytes(graph, p.tensor) for p in fusible(graph)}
    assert written
    for before, after in zip(apart.layers, fused.layers, strict=True):
        a, b = before.bytes["dram"], after.bytes["dram"]
        assert a.read - b.read == read.get(before.name, 0)
        assert a.write - b.write == written.get(before.name, 0)
        # On chip it is read once, by who needs it instead of by the way out.
        moved = {level: (traffic.read, traffic.write) for level, traffic in before.bytes.items()}
        out, into = written.get(before.name, 0), read.get(before.name, 0)
        if machine == "systolic_16x16":
            moved["ofmap_sram"] = (moved["ofmap_sram"][0] - out + into, moved["ofmap_sram"][1])
        else:
            moved["l2"] = (moved["l2"][0] - out, moved["l2"][1] - into)
        moved["dram"] = (a.read - into, a.write - out)
        assert {level: (t.read, t.write) for level, t in after.bytes.items()} == moved
        assert after.macs == before.macs
        assert after.cycles.compute == before.cycles.compute
        assert after.cycles.total <= before.cycles.total
        assert after.cycles.total >= 1
    saved = [sum(e["dram"] for e in each.energy_fj) for each in (apart, fused)]
    assert saved[0] - saved[1] == (sum(read.values()) + sum(written.values())) * 243_750
    assert fused.totals.energy_fj < apart.totals.energy_fj
    assert simulator.estimate(graph, hwconfigs.load(machine)) == apart


@pytest.mark.parametrize("name", MODELS)
def test_pairs_are_legal(name: str) -> None:
    """From networkx: one reader, and no path from the producer to another operand."""
    graph = graph_of(name)
    flow: nx.MultiDiGraph[str] = graph.to_networkx()
    plain: nx.DiGraph[str] = nx.DiGraph(flow)
    heads: dict[int, int] = {}
    for pair in fusible(graph):
        producer, consumer = graph.nodes[pair.producer], graph.nodes[pair.consumer]
        readers = [b for _, b, d in flow.out_edges(producer.name, data=True)
                   if d["tensor"] == pair.tensor]  # fmt: skip
        assert readers == [consumer.name]
        assert pair.tensor not in graph.outputs
        heads[pair.consumer] = head = heads.get(pair.producer, pair.producer)
        assert graph.work[head].macs > 0
        assert graph.work[pair.consumer].macs == 0
        others = set(plain.predecessors(consumer.name)) - {producer.name}
        order = {node.name: i for i, node in enumerate(graph.nodes)}
        assert all(order[other] < head for other in others)


def test_what_must_not_be_fused_is_not() -> None:
    graph = graph_of("zoo:digits")
    (pair,) = fusible(graph)
    seen = replace(graph, outputs=(*graph.outputs, pair.tensor))
    assert fusible(seen) == ()
    nodes = list(graph.nodes)
    twice = replace(nodes[pair.consumer], inputs=(pair.tensor, pair.tensor))
    nodes[pair.consumer] = twice
    assert fusible(replace(graph, nodes=tuple(nodes))) == ()


@pytest.mark.skipif(FOLDER is None, reason=absence())
def test_the_three_residual_additions_of_resnet8() -> None:
    graph = graph_of(str(FOLDER / "models" / RESNET)) if FOLDER else graph_of("zoo:digits")
    # 32 x 32 x 16, 16 x 16 x 32 and 8 x 8 x 64: each block halves the image, doubles the channels.
    assert [p.elements for p in fusible(graph)] == [16384, 8192, 4096]
    assert {graph.nodes[p.consumer].op.kind for p in fusible(graph)} == {"add"}


def test_on_a_platform_both_must_run_on_the_unit() -> None:
    graph = graph_of("zoo:digits")
    (pair,) = fusible(graph)
    fused, everything = ("units.npu.fusion", "elementwise"), ("attach.npu.operators", "[any]")

    def run(*changes: tuple[str, Any]) -> Estimate:
        return simulator.estimate(graph, hwconfigs.load("systolic_and_m4", changes))

    apart = run(fused)
    assert apart.layers == run().layers
    assert apart.totals == run().totals
    before, after = run(everything), run(everything, fused)
    for index, (a, b) in enumerate(zip(before.layers, after.layers, strict=True)):
        saved = (index == pair.consumer) * pair.elements, (index == pair.producer) * pair.elements
        assert a.bytes["npu.dram"].read - b.bytes["npu.dram"].read == saved[0]
        assert a.bytes["npu.dram"].write - b.bytes["npu.dram"].write == saved[1]
    dram = [sum(e["npu.dram"] for e in each.energy_fj) for each in (before, after)]
    assert dram[0] - dram[1] == 2 * pair.elements * 243_750


def test_fusion_is_an_axis_of_a_sweep() -> None:
    axes: dict[str, Any] = {"fusion": ["none", "elementwise"], "array.rows": [8, 16]}
    table = sweep(SweepSpec(name="s", base="systolic_16x16", workload="zoo:digits", axes=axes))
    for row in table.iter_rows(named=True):
        target = hwconfigs.load("systolic_16x16", [(path, row[path]) for path in axes])
        totals = simulator.estimate(graph_of("zoo:digits"), target).totals
        assert (row["cycles"], row["energy_fj"]) == (totals.cycles, totals.energy_fj)
    assert table["energy_fj"].n_unique() == 4


@pytest.mark.parametrize("name", ["cortex_m4", "systolic_and_m4"])
def test_a_kind_that_does_not_fuse_says_so(name: str) -> None:
    with pytest.raises(BadConfig, match=r"fusion: a (cpu|platform) does not fuse operators"):
        hwconfigs.load(name, [("fusion", "elementwise")])
