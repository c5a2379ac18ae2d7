"""Search a design space too large to enumerate: propose, evaluate, keep, until it pays no more.

Every batch is one chunk of the store. A run that was stopped is replayed from its chunks: the
proposals depend on the seed and on what was found alone. Read next: `analysis.search_methods`,
which designs are proposed, and `analysis.search_scores`, what they are worth.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from analysis.files import write_json
from analysis.hypervolume import Growing, hypervolume
from analysis.mixed_precision import MixedPrecision, greedy_choices
from analysis.search_methods import Ints, Proposer, Space
from analysis.search_scores import losses, violations
from analysis.search_spec import Search
from analysis.spec import SweepSpec, load_spec
from analysis.store import MANIFEST, Store, kept_points, open_store, writing
from analysis.summary import summary
from analysis.sweeps import Sweep
from analysis.terminal import Interrupted
from simulator.errors import BadConfig, BadFile

if TYPE_CHECKING:
    import polars as pl

Ending: TypeAlias = Literal["evaluations", "stall", "exhausted"]
_ENDINGS: Final[dict[Ending, str]] = {
    "evaluations": "all evaluations are used",
    "stall": "the hypervolume grew too little (search.stall)",
    "exhausted": "every design of the space is evaluated",
}


@dataclass
class Progress:
    """How far a search is: the volume that its designs dominate, after each evaluation.

    reference : losses of the reference point, fixed for the run by the first batch that holds a
        design which runs and keeps the constraints: the worst loss of its such designs in each
        objective. None until then.
    history : hypervolume at the end of each batch since.
    """

    reference: NDArray[np.float64] | None = None
    growing: Growing | None = None
    history: list[float] = field(default_factory=list)

    def add(self, values: NDArray[np.float64], allowed: NDArray[np.bool_]) -> NDArray[np.float64]:
        """Add a batch of losses [n, M]; the hypervolume after each evaluation [n]."""
        if self.reference is None and allowed.any():
            self.reference = values[allowed].max(axis=0)
        if self.reference is None:
            return np.zeros(len(values))
        growing = self.growing = self.growing or Growing(self.reference)
        volumes = [
            growing.add(row) if held else growing.volume
            for row, held in zip(values, allowed, strict=True)
        ]
        self.history.append(growing.volume)
        return np.array(volumes)

    def stalled(self, settings: Search) -> bool:
        """Whether the last generations gained less than they must."""
        rule = settings.stall
        if rule is None or len(self.history) <= rule.generations:
            return False
        before, now = self.history[-1 - rule.generations], self.history[-1]
        return now - before < rule.gain * now or now == 0.0


class Problem(Protocol):
    """What is searched: a spec whose axes are all choices, and how designs are evaluated."""

    spec: SweepSpec

    def manifest(self) -> dict[str, Any]:
        """What identifies the problem: a folder is resumed only by the same one."""

    def tables(
        self, choices: Ints, first: int = 0, keep_layers: bool | None = None
    ) -> tuple["pl.DataFrame", "pl.DataFrame"]:
        """Tables of points and layers of designs [P, axes], numbered from `first`."""


def problem_of(path: Path, spec: SweepSpec | None = None) -> Problem:
    """The problem that a spec states: a sweep's axes, or per-layer mixed precision."""
    given = load_spec(path)[0] if spec is None else spec
    if given.search is not None and given.search.problem is not None:
        return MixedPrecision(path, given)
    return Sweep(path, spec)


class SearchRun:
    """A problem with a `search` section in its spec, ready to run."""

    def __init__(self, sweep: Problem) -> None:
        settings = sweep.spec.search
        if settings is None:
            raise BadConfig(
                f"{sweep.spec.name}: has no search section; add one, as "
                "'search: {evaluations: 1000}', or run bitlane sweep"
            )
        self.sweep, self.settings = sweep, settings
        self.space = space_of(sweep.spec)
        self.most = min(settings.evaluations, self.space.count)
        # The search goes on from the baseline, so that it ends no worse.
        self.baseline = greedy_choices(sweep) if isinstance(sweep, MixedPrecision) else None
        objectives = len(sweep.spec.objectives)
        self.proposer = Proposer(self.space, settings, objectives, self.baseline)
        self.progress = Progress()
        self.ending: Ending = "evaluations"

    def manifest(self) -> dict[str, Any]:
        """What identifies this run: that of its sweep, and the library of the method."""
        made = self.sweep.manifest()
        size, seed = self.settings.population, self.settings.seed
        made |= {"points": self.most, "chunk_points": size, "seed": seed}
        made["versions"] |= {p: version(p) for p in ("optuna", "scipy")}
        return made

    def batches(self, known: "pl.DataFrame | None") -> Iterator[tuple["pl.DataFrame", ...]]:
        """Tables of points and layers, batch by batch; of batches that are `known` no layers."""
        first = 0
        while first < self.most:
            designs = self.proposer.ask(min(self.settings.population, self.most - first))
            yield self._batch(designs, first, known)
            first += len(designs)
            if self.progress.stalled(self.settings) and first < self.most:
                self.ending = "stall"
                return
        if self.most == self.space.count:
            self.ending = "exhausted"

    def _batch(
        self, designs: Ints, first: int, known: "pl.DataFrame | None"
    ) -> tuple["pl.DataFrame", ...]:
        import polars as pl

        kept = None
        if known is not None:
            kept = known.filter(pl.col("point").is_between(first, first + len(designs) - 1))
        if kept is not None and len(kept) == len(designs):
            self._score(kept)
            return (kept,)
        points, layers = self.sweep.tables(designs, first, keep_layers=True)
        volumes = self._score(points)
        generation = first // self.settings.population
        told = points.with_columns(
            pl.lit(generation, pl.Int64).alias("generation"),
            pl.Series("hypervolume", volumes, pl.Float64),
        )
        return told, layers

    def _score(self, points: "pl.DataFrame") -> NDArray[np.float64]:
        """Tell the method what a batch is worth; the hypervolume after each of its points."""
        spec = self.sweep.spec
        values = losses(points, spec.objectives)
        broken = violations(points, spec.limits)
        self.proposer.tell(values, broken)
        return self.progress.add(values, broken == 0)


def space_of(spec: SweepSpec) -> Space:
    """The axes of a spec as integers; those of numbers are ordered."""
    grid, members = spec.layout.grid, spec.layout.members
    numbers = [
        all(type(v) in (int, float) for values in own.values() for v in values) for own in members
    ]
    return Space(grid.sizes, tuple(numbers), grid.count, grid.conditions)


def run(search: SearchRun, folder: Path, *, resume: bool) -> Iterator[int]:
    """Evaluate until the search ends; yields the number of points kept so far.

    A run that ends early has its number of points in the manifest, and why it ended.
    """
    manifest = json.loads(json.dumps(search.manifest()))
    wanted = manifest | _found(folder)
    if isinstance(search.sweep, Sweep) and search.sweep.accuracies is not None:
        search.sweep.accuracies.keep_in(folder)
    with writing(folder, wanted, resume=resume) as store:
        # Until it has ended again, what is kept is a part of all that it may evaluate.
        store = Store(folder, manifest)
        done = 0
        for index, (points, *layers) in enumerate(search.batches(_kept(store))):
            if layers:
                store.write(index, points, layers[0])
            done += len(points)
            yield done
        write_json(folder / MANIFEST, manifest | _ended(search, done))


def _found(folder: Path) -> dict[str, Any]:
    """What the end of an earlier run wrote into its manifest, which the spec does not decide."""
    path = folder / MANIFEST
    if not path.exists():
        return {}
    kept = open_store(folder).manifest
    return {key: kept[key] for key in ("points", "ended") if "ended" in kept}


def _ended(search: SearchRun, points: int) -> dict[str, Any]:
    growing = search.progress.growing
    reference = None if search.progress.reference is None else search.progress.reference.tolist()
    return {
        "points": points,
        "ended": {
            "by": search.ending,
            "hypervolume": growing.volume if growing else 0.0,
            "reference_losses": reference,
        },
    }


def _kept(store: Store) -> "pl.DataFrame | None":
    """The points of an earlier run; None where there are none, or one of its files is damaged."""
    if not all(store.intact(chunk) for chunk in range(store.chunks) if store.has(chunk)):
        return None
    try:
        return store.points()
    except BadFile:
        return None


def search(spec: SweepSpec | str | Path) -> "pl.DataFrame":
    """Search a spec in memory, nothing written: the evaluated designs as one table, in order."""
    import polars as pl

    problem = problem_of(Path(), spec) if isinstance(spec, SweepSpec) else problem_of(Path(spec))
    return pl.concat([points for points, *_ in SearchRun(problem).batches(None)])


def search_command(spec: Path, out: Path, resume: bool) -> None:
    """Run a search into a folder with a progress bar, then say what lies on the front."""
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import Progress as Bar

    loaded = SearchRun(problem_of(spec))
    console = Console(stderr=True)
    try:
        with Bar(console=console, transient=True, disable=not console.is_terminal) as bar:
            task = bar.add_task(escape(loaded.sweep.spec.name), total=loaded.most)
            for done in run(loaded, out, resume=resume):
                bar.update(task, completed=done)
    except KeyboardInterrupt:
        raise Interrupted(
            f"interrupted; {kept_points(out)} of {loaded.most} evaluations are kept in {out}; "
            "go on with --resume"
        ) from None
    print(summary(open_store(out), loaded.sweep.spec))
    print(f"\n{ended(loaded)}")
    if isinstance(loaded.sweep, Sweep) and loaded.sweep.accuracies is not None:
        print(loaded.sweep.accuracies.summary)
    if loaded.baseline is not None:
        print(of_baseline(loaded, loaded.baseline))


def ended(search: SearchRun) -> str:
    """Why a search ended, and the volume that it dominates, in two lines."""
    growing, spec = search.progress.growing, search.sweep.spec
    why = _ENDINGS[search.ending]
    told = f"{search.settings.method} ended: {why}; there are {search.space.count} designs"
    if growing is None:
        return f"{told}; no design runs and holds the constraints"
    return f"{told}\nhypervolume {growing.volume:.6g} in losses of {', '.join(spec.objectives)}"


def of_baseline(search: SearchRun, designs: Ints) -> str:
    """What the sensitivity-ordered baseline alone finds of the same problem, in one line."""
    points, spec = search.sweep.tables(designs)[0], search.sweep.spec
    allowed = violations(points, spec.limits) == 0
    told = f"greedy baseline, the first {len(points)} of them"
    reference = search.progress.reference
    if reference is None or not allowed.any():
        return f"{told}: no design holds the constraints"
    volume = hypervolume(losses(points, spec.objectives)[allowed], reference)
    return f"{told}: hypervolume {volume:.6g}"
