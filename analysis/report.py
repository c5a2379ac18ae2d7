"""From kept results to the data of the page: which points, which layers, which notes."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from pydantic import ValidationError

from analysis.files import write_text
from analysis.front import kept, non_dominated, on_front
from analysis.gantt import Span, spans_of
from analysis.layout import BASE
from analysis.page import METRICS, Layers, Objective, Point, ReportData, render
from analysis.spec import SweepSpec
from analysis.store import Store, open_store
from analysis.text import grouped
from simulator.cost import Estimate
from simulator.errors import BadFile
from simulator.graph import Graph
from simulator.machines.base import Machine
from simulator.machines.platform import HOST, Platform

if TYPE_CHECKING:
    import polars as pl

LAYERED_POINTS: Final = 2000
"""Points whose layers travel with the page: the front first, then an even sample."""


def report_command(folder: Path, out: Path) -> None:
    """Write the page of a sweep's folder."""
    store = open_store(folder)
    data = sweep_data(store)
    write_text(out, render(data))
    front = sum(p.on_front for p in data.points)
    print(f"{grouped(len(data.points))} points, {front} on the front: written to {out}")
    if (rest := _unfinished(store)) is not None:
        print(rest)


def sweep_data(store: Store) -> ReportData:
    """Every point of a run that was not refused, with the layers of the front and of a sample."""
    spec = _spec(store)
    every = store.points()
    points = kept(every)
    refused = len(every) - every["refused"].null_count()
    objectives = spec.objectives
    front = on_front(points, objectives)
    layered = _layered(front)
    layers = _layers_by_point(store, points["point"].to_numpy()[layered].tolist(), points)
    bases = {name: _dotted(machine) for name, machine in store.manifest["machines"].items()}
    axes = spec.layout.paths
    first = spec.bases[0]
    metrics = [name for name in METRICS if name in points.columns]
    rows = points.iter_rows(named=True)
    return ReportData(
        title=spec.name,
        subtitle=f"{store.manifest['model']} on {', '.join(str(b['name']) for b in bases.values())}"
        f", {grouped(len(points))} designs",
        objectives=tuple(Objective(name, *METRICS[name]) for name in objectives),
        axes=axes,
        points=tuple(
            Point(
                id=row["point"],
                machine=str(bases[row.get(BASE, first)]["name"]),
                config=_config(bases[row.get(BASE, first)], row, axes),
                metrics={name: row[name] for name in metrics},
                on_front=bool(on_front),
                layers=layers.get(row["point"]),
            )
            for row, on_front in zip(rows, front, strict=True)
        ),
        layer_names=tuple(name for name, _ in store.manifest["layers"]),
        layer_ops=tuple(op for _, op in store.manifest["layers"]),
        notes=tuple(_notes(store, refused, len(every) - len(points) - refused)),
    )


def _config(
    base: Mapping[str, object], row: Mapping[str, object], axes: Sequence[str]
) -> dict[str, object]:
    """The machine of one design; fields of its layers stand in place of an empty list of them."""
    changed = {axis: row[axis] for axis in axes if row[axis] is not None and axis != BASE}
    layered = any(axis.startswith("datapath.layers.") for axis in changed)
    kept = {k: v for k, v in base.items() if not (layered and k == "datapath.layers" and not v)}
    return kept | changed


def _spec(store: Store) -> SweepSpec:
    try:
        return SweepSpec.model_validate_json(json.dumps(store.manifest["spec"]))
    except ValidationError:
        raise BadFile(
            f"{store.folder}: the 'spec' in its manifest is damaged or of another version; "
            "run the sweep again with another --out"
        ) from None


def estimate_data(
    graph: Graph, machines: Sequence[Machine], estimates: Sequence[Estimate], batch: int
) -> ReportData:
    """The page of an estimate: a point a machine."""
    objectives = ("latency_s", "energy_j", "area_mm2")
    costs = np.array([[getattr(e.totals, o) for o in objectives] for e in estimates])
    front = non_dominated(costs)
    points = []
    for i, (machine, found) in enumerate(zip(machines, estimates, strict=True)):
        document = found.to_json_dict()
        points.append(
            Point(
                id=i,
                machine=found.name,
                config=_dotted(machine.model_dump(mode="json")),
                metrics={k: v for k, v in document["totals"].items() if not isinstance(v, dict)},
                on_front=bool(front[i]),
                layers=_layers_of(document, machine),
            )
        )
    return ReportData(
        title=graph.name,
        subtitle=f"{len(points)} machines, batch {batch}",
        objectives=tuple(Objective(name, *METRICS[name]) for name in objectives),
        axes=(),
        points=tuple(points),
        layer_names=tuple(n.name for n in graph.nodes),
        layer_ops=tuple(n.op.kind for n in graph.nodes),
        notes=tuple(f"{e.name}: {note}" for e in estimates for note in e.notes),
    )


def _outermost(row: Mapping[str, Any], machine: Machine) -> str:
    """The name of the outermost memory level of the unit that a layer runs on."""
    if isinstance(machine, Platform):
        return f"{row['unit']}.{machine.machines[row['unit']].levels[-1]}"
    return machine.levels[-1]


def _layers_of(document: Mapping[str, Any], machine: Machine) -> Layers:
    layers = document["layers"]
    components = list(layers[0]["energy_fj"])
    return Layers(
        compute=tuple(row["cycles"]["compute"] for row in layers),
        stall=tuple(row["cycles"]["stall"] for row in layers),
        overhead=tuple(row["cycles"]["overhead"] for row in layers),
        macs=tuple(row["macs"] for row in layers),
        dram_bytes=tuple(sum(row["bytes"][_outermost(row, machine)].values()) for row in layers),
        energy_fj={c: tuple(row["energy_fj"][c] for row in layers) for c in components},
        peak_macs_per_cycle=float(machine.peak_macs_per_cycle),
        dram_bytes_per_cycle=float(machine.outer_bytes_per_cycle),
        spans=spans_of(document),
    )


def _layered(front: np.ndarray[Any, np.dtype[np.bool_]]) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Indices whose layers are shown: at most `LAYERED_POINTS`, the front before an even sample."""
    chosen = np.flatnonzero(front)[:LAYERED_POINTS]
    others = np.flatnonzero(~front)
    room = LAYERED_POINTS - len(chosen)
    if others.size and room > 0:
        step = max(1, -(-others.size // room))
        chosen = np.concatenate([chosen, others[::step]])
    return np.sort(chosen)


def _layers_by_point(store: Store, ids: Sequence[int], points: "pl.DataFrame") -> dict[int, Layers]:
    import polars as pl

    table = store.layers().filter(pl.col("point").is_in(ids))
    if table.is_empty():
        return {}
    roofs = {
        row["point"]: (row["peak_macs_per_cycle"], row["outer_bytes_per_cycle"])
        for row in points.iter_rows(named=True)
    }
    units = [HOST, *store.manifest["machine"].get("units", ())]
    found = {}
    for (point,), part in table.group_by(["point"], maintain_order=True):
        # Machines of a sweep over several have levels of their own.
        own = [column for column in part if column.null_count() < len(column)]
        columns = {column.name: column.to_list() for column in own}
        outer = next(c for c in reversed(columns) if c.endswith("_bytes"))
        components = [c for c in columns if c.endswith("_fj")]
        peak, bandwidth = roofs[point]
        found[int(str(point))] = Layers(
            compute=tuple(columns["compute"]),
            stall=tuple(columns["stall"]),
            overhead=tuple(columns["overhead"]),
            macs=tuple(columns["macs"]),
            dram_bytes=tuple(columns.get("outer_bytes", columns[outer])),
            energy_fj={c.removesuffix("_fj"): tuple(columns[c]) for c in components},
            peak_macs_per_cycle=peak,
            dram_bytes_per_cycle=bandwidth,
            spans=_runs(columns, units),
        )
    return found


def _runs(columns: Mapping[str, Sequence[int]], units: Sequence[str]) -> tuple[Span, ...]:
    """When each layer runs on a platform; copies and dispatches are in `estimate --html` alone."""
    if "start" not in columns:
        return ()
    parts = (columns[name] for name in ("unit", "start", "compute", "stall", "overhead"))
    return tuple(
        Span(units[unit], "run", layer, start, compute + stall + overhead)
        for layer, (unit, start, compute, stall, overhead) in enumerate(zip(*parts, strict=True))
    )


def _dotted(value: Mapping[str, Any], prefix: str = "") -> dict[str, object]:
    """A machine's document as dotted path -> value, without sources and the technology's tables."""
    flat: dict[str, object] = {}
    for key, item in value.items():
        path = f"{prefix}{key}"
        if key == "source":
            continue
        if key == "technology" and isinstance(item, Mapping):
            flat[path] = item["name"]
        elif isinstance(item, Mapping):
            flat |= _dotted(item, f"{path}.")
        else:
            flat[path] = item
    return flat


def _notes(store: Store, refused: int, outside: int) -> list[str]:
    machine = store.manifest["machine"]
    on_platform = machine["model"] == "platform"
    technology = (machine["host"] if on_platform else machine)["technology"]
    notes = [
        f"Energy: {technology['name']}, integer action counts times its table. Area is a proxy "
        "without control and wires.",
        "Cycles are closed forms per layer; independent layers overlap on different units."
        if on_platform
        else "Cycles are closed forms per layer; nothing overlaps between layers.",
    ]
    if (rest := _unfinished(store)) is not None:
        notes.append(rest)
    if refused:
        notes.append(f"{grouped(refused)} designs cannot run the network and are not shown.")
    if outside:
        notes.append(f"{grouped(outside)} designs break a constraint and are not shown.")
    return notes


def _unfinished(store: Store) -> str | None:
    """What a run that was stopped still lacks; None where it is whole."""
    total = int(store.manifest["points"])
    if store.kept == total:
        return None
    return (
        f"{grouped(store.kept)} of {grouped(total)} points are kept; "
        "go on with the sweep by --resume"
    )
