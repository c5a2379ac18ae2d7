"""Per-layer mixed precision as a search problem: which width each layer's operands have.

A design narrows the graph node by node; its bits and its cost are those of that graph, on the
machine as it is. Layers do not overlap on one unit, so nothing else of the machine changes. Read
`MixedPrecision`, then `greedy`, the baseline.
"""

import hashlib
import os
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from analysis.arrays import load_npz
from analysis.front import constrained
from analysis.spec import Scalar, beside
from simulator.cost import Estimate, estimate
from simulator.errors import BadConfig, BitlaneError, IllegalValues, Unsupported
from simulator.execute import run_batch
from simulator.graph import STORAGE, Array, Graph
from simulator.layers import datapaths
from simulator.mac import MacOperator
from simulator.machines.base import Machine
from simulator.machines.datapath_schema import LayerConfig
from simulator.machines.platform import Platform
from simulator.narrow import requantized
from simulator.numeric.datapath import Datapath
from workloads.zoo import digits

if TYPE_CHECKING:
    import polars as pl

    from analysis.sweeps import Sweep

Widths: TypeAlias = tuple[int, ...]
"""Operand bits of each layer that multiplies, in order of execution."""
EXACT_DB: Final = 200.0
"""Signal to noise where nothing differs."""
_TOTALS: Final = (
    "latency_s",
    "energy_j",
    "area_mm2",
    "power_w",
    "throughput_per_s",
    "tops_per_w",
    "utilization",
    "cycles",
    "energy_fj",
    "macs",
)


class MixedPrecision:
    """The widths of a network's layers on one machine: cost, accuracy and signal to noise.

    Both operands of a layer have its width; a tensor that several layers read has the least of
    theirs. Codes narrower in the graph stay as they are. `accuracy` is the share of samples whose
    largest output is at the label; `sqnr_db` compares the outputs, as real values, with those of
    the graph's own arithmetic.
    """

    def __init__(self, sweep: "Sweep", path: Path) -> None:
        settings = sweep.spec.search
        assert settings is not None
        if sweep.spec.axes:
            raise BadConfig(
                f"{sweep.spec.name}: axes: problem: mixed_precision has the widths of the layers "
                "as its axes; leave them out, or search them without it"
            )
        self.sweep, self.graph = sweep, sweep.graph
        self.machine: Machine = sweep.machine(())
        if isinstance(self.machine, Platform):
            raise BadConfig(
                f"{sweep.spec.name}: base: mixed precision needs a machine of one unit; a platform "
                "gives each unit its own datapath"
            )
        nodes = [n.name for n in self.graph.nodes if isinstance(n.op, MacOperator)]
        self.layers = tuple(nodes)
        axes = {f"bits.{_word(name)}": list(settings.bits or ()) for name in nodes}
        if not axes or len(axes) < len(nodes):
            raise Unsupported(f"{self.graph.name}: needs layers that multiply, of different names")
        self.spec = sweep.spec.model_copy(update={"axes": axes})
        self.data = samples(self.graph, beside(path, settings.data or ""))
        self.known: dict[Widths, dict[str, Any]] = {}

    def manifest(self) -> dict[str, Any]:
        """That of the machine and the network, with the widths as axes and the data."""
        made = self.sweep.manifest()
        made |= {"spec": self.spec.model_dump(mode="json"), "points": self.spec.count}
        return made | {"data_sha256": self.data.digest}

    def datapaths(self, widths: Sequence[int]) -> Datapath | Mapping[str, Datapath]:
        """The datapath of each node, as `datapath.layers` of a machine's YAML states it."""
        layers = tuple(
            LayerConfig(layer=name, weight_bits=bits, activation_bits=bits)
            for name, bits in zip(self.layers, widths, strict=True)
        )
        config = self.machine.datapath.model_copy(update={"narrow": True, "layers": layers})
        return datapaths(config, self.graph)

    def evaluate(self, widths: Widths) -> dict[str, Any]:
        """Metrics of one design by name, its `estimate`, and why it is refused, if it is."""
        if widths not in self.known:
            self.known[widths] = self._evaluate(widths)
        return self.known[widths]

    def _evaluate(self, widths: Widths) -> dict[str, Any]:
        try:
            paths = self.datapaths(widths)
            cost = estimate(requantized(self.graph, paths).graph, self.machine, self.spec.batch)
            quality = self.data.quality(paths)
        except (Unsupported, IllegalValues) as error:
            return {"estimate": None, "refused": str(error)}
        totals = {name: getattr(cost.totals, name) for name in _TOTALS}
        return {**totals, **quality, "estimate": cost, "refused": None}

    def tables(
        self, designs: Sequence[tuple[Scalar, ...]], first: int, keep_layers: bool
    ) -> tuple["pl.DataFrame", "pl.DataFrame"]:
        """Tables of points and layers of some designs, numbered from `first`, as a sweep's are."""
        import polars as pl

        found = [self.evaluate(tuple(int(b) for b in widths)) for widths in designs]
        columns: dict[str, Any] = {"point": np.arange(first, first + len(designs))}
        for axis, widths in zip(self.spec.axes, zip(*designs, strict=True), strict=True):
            columns[axis] = list(widths)
        kinds: dict[str, Any] = dict.fromkeys((*_TOTALS, *self.data.metrics), pl.Float64)
        kinds |= dict.fromkeys(("cycles", "energy_fj", "macs"), pl.Int64) | {"refused": pl.String}
        for name in (*_TOTALS, *self.data.metrics):
            columns[name] = [row.get(name) for row in found]
        count = len(designs)
        columns["peak_macs_per_cycle"] = [float(self.machine.peak_macs_per_cycle)] * count
        columns["outer_bytes_per_cycle"] = [float(self.machine.outer_bytes_per_cycle)] * count
        columns["refused"] = [row["refused"] for row in found]
        points = pl.DataFrame(columns, schema_overrides=kinds)
        rows = [
            row
            for number, one in enumerate(found, first)
            if keep_layers and one["estimate"] is not None
            for row in _layer_rows(number, one["estimate"])
        ]
        names = ["point", "layer", "compute", "stall", "overhead", "macs"]
        names += [f"{level}_bytes" for level in self.machine.levels]
        layers = pl.DataFrame(rows) if rows else pl.DataFrame(schema=dict.fromkeys(names, pl.Int64))
        return constrained(points, self.spec.constraints), layers


def _word(name: str) -> str:
    """A node's name as one word of a dotted path."""
    return re.sub(r"[.\s]+", "_", name)


def _layer_rows(point: int, cost: Estimate) -> list[dict[str, int]]:
    return [
        {"point": point, "layer": at, "compute": layer.cycles.compute}
        | {"stall": layer.cycles.stall, "overhead": layer.cycles.overhead, "macs": layer.macs}
        | {f"{level}_bytes": moved.read + moved.write for level, moved in layer.bytes.items()}
        | {f"{component}_fj": value for component, value in energy.items()}
        for at, (layer, energy) in enumerate(zip(cost.layers, cost.energy_fj, strict=True))
    ]


class Samples:
    """Inputs of a graph, what its own arithmetic gives for them, and labels where there are any."""

    def __init__(
        self, graph: Graph, inputs: Mapping[str, Array], labels: NDArray[np.int64] | None
    ) -> None:
        self.graph, self.inputs, self.labels = graph, inputs, labels
        self.metrics = ("sqnr_db",) if labels is None else ("accuracy", "sqnr_db")
        digest = hashlib.sha256()
        for name, value in [*inputs.items(), ("labels", np.zeros(0) if labels is None else labels)]:
            digest.update(f"{name} {value.dtype} {value.shape};".encode())
            digest.update(np.ascontiguousarray(value).tobytes())
        self.digest = digest.hexdigest()
        self.own = self._real(None)

    def quality(self, paths: Datapath | Mapping[str, Datapath]) -> dict[str, float]:
        """`sqnr_db` of the outputs, and `accuracy` where there are labels."""
        found = self._real(paths)
        signal = float(sum((own**2).sum() for own in self.own.values()))
        noise = float(sum(((found[n] - own) ** 2).sum() for n, own in self.own.items()))
        ratio = 10 * np.log10(signal / noise) if signal and noise else EXACT_DB
        made = {"sqnr_db": float(np.clip(ratio, -EXACT_DB, EXACT_DB))}
        if self.labels is not None:
            scores = found[self.graph.outputs[0]]
            made["accuracy"] = float((scores.argmax(axis=1) == self.labels).mean())
        return made

    def _real(self, paths: Datapath | Mapping[str, Datapath] | None) -> dict[str, Any]:
        """The outputs as real values, float64 [N, elements] by name."""
        kinds = requantized(self.graph, paths).graph.tensors
        threads = os.cpu_count() or 1
        outputs, _ = run_batch(self.graph, self.inputs, paths, threads=threads)
        made = {}
        for name, codes in outputs.items():
            value, grid = codes.reshape(len(codes), -1).astype(np.float64), kinds[name].quant
            if grid is not None and kinds[name].dtype != "float32":
                value = (value - grid.zero_point[0]) * grid.scale[0]
            made[name] = value
        return made


def samples(graph: Graph, name: str) -> Samples:
    """The samples in an `.npz`, as codes under `input_0` or a tensor's name, and `labels` if any.

    `zoo:digits` names the held-back images of the shipped network. Raises BadFile or IllegalValues.
    """
    if name == "zoo:digits":
        images, classes = digits.heldout()
        quant = graph.tensors[graph.inputs[0]].quant
        if quant is None:
            raise IllegalValues(f"{name}: fits the network zoo:digits alone; give an .npz")
        codes = digits.quantize_input(images, quant.scale[0], quant.zero_point[0])
        arrays: dict[str, Array] = {graph.inputs[0]: codes[:, None], "labels": classes}
    else:
        arrays = dict(load_npz(Path(name)))
    labels = arrays.pop("labels", None)
    inputs = {}
    for place, tensor in enumerate(graph.inputs):
        kind = graph.tensors[tensor]
        value = arrays.get(tensor, arrays.get(f"input_{place}"))
        shape = None if value is None else value.shape[1:]
        if value is None or shape != kind.shape or value.dtype != STORAGE[kind.dtype]:
            found = "nothing" if value is None else f"{value.dtype} of shape {value.shape}"
            wanted = f"{STORAGE[kind.dtype]} of shape (N, {', '.join(map(str, kind.shape))})"
            raise IllegalValues(
                f"{name}: input_{place}, '{tensor}', must be {wanted}; found {found}"
            )
        inputs[tensor] = value
    return Samples(graph, inputs, None if labels is None else labels.astype(np.int64).reshape(-1))


def greedy(
    problem: MixedPrecision,
    quality: str = "sqnr_db",
    allowed: Callable[[Mapping[str, Any]], bool] = lambda row: True,
) -> list[Widths]:
    """The baseline: layers narrowed one after another, the least sensitive first.

    A layer's sensitivity to a width is the `quality` that is lost where it alone has that width.
    Width by width, from the widest down, each layer in that order takes the width if the design is
    still `allowed`. Returns every design that was tried, in order, those for the sensitivities
    first; the last design that was taken is where it ends.
    """
    settings = problem.spec.search
    assert settings is not None
    assert settings.bits is not None
    widths = sorted(settings.bits, reverse=True)
    widest = (widths[0],) * len(problem.layers)
    tried = [widest]
    current = widest
    for bits in widths[1:]:
        alone = [(*widest[:k], bits, *widest[k + 1 :]) for k in range(len(widest))]
        tried += alone
        kept = [problem.evaluate(design).get(quality, -np.inf) for design in alone]
        for layer in sorted(range(len(widest)), key=lambda k: (-kept[k], k)):
            design = (*current[:layer], bits, *current[layer + 1 :])
            tried.append(design)
            row = problem.evaluate(design)
            if row["refused"] is None and allowed(row):
                current = design
    if problem.evaluate(widest)["refused"] is not None:
        raise BitlaneError(f"{problem.graph.name}: {problem.evaluate(widest)['refused']}")
    return list(dict.fromkeys([*tried, current]))
