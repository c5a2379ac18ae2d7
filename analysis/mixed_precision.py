"""Per-layer mixed precision as a search problem: which width each layer's operands have.

A design narrows the graph node by node; its bits and its cost are those of that graph, on the
machine as it is. Layers do not overlap on one unit, so nothing else of the machine changes. Read
`MixedPrecision`, then `greedy`, the baseline.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import numpy as np

from analysis.accuracy import METRICS
from analysis.front import constrained, with_derived
from analysis.grid import Ints
from analysis.labelled import load_labelled
from analysis.scoring import evaluate
from analysis.spec import SweepSpec, beside
from analysis.sweeps import Sweep
from simulator.cost import Estimate, estimate
from simulator.errors import BadConfig, IllegalValues, Unsupported
from simulator.layers import datapaths
from simulator.mac import MacOperator
from simulator.machines.base import Machine
from simulator.machines.datapath_schema import LayerConfig
from simulator.machines.platform import Platform
from simulator.machines.registry import machine_from
from simulator.narrow import requantized
from simulator.numeric.datapath import Datapath
from workloads.topology_csv import require_values

if TYPE_CHECKING:
    import polars as pl

Widths: TypeAlias = tuple[int, ...]
"""Operand bits of each layer that multiplies, in order of execution."""
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
    theirs. Codes narrower in the graph stay as they are. `accuracy`, `sqnr_db` and `overflow_rate`
    are those of `analysis.scoring`.
    """

    def __init__(self, path: Path, spec: SweepSpec) -> None:
        self.widths = _checked(spec)
        # An axis that changes nothing: a sweep loads and checks the network and the machine.
        name = {"name": ["mixed_precision"]}
        plain = {"axes": name, "search": None, "objectives": ("latency_s", "energy_j")}
        self.sweep = Sweep(path, spec.model_copy(update=plain | {"constraints": (), "data": None}))
        self.graph = self.sweep.graph
        self.machine: Machine = machine_from(self.sweep.base)
        if isinstance(self.machine, Platform):
            raise BadConfig(
                f"{spec.name}: base: mixed precision needs a machine of one unit; a platform gives "
                "each unit its own datapath"
            )
        nodes = [n.name for n in self.graph.nodes if isinstance(n.op, MacOperator)]
        self.layers = tuple(nodes)
        axes = {axis_of(name): list(self.widths) for name in nodes}
        if not axes or len(axes) < len(nodes):
            raise Unsupported(f"{self.graph.name}: needs layers that multiply, of different names")
        self.spec = spec.model_copy(update={"axes": axes})
        data = beside(path, spec.data) if spec.data else ""
        self.data = load_labelled(require_values(self.graph), data)
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
            found = evaluate(self.graph, self.data, paths)
        except (Unsupported, IllegalValues) as error:
            return {"estimate": None, "refused": str(error)}
        if found.refused is not None:
            return {"estimate": None, "refused": found.refused}
        totals = {name: getattr(cost.totals, name) for name in _TOTALS}
        totals |= {name: getattr(found, name) for name in METRICS}
        return {**totals, "estimate": cost, "refused": None}

    def tables(
        self, choices: Ints, first: int = 0, keep_layers: bool | None = None
    ) -> tuple["pl.DataFrame", "pl.DataFrame"]:
        """Tables of points and layers of designs, numbered from `first`, as a sweep's are.

        `choices` [P, layers] are places in the list of widths. Layers are kept unless told not to.
        """
        import polars as pl

        designs = [tuple(self.widths[c] for c in row) for row in choices.tolist()]
        found = [self.evaluate(widths) for widths in designs]
        columns: dict[str, Any] = {"point": np.arange(first, first + len(designs))}
        for axis, widths in zip(self.spec.axes, zip(*designs, strict=True), strict=True):
            columns[axis] = list(widths)
        kinds: dict[str, Any] = dict.fromkeys((*_TOTALS, *METRICS), pl.Float64)
        kinds |= dict.fromkeys(("cycles", "energy_fj", "macs"), pl.Int64) | {"refused": pl.String}
        for name in (*_TOTALS, *METRICS):
            columns[name] = [row.get(name) for row in found]
        count = len(designs)
        columns["peak_macs_per_cycle"] = [float(self.machine.peak_macs_per_cycle)] * count
        columns["outer_bytes_per_cycle"] = [float(self.machine.outer_bytes_per_cycle)] * count
        columns["refused"] = [row["refused"] for row in found]
        points = pl.DataFrame(columns, schema_overrides=kinds)
        rows = [
            row
            for number, one in enumerate(found, first)
            if keep_layers is not False and one["estimate"] is not None
            for row in _layer_rows(number, one["estimate"])
        ]
        names = ["point", "layer", "compute", "stall", "overhead", "macs"]
        names += [f"{level}_bytes" for level in self.machine.levels]
        layers = pl.DataFrame(rows) if rows else pl.DataFrame(schema=dict.fromkeys(names, pl.Int64))
        return constrained(with_derived(points), self.spec.limits), layers


def _checked(spec: SweepSpec) -> Widths:
    """The widths to choose from; raises BadConfig for what the problem cannot have."""
    settings = spec.search
    assert settings is not None
    assert settings.bits is not None
    if spec.axes:
        raise BadConfig(
            f"{spec.name}: axes: problem: mixed_precision has the widths of the layers as its "
            "axes; leave axes out, or the problem"
        )
    for field, several in (("base", len(spec.bases)), ("workloads", len(spec.mix))):
        if several > 1:
            raise BadConfig(
                f"{spec.name}: {field}: problem: mixed_precision takes one; found {several}"
            )
    if spec.data is None:
        raise BadConfig(
            f"{spec.name}: data: is missing; problem: mixed_precision measures its designs on a "
            "labelled set, as 'data: F.npz'"
        )
    return settings.bits


def axis_of(layer: str) -> str:
    """The axis of a layer's width: the node's name as one word of a dotted path."""
    return "bits." + re.sub(r"[.\s]+", "_", layer)


def _layer_rows(point: int, cost: Estimate) -> list[dict[str, int]]:
    return [
        {"point": point, "layer": at, "compute": layer.cycles.compute}
        | {"stall": layer.cycles.stall, "overhead": layer.cycles.overhead, "macs": layer.macs}
        | {f"{level}_bytes": moved.read + moved.write for level, moved in layer.bytes.items()}
        | {f"{component}_fj": value for component, value in energy.items()}
        for at, (layer, energy) in enumerate(zip(cost.layers, cost.energy_fj, strict=True))
    ]


def greedy(problem: MixedPrecision) -> list[Widths]:
    """The baseline: layers narrowed one after another, the least sensitive first.

    A layer's sensitivity to a width is the quality that is lost where it alone has that width:
    accuracy where there are labels and the spec names it, else signal to noise. Width by width,
    from the widest down, each layer in that order takes the width if the constraints on quality
    still hold. Returns the designs that were tried, each once, in order.
    """
    widths = sorted(problem.widths, reverse=True)
    quality = _quality(problem)
    current = widest = (widths[0],) * len(problem.layers)
    tried = [widest]
    for bits in widths[1:]:
        alone = [(*widest[:k], bits, *widest[k + 1 :]) for k in range(len(widest))]
        kept = [problem.evaluate(design).get(quality, -np.inf) for design in alone]
        tried += alone
        for layer in sorted(range(len(widest)), key=lambda k: (-kept[k], k)):
            design = (*current[:layer], bits, *current[layer + 1 :])
            row = problem.evaluate(design)
            broken = [c for c in problem.spec.limits if c.metric in METRICS]
            if row["refused"] is None and not any(c.broken(row[c.metric]) for c in broken):
                current = design
            tried.append(design)
    return list(dict.fromkeys(tried))


def greedy_choices(problem: MixedPrecision) -> Ints:
    """The designs of the baseline as `MixedPrecision.tables` takes them: int64 [P, layers]."""
    places = [[problem.widths.index(bits) for bits in design] for design in greedy(problem)]
    return np.array(places, np.int64)


def _quality(problem: MixedPrecision) -> str:
    named = (*problem.spec.objectives, *(c.metric for c in problem.spec.limits))
    return "accuracy" if "accuracy" in named else "sqnr_db"
