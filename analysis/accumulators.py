"""The overflow audit: how wide each layer's accumulator must be, and what a narrower one does."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.arrays import load_npz, match_inputs, samples
from analysis.files import tell, write_json
from analysis.text import table
from simulator.decode import value_range
from simulator.errors import BadConfig
from simulator.execute import run
from simulator.graph import STORAGE, Array, Graph, Node, TensorType
from simulator.mac import AccumulatingOperator, Sums
from simulator.numeric.audit import Extremes, count_overflows, observe, prove
from simulator.numeric.datapath import GRAPH_DATAPATH, Datapath


@dataclass(frozen=True)
class LayerAudit:
    """Safe accumulator widths of one layer, per output channel, in bits.

    `final` is enough where the accumulator wraps, `prefix` is needed where it saturates. `observed`
    and `overflows` are None without inputs; `overflows` is (channels, 3): sums that saturate, sums
    that wrap, outputs that saturation changes, at `bits`.
    """

    node: str
    op: str
    taps: int
    proved_final: NDArray[np.int64]
    proved_prefix: NDArray[np.int64]
    observed: Extremes | None
    overflows: NDArray[np.int64] | None

    def to_json_dict(self) -> dict[str, Any]:
        """One entry of the document of schema `bitlane.accumulators/1`."""
        document: dict[str, Any] = {
            "name": self.node,
            "op": self.op,
            "taps": self.taps,
            "proved": _widths(self.proved_final, self.proved_prefix),
        }
        if self.observed is not None:
            document["observed"] = _widths(self.observed.final_bits, self.observed.prefix_bits)
        if self.overflows is not None:
            names = ("saturating_sums", "wrapping_sums", "outputs_changed_by_saturation")
            totals = self.overflows.sum(axis=0).tolist()
            document["overflows"] = dict(zip(names, totals, strict=True))
            document["overflows"]["per_channel"] = self.overflows.tolist()
        return document


def audit(
    graph: Graph,
    inputs: Iterable[Mapping[str, Array]] = (),
    *,
    dot_width: int = 1,
    bits: int | None = None,
    folded: bool = False,
) -> tuple[LayerAudit, ...]:
    """Audit every layer whose weights are constant, in order of execution.

    `inputs` are samples to observe, each from the initial state; `bits` is a width whose damage is
    counted on them; `folded` audits raw activations with the zero point in the bias. Layers with
    computed weights have no proof and are left out. An operator with several sums (SVDF, LSTM) has
    an entry for each, `<node>/<sums>`.
    """
    layers = [n for n in graph.nodes if is_proved(graph, n)]
    names = {n.name for n in layers}
    observed: dict[str, Extremes] = {}
    overflows: dict[str, NDArray[np.int64]] = {}

    def watch(node: Node, operands: Sequence[Array | None], results: Sequence[Array]) -> None:
        if node.name not in names:
            return
        for label, sums in labelled_sums(
            node, operands, all_results(node, operands, results), folded
        ):
            blocks = sums.products
            seen = _joined([observe(p.x, p.w, p.bias, dot_width).values for p in blocks])
            earlier = observed.get(label)
            observed[label] = Extremes(seen).merge(earlier) if earlier else Extremes(seen)
            if bits is not None:
                counts = [count_overflows(p.x, p.w, p.bias, dot_width, bits) for p in blocks]
                overflows[label] = _joined(counts) + overflows.get(label, 0)

    for values in inputs:
        run(graph, values, tap=watch)
    return tuple(
        LayerAudit(
            label,
            node.op.kind,
            taps,
            proved.final_bits,
            proved.prefix_bits,
            observed.get(label),
            overflows.get(label),
        )
        for node in layers
        for label, taps, proved in _proofs(graph, node, dot_width, folded)
    )


def audit_command(
    graph: Graph, inputs: Path | None, bits: int | None, dot_width: int, json: Path | None
) -> None:
    """Audit, print, and write the document of schema `bitlane.accumulators/1` if asked."""
    observed: Iterable[Mapping[str, Array]] = ()
    if inputs is not None:
        arrays = match_inputs(graph, load_npz(inputs), str(inputs))
        observed = samples(graph, arrays, str(inputs))
    elif bits is not None:
        raise BadConfig("--bits counts what is lost on data; give the data by --inputs")
    layers = audit(graph, observed, dot_width=dot_width, bits=bits)
    tell(to_text(layers, bits), json)
    if json:
        document = {
            "schema": "bitlane.accumulators/1",
            "model": graph.name,
            "dot_width": dot_width,
            "bits": bits,
            "layers": [layer.to_json_dict() for layer in layers],
        }
        write_json(json, document)


def to_text(layers: Sequence[LayerAudit], bits: int | None) -> str:
    """The audit for a terminal: the widest channel of each layer."""
    header = ["node", "taps", "proved: wrap", "saturate"]
    watched = any(layer.observed for layer in layers)
    if watched:
        header += ["observed: wrap", "saturate"]
    if watched and bits is not None:
        header += [f"sums saturating at {bits}", f"wrapping at {bits}", "outputs changed"]
    return table(header, [_row(layer, bits is not None) for layer in layers])


def _row(layer: LayerAudit, counted: bool) -> list[object]:
    row: list[object] = [layer.node, layer.taps]
    row += [int(layer.proved_final.max()), int(layer.proved_prefix.max())]
    if layer.observed is not None:
        row += [int(layer.observed.final_bits.max()), int(layer.observed.prefix_bits.max())]
    if counted and layer.overflows is not None:
        row += layer.overflows.sum(axis=0).tolist()
    return row


def all_results(
    node: Node,
    operands: Sequence[Array | None],
    results: Sequence[Array],
    datapath: Datapath = GRAPH_DATAPATH,
) -> Sequence[Array]:
    """What an operator's `run` gives: the outputs, then the variables it replaces."""
    return node.op.run(operands, datapath) if node.updates else results


def labelled_sums(
    node: Node, operands: Sequence[Array | None], results: Sequence[Array], folded: bool
) -> Iterator[tuple[str, Sums]]:
    """The sums of a node, each with the label of its entry."""
    assert isinstance(node.op, AccumulatingOperator)
    for sums in node.op.sums(operands, results, folded=folded):
        yield f"{node.name}/{sums.name}" if sums.name else node.name, sums


def _proofs(
    graph: Graph, node: Node, dot_width: int, folded: bool
) -> Iterator[tuple[str, int, Extremes]]:
    """(label, taps, extremes) of each sum of a node, whatever its activations hold.

    What enters the multiplier is read off the two runs in which every activation is at one end.
    """
    lowest, highest = (labelled_sums(node, *filled(graph, node, end), folded) for end in (0, 1))
    for (label, low), (_, high) in zip(lowest, highest, strict=True):
        parts = []
        for below, above in zip(low.products, high.products, strict=True):
            ends = int(below.x.min()), int(above.x.max())
            parts.append(prove(below.w, below.bias, *ends, dot_width).values)
        yield label, low.products[0].w.shape[1], Extremes(_joined(parts))


def filled(graph: Graph, node: Node, end: int) -> tuple[list[Array | None], list[Array]]:
    """Operands and results with every activation at the low (0) or high (1) end of its range."""

    def full(name: str) -> Array:
        kind = graph.tensors[name]
        code: float = codes(kind)[end]
        if kind.dtype.startswith("f") and kind.quant is not None:
            code = (code - kind.quant.zero_point[0]) * kind.quant.scale[0]
        return np.full(kind.shape, code, dtype=STORAGE[kind.dtype])

    operands = [
        None if not name else graph.constants[name] if name in graph.constants else full(name)
        for name in node.inputs
    ]
    return operands, [full(name) for name in (*node.outputs, *node.updates)]


def codes(kind: TensorType) -> tuple[int, int]:
    """The codes a tensor may hold.

    A float that lies on a grid does not tell their sign, so both are taken; as far as a product
    takes them, which refuses codes that leave int16 when their zero point is subtracted.
    """
    low, high = value_range(kind)
    if not kind.dtype.startswith("f") or kind.quant is None:
        return low, high
    zero = kind.quant.zero_point[0]
    if zero >= 0:
        high = (1 << kind.bits) - 1
    return max(low, zero - 2**15), min(high, zero + 2**15 - 1)


def is_proved(graph: Graph, node: Node) -> bool:
    """Whether all but the activations and the state is constant."""
    if not isinstance(node.op, AccumulatingOperator):
        return False
    free = {node.op.roles.index("input"), *node.op.updates}
    return all(
        i in free or not name or name in graph.constants for i, name in enumerate(node.inputs)
    )


def _joined(parts: Sequence[NDArray[np.int64]]) -> NDArray[np.int64]:
    return np.concatenate(parts, axis=0)


def _widths(final: NDArray[np.int64], prefix: NDArray[np.int64]) -> dict[str, Any]:
    return {
        "final_bits": int(final.max()),
        "prefix_bits": int(prefix.max()),
        "final_bits_per_channel": final.tolist(),
        "prefix_bits_per_channel": prefix.tolist(),
    }
