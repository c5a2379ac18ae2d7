"""The overflow audit: how wide each layer's accumulator must be, and what a narrower one does."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.arrays import load_npz, match_inputs, samples
from analysis.files import write_json
from analysis.text import table
from simulator.decode import value_range
from simulator.errors import BadConfig
from simulator.execute import run
from simulator.graph import Array, Graph, Node
from simulator.mac import MacOperator, Product
from simulator.numeric.audit import Extremes, count_overflows, observe, prove


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

    `inputs` are samples to observe; `bits` is a width whose damage is counted on them; `folded`
    audits raw activations with the zero point in the bias. Layers with computed weights have no
    proof and are left out.
    """
    layers = [n for n in graph.nodes if isinstance(n.op, MacOperator) and _constant(graph, n)]
    observed: dict[str, Extremes] = {}
    overflows: dict[str, NDArray[np.int64]] = {}

    def watch(node: Node, operands: Sequence[Array | None], _: Sequence[Array]) -> None:
        if node not in layers or not isinstance(node.op, MacOperator):
            return
        blocks = list(node.op.products(operands, folded=folded))
        seen = _joined([observe(p.x, p.w, p.bias, dot_width).values for p in blocks])
        earlier = observed.get(node.name)
        observed[node.name] = Extremes(seen).merge(earlier) if earlier else Extremes(seen)
        if bits is not None:
            counts = [count_overflows(p.x, p.w, p.bias, dot_width, bits) for p in blocks]
            overflows[node.name] = _joined(counts) + overflows.get(node.name, 0)

    for values in inputs:
        run(graph, values, tap=watch)
    return tuple(
        _layer(graph, node, dot_width, folded, observed.get(node.name), overflows.get(node.name))
        for node in layers
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
    print(to_text(layers, bits))
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


def _layer(
    graph: Graph,
    node: Node,
    dot_width: int,
    folded: bool,
    observed: Extremes | None,
    overflows: NDArray[np.int64] | None,
) -> LayerAudit:
    assert isinstance(node.op, MacOperator)
    x = graph.tensors[node.inputs[0]]
    low, high = value_range(x)
    offset = 0 if folded else node.op.weighted.input_zero_point
    blocks = _products_of_zeros(graph, node, folded)
    proved = Extremes(
        _joined([prove(p.w, p.bias, low - offset, high - offset, dot_width).values for p in blocks])
    )
    return LayerAudit(
        node.name,
        node.op.kind,
        blocks[0].w.shape[1],
        proved.final_bits,
        proved.prefix_bits,
        observed,
        overflows,
    )


def _products_of_zeros(graph: Graph, node: Node, folded: bool) -> list[Product]:
    assert isinstance(node.op, MacOperator)
    x = graph.tensors[node.inputs[0]]
    operands = [np.zeros(x.shape, dtype=x.dtype)]
    rest = [graph.constants[name] if name else None for name in node.inputs[1:]]
    return list(node.op.products([*operands, *rest], folded=folded))


def _constant(graph: Graph, node: Node) -> bool:
    return all(not name or name in graph.constants for name in node.inputs[1:])


def _joined(parts: Sequence[NDArray[np.int64]]) -> NDArray[np.int64]:
    return np.concatenate(parts, axis=0)


def _widths(final: NDArray[np.int64], prefix: NDArray[np.int64]) -> dict[str, Any]:
    return {
        "final_bits": int(final.max()),
        "prefix_bits": int(prefix.max()),
        "final_bits_per_channel": final.tolist(),
        "prefix_bits_per_channel": prefix.tolist(),
    }
