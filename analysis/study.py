"""A study: networks of many widths and operand widths, their accuracies, and what each costs.

Each network is trained and executed once, its result kept in the folder; costs follow from shapes
and widths alone and are made anew. `analysis.study_page` shows the fronts side by side.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from analysis.files import make_folder, replacing, write_json, write_text
from analysis.study_costs import Cost, cost_of, machines_of, shapes_of
from analysis.study_spec import StudySpec, study_of
from analysis.terminal import Interrupted
from simulator.config import load_yaml
from simulator.errors import BitlaneError, RunFolderBusy

if TYPE_CHECKING:
    import polars as pl

SCHEMA: Final = "bitlane.study/1"
_MANIFEST, _TABLE, _PAGE, _TRAINED = "study.json", "points.parquet", "report.html", "trained"


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
    path: Path, spec: StudySpec, folder: Path, train: Train | None, *, resume: bool
) -> Iterator[int]:
    """Train what the folder lacks, then write the table and the page; yields networks done."""
    machines = machines_of(path, spec)
    _claim(folder, spec, resume=resume)
    outcomes = dict[Point, Outcome]()
    for done, point in enumerate(points_of(spec)):
        if spec.study.training is not None and train is not None:
            outcomes[point] = _trained(spec, point, folder, train)
        yield done + 1
    from analysis.study_page import page

    table = table_of(spec, costs(spec, machines), outcomes)
    with replacing(folder / _TABLE) as place:
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


def study_command(path: Path, out: Path | None, resume: bool, others: Mapping[str, object]) -> None:
    """`bitlane sweep` of a study: train, price, show. `others` are options that it does not take.

    Raises BitlaneError for one of these that was given.
    """
    from rich.console import Console
    from rich.progress import Progress

    stray = next((name for name, value in others.items() if value is not None), None)
    if stray is not None:
        raise BitlaneError(f"{stray}: {path} is a study, which takes --out and --resume alone")
    if out is None:
        raise BitlaneError("Missing option '--out'. (see bitlane sweep --help)")
    spec = study_of(load_yaml(path))
    train = trainer(spec)
    total = len(points_of(spec))
    console = Console(stderr=True)
    done = 0
    try:
        with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
            task = bar.add_task(spec.name, total=total)
            for done in run(path, spec, out, train, resume=resume):
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

    table = pl.read_parquet(folder / _TABLE)
    count = len(points_of(spec))
    lines = [f"{spec.name}: {count} networks on {len(spec.machines)} machines in {folder}"]
    return "\n".join([*lines, *told(spec, table)])


def _trained(spec: StudySpec, point: Point, folder: Path, train: Train) -> Outcome:
    """What is known of a network: read where it was trained already."""
    file = folder / _TRAINED / f"{point.key}.json"
    if file.exists():
        try:
            held: Outcome = json.loads(file.read_text(encoding="utf-8"))
            if isinstance(held, dict) and 0 <= float(held["accuracy"]) <= 1:
                return held
        except (OSError, ValueError, KeyError, TypeError):
            pass  # Damaged: it is trained again.
    outcome = train(spec, point, folder / _TRAINED)
    write_json(file, outcome)
    return outcome


def _claim(folder: Path, spec: StudySpec, *, resume: bool) -> None:
    """Make the folder this study's; raises RunFolderBusy where it holds another run."""
    make_folder(folder)
    file = folder / _MANIFEST
    manifest = {"schema": SCHEMA, "study": spec.study.model_dump(mode="json")}
    if not file.exists():
        if any(folder.iterdir()):
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
    if held != json.loads(json.dumps(manifest)):
        raise RunFolderBusy(
            f"{folder}: it holds a study of other networks or another training; give another folder"
        )
    make_folder(folder / _TRAINED)
