"""Evaluate every design of a sweep: the cost functions of `estimate`, over many machines."""

import json
from collections.abc import Callable, Iterator, Sequence
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import numpy as np

import hwconfigs
import workloads
from analysis.axes import field_of, members_of
from analysis.front import constrained, with_derived
from analysis.grid import Ints
from analysis.layout import BASE
from analysis.mix import Network, layer_names, mixed, mixed_layers
from analysis.platform_tables import platform_layers
from analysis.spec import Scalar, SweepSpec, beside, load_spec
from analysis.store import kept_points, open_store, writing
from analysis.summary import summary
from analysis.sweep_checks import check_designs, check_measured
from analysis.tables import layers_table, points_table
from analysis.terminal import Interrupted
from simulator.cost import Evaluation, estimate
from simulator.document import Document, Entry, Place
from simulator.errors import BitlaneError, Unsupported
from simulator.graph import Graph
from simulator.layered import evaluate_layered, widest
from simulator.machines.actions import TOTAL_REFUSAL, TOTAL_REFUSED_LAYER
from simulator.machines.base import Machine
from simulator.machines.platform import Platform
from simulator.machines.registry import machine_from
from simulator.platforms import Timelines, evaluate_platforms
from workloads.source import fingerprint

if TYPE_CHECKING:
    import polars as pl

KEEP_LAYERS_UP_TO: Final = 100_000
"""Sweeps of more points keep no layers: `estimate` gives those of any one point."""

LoadedT = TypeVar("LoadedT")


class Sweep:
    """A checked spec with its networks and base machines loaded, ready to evaluate."""

    def __init__(self, path: Path, spec: SweepSpec | None = None) -> None:
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
        check_measured(spec.objectives, spec.limits, self.places)
        self._costs, self._kinds = check_designs(spec, self.places, self.machine)

    def manifest(self) -> dict[str, Any]:
        """What identifies this run: a folder is resumed only by the same one."""
        return {
            "schema": "bitlane.sweep/1",
            "spec": self.spec.model_dump(mode="json"),
            "model": " + ".join(network.graph.name for network in self.networks),
            "model_sha256": [fingerprint(network.model) for network in self.networks],
            "machine": self.base.root.plain(),
            "machines": {name: base.root.plain() for name, base in self.bases.items()},
            "technologies": {
                f"{axis}={name}": _digest(entry)
                for (axis, name), entry in self.technologies.items()
            },
            "layers": layer_names(self.networks),
            "points": self.spec.count,
            "chunk_points": self.spec.chunk_points,
            "versions": {p: version(p) for p in ("bitlane", "numpy", "numba", "polars")},
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

        keep = self.spec.count <= KEEP_LAYERS_UP_TO if keep_layers is None else keep_layers
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
        points = pl.concat([self._axis_columns(choices, first), points], how="horizontal")
        return constrained(points, self.spec.limits), layers

    def _axis_columns(self, choices: Ints, first: int) -> "pl.DataFrame":
        """The number of each design and what its axes set; null where the base machine's stands."""
        import polars as pl

        columns = [pl.Series("point", np.arange(first, first + len(choices)))]
        dtypes = {bool: pl.Boolean, int: pl.Int64, float: pl.Float64, str: pl.String}
        for axis, values in self.spec.layout.columns(choices).items():
            kind = _common_kind(self.spec.values[axis])
            own = [None if value is None else kind(value) for value in values]
            columns.append(pl.Series(axis, own, dtype=dtypes[kind]))
        return pl.DataFrame(columns)

    def _costed(
        self, choices: Ints, first: int, keep: bool
    ) -> tuple["pl.DataFrame", "pl.DataFrame"]:
        """Costs of designs of one base, each on every network, and their layers."""
        machines = [self.machine(values) for values in self.spec.layout.rows(choices)]
        built = [widest(machine) for machine in machines]
        points, layers = [], []
        for network in self.networks:
            result, lines = self._evaluated(network.graph, machines, keep)
            reasons = self._reasons(network.graph, machines, result)
            points.append(points_table({}, built, result, self.spec.batch, reasons))
            layers.append(self._layers(machines[0], lines if keep else None, first))
        table = with_derived(mixed(points, self.networks, self.spec.batch))
        return table, mixed_layers(layers, self.networks)

    def _evaluated(
        self, graph: Graph, machines: Sequence[Machine], keep: bool
    ) -> tuple[Evaluation, Evaluation | Timelines]:
        """Costs of a graph on designs of one base, and those of its layers."""
        platforms = [machine for machine in machines if isinstance(machine, Platform)]
        if platforms:
            lines = evaluate_platforms(graph, platforms, self.spec.batch)
            return lines.evaluation, lines
        result = evaluate_layered(graph, machines, self.spec.batch, keep)
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

    def _reasons(
        self, graph: Graph, machines: Sequence[Machine], result: Evaluation
    ) -> list[str | None]:
        """Why each design is refused, in the words of `estimate`; None where it is not."""
        told: dict[tuple[object, ...], str] = {}
        reasons: list[str | None] = []
        for machine, row in zip(machines, result.totals.tolist(), strict=True):
            if not row[TOTAL_REFUSAL]:
                reasons.append(None)
                continue
            key = (row[TOTAL_REFUSAL], row[TOTAL_REFUSED_LAYER], machine.name, machine.datapath)
            if key not in told:
                try:
                    estimate(graph, machine, self.spec.batch)
                except Unsupported as error:
                    told[key] = str(error)
            reasons.append(told[key])
        return reasons


def _digest(entry: Entry) -> str:
    return sha256(json.dumps(entry.plain()).encode()).hexdigest()


def _places(spec: SweepSpec, document: Document) -> dict[str, Place]:
    """Where the fields of a spec stand, and what each axis sets."""
    fields = ("base", "workload", "objectives", "constraints")
    found = {name: document.place((name,)) for name in fields}
    for number in range(len(spec.mix)):
        field = f"workloads.{number}.model"
        found[field] = document.place(("workloads", number, "model"))
    for name, axis in spec.axes.items():
        for path in members_of(name, axis):
            found[field_of(path)] = document.place(("axes", name, "zip", path))
    return found


def _common_kind(values: Sequence[Scalar]) -> type[Scalar]:
    """One type for a column: that of all its values, numbers as floats, any other mix as text."""
    kinds = {type(value) for value in values}
    if len(kinds) == 1:
        return kinds.pop()
    return float if kinds == {int, float} else str


def run(sweep: Sweep, folder: Path, *, resume: bool) -> Iterator[int]:
    """Evaluate what `folder` lacks, chunk by chunk; yields the number of points kept so far."""
    manifest = json.loads(json.dumps(sweep.manifest()))
    with writing(folder, manifest, resume=resume) as store:
        for index in range(store.chunks):
            if not store.intact(index):
                store.write(index, *sweep.chunk(index))
            yield min((index + 1) * sweep.spec.chunk_points, sweep.spec.count)


def sweep(spec: SweepSpec | str | Path) -> "pl.DataFrame":
    """Every design of a spec as one table in memory, nothing written.

    A `SweepSpec` made in Python takes relative file names from the working folder.
    """
    import polars as pl

    loaded = Sweep(Path(), spec) if isinstance(spec, SweepSpec) else Sweep(Path(spec))
    chunks = -(-loaded.spec.count // loaded.spec.chunk_points)
    return pl.concat([loaded.chunk(i)[0] for i in range(chunks)])


def sweep_command(spec: Path, out: Path, resume: bool) -> None:
    """Run a sweep into a folder with a progress bar, then say what lies on the front."""
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import Progress

    loaded = Sweep(spec)
    total = loaded.spec.count
    console = Console(stderr=True)
    try:
        with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
            task = bar.add_task(escape(loaded.spec.name), total=total)
            for kept in run(loaded, out, resume=resume):
                bar.update(task, completed=kept)
    except KeyboardInterrupt:
        raise Interrupted(
            f"interrupted; {kept_points(out)} of {total} points are kept in {out}; "
            "go on with --resume"
        ) from None
    print(summary(open_store(out), loaded.spec))
