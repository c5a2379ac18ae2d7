"""What a graph refuses, in its exact words, and that what it accepts cannot change."""

from collections.abc import Sequence
from dataclasses import FrozenInstanceError, dataclass, replace
from typing import Any, Self, final

import numpy as np
import pytest

from simulator.errors import IllegalGraph
from simulator.graph import Array, Graph, Node, Operator, QuantParams, Source, TensorType
from simulator.numeric.datapath import Datapath
from simulator.work import Work
from tests.ops.build import OneOp, tensor

STEPS = {"padding": "SAME", "stride_h": 1, "stride_w": 1, "fused_activation_function": "NONE"}
ACTIVATION = {"fused_activation_function": "NONE"}
POOL = {**STEPS, "filter_height": 2, "filter_width": 2}
IMAGE, ROW = tensor((1, 2, 2, 2), 0.5, 3), tensor((1, 8), 0.5, 3)
FLAT = OneOp("RESHAPE", {}, (IMAGE,), ROW, (None,)).operator()


def flat(name: str = "flat", source: str = "x", result: str = "y") -> Node:
    """A node that reshapes IMAGE to ROW."""
    return Node(name, FLAT, (source,), (result,))


def graph(nodes: tuple[Node, ...], **changes: Any) -> Graph:
    """A graph over x (IMAGE), x2, y and y2 (ROW), whose input is x and output y."""
    fields: dict[str, Any] = {
        "name": "net",
        "nodes": nodes,
        "tensors": {"x": IMAGE, "x2": IMAGE, "y": ROW, "y2": ROW},
        "constants": {},
        "inputs": ("x",),
        "outputs": ("y",),
    }
    return Graph(**{**fields, **changes})


def refusal(nodes: tuple[Node, ...], **changes: Any) -> str:
    with pytest.raises(IllegalGraph) as caught:
        graph(nodes, **changes)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_names_and_order() -> None:
    assert refusal((flat(), flat(result="y2"))) == ("net: two nodes are named 'flat'; rename one")
    assert refusal((flat(result="z"),)) == "net: tensor 'z' is used but has no type"
    assert refusal((flat(),), outputs=("q",)) == "net: tensor 'q' is used but has no type"
    assert refusal((flat(source="x2"),)) == (
        "net, flat: input 'x2' is not known yet; it is neither a graph input, a constant nor the "
        "output of an earlier node"
    )
    assert refusal((flat(), flat("again"))) == ("net, again: tensor 'y' is written a second time")
    assert refusal((flat(),), inputs=("x", "y")) == (
        "net, flat: tensor 'y' is written a second time"
    )
    assert refusal((), outputs=("y2",)) == "net: graph output 'y2' is never computed"


def test_constants_have_the_shape_of_their_type() -> None:
    assert refusal((flat(),), constants={"y2": np.zeros((8, 1), np.int8)}) == (
        "net: constant 'y2' has shape (8, 1); its type says (1, 8)"
    )


def test_constants_have_the_dtype_of_their_type() -> None:
    """Weights of int32 under a type that says int8 would be counted and computed differently."""
    assert "y2" in refusal((flat(),), constants={"y2": np.zeros((1, 8), np.int32)})


def test_declared_shapes_are_the_inferred_ones() -> None:
    tensors = {"x": tensor((1, 3, 3, 2), 0.5, 3), "y": tensor((1, 2, 2, 2), 0.5, 3)}
    pool = OneOp("AVERAGE_POOL_2D", POOL, (IMAGE,), tensors["y"], (None,)).operator()
    node = Node("pool", pool, ("x",), ("y",))
    assert refusal((node,), tensors=tensors) == (
        "net, pool: output 'y' is declared (1, 2, 2, 2); its inputs make it (1, 3, 3, 2)"
    )


def test_an_output_too_many_is_an_illegal_graph() -> None:
    assert "flat" in refusal((replace(flat(), outputs=("y", "y2")),))


def test_an_output_without_a_name_is_an_illegal_graph() -> None:
    assert "flat" in refusal((replace(flat(), outputs=("",)),), outputs=("x",))


def test_reshape_keeps_its_dtype() -> None:
    with pytest.raises(IllegalGraph) as caught:
        FLAT.check((IMAGE,), (TensorType((1, 8), "uint8", 8, ROW.quant),))
    assert str(caught.value) == "reshape keeps its dtype; found int8 and uint8"


@pytest.mark.parametrize(
    ("scale", "zero", "message"),
    [
        (
            (),
            (),
            "0 scales against 0 zero points; give one of each per channel, or one for the tensor",
        ),
        (
            (1.0, 2.0),
            (0,),
            "2 scales against 1 zero points; give one of each per channel, or one for the tensor",
        ),
        ((0.0,), (0,), "scale must be positive and finite; found 0.0"),
        ((1.0, -0.5), (0, 0), "scale must be positive and finite; found -0.5"),
        ((float("nan"),), (0,), "scale must be positive and finite; found nan"),
        ((float("inf"),), (0,), "scale must be positive and finite; found inf"),
    ],
)
def test_grids(scale: tuple[float, ...], zero: tuple[int, ...], message: str) -> None:
    with pytest.raises(IllegalGraph) as caught:
        QuantParams(scale, zero)
    assert str(caught.value) == f"quantization: {message}"


def test_a_graph_cannot_change() -> None:
    weights = np.zeros((1, 8), np.int8)
    tensors = {"x": IMAGE, "y": ROW, "w": ROW}
    index = {"x": 0}
    net = graph((flat(),), tensors=tensors, constants={"w": weights}, source_index=index)
    weights[...] = 9
    tensors["y"] = IMAGE
    index["x"] = 5
    assert net.constants["w"].tolist() == [[0] * 8]
    assert net.tensors["y"] == ROW
    assert net.source_index == {"x": 0}
    with pytest.raises(ValueError, match="read-only"):
        net.constants["w"][0, 0] = 1
    for mapping in (net.tensors, net.constants, net.source_index):
        with pytest.raises(TypeError, match="does not support item assignment"):
            mapping["x"] = None  # type: ignore[index]
    with pytest.raises(FrozenInstanceError):
        net.name = "other"  # type: ignore[misc]
    with pytest.raises(FrozenInstanceError):
        net.nodes[0].name = "other"  # type: ignore[misc]
    with pytest.raises(FrozenInstanceError):
        net.nodes[0].op.shape = ()  # type: ignore[attr-defined]
    assert weights.flags.writeable


def test_a_read_only_window_on_changing_data_is_copied() -> None:
    owner = np.zeros((1, 8), np.int8)
    window = owner.view()
    window.setflags(write=False)
    net = graph((flat(),), constants={"y2": window})
    owner[...] = 9
    assert net.constants["y2"].tolist() == [[0] * 8]


def test_types_elements_and_work() -> None:
    net = graph((flat(),))
    assert net.types(("x", "", "y")) == (IMAGE, None, ROW)
    assert net.output_types(net.nodes[0]) == (ROW,)
    assert IMAGE.elements == 8
    assert tensor(()).elements == 1
    assert tensor((0, 4)).elements == 0
    assert [w.output_elements for w in net.work] == [8]
    assert [w.macs for w in net.work] == [0]
    assert net.work is net.work


def test_to_networkx() -> None:
    """Edges carry the tensor and its bytes, rounded up; constants and inputs make no edge."""
    int4 = TensorType((1, 3), "int4", 4, ROW.quant)
    first = OneOp("RESHAPE", {}, (IMAGE,), ROW, (None,)).operator()
    second = OneOp("RESHAPE", {}, (ROW,), tensor((8,), 0.5, 3), (None,)).operator()
    add = OneOp("ADD", ACTIVATION, (ROW, ROW), ROW, (None, None)).operator()
    odd = replace(second, shape=(3,))  # type: ignore[type-var]
    net = graph(
        (
            Node("a", first, ("x",), ("y",)),
            Node("b", second, ("y",), ("z",)),
            Node("c", add, ("y", "k"), ("y2",)),
            Node("d", odd, ("n",), ("m",)),
            Node("e", odd, ("m",), ("l",)),
        ),
        tensors={
            "x": IMAGE,
            "y": ROW,
            "k": ROW,
            "y2": ROW,
            "z": tensor((8,), 0.5, 3),
            "n": int4,
            "m": replace(int4, shape=(3,)),
            "l": replace(int4, shape=(3,)),
        },
        constants={"k": np.zeros((1, 8), np.int8)},
        inputs=("x", "n"),
        outputs=("z", "y2", "l"),
    )
    found = net.to_networkx()
    assert found.graph["name"] == "net"
    assert dict(found.nodes(data="op")) == {
        "a": "reshape",
        "b": "reshape",
        "c": "add",
        "d": "reshape",
        "e": "reshape",
    }
    assert list(found.edges(data=True)) == [
        ("a", "b", {"tensor": "y", "bytes": 8}),
        ("a", "c", {"tensor": "y", "bytes": 8}),
        ("d", "e", {"tensor": "m", "bytes": 2}),
    ]


def test_a_tensor_read_twice_is_one_edge() -> None:
    add = OneOp("ADD", ACTIVATION, (ROW, ROW), ROW, (None, None)).operator()
    net = graph((flat(), Node("sum", add, ("y", "y"), ("y2",))), outputs=("y2",))
    assert list(net.to_networkx().edges(data="bytes")) == [("flat", "sum", 8)]


@final
@dataclass(frozen=True)
class Halves(Operator):
    """Splits a row in two: the smallest operator with two outputs."""

    kind = "halves"
    formats = ()
    reference = "none"

    @classmethod
    def decode(cls, source: Source) -> Self:
        return cls()

    def check(self, inputs: Sequence[TensorType | None], outputs: Sequence[TensorType]) -> None:
        """Accept anything."""

    def infer(self, inputs: Sequence[TensorType | None]) -> tuple[tuple[int, ...], ...]:
        return ((1, 4), (1, 4))

    def run(self, inputs: Sequence[Array | None], datapath: Datapath) -> tuple[Array, ...]:
        assert inputs[0] is not None
        return inputs[0][:, :4], inputs[0][:, 4:]

    def work(self, inputs: Sequence[TensorType | None], outputs: Sequence[TensorType]) -> Work:
        return Work()


def test_two_tensors_between_two_nodes_are_both_in_the_networkx_graph() -> None:
    half = tensor((1, 4), 0.5)
    add = OneOp("ADD", ACTIVATION, (half, half), half, (None, None)).operator()
    net = graph(
        (Node("split", Halves(), ("y",), ("a", "b")), Node("sum", add, ("a", "b"), ("c",))),
        tensors={"y": ROW, "a": half, "b": half, "c": half},
        inputs=("y",),
        outputs=("c",),
    )
    edges = net.to_networkx().edges(data="tensor")
    assert sorted(name for _, _, name in edges) == ["a", "b"]
