"""A sweep priced again in another technology, from the actions that its layers keep.

Only prices and areas are made anew. Cycles, traffic and mappings are those of the sweep, so that a
mapping that was found by energy stays the one found in the first technology: the manifest says so
(`mapped_for`).
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from pydantic import ValidationError

import hwconfigs
from analysis.accuracy import METRICS, REFUSED
from analysis.front import constrained, with_derived
from analysis.identity import digest, identity
from analysis.kept_layers import KeptLayers
from analysis.layout import BASE
from analysis.mix import mixed
from analysis.spec import Scalar, SweepSpec, Workload
from analysis.store import TABLES, Store, open_store, writing
from analysis.summary import summary
from analysis.sweep_checks import check_area, lacking
from analysis.tables import energy_ends, points_table
from simulator.designs import Evaluation, Ints
from simulator.document import Document, Entry, Place
from simulator.errors import BadConfig, BadFile
from simulator.layered import widest
from simulator.machine_set import machine_set
from simulator.machines.actions import TOO_MUCH_ENERGY, TOTAL_REFUSAL, TOTAL_REFUSED_LAYER
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
_DECIDE: Final = ("mapping.", "depth_first.", BASE)
"""How fields begin that say what a mapping is chosen by."""
_PRICED: Final = frozenset({"cost", "cost_low", "cost_high", "outside"})
"""Columns that a technology may have or not."""


@dataclass(frozen=True)
class Repricing:
    """A finished sweep, and its base machines in the technology that it is priced in again."""

    source: Store
    spec: SweepSpec
    bases: Mapping[str, Document]

    def machine(self, values: Sequence[Scalar | None]) -> Machine:
        """The design with these values of the sweep's axes, in the new technology."""
        chosen = dict(zip(self.spec.layout.paths, values, strict=True))
        several = isinstance(self.spec.base, list)
        document = self.bases[str(chosen.pop(BASE)) if several else self.spec.bases[0]]
        for axis, value in chosen.items():
            if value is not None:
                entry = Entry(value, Place(f"axes.{axis}"))
                document = document.with_entry(axis.split("."), entry)
        return machine_from(document)

    def manifest(self) -> dict[str, Any]:
        """That of the sweep, but for its technology; what it came from, and was mapped for."""
        kept = self.source.manifest
        machines = {name: base.root.plain() for name, base in self.bases.items()}
        mapped_for = kept.get("mapped_for") or self._mapped_for()
        changed = {"machine": machines[self.spec.bases[0]], "machines": machines}
        origin = {"repriced_from": digest(kept), "mapped_for": mapped_for}
        return kept | changed | identity(self.spec, machines, {}) | origin

    def _mapped_for(self) -> dict[str, Any]:
        """What mappings were chosen by, and the technology whose prices they saw."""
        machines = [self.machine(values) for values in self._deciding()]
        named = self.source.manifest["machines"].values()
        return {
            "objective": sorted({objective_of(machine) for machine in machines}),
            "technology": ", ".join(dict.fromkeys(m[_TECHNOLOGY]["name"] for m in named)),
            "by_price": any(chosen_by_price(machine) for machine in machines),
        }

    def _deciding(self) -> list[tuple[Scalar | None, ...]]:
        """A design for each setting of what mappings are chosen by."""
        layout, found = self.spec.layout, dict[tuple[int, ...], Ints]()
        columns = [
            axis
            for axis, own in enumerate(layout.members)
            if any(path.startswith(_DECIDE) for path in own)
        ]
        for chunk in range(self.source.chunks):
            ids = self.source.points_of(chunk)
            choices = self.spec.choices(ids.start, ids.stop)
            own, first = np.unique(choices[:, columns], axis=0, return_index=True)
            for key, at in zip(own.tolist(), first.tolist(), strict=True):
                found.setdefault(tuple(key), choices[at])
        return layout.rows(np.stack(list(found.values())))

    def chunk(self, index: int) -> tuple["pl.DataFrame", "pl.DataFrame"]:
        """Tables of points and layers of one chunk, with the prices of the new technology."""
        import polars as pl

        table, points = (self.source.table(name, index) for name in TABLES)
        ids = self.source.points_of(index)
        choices = self.spec.choices(ids.start, ids.stop)
        layers = KeptLayers(self.source, table, ids, points["refused"])
        parts = [
            self._priced(points[start:end], layers, choices[start:end], start)
            for start, end in self._by_base(choices)
        ]
        made = pl.concat(parts, how="diagonal")
        axes = points.select("point", *self.spec.layout.paths)
        made = pl.concat([axes, made, _executed(points, made["refused"])], how="horizontal")
        made = constrained(made, self.spec.limits)
        return _with_others(made, points), layers.repriced()

    def _by_base(self, choices: Ints) -> Iterator[tuple[int, int]]:
        """Where designs of one base machine, which have the same memories, begin and end."""
        several = isinstance(self.spec.base, list)
        turns = np.flatnonzero(np.diff(choices[:, 0])) + 1 if several else np.zeros(0, np.int64)
        return pairwise([0, *turns.tolist(), len(choices)])

    def _priced(
        self, points: "pl.DataFrame", layers: KeptLayers, choices: Ints, start: int
    ) -> "pl.DataFrame":
        """Costs of designs of one base, the first of which is at `start` of its chunk."""
        machines = [self.machine(values) for values in self.spec.layout.rows(choices)]
        self._check_reasons(points["refused"].to_list(), machines)
        designs = machine_set([widest(machine) for machine in machines])
        prices, areas_mm2 = prices_of(designs)
        mix, parts, first = self.spec.mix, [], 0
        for number, workload in enumerate(mix):
            count = self._nodes(workload)
            actions, ran = layers.actions(start, len(machines), first, count)
            totals, energies = priced(actions, prices, (~ran).astype(np.int64))
            name = f"{workload.title}.latency_s" if len(mix) > 1 else "latency_s"
            stored = points[name].fill_null(np.nan).to_numpy()
            latency_s = np.where(totals[:, TOTAL_REFUSAL] != 0, np.nan, stored)
            result = Evaluation(totals, areas_mm2, latency_s, actions, energies)
            layers.keep(start, first, result, machines[0])
            told = points["refused"].to_list()
            reasons = [None if did else why for did, why in zip(ran, told, strict=True)]
            for at in np.flatnonzero(result.refused & ran).tolist():
                node = int(result.totals[at, TOTAL_REFUSED_LAYER])
                reasons[at] = self._too_much(machines[at], number, first + node)
            ends, batch = energy_ends(designs, result), self.spec.batch
            parts.append(points_table({}, designs, result, batch, reasons, ends))
            first += count
        return with_derived(mixed(parts, mix, self.spec.batch))

    def _nodes(self, workload: Workload) -> int:
        """How many layers a network has, whose names begin with its title among several."""
        names = [name for name, _ in self.source.manifest["layers"]]
        if len(self.spec.mix) == 1:
            return len(names)
        return sum(name.startswith(f"{workload.title}: ") for name in names)

    def _too_much(self, machine: Machine, number: int, layer: int) -> str:
        """Why a design whose energy is counted no more is refused, as `estimate` words it."""
        name, kind = self.source.manifest["layers"][layer]
        model = self.source.manifest["model"]
        if len(self.spec.mix) > 1:
            model = model.split(" + ")[number]
            name = name.removeprefix(f"{self.spec.mix[number].title}: ")
        return f"{model}, {name} ({kind}) on {machine.name}: {machine.refusals[TOO_MUCH_ENERGY]}"

    def _check_reasons(self, reasons: Sequence[str | None], machines: Sequence[Machine]) -> None:
        """Refuse a sweep some of whose designs are refused for nothing but their energy."""
        for reason, machine in zip(reasons, machines, strict=True):
            if reason is not None and reason.endswith(machine.refusals[TOO_MUCH_ENERGY]):
                technology = self.source.manifest["machine"][_TECHNOLOGY]["name"]
                raise BadFile(
                    f"{self.source.folder}: a design is refused for its energy in {technology} "
                    "and keeps no layers; run a sweep in the other technology instead"
                )


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


def _executed(points: "pl.DataFrame", refused: "pl.Series") -> "pl.DataFrame":
    """What designs compute, which no price changes; null where a design is refused now."""
    names = [name for name in (*METRICS, REFUSED) if name in points.columns]
    none = points.select(names).clear(1)
    return points.select(
        points[name].zip_with(refused.is_null(), none[name]).alias(name) for name in names
    )


def _with_others(made: "pl.DataFrame", points: "pl.DataFrame") -> "pl.DataFrame":
    """The table with those columns of a sweep that no price changes, in the sweep's order."""
    others = [c for c in points.columns if c not in made.columns and c not in _PRICED]
    joined = made.with_columns(points[name] for name in others)
    if set(joined.columns) == set(points.columns):
        return joined.select(points.columns)
    return joined


def repricing(folder: Path, technology: str) -> Repricing:
    """What `folder` holds, with a technology by shipped name or file for its base machines.

    Raises BadFile where the sweep is not finished or another version's, BadConfig where it is a
    search, technology is one of its axes, one of its machines is a platform, or its objectives and
    constraints are joules and the technology's costs are not, or the other way, or name an area
    that it lacks.
    """
    source = open_store(folder)
    if source.kept < source.manifest["points"]:
        raise BadFile(
            f"{folder}: {source.kept} of {source.manifest['points']} points are kept; "
            "finish the sweep by --resume first"
        )
    try:
        spec = SweepSpec.model_validate_json(json.dumps(source.manifest["spec"]))
        machines = dict(source.manifest["machines"])
    except (ValidationError, KeyError, TypeError):
        raise BadFile(
            f"{folder}: its manifest is of another version; run the sweep again"
        ) from None
    if "optuna" in source.manifest.get("versions", ()):
        raise BadConfig(
            f"{folder}: holds a search, which goes where prices lead it; search again with "
            "technology as an axis of one value"
        )
    for axis in spec.layout.paths:
        if _TECHNOLOGY in axis.split("."):
            raise BadConfig(
                f"{folder}: '{axis}' is an axis: the sweep is priced in each of its own"
            )
    for plain in machines.values():
        if plain.get("model") == Platform.kind():
            raise BadConfig(
                f"{folder}: a platform's units have technologies of their own; set them in its "
                "YAML and run the sweep again"
            )
    entry, label = hwconfigs.technology(technology), str(folder / "manifest.json")
    bases = {
        name: Document(label, parse_entry(json.dumps(plain), label)).with_entry(
            (_TECHNOLOGY,), entry
        )
        for name, plain in machines.items()
    }
    made = machine_from(next(iter(bases.values())))
    for field, name, other in lacking(made, spec.objectives, spec.limits):
        raise BadConfig(
            f"{folder}: the sweep's {field} name '{name}', and {made.technology.name} counts "
            f"{made.technology.unit}; run a sweep with '{other}' in its place"
        )
    check_area(made, spec.limits, f"{folder}: the sweep's constraints")
    return Repricing(source, spec, bases)


def reprice(folder: Path, technology: str, out: Path, *, resume: bool = False) -> Store:
    """Price a finished sweep in another technology into a folder of its own; raises as `repricing`.

    The new folder is a sweep's: `open_store`, `report` and `reprice` take it.
    """
    made = repricing(folder, technology)
    if out.resolve() == folder.resolve():
        raise BadFile(f"--out {out}: holds the sweep itself; choose another folder")
    manifest = json.loads(json.dumps(made.manifest()))
    with writing(out, manifest, resume=resume) as store:
        for index in store.missing():
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
