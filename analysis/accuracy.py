"""Accuracy as a column of a design space: executed once for each distinct arithmetic.

`Accuracies` keeps what `analysis.scoring.evaluate` finds under the arithmetic alone, in memory and
in a folder, so that a hundred thousand machines with twelve arithmetics run the set twelve times.
"""

import hashlib
import json
import re
from collections.abc import Callable, Hashable, Sequence
from dataclasses import asdict, replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

import hwconfigs
import workloads
from analysis.arithmetic import Arithmetic, arithmetic_key
from analysis.files import make_folder, write_json
from analysis.grid import Ints
from analysis.labelled import LabelledSet, load_labelled
from analysis.scoring import Accuracy, evaluate
from analysis.tables import axis_columns
from simulator.errors import BadConfig
from simulator.graph import Graph
from simulator.jit import tree_stamp
from simulator.machines.base import Machine
from simulator.narrow import Datapaths
from simulator.platforms import Timelines
from workloads.source import fingerprint
from workloads.topology_csv import require_values

if TYPE_CHECKING:
    import polars as pl

    from analysis.mix import Network
    from analysis.sweeps import Sweep

SCHEMA: Final = "bitlane.accuracy/1"
METRICS: Final = ("accuracy", "sqnr_db", "overflow_rate")
REFUSED: Final = "accuracy_refused"
"""The column that says why there is none of `METRICS`."""
FOLDER: Final = "accuracy"
"""Where a run's folder keeps them."""
PLACES: Final = "places"
"""A column of a platform's designs while they are costed: the unit of each node, by number."""


def accuracy(
    model: str | Path | Graph, data: str | Path | LabelledSet, machine: str | Machine | None = None
) -> Accuracy:
    """The accuracy of a model on a labelled set in a machine's arithmetic, or in its own.

    `model` and `machine` are named as on the command line, `data` is an `.npz` or `zoo:digits`.
    """
    graph = model if isinstance(model, Graph) else require_values(workloads.load(model))
    known = data if isinstance(data, LabelledSet) else load_labelled(graph, data)
    if machine is None:
        return evaluate(graph, known)
    target = machine if isinstance(machine, Machine) else hwconfigs.load(machine)
    return Accuracies(graph, known, "").of(target)


def accuracies_of(networks: "Sequence[Network]", data: str | Path) -> "Accuracies":
    """An empty store of the accuracies of a sweep's network; refuses a sweep of several."""
    if len(networks) > 1:
        raise BadConfig(
            f"a labelled set is of one network, and this sweep has {len(networks)}; give workload: "
            "in place of workloads:"
        )
    graph = require_values(networks[0].graph)
    return Accuracies(graph, load_labelled(graph, data), fingerprint(networks[0].model))


def execute_all(sweep: "Sweep") -> None:
    """Every arithmetic of a sweep before its designs, so that its copies in other processes know.

    Of a platform those of the first of designs whose units have the same fields.
    """
    if sweep.accuracies is None:
        return
    spec, step = sweep.spec, 1 << 18
    axes = [i for i, paths in enumerate(spec.layout.members) if any(map(_decides, paths))]
    seen: set[tuple[int, ...]] = set()
    for first in range(0, spec.count, step):
        choices = spec.choices(first, first + step)
        rows, at = np.unique(choices[:, axes], axis=0, return_index=True)
        for row, i in zip(map(tuple, rows.tolist()), at.tolist(), strict=True):
            if row not in seen:
                seen.add(row)
                sweep.accuracies.know(*_design(sweep, choices[i : i + 1]))


def _design(sweep: "Sweep", choice: Ints) -> tuple["pl.DataFrame", Machine]:
    """A design as a table of its axes and as its machine."""
    layout = sweep.spec.layout
    return axis_columns(layout, choice, 0), sweep.machine(layout.rows(choice)[0])


class Accuracies:
    """Accuracies of one graph on one labelled set, kept by arithmetic.

    `evaluated` counts the executions of the set that were run, `found` those taken from `folder`,
    if there is one. A file there is named after the hash of all that decides what it holds. Where
    `executes` is not set, columns stay null.
    """

    def __init__(self, graph: Graph, data: LabelledSet, model_digest: str) -> None:
        self.graph = graph
        self.data = data
        self.folder: Path | None = None
        self.executes = True
        self.evaluated = 0
        self.found = 0
        self._model = model_digest
        self._known: dict[Arithmetic, Accuracy] = {}
        self._groups: dict[Hashable, Accuracy] = {}

    def __getstate__(self) -> dict[str, Any]:
        """What travels to another process: all that is known, but not the folder of this one."""
        return self.__dict__ | {"folder": None}

    def keep_in(self, folder: Path) -> None:
        """Take from the run in `folder` what is kept there, and keep there what is executed."""
        self.folder = folder / FOLDER

    @property
    def summary(self) -> str:
        """How many executions there were, in one line."""
        known = len(self._known)
        apart = "one arithmetic" if known == 1 else f"{known} different arithmetics"
        runs = "evaluation" if self.evaluated == 1 else "evaluations"
        return (
            f"accuracy: {len(self._groups)} datapaths, {apart}; {self.evaluated} {runs} run on "
            f"{self.data.count} samples of {self.data.place}, {self.found} taken from the folder"
        )

    def of(self, machine: Machine, places: Sequence[int] | None = None) -> Accuracy:
        """The accuracy of a machine's arithmetic, executed where it is not known yet."""
        key, datapath = arithmetic_key(self.graph, machine, places)
        if key not in self._known:
            self._known[key] = self._kept(key, datapath)
        return self._known[key]

    def know(self, design: "pl.DataFrame", machine: Machine) -> None:
        """Execute the arithmetic of a design, a row of axes, so that `columns` knows it."""
        (group,) = _groups(design)
        if group not in self._groups:
            self._groups[group] = self.of(machine)

    def places(self, lines: Timelines) -> "pl.Series":
        """The unit of each node on platforms, as the column that `columns` takes it from."""
        import polars as pl

        return pl.Series(PLACES, lines.places.tolist(), dtype=pl.List(pl.Int64))

    def columns(self, points: "pl.DataFrame", machine: Callable[[int], Machine]) -> "pl.DataFrame":
        """A table of designs with `METRICS` and `REFUSED`, why these are null.

        `points` has a row a design, a column an axis by its dotted path, `refused` (such rows stay
        null), and `PLACES` where designs are platforms: the result is without. `machine` gives the
        machine of a row; it is asked once for all rows that agree in what an arithmetic can depend
        on.
        """
        import polars as pl

        rows = [Accuracy()] * len(points)
        groups = _groups(points)
        where = points[PLACES].to_list() if PLACES in points.columns else [None] * len(points)
        for i, refused in enumerate(points["refused"].is_not_null()):
            if refused or not self.executes:
                continue
            if groups[i] not in self._groups:
                self._groups[groups[i]] = self.of(machine(i), where[i])
            rows[i] = self._groups[groups[i]]
        kinds = dict.fromkeys(METRICS, pl.Float64()) | {REFUSED: pl.String()}
        fields = dict(zip(METRICS, METRICS, strict=True)) | {REFUSED: "refused"}
        made = {column: [getattr(row, name) for row in rows] for column, name in fields.items()}
        return points.drop(PLACES, strict=False).with_columns(pl.DataFrame(made, schema=kinds))

    def _kept(self, key: Arithmetic, datapath: Datapaths) -> Accuracy:
        if key.refused:
            return Accuracy(refused=key.refused)
        path = self.folder / f"{self._name(key)}.json" if self.folder else None
        if path is not None and (kept := _read(path)) is not None:
            self.found += 1
            return kept
        made = evaluate(self.graph, self.data, datapath)
        self.evaluated += 1
        if any(sums.any_order for _, sums in key.sums):
            made = replace(made, overflow_rate=None, overflows={})
        if path is not None:
            make_folder(path.parent)
            write_json(path, {"schema": SCHEMA, **asdict(made)})
        return made

    def _name(self, key: Arithmetic) -> str:
        """The hash of the arithmetic, the model, the data and the versions that execute them."""
        versions = [version(p) for p in ("bitlane", "numpy", "numba")]
        parts = [SCHEMA, repr(key), self._model, self.graph.dialect, self.data.digest]
        return hashlib.sha256(json.dumps([*parts, tree_stamp(), *versions]).encode()).hexdigest()


def _read(path: Path) -> Accuracy | None:
    """A kept accuracy; None where there is none, or the file is no such document."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        if document.pop("schema") != SCHEMA:
            return None
        numbers = [document[name] for name in METRICS]
        whole = all(v is None or isinstance(v, int | float) for v in numbers)
        return Accuracy(**document) if whole else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _groups(points: "pl.DataFrame") -> list[Hashable]:
    """For each row what its arithmetic can depend on: the axes that decide it, and `PLACES`."""
    axes = [name for name in points.columns if _decides(name)]
    rows = points.select(axes).rows() if axes else [()] * len(points)
    if PLACES not in points.columns:
        return list(rows)
    return [(*row, tuple(p or ())) for row, p in zip(rows, points[PLACES].to_list(), strict=True)]


def _decides(axis: str) -> bool:
    """Whether the arithmetic of a machine, or of a platform's units, can depend on an axis.

    It comes with the datapath, and with the machine itself: `base`, `model`, `host`, `units.npu`.
    """
    return bool(re.match(r"(host\.|units\.[^.]+\.)?(base|model|datapath)(\.|$)", axis)) or bool(
        re.fullmatch(r"host|units|units\.[^.]+", axis)
    )
