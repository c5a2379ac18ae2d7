"""A study: networks of many widths and operand widths, their accuracies, and what each costs.

Each network is trained and executed once, its result kept in the folder; costs follow from shapes
and widths alone and are made anew. `analysis.study_page` shows the fronts side by side.
"""

import json
import os
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, ProcessPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from analysis.files import make_folder, replacing, write_json, write_text
from analysis.store import LOCK, locked
from analysis.study_costs import Cost, cost_of, machines_of, shapes_of
from analysis.study_spec import StudySpec, study_of
from analysis.terminal import Interrupted
from simulator.config import load_yaml
from simulator.errors import BitlaneError, RunFolderBusy

if TYPE_CHECKING:
    import polars as pl

SCHEMA: Final = "bitlane.study/1"
_POLL_S: Final = 0.2
MANIFEST, TABLE, _PAGE, _TRAINED = "study.json", "points.parquet", "report.html", "trained"


@dataclass(frozen=True)
class Point:
    """One network: its multiplier, the name of its mode, and the training seed."""

    multiplier: float
    mode: str
    seed: int

    @property
    def key(self) -> str:
        """A file name of its own."""
        mode = "".join(c if c.isalnum() else "_" for c in self.mode)
        return f"{self.multiplier:g}-{mode}-{self.seed}"


Outcome = dict[str, Any]
Train = Callable[[StudySpec, Point, Path], Outcome]
"""Trains, executes and keeps one network below a folder; what it says of it goes into the table."""


def points_of(spec: StudySpec) -> tuple[Point, ...]:
    """Every network, the seeds of one width and mode beside each other."""
    seeds = spec.study.training.seeds if spec.study.training else 1
    return tuple(
        Point(multiplier, mode, seed)
        for multiplier in spec.study.multipliers
        for mode in spec.study.modes
        for seed in range(seeds)
    )


def run(
    path: Path,
    spec: StudySpec,
    folder: Path,
    train: Train | None,
    *,
    resume: bool,
    workers: int = 1,
) -> Iterator[int]:
    """Train what the folder lacks, then write the table and the page; yields networks done.

    With several `workers`, processes of this machine, each takes the networks of one width.
    """
    from analysis.study_page import page

    machines = machines_of(path, spec)
    priced = costs(spec, machines)
    make_folder(folder)
    with locked(folder):
        _claim(folder, spec, resume=resume)
        outcomes = dict[Point, Outcome]()
        if train is not None:
            for point, outcome in _outcomes(spec, folder, train, workers):
                outcomes[point] = outcome
                yield len(outcomes)
        table = table_of(spec, priced, outcomes)
        with replacing(folder / TABLE) as place:
            table.write_parquet(place)
        write_text(folder / _PAGE, page(spec, table))


def costs(spec: StudySpec, machines: Any) -> dict[tuple[float, str, str], Cost]:
    """By multiplier, mode and machine."""
    found = {}
    for multiplier in spec.study.multipliers:
        graph = shapes_of(spec, multiplier)
        for name, mode in spec.study.modes.items():
            for on in spec.machines:
                found[multiplier, name, on] = cost_of(graph, mode, machines[on, name])
    return found


def table_of(
    spec: StudySpec,
    found: dict[tuple[float, str, str], Cost],
    outcomes: dict[Point, Outcome],
) -> "pl.DataFrame":
    """A row a network, seed and machine; `value` is what the machine's objective counts."""
    import polars as pl

    rows = []
    for point in points_of(spec):
        outcome = outcomes.get(point, {})
        mode = spec.study.modes[point.mode]
        for name, on in spec.machines.items():
            cost = found[point.multiplier, point.mode, name]
            rows.append(
                {
                    "multiplier": point.multiplier,
                    "mode": point.mode,
                    "bits": mode.bits,
                    "ends": mode.ends,
                    "seed": point.seed,
                    "machine": name,
                    "objective": on.objective,
                    "value": getattr(cost, on.objective),
                    "accuracy": outcome.get("accuracy"),
                    "macs": cost.macs,
                    "latency_s": cost.latency_s,
                    "energy_j": cost.energy_j,
                    "cost": cost.cost,
                    "cycles": cost.cycles,
                    "area_mm2": cost.area_mm2,
                    "refused": cost.refused,
                }
            )
    return pl.DataFrame(rows, infer_schema_length=None)


def study_command(
    path: Path,
    out: Path | None,
    resume: bool,
    workers: int | None,
    others: Mapping[str, object],
) -> None:
    """`bitlane sweep` of a study: train, price, show. `others` are options that it does not take.

    `workers` processes train, as many as there are processors where it is None. Raises
    BitlaneError for one of `others` that was given.
    """
    from rich.console import Console
    from rich.progress import Progress

    stray = next((name for name, value in others.items() if value is not None), None)
    if stray is not None:
        raise BitlaneError(f"{stray}: {path} is a study, which takes --out, --resume and --workers")
    if out is None:
        raise BitlaneError("Missing option '--out'. (see bitlane sweep --help)")
    spec = study_of(load_yaml(path))
    train = trainer(spec)
    total = len(points_of(spec))
    count = min(workers or os.cpu_count() or 1, len(spec.study.multipliers))
    console = Console(stderr=True)
    done = 0
    try:
        with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
            task = bar.add_task(spec.name, total=total)
            for done in run(path, spec, out, train, resume=resume, workers=count):
                bar.update(task, completed=done)
    except KeyboardInterrupt:
        raise Interrupted(
            f"interrupted; {done} of {total} networks are kept in {out}; go on with --resume"
        ) from None
    print(summary(spec, out))


def trainer(spec: StudySpec) -> Train | None:
    """What trains the networks of a study; raises Unsupported where the extra is missing."""
    if spec.study.training is None:
        return None
    from analysis.study_training import train

    return train


def summary(spec: StudySpec, folder: Path) -> str:
    """What lies on each machine's front, in lines."""
    import polars as pl

    from analysis.study_fronts import told

    table = pl.read_parquet(folder / TABLE)
    count = len(points_of(spec))
    lines = [f"{spec.name}: {count} networks on {len(spec.machines)} machines in {folder}"]
    return "\n".join([*lines, *told(spec, table)])


def _outcomes(
    spec: StudySpec, folder: Path, train: Train, workers: int
) -> Iterator[tuple[Point, Outcome]]:
    """Every network's outcome: first those that the folder has, then those that are trained."""
    missing = []
    for point in points_of(spec):
        held = _kept(folder, point)
        if held is None:
            missing.append(point)
        else:
            yield point, held
    # The networks of one width share what is compiled, so they stay in one process.
    by_width = {m: [p for p in missing if p.multiplier == m] for m in spec.study.multipliers}
    if workers == 1 or len(missing) < 2:
        for point in missing:
            yield point, _train_one(spec, point, folder, train)
        return
    waiting = set(missing)
    with worker_pool(workers) as pool:
        # The widest take longest: first.
        tasks = [
            pool.submit(_train_all, spec, by_width[width], folder, train)
            for width in sorted(by_width, reverse=True)
            if by_width[width]
        ]
        while waiting:
            done, _ = wait(tasks, timeout=_POLL_S, return_when=FIRST_EXCEPTION)
            for task in done:
                task.result()
            for point in [p for p in missing if p in waiting]:
                held = _kept(folder, point)
                if held is not None:
                    waiting.remove(point)
                    yield point, held


def _train_all(spec: StudySpec, points: Sequence[Point], folder: Path, train: Train) -> None:
    for point in points:
        _train_one(spec, point, folder, train)


def _train_one(spec: StudySpec, point: Point, folder: Path, train: Train) -> Outcome:
    outcome = train(spec, point, folder / _TRAINED)
    write_json(folder / _TRAINED / f"{point.key}.json", outcome)
    return outcome


def _kept(folder: Path, point: Point) -> Outcome | None:
    """What the folder has of a network; None where it is missing or damaged."""
    try:
        held = json.loads((folder / _TRAINED / f"{point.key}.json").read_text(encoding="utf-8"))
        return held if 0 <= float(held["accuracy"]) <= 1 else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


@contextmanager
def worker_pool(workers: int) -> Iterator[ProcessPoolExecutor]:
    """Fresh processes that leave Ctrl-C to this one; what they have not begun is dropped by it."""
    pool = ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_ignore_ctrl_c)
    try:
        yield pool
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        for process in list((pool._processes or {}).values()):
            process.terminate()
        raise
    pool.shutdown()


def _ignore_ctrl_c() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _claim(folder: Path, spec: StudySpec, *, resume: bool) -> None:
    """Make the folder this study's; raises RunFolderBusy where it holds another run."""
    file = folder / MANIFEST
    manifest = {"schema": SCHEMA, "spec": json.loads(spec.model_dump_json())}
    if not file.exists():
        if any(entry.name != LOCK for entry in folder.iterdir()):
            raise RunFolderBusy(f"{folder}: it holds files that are no study's; give an empty one")
        make_folder(folder / _TRAINED)
        write_json(file, manifest)
        return
    try:
        held = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise BitlaneError(f"{file}: not a study's manifest; give another folder") from None
    if not resume:
        raise RunFolderBusy(f"{folder}: it holds a study; add --resume or give another folder")
    if held.get("spec", {}).get("study") != manifest["spec"]["study"]:
        raise RunFolderBusy(
            f"{folder}: it holds a study of other networks or another training; give another folder"
        )
    make_folder(folder / _TRAINED)
    write_json(file, manifest)  # Other machines may price the same networks.
