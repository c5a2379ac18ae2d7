"""Evaluate every design of a sweep: the cost functions of `estimate`, over many machines."""

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import numpy as np

import hwconfigs
import workloads
from analysis.accuracy import METRICS, Accuracies, accuracies_of
from analysis.axes import field_of, members_of
from analysis.front import constrained, with_derived
from analysis.grid import Ints
from analysis.identity import identity
from analysis.layout import BASE
from analysis.mix import Network, layer_names, mixed, mixed_layers
from analysis.platform_tables import platform_layers
from analysis.refusals import refusals
from analysis.scale_out import run_on_workers
from analysis.spec import Scalar, SweepSpec, beside, load_spec
from analysis.store import kept_points, open_store, writing
from analysis.summary import summary
from analysis.sweep_checks import check_designs, check_enumerable, check_measured
from analysis.tables import axis_columns, energy_ends, layers_table, points_table
from analysis.terminal import Interrupted
from simulator.cost import Evaluation
from simulator.document import Document, Entry, Place
from simulator.errors import BitlaneError
from simulator.graph import Graph
from simulator.layered import evaluate_layered, widest
from simulator.machine_set import MachineSet, machine_set
from simulator.machines.base import Machine
from simulator.machines.platform import Platform
from simulator.machines.registry import machine_from
from simulator.networks import evaluate_network
from simulator.platforms import Timelines, evaluate_platforms
from simulator.space import Axis, Space
from workloads.source import fingerprint

if TYPE_CHECKING:
    import polars as pl

KEEP_LAYERS_UP_TO: Final = 100_000
"""Sweeps of more points keep no layers: `estimate` gives those of any one point."""

LoadedT = TypeVar("LoadedT")


class Sweep:
    """A checked spec with its networks and base machines loaded, ready to evaluate.

    `data` names a labelled set in place of the spec's own.
    """

    def __init__(
        self, path: Path, spec: SweepSpec | None = None, data: str | Path | None = None
    ) -> None:
        self.places: dict[str, Place] = {}
        if spec is None:
            spec, document = load_spec(path)
            self.places = _places(spec, document)
        self.spec = spec
        self.networks = tuple(self._network(path, number) for number in range(len(spec.mix)))
        self.graph, self.model = self.networks[0].graph, self.networks[0].model
        self.bases = {name: self._base(path, name) for name in spec.bases}
        self.base = self.bases[spec.bases[0]]
        self.axes = spec.layout.paths
        self.technologies = self._technologies(path)
        named = data or (beside(path, spec.data) if spec.data else None)
        self.accuracies = self._accuracies(named) if named else None
        if not spec.axes:
            check_enumerable(spec)
        check_measured(spec.objectives, spec.limits, self.places, METRICS if named else ())
        graphs = [network.graph for network in self.networks]
        self._costs, self._kinds = check_designs(spec, self.places, self.machine, graphs)
        self.space = self._space()
        self._layered = any(".layers" in axis for axis in self.axes) or any(
            base.at(("datapath", "layers")) for base in self.bases.values()
        )

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "space"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        # What is known of the designs stays where it was worked out.
        self.space = self._space()

    def _space(self) -> Space:
        axes = zip(self.spec.sizes, self.spec.layout.fields, strict=True)
        return Space(
            [Axis(size, tuple(tuple(f.split(".")) for f in own)) for size, own in axes],
            self._design,
        )

    def manifest(self) -> dict[str, Any]:
        """What identifies this run: a folder is resumed only by the same one."""
        return {
            "schema": "bitlane.sweep/1",
            "spec": self.spec.model_dump(mode="json"),
            "model": " + ".join(network.graph.name for network in self.networks),
            "model_sha256": [fingerprint(network.model) for network in self.networks],
            "machine": self.base.root.plain(),
            "machines": {name: base.root.plain() for name, base in self.bases.items()},
            "layers": layer_names(self.networks),
            "data_sha256": self.accuracies.data.digest if self.accuracies else None,
            "points": self.spec.count,
            "chunk_points": self.spec.chunk_points,
            **identity(
                self.spec,
                {name: base.root.plain() for name, base in self.bases.items()},
                self.technologies,
            ),
            "technology_documents": {
                str(value): entry.plain() for (_, value), entry in self.technologies.items()
            },
        }

    def document(self, values: Sequence[Scalar | None]) -> Document:
        """The YAML of the design with these values of `axes`, not validated.

        None leaves a field as the base machine has it.
        """
        chosen = dict(zip(self.axes, values, strict=True))
        several = isinstance(self.spec.base, list)
        document = self.bases[str(chosen.pop(BASE))] if several else self.base
        for axis, value in chosen.items():
            if value is not None:
                place = self.places.get(axis, Place(f"axes.{axis}"))
                entry = self.technologies.get((axis, value), Entry(value, place))
                document = document.with_entry(axis.split("."), entry)
        return document

    def machine(self, values: Sequence[Scalar | None]) -> Machine:
        """The design with these axis values; raises BadConfig with the axis's file and line."""
        return machine_from(self.document(values))

    def _design(self, choice: Sequence[int]) -> Machine:
        """The design with these values of the axes, by their index."""
        return self.machine(self.spec.layout.rows(np.array([choice]))[0])

    def chunk(self, index: int) -> tuple["pl.DataFrame", "pl.DataFrame"]:
        """Tables of points and layers of one chunk of designs."""
        first = index * self.spec.chunk_points
        return self.tables(self.spec.choices(first, first + self.spec.chunk_points), first)

    def tables(
        self, choices: Ints, first: int = 0, keep_layers: bool | None = None
    ) -> tuple["pl.DataFrame", "pl.DataFrame"]:
        """Tables of points and layers of designs, as `SweepSpec.choices` has them.

        Points are numbered from `first`; layers are kept unless the sweep has too many points.
        """
        import polars as pl

        wanted = self.spec.keep_layers if keep_layers is None else keep_layers
        keep = self.spec.count <= KEEP_LAYERS_UP_TO if wanted == "auto" else wanted
        # Machines of one base have the same memories, so that their layers make one table.
        several = isinstance(self.spec.base, list)
        bases = choices[:, 0] if several else np.zeros(len(choices), np.int64)
        starts = [0, *(np.flatnonzero(np.diff(bases)) + 1).tolist()]
        parts = [
            self._costed(choices[start:end], first + start, keep)
            for start, end in zip(starts, [*starts[1:], len(choices)], strict=True)
        ]
        points = pl.concat([part for part, _ in parts], how="diagonal")
        if self._costs and "cost" not in points.columns:
            points = points.with_columns(pl.lit(None, pl.Float64).alias("cost"))
        # Every chunk has the columns of all bases.
        none = [self._layers(kind, None, 0) for kind in self._kinds] if several else []
        layers = pl.concat([*none, *(part for _, part in parts)], how="diagonal")
        points = pl.concat(
            [axis_columns(self.spec.layout, choices, first), points], how="horizontal"
        )
        if self.accuracies is not None:
            points = self.accuracies.columns(
                points, lambda i: self.machine(self.spec.layout.rows(choices[i : i + 1])[0])
            )
        return constrained(points, self.spec.limits), layers

    def _costed(
        self, choices: Ints, first: int, keep: bool
    ) -> tuple["pl.DataFrame", "pl.DataFrame"]:
        """Costs of designs of one base, each on every network, and their layers."""
        machines, built = self._machines(choices)
        points, layers = [], []
        for network in self.networks:
            result, lines = self._evaluated(network.graph, machines)
            reasons = refusals(network.graph, machines, result, self.spec.batch)
            ends = energy_ends(built, lines)
            points.append(points_table({}, built, result, self.spec.batch, reasons, ends))
            layers.append(self._layers(machines.machine(0), lines if keep else None, first))
            if self.accuracies is not None and isinstance(lines, Timelines):
                points[-1] = points[-1].with_columns(self.accuracies.places(lines))
        table = with_derived(mixed(points, self.networks, self.spec.batch))
        return table, mixed_layers(layers, self.networks)

    def _machines(self, choices: Ints) -> tuple[MachineSet, MachineSet]:
        """The designs, and as what each is built: for the widest of its layers."""
        if not self._layered:
            designs = self.space.designs(choices)
            return designs, designs
        listed = [self.machine(values) for values in self.spec.layout.rows(choices)]
        return machine_set(listed), machine_set([widest(machine) for machine in listed])

    def _evaluated(
        self, graph: Graph, machines: MachineSet
    ) -> tuple[Evaluation, Evaluation | Timelines]:
        """Costs of a graph on designs of one base, and those of its layers."""
        if isinstance(machines.machine(0), Platform):
            lines = evaluate_platforms(graph, machines, self.spec.batch)
            return lines.evaluation, lines
        if self._layered:
            listed = [machines.machine(index) for index in range(len(machines))]
            result = evaluate_layered(graph, listed, self.spec.batch, per_layer=True)
        else:
            result = evaluate_network(graph, machines, self.spec.batch, per_layer=True)
        return result, result

    def _layers(
        self, machine: Machine, result: Evaluation | Timelines | None, first: int
    ) -> "pl.DataFrame":
        if isinstance(machine, Platform):
            lines = result if isinstance(result, Timelines) else None
            return platform_layers(machine, lines, first)
        own = result if isinstance(result, Evaluation) else None
        table = layers_table(machine, own, first)
        if isinstance(self.spec.base, list):
            # Which of the levels of all bases is the outermost of this one.
            table = table.with_columns(outer_bytes=f"{machine.levels[-1]}_bytes")
        return table

    def _network(self, path: Path, number: int) -> Network:
        workload = self.spec.mix[number]
        model = beside(path, workload.model)
        field = "workload" if self.spec.workloads is None else f"workloads.{number}.model"
        graph = self._named(field, lambda: workloads.load(model))
        return Network(workload.title, workload.weight, model, graph)

    def _accuracies(self, data: str | Path) -> Accuracies:
        return self._named("data", lambda: accuracies_of(self.networks, data))

    def _base(self, path: Path, name: str) -> Document:
        return self._named("base", lambda: hwconfigs.document(beside(path, name)))

    def _named(self, field: str, load: Callable[[], LoadedT]) -> LoadedT:
        """What a field of the spec names; a refusal says where it is named."""
        try:
            return load()
        except BitlaneError as error:
            place = f"{self.places[field]}: " if field in self.places else ""
            raise type(error)(f"{place}{field}: {error}") from None

    def _technologies(self, path: Path) -> dict[tuple[str, Scalar], Entry]:
        """The technologies that axes name, read once and not for every design."""
        found: dict[tuple[str, Scalar], Entry] = {}
        for axis in self.axes:
            for name in self.spec.values[axis] if axis.split(".")[-1] == "technology" else ():
                try:
                    found[axis, name] = hwconfigs.technology(beside(path, str(name)))
                except BitlaneError as error:
                    raise type(error)(f"{self.places.get(axis, 'axes')}: {axis}: {error}") from None
        return found


def _places(spec: SweepSpec, document: Document) -> dict[str, Place]:
    """Where the fields of a spec stand, and what each axis sets."""
    fields = ("base", "workload", "objectives", "constraints", "data")
    found = {name: document.place((name,)) for name in fields}
    for number in range(len(spec.mix)):
        field = f"workloads.{number}.model"
        found[field] = document.place(("workloads", number, "model"))
    for name, axis in spec.axes.items():
        for path in members_of(name, axis):
            found[field_of(path)] = document.place(("axes", name, "zip", path))
    return found


def run(sweep: Sweep, folder: Path, *, resume: bool) -> Iterator[int]:
    """Evaluate what `folder` lacks, chunk by chunk; yields the number of points kept so far."""
    manifest = json.loads(json.dumps(sweep.manifest()))
    if sweep.accuracies is not None:
        sweep.accuracies.keep_in(folder)
    with writing(folder, manifest, resume=resume) as store:
        for index in range(store.chunks):
            if not store.intact(index):
                store.write(index, *sweep.chunk(index))
            yield min((index + 1) * sweep.spec.chunk_points, sweep.spec.count)


def sweep(spec: SweepSpec | str | Path, data: str | Path | None = None) -> "pl.DataFrame":
    """Every design of a spec as one table in memory, nothing written.

    A `SweepSpec` made in Python takes relative file names from the working folder. `data` is a
    labelled set to execute, in place of the spec's own.
    """
    import polars as pl

    if isinstance(spec, SweepSpec):
        loaded = Sweep(Path(), spec, data)
    else:
        loaded = Sweep(Path(spec), data=data)
    check_enumerable(loaded.spec)
    chunks = -(-loaded.spec.count // loaded.spec.chunk_points)
    return pl.concat([loaded.chunk(i)[0] for i in range(chunks)])


def sweep_command(
    spec: Path,
    out: Path,
    resume: bool,
    data: str | None = None,
    workers: int | None = None,
    scheduler: str | None = None,
) -> None:
    """Run a sweep into a folder with a progress bar, then say what lies on the front.

    `workers` and `scheduler` are those of `analysis.scale_out.run_on_workers`; this process alone
    without them.
    """
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import Progress

    loaded = Sweep(spec, data=data)
    check_enumerable(loaded.spec)
    total = loaded.spec.count
    steps = run(loaded, out, resume=resume)
    if workers is not None or scheduler is not None:
        steps = run_on_workers(loaded, out, resume=resume, workers=workers, scheduler=scheduler)
    console = Console(stderr=True)
    try:
        with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
            task = bar.add_task(escape(loaded.spec.name), total=total)
            for kept in steps:
                bar.update(task, completed=kept)
    except KeyboardInterrupt:
        raise Interrupted(
            f"interrupted; {kept_points(out)} of {total} points are kept in {out}; "
            "go on with --resume"
        ) from None
    print(summary(open_store(out), loaded.spec))
    if loaded.accuracies is not None:
        print(loaded.accuracies.summary)
