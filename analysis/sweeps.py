"""Evaluate every design of a sweep: the cost functions of `estimate`, over many machines."""

import json
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import numpy as np

import hwconfigs
import workloads
from analysis.front import constrained
from analysis.platform_tables import platform_layers
from analysis.spec import Scalar, SweepSpec, beside, load_spec
from analysis.store import kept_points, open_store, writing
from analysis.summary import summary
from analysis.tables import layers_table, points_table
from analysis.terminal import Interrupted
from simulator.cost import Evaluation, estimate
from simulator.document import Document, Entry, Place
from simulator.errors import BadConfig, BitlaneError, Unsupported
from simulator.graph import Graph
from simulator.machines.actions import TOTAL_REFUSAL, TOTAL_REFUSED_LAYER
from simulator.machines.base import Machine
from simulator.machines.platform import Platform
from simulator.machines.registry import machine_from
from simulator.networks import evaluate_network
from simulator.platforms import evaluate_platforms
from workloads.source import fingerprint

if TYPE_CHECKING:
    import polars as pl

KEEP_LAYERS_UP_TO: Final = 100_000
"""Sweeps of more points keep no layers: `estimate` gives those of any one point."""

SHOWN_FAULTS: Final = 20
"""Of an axis with many impossible values, as many are named."""
LoadedT = TypeVar("LoadedT")


class Sweep:
    """A checked spec with its network and base machine loaded, ready to evaluate."""

    def __init__(self, path: Path, spec: SweepSpec | None = None) -> None:
        self.places: dict[str, Place] = {}
        if spec is None:
            spec, document = load_spec(path)
            self.places = {axis: document.place(("axes", axis)) for axis in spec.axes}
            fields = ("base", "workload", "objectives")
            self.places |= {name: document.place((name,)) for name in fields}
        self.spec = spec
        self.model = beside(path, spec.workload)
        self.graph: Graph = self._named("workload", lambda: workloads.load(self.model))
        self.base: Document = self._named(
            "base", lambda: hwconfigs.document(beside(path, spec.base))
        )
        self.axes = tuple(spec.values)
        self.technologies = self._technologies(path)
        self._check_axes()

    def manifest(self) -> dict[str, Any]:
        """What identifies this run: a folder is resumed only by the same one."""
        return {
            "schema": "bitlane.sweep/1",
            "spec": self.spec.model_dump(mode="json"),
            "model": self.graph.name,
            "model_sha256": fingerprint(self.model),
            "machine": self.base.root.plain(),
            "technologies": {str(v): entry.plain() for (_, v), entry in self.technologies.items()},
            "layers": [[n.name, n.op.kind] for n in self.graph.nodes],
            "points": self.spec.count,
            "chunk_points": self.spec.chunk_points,
            "versions": {p: version(p) for p in ("bitlane", "numpy", "numba", "polars")},
        }

    def machine(self, values: Sequence[Scalar]) -> Machine:
        """The design with these axis values; raises BadConfig with the axis's file and line."""
        document = self.base
        for axis, value in zip(self.axes, values, strict=True):
            place = self.places.get(axis, Place(f"axes.{axis}"))
            entry = self.technologies.get((axis, value), Entry(value, place))
            document = document.with_entry(axis.split("."), entry)
        return machine_from(document)

    def chunk(self, index: int) -> tuple["pl.DataFrame", "pl.DataFrame"]:
        """Tables of points and layers of one chunk of designs."""
        size = self.spec.chunk_points
        first = index * size
        designs = self.spec.designs(first, first + size)
        machines = [self.machine(values) for values in designs]
        keep_layers = self.spec.count <= KEEP_LAYERS_UP_TO
        platforms = [machine for machine in machines if isinstance(machine, Platform)]
        if platforms:
            lines = evaluate_platforms(self.graph, platforms, self.spec.batch)
            result = lines.evaluation
            layers = platform_layers(platforms[0], lines if keep_layers else None, first)
        else:
            result = evaluate_network(self.graph, machines, self.spec.batch, keep_layers)
            layers = layers_table(machines[0], result if keep_layers else None, first)
        columns: dict[str, Any] = {"point": np.arange(first, first + len(designs))}
        for i, axis in enumerate(self.axes):
            kind = _common_kind(self.spec.values[axis])
            columns[axis] = [kind(values[i]) for values in designs]
        reasons = self._reasons(machines, result)
        points = points_table(columns, machines, result, self.spec.batch, reasons)
        return constrained(points, self.spec.constraints), layers

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

    def _check_axes(self) -> None:
        """Build the first design and one for each further value, so that faults show at once."""
        columns = list(self.spec.values.values())
        first = [column[0] for column in columns]
        designs = [first]
        for axis, column in enumerate(columns):
            designs += ([*first[:axis], v, *first[axis + 1 :]] for v in column[1:])
        faults: dict[str, None] = {}
        for values in designs:
            try:
                self._check_unit(self.machine(values))
            except BadConfig as error:
                faults |= dict.fromkeys(str(error).split("\n"))
            if len(faults) >= SHOWN_FAULTS:
                break
        if faults:
            raise BadConfig("\n".join(faults))

    def _check_unit(self, machine: Machine) -> None:
        """Refuse objectives and constraints that a technology has no figure of."""
        technology = machine.technology
        lacks = ("cost",) if technology.physical else ("energy_j", "power_w")
        for name in (*self.spec.objectives, *self.spec.constraints):
            if name in lacks:
                place = self.places.get("objectives", "objectives")
                other = "energy_j" if technology.physical else "cost"
                raise BadConfig(
                    f"{place}: objectives: {technology.name} counts {technology.unit} and has no "
                    f"'{name}'; name '{other}' instead"
                )

    def _reasons(self, machines: Sequence[Machine], result: Evaluation) -> list[str | None]:
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
                    estimate(self.graph, machine, self.spec.batch)
                except Unsupported as error:
                    told[key] = str(error)
            reasons.append(told[key])
        return reasons


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
