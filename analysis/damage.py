"""What a machine's arithmetic changes: its tensors against those of the graph's own reference."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.text import table
from simulator.execute import run
from simulator.graph import Array, Graph, Node, TensorType
from simulator.narrow import Change, Datapaths, requantized


@dataclass
class LayerDamage:
    """One tensor over all samples, the machine's values against the graph's.

    Both sides run the whole network, so that damage travels. `sqnr_db` is 10 log10 of the sum of
    squared real values over that of squared real differences (None where nothing differs, finite
    values alone), on whatever grid each side has them. A value has `changed` where it is another
    one on the graph's own grid, and `max_abs_difference` counts steps of that grid;
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

    def add(self, own: Array, hardware: Array, grids: tuple[TensorType, TensorType]) -> None:
        """Compare one sample's tensor; `grids` are the types it has on the two sides.

        A NaN on both sides is no change.
        """
        ours, theirs = (
            _steps(value, kind, grids[0])
            for value, kind in zip((own, hardware), grids, strict=True)
        )
        finite = np.isfinite(ours) & np.isfinite(theirs)
        difference = np.zeros(ours.shape)
        np.subtract(theirs, ours, out=difference, where=finite)
        codes = grids[0].quant is not None and grids[0].dtype != "float32"
        moved = np.rint(difference) != 0 if codes else difference != 0
        unlike = (ours != theirs) & ~(np.isnan(ours) & np.isnan(theirs))
        self.values += own.size
        self.changed += int(np.count_nonzero(np.where(finite, moved, unlike)))
        largest = float(np.abs(difference).max(initial=0))
        whole = int(largest) if largest == int(largest) else largest
        self.max_abs_difference = max(self.max_abs_difference, whole)
        self.signal += float(np.square(ours[np.isfinite(ours)]).sum())
        self.noise += float(np.square(difference).sum())
        if own.size:
            last = own.shape[-1] if own.ndim else 1
            first, second = (v.reshape(-1, last).argmax(axis=1) for v in (own, hardware))
            self.rows += first.size
            self.agreeing_rows += int(np.count_nonzero(first == second))

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


def _steps(value: Array, kind: TensorType, unit: TensorType) -> NDArray[np.float64]:
    """Real values in steps of the grid `unit`; reals and plain numbers as they are."""
    real = value.astype(np.float64)
    if kind.quant is None or unit.quant is None or kind.dtype == "float32":
        return real
    centred = real - kind.quant.zero_point[0]
    if kind.quant.scale == unit.quant.scale:
        return centred
    return np.asarray(centred * (kind.quant.scale[0] / unit.quant.scale[0]))


def damage(
    graph: Graph, datapath: Datapaths, inputs: Iterable[Mapping[str, Array]]
) -> tuple[LayerDamage, ...]:
    """Run every sample both ways and compare each node's outputs, in order of execution."""
    layers = {
        name: LayerDamage(node.name, node.op.kind, name)
        for node in graph.nodes
        for name in node.outputs
    }
    machine = requantized(graph, datapath).graph
    for values in inputs:
        own, hardware = (_tensors(graph, values, d) for d in (None, datapath))
        for name, layer in layers.items():
            layer.add(own[name], hardware[name], (graph.tensors[name], machine.tensors[name]))
    return tuple(layers.values())


def to_text(
    graph: Graph,
    machine: str,
    samples: int,
    layers: Sequence[LayerDamage],
    origin: str,
    narrowed: str = "",
) -> str:
    """A line of what changed and the layers that did; `origin` says where the inputs are from."""
    changed = [layer for layer in layers if layer.changed]
    last = [layer for layer in layers if layer.tensor in graph.outputs]
    lines = [f"{graph.name} on {machine} against its own arithmetic: {samples} samples ({origin})"]
    if narrowed:
        lines.append(narrowed)
    for layer in last:
        lines.append(
            f"output '{layer.tensor}': {layer.changed} of {layer.values} values change, "
            f"top-1 agrees on {layer.top_1:.2%}"
        )
    if not changed:
        return "\n".join([*lines, "no value of any layer changes."])
    rows = [
        (
            c.node,
            c.values,
            c.changed,
            f"{c.max_abs_difference:.4g}",
            f"{c.sqnr_db:.1f}",
            f"{c.top_1:.2%}",
        )
        for c in changed
    ]
    header = ("node", "values", "changed", "max |diff|", "SQNR dB", "top-1 agreement")
    return "\n".join([*lines, "", table(header, rows)])


def document(
    graph: Graph,
    machine: str,
    samples: int,
    layers: Sequence[LayerDamage],
    changes: Sequence[Change] = (),
) -> dict[str, Any]:
    """The document of schema `bitlane.damage/1`."""
    return {
        "schema": "bitlane.damage/1",
        "model": graph.name,
        "machine": machine,
        "samples": samples,
        "requantized": [asdict(change) for change in changes],
        "layers": [layer.to_json_dict() for layer in layers],
    }


def _tensors(graph: Graph, values: Mapping[str, Array], datapath: Datapaths) -> dict[str, Array]:
    found: dict[str, Array] = {}

    def keep(node: Node, _: Sequence[Array | None], results: Sequence[Array]) -> None:
        found.update(zip(node.outputs, results, strict=True))

    run(graph, values, datapath=datapath, tap=keep)
    return found


def damage_command(
    graph: Graph,
    machine: str,
    datapath: Datapaths,
    inputs: Sequence[Mapping[str, Array]],
    json: Path | None,
    origin: str = "given inputs",
) -> None:
    """Compare, print, and write the document if asked; a difference is a result, not a failure."""
    from analysis.files import tell, write_json

    layers = damage(graph, datapath, inputs)
    prepared = requantized(graph, datapath)
    tell(to_text(graph, machine, len(inputs), layers, origin, prepared.summary), json)
    if json:
        write_json(json, document(graph, machine, len(inputs), layers, prepared.changes))
