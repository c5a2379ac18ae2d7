"""What a finished run tells of itself, checked before it is shown: its spec, machines, points.

A folder may be damaged, or of a version that wrote other columns: each is told in one line.
"""

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

from pydantic import ValidationError

from analysis.spec import SweepSpec
from analysis.store import Store
from simulator.errors import BadFile

if TYPE_CHECKING:
    import polars as pl

MachineDocument: TypeAlias = Mapping[str, Any]
ANOTHER = "damaged or of another version; run the sweep again with another --out"


def spec_of(store: Store) -> SweepSpec:
    """The spec that the run was made from; raises BadFile where its manifest has none."""
    try:
        return SweepSpec.model_validate_json(json.dumps(store.manifest["spec"]))
    except ValidationError:
        raise BadFile(f"{store.folder}: the 'spec' in its manifest is {ANOTHER}") from None


def bases_of(store: Store) -> Mapping[str, MachineDocument]:
    """The base machines' documents by the name that the axis `base` gives them, in its order.

    A run of an older version has one, and names it nowhere but in itself.
    """
    machine = store.manifest["machine"]
    found = store.manifest.get("machines", {str(machine.get("name")): machine})
    if not isinstance(found, dict) or not found or not all(map(_is_machine, found.values())):
        raise BadFile(f"{store.folder}: the 'machines' in its manifest are {ANOTHER}")
    return found


def technology_of(machine: MachineDocument) -> str:
    """The name of a machine's technology, of a platform that of its host."""
    found: Mapping[str, Any] = (machine.get("host") or machine)["technology"]
    return str(found["name"])


def _is_machine(document: object) -> bool:
    try:
        return (
            isinstance(document, dict)
            and {"name", "model"} <= set(document)
            and bool(technology_of(document))
        )
    except (KeyError, TypeError, AttributeError):
        return False


def sha256_of(store: Store, networks: int) -> list[str]:
    """The fingerprints of the run's networks; raises BadFile where they are not as many."""
    found = store.manifest.get("model_sha256")
    if not isinstance(found, list) or len(found) != networks:
        raise BadFile(f"{store.folder}: the 'model_sha256' in its manifest is {ANOTHER}")
    return found


def points_of(store: Store, spec: SweepSpec) -> "pl.DataFrame":
    """All points of the run; raises BadFile where a column that every run has is not there."""
    import polars as pl

    points = store.points()
    rates = ("peak_macs_per_cycle", "outer_bytes_per_cycle")
    numbers = ("point", *spec.objectives, *rates)
    for name in (*numbers, "refused", *spec.layout.paths):
        if name not in points.columns:
            raise BadFile(f"{store.folder / 'points'}: lacks the column '{name}'; {ANOTHER}")
    for name in numbers:
        kind = points.schema[name]
        if not kind.is_numeric() and kind != pl.Null:
            raise BadFile(f"{store.folder / 'points'}: '{name}' holds no numbers; {ANOTHER}")
    return points
