"""Two estimates side by side: what changed in total and in which layers."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from analysis.files import tell, write_json
from analysis.text import table
from simulator.errors import BadFile

SCHEMA: Final = "bitlane.estimate/1"
DIFF_SCHEMA: Final = "bitlane.diff/1"
TOTALS: Final = ("cycles", "latency_s", "energy_j", "area_mm2", "macs", "utilization")
BOUNDS: Final = ("energy_fj_low", "energy_fj_high", "area_mm2_low", "area_mm2_high")
"""Totals that the JSON document compares as well."""


def diff_command(first: Path, second: Path, json: Path | None) -> None:
    """Print how two estimates differ, and write it as a document of schema `bitlane.diff/1`."""
    a, b = load_estimate(first), load_estimate(second)
    tell(diff(a, b), json)
    if json:
        write_json(json, differences(a, b))


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
        if not _whole(document["machines"]):
            raise ValueError("no machine, or a layer without cycles")
    except (KeyError, TypeError, AttributeError, ValueError):
        raise BadFile(
            f"{path}: damaged, lacks what estimate --json writes; estimate the model again"
        ) from None
    return dict(document)


def _whole(machines: Any) -> bool:
    """Whether there are machines, each with its layers' cycles as counts."""
    layers = [layer for machine in machines for layer in machine["layers"]]
    counted = all(type(count) is int for x in layers for count in x["cycles"].values())
    return isinstance(machines, list) and bool(machines) and counted


def differences(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, Any]:
    """The comparison as a document: each quantity as [first, second], absent on a side as null.

    Machines are paired by position, layers by name; every layer is there, `same` or not.
    `energy_fj` is by component, `bytes` by memory level, read and written together.
    """
    machines = []
    for a, b in zip(first["machines"], second["machines"], strict=False):
        ours, theirs = (_by_name(side["layers"]) for side in (a, b))
        names = list(dict.fromkeys((*ours, *theirs)))
        names_of = (*TOTALS, *BOUNDS)
        machines.append(
            {
                "names": [a["name"], b["name"]],
                "totals": {n: [a["totals"].get(n), b["totals"].get(n)] for n in names_of},
                "energy_fj": _pairs(*(_summed(s["layers"], _energy) for s in (a, b))),
                "bytes": _pairs(*(_summed(s["layers"], _bytes) for s in (a, b))),
                "layers": [_layer(name, ours.get(name), theirs.get(name)) for name in names],
            }
        )
    return {
        "schema": DIFF_SCHEMA,
        "models": [first["model"], second["model"]],
        "machines": machines,
        "not_compared": abs(len(first["machines"]) - len(second["machines"])),
    }


def _by_name(layers: Sequence[Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    """Layers by name; the second of one name is called `name (2)`, and so on."""
    found: dict[str, Mapping[str, Any]] = {}
    times: dict[str, int] = {}
    for layer in layers:
        name = layer["name"]
        times[name] = times.get(name, 0) + 1
        found[name if times[name] == 1 else f"{name} ({times[name]})"] = layer
    return found


def _layer(name: str, a: Mapping[str, Any] | None, b: Mapping[str, Any] | None) -> dict[str, Any]:
    sides = (a, b)
    made: dict[str, Any] = {"name": name}
    made["cycles"] = _pairs(*(dict(s["cycles"]) if s else {} for s in sides))
    made["energy_fj"] = _pairs(*(_energy(s) if s else {} for s in sides))
    made["bytes"] = _pairs(*(_bytes(s) if s else {} for s in sides))
    parts = (made[key].values() for key in ("cycles", "energy_fj", "bytes"))
    made["same"] = all(x == y for pairs in parts for x, y in pairs)
    return made


def _pairs(a: Mapping[str, int], b: Mapping[str, int]) -> dict[str, list[int | None]]:
    return {name: [a.get(name), b.get(name)] for name in dict.fromkeys((*a, *b))}


def _energy(layer: Mapping[str, Any]) -> dict[str, int]:
    return dict(layer["energy_fj"])


def _bytes(layer: Mapping[str, Any]) -> dict[str, int]:
    return {level: moved["read"] + moved["write"] for level, moved in layer["bytes"].items()}


def _summed(layers: Sequence[Mapping[str, Any]], part: Any) -> dict[str, int]:
    found: dict[str, int] = {}
    for layer in layers:
        for name, value in part(layer).items():
            found[name] = found.get(name, 0) + value
    return found


def diff(first: Mapping[str, Any], second: Mapping[str, Any]) -> str:
    """Tables of totals and of layers that changed, machine by machine in the order given.

    Machines are paired by position, layers by name; a layer of one side alone is named.
    """
    found = differences(first, second)
    parts = [" -> ".join(found["models"])]
    for machine in found["machines"]:
        parts += ["", " -> ".join(machine["names"]), _totals(machine["totals"])]
        for key, header in (("energy_fj", "energy fJ"), ("bytes", "bytes")):
            parts += _changed(header, machine[key])
        parts.append(_layers(machine["layers"]))
    if found["not_compared"]:
        counts = [len(d["machines"]) for d in (first, second)]
        parts.append(f"{counts[0]} machines against {counts[1]}: the rest is not compared")
    return "\n".join(parts)


def _totals(totals: Mapping[str, Any]) -> str:
    rows = [(n, *map(_number, totals[n]), _ratio(*totals[n])) for n in TOTALS]
    return table(("total", "first", "second", "second / first"), rows)


def _changed(header: str, pairs: Mapping[str, Any]) -> list[str]:
    """A table of the components or memories whose sums differ; none where all are the same."""
    rows = [
        (name, *(x if x is not None else "none" for x in pair), _ratio(*pair))
        for name, pair in pairs.items()
        if pair[0] != pair[1]
    ]
    return ["", table((header, "first", "second", "second / first"), rows)] if rows else []


def _layers(layers: Sequence[Mapping[str, Any]]) -> str:
    shared = [x for x in layers if None not in x["cycles"]["total"]]
    rows = []
    for layer in shared:
        cycles = layer["cycles"]["total"]
        energy, moved = ([_sum(layer[key], i) for i in (0, 1)] for key in ("energy_fj", "bytes"))
        if not layer["same"]:
            most = _most_changed(layer["energy_fj"])
            moves = (*cycles, _ratio(*cycles), *energy, _ratio(*energy), most, _ratio(*moved))
            rows.append((layer["name"], *moves))
    lines = ["" if rows else "every layer costs the same"]
    if rows:
        costs = ("cycles", "cycles", "ratio", "energy fJ", "energy fJ", "ratio")
        lines.append(table(("layer", *costs, "most by", "bytes ratio"), rows))
    for side, which in ((1, "first"), (0, "second")):
        alone = [x["name"] for x in layers if x["cycles"]["total"][side] is None]
        if alone:
            lines.append(f"in the {which} only: {', '.join(alone)}")
    return "\n".join(lines)


def _sum(pairs: Mapping[str, Sequence[int | None]], side: int) -> int:
    return sum(pair[side] or 0 for pair in pairs.values())


def _most_changed(pairs: Mapping[str, Sequence[int | None]]) -> str:
    """The component whose energy differs most; nothing where none does."""
    moved = {name: abs((b or 0) - (a or 0)) for name, (a, b) in pairs.items()}
    most = max(moved, key=lambda name: moved[name], default="")
    return most if most and moved[most] else ""


def _number(value: float | None) -> str:
    if value is None:
        return "none"
    return str(value) if isinstance(value, int) else f"{value:.6g}"


def _ratio(a: float | None, b: float | None) -> str:
    return "n/a" if not a or b is None else f"{b / a:.3f}"
