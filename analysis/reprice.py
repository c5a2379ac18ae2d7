"""A sweep priced again in another technology, from the actions that its layers keep.

Only prices and areas are made anew. Cycles, traffic and mappings are those of the sweep, so that a
mapping that was found by energy stays the one found in the first technology: the manifest says so
(`mapped_for`).
"""

import itertools
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from pydantic import ValidationError

import hwconfigs
from analysis.front import constrained
from analysis.identity import digest, identity
from analysis.spec import Scalar, SweepSpec
from analysis.store import TABLES, Store, open_store, writing
from analysis.summary import summary
from analysis.tables import ACTION_COLUMNS, actions_of, energy_ends, points_table
from simulator.designs import Evaluation, Ints
from simulator.document import Document, Entry, Place
from simulator.errors import BadConfig, BadFile
from simulator.machines.actions import (
    ACTIONS,
    COMPONENT_NAMES,
    TOO_MUCH_ENERGY,
    TOTAL_REFUSAL,
    TOTAL_REFUSED_LAYER,
)
from simulator.machines.base import Machine
from simulator.machines.platform import Platform
from simulator.machines.registry import machine_from
from simulator.machines.spatial import Spatial
from simulator.machines.systolic import Systolic
from simulator.priced import priced, prices_of
from simulator.yaml_source import parse_entry

if TYPE_CHECKING:
    import polars as pl

_TECHNOLOGY: Final = "technology"
_OBJECTIVES: Final = ("mapping.objective", "depth_first.objective", "depth_first.tile_rows")
"""Fields that say what a mapping is chosen by."""
_PRICED: Final = frozenset({"cost", "cost_low", "cost_high", "outside"})
"""Columns that a technology may have or not."""


@dataclass(frozen=True)
class Repricing:
    """A finished sweep and the technology that it is priced in again."""

    source: Store
    spec: SweepSpec
    base: Document

    @property
    def axes(self) -> tuple[str, ...]:
        """Dotted paths of the axes."""
        return tuple(self.spec.values)

    def machine(self, values: Sequence[Scalar]) -> Machine:
        """The design with these axis values, in the new technology."""
        document = self.base
        for axis, value in zip(self.axes, values, strict=True):
            place = Place(f"axes.{axis}")
            document = document.with_entry(axis.split("."), Entry(value, place))
        return machine_from(document)

    def manifest(self) -> dict[str, Any]:
        """That of the sweep, but for its technology; what it came from, and was mapped for."""
        machine, kept = self.base.root.plain(), self.source.manifest
        mapped_for = kept.get("mapped_for") or self._mapped_for()
        changed = identity(self.spec, machine)
        origin = {"repriced_from": digest(kept), "mapped_for": mapped_for}
        return kept | {"machine": machine} | changed | origin

    def _mapped_for(self) -> dict[str, Any]:
        """What mappings were chosen by, and the technology whose prices they saw."""
        values = self.spec.values
        varied = [values[a] if a in _OBJECTIVES else values[a][:1] for a in self.axes]
        designs = [self.machine(design) for design in itertools.product(*varied)]
        return {
            "objective": sorted({objective_of(machine) for machine in designs}),
            "technology": self.source.manifest["machine"][_TECHNOLOGY]["name"],
            "by_price": any(chosen_by_price(machine) for machine in designs),
        }

    def chunk(self, index: int) -> tuple["pl.DataFrame", "pl.DataFrame"]:
        """Tables of points and layers of one chunk, with the prices of the new technology."""
        layers, points = (self.source.table(name, index) for name in TABLES)
        ids = self.source.points_of(index)
        machines = [self.machine(values) for values in self.spec.designs(ids.start, ids.stop)]
        reasons = points["refused"].to_list()
        self._check_reasons(reasons, machines)
        ran = [at for at, reason in enumerate(reasons) if reason is None]
        result = self._evaluation(points, layers, machines)
        for at in np.flatnonzero(result.refused).tolist():
            if reasons[at] is None:
                reasons[at] = self._too_much(machines[at], result, at)
        columns = {name: points[name] for name in ("point", *self.axes)}
        batch, ends = self.spec.batch, energy_ends(machines, result)
        made = points_table(columns, machines, result, batch, reasons, ends)
        made = constrained(made, self.spec.constraints)
        return _with_others(made, points), _with_energies(layers, result, machines[0], ran)

    def _evaluation(
        self, points: "pl.DataFrame", layers: "pl.DataFrame", machines: Sequence[Machine]
    ) -> Evaluation:
        """The kept actions at the prices of the machines."""
        refused = points["refused"].is_not_null().to_numpy()
        actions = np.zeros((len(points), len(self.source.manifest["layers"]), ACTIONS), np.int64)
        actions[~refused] = self._kept_actions(points.filter(~refused), layers, actions.shape[1])
        prices, areas_mm2 = prices_of(machines)
        totals, energies = priced(actions, prices, refused.astype(np.int64))
        latency_s = points["latency_s"].fill_null(np.nan).to_numpy()
        latency_s = np.where(totals[:, TOTAL_REFUSAL] != 0, np.nan, latency_s)
        return Evaluation(totals, areas_mm2, latency_s, actions, energies)

    def _kept_actions(self, ran: "pl.DataFrame", layers: "pl.DataFrame", count: int) -> Ints:
        """Actions [designs that ran, count, ACTIONS]; raises BadFile where they are not kept."""
        place = self.source.folder / "layers"
        if len(ran) and (layers.is_empty() or not set(ACTION_COLUMNS) <= set(layers.columns)):
            raise BadFile(
                f"{place}: holds no actions to price; run the sweep again with keep_layers: true "
                "and another --out"
            )
        if layers["point"].to_list() != [i for i in ran["point"].to_list() for _ in range(count)]:
            raise BadFile(f"{place}: lacks layers of some points; run the sweep again")
        return actions_of(layers, count)

    def _check_reasons(self, reasons: Sequence[str | None], machines: Sequence[Machine]) -> None:
        """Refuse a sweep some of whose designs are refused for nothing but their energy."""
        for reason, machine in zip(reasons, machines, strict=True):
            if reason is not None and reason.endswith(machine.refusals[TOO_MUCH_ENERGY]):
                technology = self.source.manifest["machine"][_TECHNOLOGY]["name"]
                raise BadFile(
                    f"{self.source.folder}: a design is refused for its energy in {technology} "
                    "and keeps no layers; run a sweep in the other technology instead"
                )

    def _too_much(self, machine: Machine, result: Evaluation, at: int) -> str:
        """Why a design whose energy is counted no more is refused, as `estimate` words it."""
        manifest = self.source.manifest
        name, kind = manifest["layers"][int(result.totals[at, TOTAL_REFUSED_LAYER])]
        reason = machine.refusals[TOO_MUCH_ENERGY]
        return f"{manifest['model']}, {name} ({kind}) on {machine.name}: {reason}"


def objective_of(machine: Machine) -> str:
    """What the mapping of a machine is searched for: as its own field says, else as its kind does.

    A systolic array keeps on chip what moves least; `cpu` and `dsp` have one mapping.
    """
    if isinstance(machine, Spatial):
        return machine.mapping.objective
    if machine.depth_first.tile_rows:
        return machine.depth_first.objective
    return "traffic" if isinstance(machine, Systolic) else "none"


def chosen_by_price(machine: Machine) -> bool:
    """Whether other prices may make another mapping the best: by latency they break its ties."""
    if isinstance(machine, Spatial):
        return True
    return bool(machine.depth_first.tile_rows) and machine.depth_first.objective == "energy"


def _with_others(made: "pl.DataFrame", points: "pl.DataFrame") -> "pl.DataFrame":
    """The table with those columns of a sweep that no price changes, in the sweep's order."""
    others = [c for c in points.columns if c not in made.columns and c not in _PRICED]
    joined = made.with_columns(points[name] for name in others)
    if set(joined.columns) == set(points.columns):
        return joined.select(points.columns)
    return joined


def _with_energies(
    layers: "pl.DataFrame", result: Evaluation, machine: Machine, ran: Sequence[int]
) -> "pl.DataFrame":
    """The table of layers of designs that `ran`, with new femtojoules where they still do."""
    import polars as pl

    energies = result.energy_fj[ran].reshape(-1, result.energy_fj.shape[2])
    names = [f"{name}_fj" for name in (*COMPONENT_NAMES, *machine.levels)]
    told = layers.with_columns(pl.Series(name, energies[:, c]) for c, name in enumerate(names))
    return told.filter(~np.repeat(result.refused[ran], result.actions.shape[1]))


def repricing(folder: Path, technology: str) -> Repricing:
    """What `folder` holds, with a technology by shipped name or file for its base machine.

    Raises BadFile where the sweep is not finished or another version's, BadConfig where technology
    is one of its axes or its machine is a platform.
    """
    source = open_store(folder)
    if source.kept < source.manifest["points"]:
        raise BadFile(
            f"{folder}: {source.kept} of {source.manifest['points']} points are kept; "
            "finish the sweep by --resume first"
        )
    try:
        spec = SweepSpec.model_validate_json(json.dumps(source.manifest["spec"]))
    except ValidationError:
        raise BadFile(f"{folder}: the 'spec' in its manifest is of another version") from None
    for axis in spec.values:
        if _TECHNOLOGY in axis.split("."):
            raise BadConfig(
                f"{folder}: '{axis}' is an axis: the sweep is priced in each of its own"
            )
    if source.manifest["machine"].get("model") == Platform.kind():
        raise BadConfig(
            f"{folder}: a platform's units have technologies of their own; set them in its YAML "
            "and run the sweep again"
        )
    entry = hwconfigs.technology(technology)
    label = str(folder / "manifest.json")
    root = parse_entry(json.dumps(source.manifest["machine"]), label)
    base = Document(label, root).with_entry((_TECHNOLOGY,), entry)
    return Repricing(source, spec, base)


def reprice(folder: Path, technology: str, out: Path, *, resume: bool = False) -> Store:
    """Price a finished sweep in another technology into a folder of its own; raises as `repricing`.

    The new folder is a sweep's: `open_store`, `report` and `reprice` take it.
    """
    made = repricing(folder, technology)
    if out.resolve() == folder.resolve():
        raise BadFile(f"--out {out}: holds the sweep itself; choose another folder")
    manifest = json.loads(json.dumps(made.manifest()))
    with writing(out, manifest, resume=resume) as store:
        for index in range(store.chunks):
            if not store.intact(index):
                store.write(index, *made.chunk(index))
    return store


def reprice_command(folder: Path, technology: str, out: Path, resume: bool) -> None:
    """Price a sweep again, then say what lies on the front and what was not searched again."""
    store = reprice(folder, technology, out, resume=resume)
    spec = SweepSpec.model_validate_json(json.dumps(store.manifest["spec"]))
    print(summary(store, spec))
    mapped = store.manifest["mapped_for"]
    if mapped["by_price"]:
        print(
            f"\nmappings are those found for {', '.join(mapped['objective'])} in "
            f"{mapped['technology']}; a sweep in another technology may find others"
        )
