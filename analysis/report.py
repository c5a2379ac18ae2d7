"""From kept results to the data of the page: which points, which layers, which notes."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import numpy as np

from analysis.constraints import SENSE, Sense
from analysis.copied import configs, dotted, mixed_precision
from analysis.details import chosen, detail_of, details, layers_of, network_of, with_details
from analysis.exported import check_exporter, write_csv, write_figures
from analysis.files import check_places, write_text
from analysis.front import kept, non_dominated
from analysis.kept_run import bases_of, points_of, sha256_of, spec_of, technology_of
from analysis.layout import BASE
from analysis.mixed_precision import axis_of
from analysis.page import (
    METRICS,
    Buffer,
    Layers,
    Objective,
    Point,
    ReportData,
    default_selection,
    render,
)
from analysis.shown_layers import shown_layers
from analysis.space_plots import sampled
from analysis.spec import SweepSpec
from analysis.store import Store, open_store
from analysis.text import grouped
from simulator.cost import Estimate
from simulator.graph import Graph
from simulator.machines.base import Machine

if TYPE_CHECKING:
    import polars as pl

Reals: TypeAlias = np.ndarray[Any, np.dtype[np.float64]]
Flags: TypeAlias = np.ndarray[Any, np.dtype[np.bool_]]
SHOWN_POINTS: Final = 100_000
"""Points that travel, about: the front and an even sample of more."""


def report_command(
    folder: Path,
    out: Path,
    csv: Path | None = None,
    png: Path | None = None,
    svg: Path | None = None,
) -> None:
    """Write the page of a sweep's folder, and its table and figure where they are asked for."""
    figures = {"--png": png, "--svg": svg}
    store = open_store(folder)
    check_places({"--out": out, "--csv": csv, **figures})
    check_exporter(figures)
    data = sweep_data(store)
    write_text(out, render(data))
    front = sum(p.on_front for p in data.points)
    print(f"{grouped(len(data.points))} points, {front} on the front: written to {out}")
    if csv:
        print(f"{grouped(write_csv(store, data, csv))} points: written to {csv}")
    write_figures(data, figures)
    if (rest := _unfinished(store)) is not None:
        print(rest)


def sweep_data(store: Store) -> ReportData:
    """The points of a run that were not refused, with the layers of the front and of a sample."""
    spec = spec_of(store)
    every = points_of(store, spec)
    points = kept(every)
    refused = len(every) - every["refused"].null_count()
    whole = len(points)
    front = non_dominated(oriented(points.select(spec.objectives).to_numpy(), spec.objectives))
    if whole > SHOWN_POINTS:
        points, front = _shown(points, front)
    layers = shown_layers(store, points, front)
    # The page tells the base machines apart by the name that each has.
    axes = tuple("name" if path == BASE else path for path in spec.layout.paths)
    bases = bases_of(store)
    names = ", ".join(str(machine["name"]) for machine in bases.values())
    technologies = store.manifest.get("technology_documents", {})
    rows = points.iter_rows(named=True)
    if spec.search is not None and spec.search.problem is not None:
        widths = _layers_of_axes(spec, store)
        machines = mixed_precision(next(iter(bases.values())), rows, widths)
    else:
        machines = configs(bases, rows, spec.layout.paths, technologies)
    networks = [network.title for network in spec.mix] if len(spec.mix) > 1 else []
    made = _points(points, front, machines, layers, axes, networks)
    notes = _notes(store, refused, len(every) - whole - refused)
    if whole > len(points):
        notes.append(f"{grouped(whole)} points: the page holds the front and an even sample.")
    made, arenas = _detailed(store, made, spec, notes)
    return ReportData(
        title=spec.name,
        subtitle=f"{store.manifest['model']} on {names}, {grouped(whole)} designs",
        objectives=objectives_of(spec.objectives),
        axes=axes,
        points=made,
        layer_names=tuple(name for name, _ in store.manifest["layers"]),
        layer_ops=tuple(op for _, op in store.manifest["layers"]),
        notes=tuple(notes),
        arenas=arenas,
    )


def objectives_of(names: Sequence[str]) -> tuple[Objective, ...]:
    """The objectives with label, unit and sense."""
    senses: dict[str, Sense] = {str(name): sense for name, sense in SENSE.items()}
    return tuple(
        Objective(name, *METRICS.get(name, (name, "")), senses.get(name, "min")) for name in names
    )


def oriented(values: Reals, names: Sequence[str]) -> Reals:
    """Columns [P, objectives] as costs: those that are maximised change their sign."""
    signs = [-1.0 if o.sense == "max" else 1.0 for o in objectives_of(names)]
    return values.astype(np.float64) * signs


def _shown(points: "pl.DataFrame", front: Flags) -> tuple["pl.DataFrame", Flags]:
    """The front and an even sample, `SHOWN_POINTS` or a little more."""
    chosen = front | sampled(len(points), SHOWN_POINTS)
    return points.filter(chosen), front[chosen]


def _points(
    points: "pl.DataFrame",
    front: Flags,
    machines: Iterable[dict[str, object]],
    layers: Mapping[int, Layers],
    axes: Sequence[str],
    networks: Sequence[str],
) -> tuple[Point, ...]:
    wanted = [*METRICS, *(f"{network}.{name}" for network in networks for name in METRICS)]
    metrics = [name for name in wanted if name in points.columns]
    bounded = [name for name in metrics if _ends(name)[0] in points.columns]
    rows = points.iter_rows(named=True)
    return tuple(
        Point(
            id=row["point"],
            machine=str(config["name"]),
            config=config,
            metrics={name: row[name] for name in metrics},
            on_front=bool(on_front),
            layers=layers.get(row["point"]),
            bounds={
                name: (row[_ends(name)[0]], row[_ends(name)[1]])
                for name in bounded
                if row[_ends(name)[0]] is not None
            },
            choices={
                axis: row[axis] for axis in axes if axis not in config and row[axis] is not None
            },
        )
        for row, on_front, config in zip(rows, front.tolist(), machines, strict=True)
    )


def _layers_of_axes(spec: SweepSpec, store: Store) -> dict[str, str]:
    """By axis of a search for mixed precision the name of the layer that it is of."""
    found = {}
    for name, _ in store.manifest["layers"]:
        axis = axis_of(name)
        if axis in spec.layout.paths:
            found[axis] = name
    return found


def _ends(name: str) -> tuple[str, str]:
    """The columns of a metric's bounds."""
    return f"{name}_low", f"{name}_high"


def _detailed(
    store: Store, points: tuple[Point, ...], spec: SweepSpec, notes: list[str]
) -> tuple[tuple[Point, ...], tuple[tuple[Buffer, ...], ...]]:
    """Some of the front with nests and bounds by layer, where the network is at hand."""
    if len(spec.mix) > 1:
        notes.append("Loop nests are of one network: estimate a point on each of them.")
        return points, ()
    (sha256,) = sha256_of(store, 1)
    graph = network_of(spec.mix[0].model, sha256, store.folder)
    if graph is None:
        notes.append("Loop nests need the network's file, which is not where the sweep found it.")
        return points, ()
    front = [p for p in points if p.on_front]
    found = details(
        graph, chosen(front, default_selection(points, objectives_of(spec.objectives))), spec.batch
    )
    return with_details(points, found)


def estimate_data(
    graph: Graph, machines: Sequence[Machine], estimates: Sequence[Estimate], batch: int
) -> ReportData:
    """The page of an estimate: a point a machine."""
    objectives = ("latency_s", "energy_j", "area_mm2")
    costs = np.array([[getattr(e.totals, o) for o in objectives] for e in estimates])
    front = non_dominated(costs)
    points = []
    for i, (machine, found) in enumerate(zip(machines, estimates, strict=True)):
        totals = found.totals.to_json_dict()
        points.append(
            Point(
                id=i,
                machine=found.name,
                config=config_of(machine),
                metrics={name: totals[name] for name in METRICS if name in totals},
                on_front=bool(front[i]),
                layers=layers_of(found, machine),
            )
        )
    pairs = zip(machines, estimates, strict=True)
    more = {i: detail_of(graph, m, e, batch) for i, (m, e) in enumerate(pairs)}
    made, arenas = with_details(points, more)
    return ReportData(
        title=graph.name,
        subtitle=f"{len(points)} machines, batch {batch}",
        objectives=objectives_of(objectives),
        axes=(),
        points=made,
        layer_names=tuple(n.name for n in graph.nodes),
        layer_ops=tuple(n.op.kind for n in graph.nodes),
        notes=tuple(f"{e.name}: {note}" for e in estimates for note in e.notes),
        arenas=arenas,
    )


def config_of(machine: Machine) -> dict[str, object]:
    """A machine's fields without those that it takes from others of its own."""
    document = machine.model_dump(mode="json")
    return dotted({k: v for k, v in document.items() if k not in type(machine).derived})


def _notes(store: Store, refused: int, outside: int) -> list[str]:
    machines = bases_of(store).values()
    notes = [
        f"Energy: {_technologies(store)}, integer action counts times its table. Area is a proxy "
        "without wires.",
        "Cycles are closed forms per layer; nothing overlaps between layers"
        + (
            ", but on a platform independent layers do on different units."
            if any(machine["model"] == "platform" for machine in machines)
            else "."
        ),
    ]
    if (rest := _unfinished(store)) is not None:
        notes.append(rest)
    if refused:
        notes.append(f"{grouped(refused)} designs cannot run the network and are not shown.")
    if outside:
        notes.append(f"{grouped(outside)} designs break a constraint and are not shown.")
    return notes


def _technologies(store: Store) -> str:
    """The technologies that price a run: those of axes, and those of the base machines."""
    named = dict.fromkeys(store.manifest.get("technology_documents", {}))
    if not any(path.split(".")[-1] == "technology" for path in spec_of(store).layout.paths):
        named = {}
    for machine in bases_of(store).values():
        named[technology_of(machine)] = None
    return " or ".join(named)


def _unfinished(store: Store) -> str | None:
    """What a run that was stopped still lacks; None where it is whole."""
    total = int(store.manifest["points"])
    if store.kept == total:
        return None
    return (
        f"{grouped(store.kept)} of {grouped(total)} points are kept; "
        "go on with the sweep by --resume"
    )
