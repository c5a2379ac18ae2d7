"""What makes a run this one: hashes of its spec and of what it names, and package versions."""

import hashlib
import json
from collections.abc import Iterable, Iterator
from importlib.metadata import version
from typing import Any

from analysis.spec import SweepSpec
from simulator.document import Entry


def digest(document: Any) -> str:
    """SHA-256 of values that JSON holds, as JSON with its keys in order."""
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def identity(
    spec: SweepSpec, machine: dict[str, Any], technologies: Iterable[Entry] = ()
) -> dict[str, Any]:
    """What a manifest holds beside the run itself: a folder is resumed where all of it agrees.

    `machine` is a base machine with its technologies in it, `technologies` are those that axes
    name. `seed` is null: a sweep draws nothing at random.
    """
    found = [*_technologies(machine), *(entry.plain() for entry in technologies)]
    return {
        "spec_sha256": digest(spec.model_dump(mode="json")),
        "machine_sha256": digest(machine),
        "technologies_sha256": {str(each.get("name")): digest(each) for each in found},
        "seed": None,
        "versions": versions(),
    }


def versions() -> dict[str, str]:
    """The packages whose versions decide what a run writes."""
    return {name: version(name) for name in ("bitlane", "numpy", "numba", "polars")}


def _technologies(machine: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The technologies of a machine, and those of a platform's."""
    for name, value in machine.items():
        if isinstance(value, dict):
            if name == "technology":
                yield value
            else:
                yield from _technologies(value)
