"""What a machine's arithmetic changes: its tensors against those of the graph's own reference."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from analysis.text import table
from simulator.execute import run
from simulator.graph import Array, Graph, Node
from simulator.numeric.datapath import Datapath


@dataclass
class LayerDamage:
    """One tensor over all samples, the machine's values against the graph's.

    Both sides run the whole network, so that damage travels. `sqnr_db` is 10 log10 of the sum of
    squared real values over that of squared real differences (None where nothing differs, finite
    values alone);
    `top_1` is the share of rows of the last axis whose largest element is at the same place.
    """

    node: str
    op: str
    tensor: str
    values: int = 0
    changed: int = 0
    max_abs_difference: float = 0
    signal: float = 0.0
    noise: float = 0.0
    rows: int = 0
    agreeing_rows: int = 0

    def add(self, own: Array, hardware: Array, zero_point: int) -> None:
        """Compare one sample's tensor; a NaN on both sides is no change."""
        signal, other = own.astype(np.float64), hardware.astype(np.float64)
        changed = (signal != other) & ~(np.isnan(signal) & np.isnan(other))
        difference = np.where(changed & np.isfinite(signal) & np.isfinite(other), other - signal, 0)
        self.values += own.size
        self.changed += int(np.count_nonzero(changed))
        largest = np.abs(difference).max(initial=0)
        whole = own.dtype.kind in "iub"
        self.max_abs_difference = max(self.max_abs_difference, int(largest) if whole else largest)
        self.signal += float(np.square(signal[np.isfinite(signal)] - zero_point).sum())
        self.noise += float(np.square(difference).sum())
        if own.size:
            last = own.shape[-1] if own.ndim else 1
            ours, theirs = (v.reshape(-1, last).argmax(axis=1) for v in (own, hardware))
            self.rows += ours.size
            self.agreeing_rows += int(np.count_nonzero(ours == theirs))

    @property
    def sqnr_db(self) -> float | None:
        """Signal to quantization-noise ratio in dB; None where nothing differs."""
        if self.noise == 0:
            return None
        return 10 * math.log10(self.signal / self.noise) if self.signal else -math.inf

    @property
    def top_1(self) -> float:
        """Share of rows that agree on their largest element."""
        return self.agreeing_rows / self.rows if self.rows else 1.0

    def to_json_dict(self) -> dict[str, Any]:
        """One entry of the document of schema `bitlane.damage/1`; no SQNR without a signal."""
        ratio = self.sqnr_db if self.signal else None
        return {**asdict(self), "sqnr_db": ratio, "top_1_agreement": self.top_1}


def damage(
    graph: Graph, datapath: Datapath | Mapping[str, Datapath], inputs: Iterable[Mapping[str, Array]]
) -> tuple[LayerDamage, ...]:
    """Run every sample both ways and compare each node's outputs, in order of execution."""
    layers = {
        name: LayerDamage(node.name, node.op.kind, name)
        for node in graph.nodes
        for name in node.outputs
    }
    for values in inputs:
        own, hardware = (_tensors(graph, values, d) for d in (None, datapath))
        for name, layer in layers.items():
            quant = graph.tensors[name].quant
            layer.add(own[name], hardware[name], quant.zero_point[0] if quant else 0)
    return tuple(layers.values())


def to_text(
    graph: Graph, machine: str, samples: int, layers: Sequence[LayerDamage], origin: str
) -> str:
    """A line of what changed and the layers that did; `origin` says where the inputs are from."""
    changed = [layer for layer in layers if layer.changed]
    last = [layer for layer in layers if layer.tensor in graph.outputs]
    lines = [f"{graph.name} on {machine} against its own arithmetic: {samples} samples ({origin})"]
    for layer in last:
        lines.append(
            f"output '{layer.tensor}': {layer.changed} of {layer.values} values change, "
            f"top-1 agrees on {layer.top_1:.2%}"
        )
    if not changed:
        return "\n".join([*lines, "no value of any layer changes."])
    rows = [
        (c.node, c.values, c.changed, c.max_abs_difference, f"{c.sqnr_db:.1f}", f"{c.top_1:.2%}")
        for c in changed
    ]
    header = ("node", "values", "changed", "max |diff|", "SQNR dB", "top-1 agreement")
    return "\n".join([*lines, "", table(header, rows)])


def document(
    graph: Graph, machine: str, samples: int, layers: Sequence[LayerDamage]
) -> dict[str, Any]:
    """The document of schema `bitlane.damage/1`."""
    return {
        "schema": "bitlane.damage/1",
        "model": graph.name,
        "machine": machine,
        "samples": samples,
        "layers": [layer.to_json_dict() for layer in layers],
    }


def _tensors(
    graph: Graph, values: Mapping[str, Array], datapath: Datapath | Mapping[str, Datapath] | None
) -> dict[str, Array]:
    found: dict[str, Array] = {}

    def keep(node: Node, _: Sequence[Array | None], results: Sequence[Array]) -> None:
        found.update(zip(node.outputs, results, strict=True))

    run(graph, values, datapath=datapath, tap=keep)
    return found


def damage_command(
    graph: Graph,
    machine: str,
    datapath: Datapath | Mapping[str, Datapath],
    inputs: Sequence[Mapping[str, Array]],
    json: Path | None,
    origin: str = "given inputs",
) -> None:
    """Compare, print, and write the document if asked; a difference is a result, not a failure."""
    from analysis.files import tell, write_json

    layers = damage(graph, datapath, inputs)
    tell(to_text(graph, machine, len(inputs), layers, origin), json)
    if json:
        write_json(json, document(graph, machine, len(inputs), layers))
