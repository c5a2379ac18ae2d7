"""Where two arithmetics part: the first differing element, its sum, and the rule behind it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, get_args

import numpy as np

from simulator.decode import product_scale
from simulator.execute import run
from simulator.graph import Array, Graph, Node
from simulator.mac import MacOperator
from simulator.numeric.datapath import GRAPH_DATAPATH
from simulator.numeric.dialect import Rounding, Scale
from simulator.numeric.requantize import make_requantize, requantize_array

_ROUNDINGS: Final[tuple[Rounding, ...]] = get_args(Rounding)
_SCALES: Final[tuple[Scale, ...]] = get_args(Scale)


@dataclass(frozen=True)
class Divergence:
    """The first element at which two runs of one network differ, inputs of its layer being equal.

    For a layer of products: `accumulator` is the exact sum there, `multiplier` and `shift` what
    ours requantizes it by, `real` the value before rounding, and `explained_by` the rules (rounding
    and scale derivation) that turn this accumulator into the other side's value.
    """

    node: str
    op: str
    tensor: str
    index: tuple[int, ...]
    ours: int
    other: int
    accumulator: int | None = None
    multiplier: int | None = None
    shift: int | None = None
    real: float | None = None
    explained_by: tuple[str, ...] = ()

    @property
    def reason(self) -> str | None:
        """The sum, its requantizer and the rules that explain the other value; None for no sum."""
        if self.accumulator is None:
            return None
        rules = ", ".join(self.explained_by)
        why = f"follows from {rules}" if rules else "follows from no rounding rule known here"
        return (
            f"accumulator {self.accumulator}, multiplier {self.multiplier}, shift {self.shift}, "
            f"real {self.real!r}; the other value {why}"
        )

    def to_text(self) -> str:
        """One or two lines for a terminal."""
        text = (
            f"first difference: {self.node}, tensor '{self.tensor}', element {list(self.index)}: "
            f"{self.ours}, other {self.other}"
        )
        return text if self.reason is None else f"{text}\n{self.reason}"


def diverge(ours: Graph, other: Graph, inputs: Mapping[str, Array]) -> Divergence | None:
    """The first difference of two readings of one network (two dialects); None where none."""
    theirs: dict[str, Array] = {}

    def keep(node: Node, _: Sequence[Array | None], results: Sequence[Array]) -> None:
        theirs.update(zip(node.outputs, results, strict=True))

    run(other, inputs, tap=keep)
    return first_difference(ours, inputs, theirs)


def first_difference(
    graph: Graph,
    inputs: Mapping[str, Array],
    theirs: Mapping[str, Array],
    state: Mapping[str, Array] | None = None,
) -> Divergence | None:
    """The first tensor of `graph` that differs from the other side's, explained where it can be."""
    found: list[Divergence] = []

    def compare(node: Node, operands: Sequence[Array | None], results: Sequence[Array]) -> None:
        if found:
            return
        for name, value in zip(node.outputs, results, strict=True):
            if name in theirs and not np.array_equal(value, theirs[name]):
                index = tuple(int(i) for i in np.argwhere(value != theirs[name])[0])
                pair = (value[index].item(), theirs[name][index].item())
                found.append(explain(graph, node, operands, name, index, *pair))
                return

    run(graph, inputs, state=state, tap=compare)
    return found[0] if found else None


def explain(
    graph: Graph,
    node: Node,
    operands: Sequence[Array | None],
    tensor: str,
    index: tuple[int, ...],
    ours: int,
    other: int,
) -> Divergence:
    """The divergence at one element of one node's output, given that node's operands."""
    plain = Divergence(node.name, node.op.kind, tensor, index, ours, other)
    op = node.op
    if not isinstance(op, MacOperator) or op.weighted.requantize.rounding == "none":
        return plain  # no sums, or raw ones
    sums = op.accumulate(operands, GRAPH_DATAPATH)
    shape = graph.tensors[tensor].shape
    row = int(np.ravel_multi_index(index[:-1], shape[:-1])) if len(shape) > 1 else 0
    channel = index[-1]
    requantize = op.weighted.requantize
    at = channel if len(requantize.scale) > 1 else 0
    acc = int(sums[row, channel])
    return Divergence(
        *(node.name, node.op.kind, tensor, index, ours, other),
        accumulator=acc,
        multiplier=requantize.multiplier[at],
        shift=requantize.shift[at],
        real=acc * requantize.scale[at],
        explained_by=_explanations(graph, node, op, channel, acc, other),
    )


def _explanations(
    graph: Graph, node: Node, op: MacOperator, channel: int, acc: int, other: int
) -> tuple[str, ...]:
    """The roundings that give `other`, with the scale derivations where not all of them do."""
    fitting: dict[str, list[str]] = {}
    for rounding, how, value in _candidates(graph, node, op, channel, acc):
        if value == other:
            fitting.setdefault(rounding, []).append(how)
    return tuple(
        rounding if len(hows) == len(_SCALES) else f"{rounding} (scale {' or '.join(hows)})"
        for rounding, hows in fitting.items()
    )


def _candidates(
    graph: Graph, node: Node, op: MacOperator, channel: int, acc: int
) -> Iterator[tuple[str, str, int]]:
    """(rounding, scale derivation, value) of this accumulator under each."""
    operands = (node.inputs[op.roles.index(role)] for role in ("input", "weights"))
    x, w = (graph.tensors[name].quant for name in operands)
    y = graph.tensors[node.outputs[0]].quant
    if x is None or w is None or y is None:
        return
    w_scale = w.scale[channel] if len(w.scale) > 1 else w.scale[0]
    requantize = op.weighted.requantize
    limits = (requantize.zero_point, requantize.low, requantize.high)
    for rounding in _ROUNDINGS:
        for how in _SCALES:
            scale = product_scale(how, x.scale[0], w_scale, y.scale[0])
            rule = make_requantize(rounding, (scale,), *limits)
            value = requantize_array(np.array([[acc]], dtype=np.int64), rule, "int64")
            yield rounding, how, int(value[0, 0])
