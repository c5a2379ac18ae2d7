"""What makes a run this one: hashes of its spec and of what it names, and package versions."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from typing import Any

from analysis.spec import Scalar, SweepSpec
from simulator.document import Entry


def digest(document: Any) -> str:
    """SHA-256 of values that JSON holds, as JSON with its keys in order."""
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def identity(
    spec: SweepSpec,
    machines: Mapping[str, dict[str, Any]],
    technologies: Mapping[tuple[str, Scalar], Entry],
) -> dict[str, Any]:
    """What a manifest holds beside the run itself: a folder is resumed where all of it agrees.

    `machines` are the base machines with their technologies in them, `technologies` those that
    axes name, by axis and value. `seed` is what a sample of the designs is drawn with, if any.
    """
    base = {"base": digest(list(_technologies(machines)))}
    named = {f"{axis}={name}": digest(each.plain()) for (axis, name), each in technologies.items()}
    return {
        "spec_sha256": digest(spec.model_dump(mode="json")),
        "machine_sha256": {name: digest(plain) for name, plain in machines.items()},
        "technologies": base | named,
        "seed": spec.sample.seed if spec.sample else None,
        "versions": versions(),
    }


def versions() -> dict[str, str]:
    """The packages whose versions decide what a run writes."""
    return {name: version(name) for name in ("bitlane", "numpy", "numba", "polars")}


def _technologies(machines: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The technologies of machines, and those of a platform's."""
    for name, value in machines.items():
        if isinstance(value, dict):
            if name == "technology":
                yield value
            else:
                yield from _technologies(value)
