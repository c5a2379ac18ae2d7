"""Two estimates side by side: what changed in total and in which layers."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from analysis.text import table
from simulator.errors import BadFile

SCHEMA: Final = "bitlane.estimate/1"
TOTALS: Final = ("cycles", "latency_s", "energy_j", "area_mm2", "macs", "utilization")


def load_estimate(path: Path) -> dict[str, Any]:
    """A document that `estimate --json` wrote; raises BadFile for anything else."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BadFile(f"{path}: cannot be read ({error.strerror}); check the path") from None
    except ValueError:
        raise BadFile(f"{path}: is no JSON; give what estimate --json writes") from None
    found = document.get("schema") if isinstance(document, dict) else None
    if found != SCHEMA:
        raise BadFile(f"{path}: schema must be {SCHEMA}; found {found}; estimate the model again")
    if '"cost":' in json.dumps(document.get("machines")):
        raise BadFile(f"{path}: holds costs of a model and no joules; estimate in a process's pJ")
    try:
        diff(document, document)
    except (KeyError, TypeError, AttributeError, ValueError):
        raise BadFile(
            f"{path}: damaged, lacks what estimate --json writes; estimate the model again"
        ) from None
    return dict(document)


def diff(first: Mapping[str, Any], second: Mapping[str, Any]) -> str:
    """Tables of totals and of layers that changed, machine by machine in the order given.

    Machines are paired by position, layers by name; a layer of one side alone is named.
    """
    parts = [f"{first['model']} -> {second['model']}"]
    for a, b in zip(first["machines"], second["machines"], strict=False):
        parts += ["", f"{a['name']} -> {b['name']}", _totals(a["totals"], b["totals"])]
        parts.append(_layers(a["layers"], b["layers"]))
    counts = [len(d["machines"]) for d in (first, second)]
    if counts[0] != counts[1]:
        parts.append(f"{counts[0]} machines against {counts[1]}: the rest is not compared")
    return "\n".join(parts)


def _totals(a: Mapping[str, Any], b: Mapping[str, Any]) -> str:
    rows = [(name, _number(a[name]), _number(b[name]), _ratio(a[name], b[name])) for name in TOTALS]
    return table(("total", "first", "second", "second / first"), rows)


def _layers(a: list[Any], b: list[Any]) -> str:
    ours, theirs = ({layer["name"]: layer for layer in side} for side in (a, b))
    rows = []
    for name in ours:
        if name not in theirs:
            continue
        x, y = ours[name], theirs[name]
        cycles = (x["cycles"]["total"], y["cycles"]["total"])
        energy = tuple(sum(side["energy_fj"].values()) for side in (x, y))
        if cycles[0] != cycles[1] or energy[0] != energy[1]:
            rows.append((name, *cycles, _ratio(*cycles), *energy, _ratio(*energy)))
    lines = []
    if rows:
        header = ("layer", "cycles", "cycles", "ratio", "energy fJ", "energy fJ", "ratio")
        lines.append(table(header, rows))
    else:
        lines.append("every layer costs the same")
    for side, others, which in ((ours, theirs, "first"), (theirs, ours, "second")):
        alone = [name for name in side if name not in others]
        if alone:
            lines.append(f"in the {which} only: {', '.join(alone)}")
    return "\n".join(lines)


def _number(value: float) -> str:
    return str(value) if isinstance(value, int) else f"{value:.6g}"


def _ratio(a: float, b: float) -> str:
    return "n/a" if a == 0 else f"{b / a:.3f}"
