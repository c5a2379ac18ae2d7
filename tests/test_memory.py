"""The arena of a graph: what is read there is what was last written there, and how large it is."""

from itertools import combinations

import networkx as nx
import pytest

import workloads
from simulator.graph import Graph, Node, TensorType
from simulator.memory import Arena, pack, plan_arena, variable_bytes
from simulator.ops.reshape import Reshape
from tests.ops.build import OneOp, tensor
from tests.shared import shared_folder

FOLDER = shared_folder()
MODELS = [
    str(path)
    for folder in ("tflite", "onnx", "qonnx")
    for path in sorted((FOLDER / "models" / folder).glob("*mlperf*") if FOLDER else ())
    if path.suffix in (".tflite", ".onnx")
]


def load(name: str) -> Graph:
    return workloads.load(name)


def replay(graph: Graph, arena: Arena) -> None:
    """Run the plan on a memory that remembers whose each byte is; every read must find its own."""
    places = {p.name: p for p in arena.placements}
    family = {p.name: p.name for p in arena.placements}
    for p in arena.placements:
        if p.in_place_of:
            family[p.name] = family[p.in_place_of]
    held = [""] * arena.bytes
    views: dict[str, str] = {}

    def write(name: str) -> None:
        p = places[name]
        held[p.offset : p.offset + p.bytes] = [name] * p.bytes

    def check(name: str) -> None:
        p = places[name]
        assert set(held[p.offset : p.offset + p.bytes]) <= {views.get(name, name)}, name

    for name in graph.inputs:
        write(name)
    for node in graph.nodes:
        for name in node.inputs:
            if name in places:
                check(name)
        for name in node.outputs:
            if node.op.in_place == "view" and places[name].in_place_of:
                source = places[name].in_place_of or ""
                views[name] = views.get(source, source)
            else:
                write(name)
    for name in graph.outputs:
        check(name)


@pytest.mark.parametrize("name", ["zoo:digits", *MODELS])
def test_every_read_finds_what_was_written(name: str) -> None:
    graph = load(name)
    arena = plan_arena(graph)
    replay(graph, arena)
    assert all(p.offset + p.bytes <= arena.bytes for p in arena.placements)
    assert all(p.offset % 16 == 0 for p in arena.placements)
    assert arena.live_bytes <= arena.bytes
    assert 0 <= arena.fragmentation < 0.35
    for a, b in combinations(arena.placements, 2):
        apart = a.offset + a.bytes <= b.offset or b.offset + b.bytes <= a.offset
        together = a.first <= b.last and b.first <= a.last
        related = a.in_place_of or b.in_place_of
        assert apart or not together or related


@pytest.mark.parametrize("name", ["zoo:digits", *MODELS])
def test_lifetimes_are_those_of_the_edges(name: str) -> None:
    """From networkx's edges: a tensor lives from its producer to its last reader."""
    graph = load(name)
    order = {node.name: index for index, node in enumerate(graph.nodes)}
    placements = {p.name: p for p in plan_arena(graph).placements}
    flow: nx.MultiDiGraph[str] = graph.to_networkx()
    for producer, reader, data in flow.edges(data=True):
        tensor_name = data["tensor"]
        if tensor_name in placements:
            p = placements[tensor_name]
            assert p.first == order[producer]
            assert p.last >= order[reader]
            assert p.bytes == data["bytes"]


def add() -> OneOp:
    kind = tensor((1, 64), 0.5, 3)
    return OneOp("ADD", {"fused_activation_function": "NONE"}, (kind, kind), kind, (None, None))


def test_a_view_shares_memory_that_is_not_written_over_while_it_lives() -> None:
    """The sum x + x must not overwrite x: r, the same bytes otherwise shaped, is read later."""
    kind = tensor((1, 64), 0.5, 3)
    flat = TensorType((64,), kind.dtype, kind.bits, kind.quant)
    nodes = (
        Node("view", Reshape((64,)), ("x",), ("r",)),
        Node("sum", add().operator(), ("x", "x"), ("y",)),
        Node("back", Reshape((1, 64)), ("r",), ("s",)),
        Node("last", add().operator(), ("s", "y"), ("z",)),
    )
    kinds = {"x": kind, "r": flat, "y": kind, "s": kind, "z": kind}
    graph = Graph("views", nodes, kinds, {}, ("x",), ("z",))
    arena = plan_arena(graph)
    at = {p.name: p.offset for p in arena.placements}
    assert at["x"] == at["r"] == at["s"] == at["z"] != at["y"]
    assert (arena.bytes, arena.live_bytes, arena.fragmentation) == (128, 128, 0.0)
    replay(graph, arena)


def test_packing_by_hand() -> None:
    # 5 and 3 alive together, then 3 with 4: the 4 fits where the 5 was.
    assert pack({0: (5, 0, 1), 1: (3, 1, 2), 2: (4, 2, 3)}, 1) == ({0: 0, 2: 0, 1: 5}, 8)
    assert pack({}, 16) == ({}, 0)
    assert pack({0: (1, 0, 0), 1: (1, 0, 0)}, 16) == ({0: 0, 1: 16}, 32)


def test_state_is_counted_apart() -> None:
    assert variable_bytes(load("zoo:digits")) == 0
