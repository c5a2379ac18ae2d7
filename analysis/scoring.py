"""Run a labelled set in a datapath's arithmetic, bit-exactly, and score what comes out.

Read `Accuracy`, then `evaluate`.
"""

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Final

import numpy as np

from analysis.accumulators import all_results
from analysis.arithmetic import fits
from analysis.labelled import LabelledSet, is_index, real_values
from simulator.errors import IllegalValues, Unsupported
from simulator.execute import plan_of, run
from simulator.graph import Array, Graph, Node, TensorType
from simulator.mac import AccumulatingOperator
from simulator.narrow import Datapaths, datapath_of, requantized
from simulator.numeric.overflow import overflows, sums_made
from workloads.quantize.sqnr import decibels

BLOCK: Final = 32
"""Samples of one tally. The bits do not depend on it; the last digit of `sqnr_db` may."""


@dataclass(frozen=True)
class Accuracy:
    """What one arithmetic gives on a labelled set.

    accuracy : share of samples whose largest output (the first of equals) is at the label; None
        for a set without labels.
    sqnr_db : 10 log10 of the sum of squared reference outputs over that of squared differences,
        in real values, -200 to 200; the reference is the set's own outputs, else the graph's own
        arithmetic.
    overflow_rate : sums that leave their register, the start at the bias included, over all sums
        made; None where a mapping chooses the order of the products and some sum may overflow.
    refused : why there is nothing of these; None where there is.
    overflows : sums that leave their register by node, where any may.
    """

    accuracy: float | None = None
    sqnr_db: float | None = None
    overflow_rate: float | None = None
    refused: str | None = None
    overflows: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Tally:
    """What is counted over some samples."""

    right: int = 0
    signal: float = 0.0
    noise: float = 0.0
    overflows: Mapping[str, int] = field(default_factory=dict)

    def plus(self, other: "Tally") -> "Tally":
        """Both counts."""
        nodes = dict.fromkeys((*self.overflows, *other.overflows))
        lost = {n: self.overflows.get(n, 0) + other.overflows.get(n, 0) for n in nodes}
        signal, noise = self.signal + other.signal, self.noise + other.noise
        return Tally(self.right + other.right, signal, noise, lost)


def evaluate(
    graph: Graph, data: LabelledSet, datapath: Datapaths = None, threads: int | None = None
) -> Accuracy:
    """Run every sample in a datapath's arithmetic and compare.

    Each sample starts from the initial state. Memory is that of the set, its reference outputs and
    one sample's tensors a thread; `threads` (by default one a core) change no digit. A datapath
    that cannot run the graph, or traps on a sample, gives an Accuracy with `refused`.
    """
    try:
        made = requantized(graph, datapath).graph
        plan_of(made, datapath)
        counted = [n.name for n in made.nodes if _may_overflow(made, n, datapath)]
        reference = references(graph, data)
        block = partial(_block, graph, made, data, reference, datapath, frozenset(counted))
        found = Tally()
        firsts = range(0, data.count, BLOCK)
        pool = ThreadPoolExecutor(threads or os.cpu_count() or 1)
        try:
            for tally in pool.map(block, firsts):
                found = found.plus(tally)
        finally:
            # What stops the run, a trap or Ctrl-C, does not wait for the samples that are left.
            pool.shutdown(cancel_futures=True)
    except (Unsupported, IllegalValues) as error:
        return Accuracy(refused=str(error))
    lost = {name: found.overflows.get(name, 0) for name in counted}
    made_sums = sums_of(graph, data, datapath) * data.count if counted else 1
    return Accuracy(
        accuracy=None if data.labels is None else found.right / data.count,
        sqnr_db=decibels(found.signal, found.noise),
        overflow_rate=sum(lost.values()) / made_sums,
        overflows=lost,
    )


def references(graph: Graph, data: LabelledSet) -> Mapping[str, Array]:
    """What outputs are compared with, [N, elements] by name: the set's own, else the graph's.

    The graph's own outputs are computed once and kept with it, as codes.
    """
    if data.references:
        return data.references

    def own() -> dict[str, Array]:
        parts = [
            run(graph, {n: value[i] for n, value in data.inputs.items()})[0]
            for i in range(data.count)
        ]
        return {n: np.stack([p[n].reshape(-1) for p in parts]) for n in graph.outputs}

    return graph.kept(references, data.digest, own)


def sums_of(graph: Graph, data: LabelledSet, datapath: Datapaths) -> int:
    """Sums that one sample makes: each output's start at the bias and its additions."""
    total = 0

    def add(node: Node, operands: Sequence[Array | None], results: Sequence[Array]) -> None:
        nonlocal total
        own = datapath_of(node, datapath)
        if isinstance(node.op, AccumulatingOperator):
            given = all_results(node, operands, results, own)
            for sums in node.op.sums(operands, given, folded=False):
                for p in sums.products:
                    total += p.x.shape[0] * p.w.shape[0] * sums_made(p.x.shape[1], own)

    run(graph, {n: value[0] for n, value in data.inputs.items()}, datapath, tap=add)
    return total


def _may_overflow(made: Graph, node: Node, datapath: Datapaths) -> bool:
    own = datapath_of(node, datapath)
    return isinstance(node.op, AccumulatingOperator) and not fits(made, node, own)


def _block(
    graph: Graph,
    made: Graph,
    data: LabelledSet,
    reference: Mapping[str, Array],
    datapath: Datapaths,
    counted: frozenset[str],
    first: int,
) -> Tally:
    """The tally of the samples from `first` on, `made` being what runs of the graph."""
    found = Tally()
    lost = dict.fromkeys(counted, 0)

    def count(node: Node, operands: Sequence[Array | None], results: Sequence[Array]) -> None:
        if node.name not in counted:
            return
        assert isinstance(node.op, AccumulatingOperator)
        own = datapath_of(node, datapath)
        given = all_results(node, operands, results, own)
        for sums in node.op.sums(operands, given, folded=own.zero_point == "folded"):
            lost[node.name] += sum(overflows(p.x, p.w, p.bias, own) for p in sums.products)

    for index in range(first, min(first + BLOCK, data.count)):
        values = {name: value[index] for name, value in data.inputs.items()}
        outputs, _ = run(graph, values, datapath, tap=count if counted else None)
        found = found.plus(_compared(graph, made, data, reference, outputs, index))
    return replace(found, overflows=lost)


def _compared(
    graph: Graph,
    made: Graph,
    data: LabelledSet,
    reference: Mapping[str, Array],
    outputs: Mapping[str, Array],
    index: int,
) -> Tally:
    """One sample's outputs against the reference and its label."""
    signal = noise = 0.0
    for name, wanted in reference.items():
        real: Array = wanted[index]
        if not data.references:
            real = real_values(real, graph.tensors[name])
        difference = real_values(outputs[name].reshape(-1), made.tensors[name]) - real
        signal += float(np.square(real).sum())
        noise += float(np.square(difference).sum())
    right = 0
    if data.labels is not None:
        name = graph.outputs[0]
        right = int(_class_of(outputs[name], made.tensors[name]) == data.labels[index])
    return Tally(right, signal, noise)


def _class_of(output: Array, kind: TensorType) -> int:
    flat = output.reshape(-1)
    return int(flat[0]) if is_index(kind) else int(flat.argmax())
