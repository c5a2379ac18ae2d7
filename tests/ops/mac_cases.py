"""Operators that multiply and accumulate, drawn at random, and the graphs they make."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Any, Final

import numpy as np
from hypothesis import strategies as st

from simulator.graph import Array, Graph, Node
from simulator.mac import MacOperator
from simulator.numeric.datapath import Datapath, Overflow, Stage
from simulator.numeric.dialect import DIALECTS
from tests.ops.structure import Given, OneNode
from tests.ops.weighted import PAIRS, convolutions, depthwise, fully_connected
from tests.oracle import batch_matmul, transpose_conv
from tests.oracle.registers import Narrow, Register
from tests.oracle.terms import TERMS, Terms

LARGEST: Final = 4
"""Sizes of planes: oracles are slow."""
Maker = Callable[[Random], Iterator[OneNode]]
BIAS: Final = {"CONV_2D": 2, "DEPTHWISE_CONV_2D": 2, "FULLY_CONNECTED": 2, "TRANSPOSE_CONV": 3}


BYTES: Final = PAIRS[0], *PAIRS[2:5]
"""Operands that convolutions in groups take: no int4."""


def _plain(rng: Random) -> Iterator[OneNode]:
    nodes = convolutions(rng, rng.choice(PAIRS), LARGEST)
    return (node for node in nodes if not _grouped(node))


def _in_groups(rng: Random) -> Iterator[OneNode]:
    return (node for node in convolutions(rng, rng.choice(BYTES), LARGEST) if _grouped(node))


def _grouped(node: OneNode) -> bool:
    x, w = (given.kind.shape for given in node.given[:2] if given)
    return x[3] != w[3]


MAKERS: Final[dict[str, Maker]] = {
    "conv_2d": _plain,
    "conv_2d in groups": _in_groups,
    "depthwise_conv_2d": lambda rng: depthwise(rng, rng.choice(PAIRS), LARGEST),
    "fully_connected": lambda rng: fully_connected(rng, rng.choice(PAIRS), 2),
    "batch_matmul": lambda rng: batch_matmul.one_ops(rng, LARGEST),
    "transpose_conv": lambda rng: transpose_conv.one_ops(rng, LARGEST),
}


@dataclass(frozen=True, eq=False)
class MacCase:
    """One node decoded, with its values; `kind` names its terms."""

    kind: str
    node: OneNode
    operator: MacOperator

    @property
    def values(self) -> tuple[Array | None, ...]:
        """The inputs."""
        return self.node.values

    def terms(self, *, folded: bool = False) -> Terms:
        """What every sum adds, by the oracle."""
        nested = [None if v is None else v.tolist() for v in self.values]
        return TERMS[self.kind](self.operator, nested, folded)


def decoded(kind: str, node: OneNode, dialect: str = "litert-ref") -> MacCase:
    """A case of a node."""
    operator = node.operator(DIALECTS[dialect])
    assert isinstance(operator, MacOperator)
    return MacCase(kind.split()[0], node, operator)


def drawn_node(kind: str, seed: int) -> OneNode:
    """A node of random shapes, types and values; its bias near the ends of int32 now and then."""
    rng = Random(seed)
    node = next(MAKERS[kind](rng))
    place = BIAS.get(node.op)
    bias = node.given[place] if place is not None and len(node.given) > place else None
    if place is None or bias is None or rng.random() < 0.6:
        return node
    ends = rng.choices([2**31 - 1, -(2**31), 2**31 - 5000, 0], k=bias.value.size)
    changed = Given(bias.kind, np.array(ends, dtype=bias.value.dtype), bias.stored)
    return replace(node, given=(*node.given[:place], changed, *node.given[place + 1 :]))


def graph_of(node: OneNode, dialect: str = "litert-ref") -> Graph:
    """A graph of this one node; its inputs are named x<position>, its output y."""
    names = tuple(f"x{i}" if given else "" for i, given in enumerate(node.given))
    given = {name: part for name, part in zip(names, node.given, strict=True) if part}
    return Graph(
        name="one",
        nodes=(Node("one", node.operator(DIALECTS[dialect]), names, ("y",)),),
        tensors={**{name: part.kind for name, part in given.items()}, "y": node.outputs[0]},
        constants={name: part.value for name, part in given.items() if part.stored},
        inputs=tuple(name for name, part in given.items() if not part.stored),
        outputs=("y",),
    )


def feeds(graph: Graph, node: OneNode) -> dict[str, Array]:
    """The values of the graph's inputs."""
    return dict(zip(graph.inputs, node.fed, strict=True))


seeds = st.integers(0, 2**32 - 1)
stages = st.builds(
    Narrow, st.integers(1, 5), st.integers(8, 28), st.sampled_from(["wrap", "saturate"])
)
registers = st.builds(
    Register,
    st.integers(8, 40),
    st.sampled_from(["wrap", "saturate"]),
    st.integers(1, 32),
    st.just(()) | st.lists(stages, min_size=1, max_size=3).map(tuple),
)


def datapath_of(register: Register, *, folded: bool = False) -> Datapath:
    """The engine's datapath with that accumulator, wide enough for every operand."""
    overflow: Any = register.overflow
    return Datapath(
        weight_bits=16,
        activation_bits=16,
        dot_width=register.dot_width,
        accumulator_bits=register.bits,
        overflow=overflow,
        zero_point="folded" if folded else "subtracted",
        stages=tuple(stage_of(stage) for stage in register.stages),
    )


def stage_of(stage: Narrow) -> Stage:
    """The engine's stage."""
    overflow: Any = stage.overflow
    return Stage(stage.fan_in, stage.bits, overflow)


def summed(terms: Terms, register: Register) -> list[list[int]]:
    """Every accumulator's last value."""
    return [[register.sum(*term) for term in row] for row in terms]


OVERFLOWS: Final[Sequence[Overflow]] = ("wrap", "saturate", "trap")
