"""What a sweep would take, measured on a sample of its designs: points, time, disk. Writes none."""

import io
import math
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from analysis.axes import field_of
from analysis.files import tell, write_json
from analysis.grid import Ints
from analysis.layout import BASE
from analysis.spec import SweepSpec
from analysis.sweeps import Sweep
from analysis.text import grouped, si

if TYPE_CHECKING:
    import polars as pl

SAMPLED: Final = 512
"""Designs that are measured at most, and the seed they are drawn with."""
SEED: Final = 0
FIRST: Final = 16
"""Measured first; of slow designs no more than fit in `LONGEST_S` follow."""
LONGEST_S: Final = 5.0
EXECUTED: Final = 5
"""Designs whose arithmetic is executed on the labelled set, if there is one."""
_STEP: Final = 1 << 18
UNCOUNTED: Final = ("decompress", "gating", "scale_bits", "serial_operand")
"""Fields of a datapath that change no bit, only costs."""


@dataclass(frozen=True)
class Plan:
    """What a sweep would take.

    points : designs, `axes` of them to choose from, by name.
    distinct : different settings of the arithmetic, of everything but arithmetic and technology,
        and of the technology.
    measured : designs that were evaluated for the figures below, after one of each base to compile.
    points_per_second, seconds : in one process; the seconds are with those of `accuracy_s`.
    accuracy_s : to execute the labelled set once for each setting of the arithmetic; 0 without one.
    disk_bytes : of both tables; `layers` are kept or not.
    """

    name: str
    points: int
    axes: dict[str, int]
    distinct: dict[str, int]
    measured: int
    points_per_second: float
    seconds: float
    accuracy_s: float
    disk_bytes: int
    keeps_layers: bool


def plan(sweep: Sweep, clock: Callable[[], float] = time.perf_counter) -> Plan:
    """Measure a sweep on a sample of its designs, drawn with a fixed seed."""
    spec = sweep.spec
    places = np.random.default_rng(SEED).permutation(_drawn(spec.count))
    sampled = np.concatenate([spec.choices(i, i + 1) for i in places.tolist()])
    if sweep.accuracies is not None:
        sweep.accuracies.executes = False
    sweep.tables(_one_of_each_base(spec, sampled))
    taken, done, seconds, tables = FIRST, 0, 0.0, []
    while done < len(sampled):
        start = clock()
        tables.append(sweep.tables(_in_order(sampled[done : done + taken])))
        seconds += clock() - start
        done = min(done + taken, len(sampled))
        room = int((LONGEST_S - seconds) * done / max(seconds, 1e-9))
        if room < 1:
            break
        taken = room
    rate = done / max(seconds, 1e-9)
    parts = [_parquet_bytes([pair[which] for pair in tables]) for which in (0, 1)]
    share = spec.count / done
    keeps = bool(len(tables[0][1]))
    settings = distinct(spec)
    executing = settings["arithmetic"] * _executing(sweep, sampled, clock)
    return Plan(
        name=spec.name,
        points=spec.count,
        axes=dict(zip(spec.layout.names, spec.sizes, strict=True)),
        distinct=settings,
        measured=done,
        points_per_second=rate,
        seconds=spec.count / rate + executing,
        accuracy_s=executing,
        disk_bytes=round(share * (parts[0] + (parts[1] if keeps else 0))),
        keeps_layers=keeps,
    )


def distinct(spec: SweepSpec) -> dict[str, int]:
    """How many different settings designs have of the arithmetic, the hardware, the technology."""
    kinds = [_kinds(paths) for paths in spec.layout.members]
    counts = {}
    for kind in ("arithmetic", "hardware", "technology"):
        axes = [axis for axis, own in enumerate(kinds) if kind in own]
        counts[kind] = _different(spec, axes)
    return counts


def _kinds(paths: Iterable[str]) -> set[str]:
    """What an axis belongs to; a base machine to everything."""
    found = set()
    for path in paths:
        steps = field_of(path).split(".")
        if path == BASE:
            return {"arithmetic", "hardware", "technology"}
        if "technology" in steps:
            found.add("technology")
        elif "datapath" in steps and not set(steps) & set(UNCOUNTED):
            found.add("arithmetic")
        else:
            found.add("hardware")
    return found


def _different(spec: SweepSpec, axes: Sequence[int]) -> int:
    """Distinct settings of some axes among all designs, looked at `_STEP` designs at a time."""
    if spec.sample is None and not any(spec.layout.grid.conditions):
        return math.prod(spec.sizes[axis] for axis in axes)
    seen: set[bytes] = set()
    kind = np.dtype((np.void, 4 * len(axes) or 1))
    for first in range(0, spec.count, _STEP):
        part = spec.choices(first, first + _STEP)[:, list(axes)].astype(np.int32)
        rows = np.ascontiguousarray(part).view(kind) if axes else np.zeros(1, kind)
        seen.update(row.tobytes() for row in np.unique(rows))
    return len(seen)


def _executing(sweep: Sweep, sampled: Ints, clock: Callable[[], float]) -> float:
    """Seconds to execute the labelled set, if there is one: the most of some arithmetics."""
    if sweep.accuracies is None:
        return 0.0
    sweep.accuracies.executes = True
    taken = []
    for values in sweep.spec.layout.rows(sampled[:EXECUTED]):
        machine, before = sweep.machine(values), sweep.accuracies.evaluated
        start = clock()
        sweep.accuracies.of(machine)
        if sweep.accuracies.evaluated > before:
            taken.append(clock() - start)
    # The first compiles and runs the set in the graph's own arithmetic too.
    return max(taken[1:] or taken, default=0.0)


def _drawn(count: int) -> Ints:
    if count <= SAMPLED:
        return np.arange(count)
    return np.random.default_rng(SEED).choice(count, SAMPLED, replace=False, shuffle=False)


def _one_of_each_base(spec: SweepSpec, sampled: Ints) -> Ints:
    """The designs that are compiled for: machines of one base run the same kernels."""
    if not isinstance(spec.base, list):
        return sampled[:1]
    return sampled[np.unique(sampled[:, 0], return_index=True)[1]]


def _in_order(choices: Ints) -> Ints:
    """Designs as a sweep has them: those of one base machine together."""
    return choices[np.lexsort(choices.T[::-1])]


def _parquet_bytes(tables: "Sequence[pl.DataFrame]") -> int:
    import polars as pl

    buffer = io.BytesIO()
    pl.concat(tables).write_parquet(buffer)
    return buffer.getbuffer().nbytes


def text_of(made: Plan) -> str:
    """The plan in a few lines."""
    axes = " x ".join(f"{name} {size}" for name, size in made.axes.items())
    kinds = ", ".join(f"{count} of the {kind}" for kind, count in made.distinct.items())
    layers = "with layers" if made.keeps_layers else "without layers"
    runs = f"accuracy: {made.distinct['arithmetic']} evaluations at most"
    executing = [f"{runs}, {si(made.accuracy_s, 's')} of that time"] if made.accuracy_s else []
    return "\n".join(
        [
            f"{made.name}: {grouped(made.points)} points of {axes}",
            f"distinct settings: {kinds}",
            f"time: {si(made.seconds, 's')} in one process, {made.points_per_second:.3g} points a "
            f"second (measured on {made.measured} of them, compiled before)",
            *executing,
            f"disk: {si(made.disk_bytes, 'B')}, {layers}",
        ]
    )


def dry_run_command(spec: Path, json: Path | None, data: str | None = None) -> None:
    """Print the plan of a sweep, and write it as JSON if asked for."""
    made = plan(Sweep(spec, data=data))
    tell(text_of(made), json)
    if json is not None:
        write_json(json, {"schema": "bitlane.dry_run/1", **asdict(made)})
