"""`bitlane estimate`: one network on one or more machines, as text, JSON, CSV or a page."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import workloads
from analysis import activity, held
from analysis.arrays import one_sample
from analysis.constraints import Constraint
from analysis.files import check_places, tell, write_json, write_text
from analysis.text import si, table
from simulator.activity import GraphEnergy, energy_of
from simulator.cost import Estimate, Totals, estimate
from simulator.depth_first import ChainCost
from simulator.errors import Unsupported
from simulator.graph import Graph
from simulator.machines.base import Machine
from workloads.topology_csv import require_values


def estimate_command(
    model: str,
    machines: Sequence[Machine],
    batch: int,
    json: Path | None,
    csv_file: Path | None,
    html: Path | None,
    inputs: Path | None = None,
    seed: int = 0,
    constraints: Sequence[Constraint] = (),
) -> tuple[Graph, list[Estimate], bool]:
    """Estimate, print, and write what was asked for.

    Returns the network, its estimates and whether every machine holds every constraint.
    """
    check_places({"--json": json, "--csv": csv_file, "--html": html})
    if html:
        for machine in machines:
            if not machine.technology.physical:
                raise Unsupported(
                    f"--html: the page compares joules, and {machine.technology.name} counts "
                    f"{machine.technology.unit}; leave out --html"
                )
    graph = workloads.load(model)
    estimates = [estimate(graph, machine, batch) for machine in machines]
    busy = [] if inputs is None else _activities(graph, machines, estimates, batch, inputs, seed)
    texts = [to_text(graph, estimates)]
    texts += [activity.to_text(m.name, f) for m, f in zip(machines, busy, strict=False)]
    judged = [held.verdicts(constraints, e, m) for e, m in zip(estimates, machines, strict=True)]
    if constraints:
        texts.append(held.to_text([e.name for e in estimates], judged))
    tell("\n\n".join(texts), json)
    if json:
        made = document(graph, estimates, batch)
        for entry, found in zip(made["machines"], busy, strict=False):
            entry["activity"] = activity.to_json_dict(found, seed)
        if constraints:
            for entry, verdicts in zip(made["machines"], judged, strict=True):
                entry["constraints"] = verdicts
        write_json(json, made)
    if csv_file:
        write_text(csv_file, to_csv(estimates))
    if html:
        from analysis.page import render
        from analysis.report import estimate_data

        write_text(html, render(estimate_data(graph, machines, estimates, batch)))
    return graph, estimates, all(verdict["met"] for of in judged for verdict in of)


def _activities(
    graph: Graph,
    machines: Sequence[Machine],
    estimates: Sequence[Estimate],
    batch: int,
    inputs: Path,
    seed: int,
) -> list[GraphEnergy]:
    if batch != 1:
        raise Unsupported(f"--inputs: prices one inference; found --batch {batch}; leave it out")
    arrays = one_sample(require_values(graph), inputs)
    pairs = zip(machines, estimates, strict=True)
    return [energy_of(graph, machine, arrays, seed, found) for machine, found in pairs]


def document(graph: Graph, estimates: Sequence[Estimate], batch: int) -> dict[str, Any]:
    """The document of schema `bitlane.estimate/1`; layers that were mapped carry their nest."""
    entries = [e.to_json_dict() for e in estimates]
    for entry, found in zip(entries, estimates, strict=True):
        for layer, nest in zip(entry["layers"], found.nests or (), strict=found.nests is not None):
            if nest is not None:
                layer["mapping"] = {**nest.to_plain(), "text": nest.to_text()}
    return {
        "schema": "bitlane.estimate/1",
        "model": graph.name,
        "batch": batch,
        "machines": entries,
    }


def to_text(graph: Graph, estimates: Sequence[Estimate]) -> str:
    """Per machine a table of layers, then one of totals, then the notes."""
    parts = []
    for found in estimates:
        layers = found.to_json_dict()["layers"]
        rows = [_layer_row(layer) for layer in layers]
        header = ["node", "MACs", "compute", "stall", "overhead", "cycles", "bound by", "energy"]
        if found.timeline is not None:
            header += ["unit", "start"]
            rows = [(*r, x["unit"], x["start"]) for r, x in zip(rows, layers, strict=True)]
        parts += [f"{graph.name} on {found.name}", table(header, rows), ""]
        if found.chains:
            parts += [table(_CHAINS, [_chain_row(chain) for chain in found.chains]), ""]
    parts.append(table(_TOTALS, [_total_row(e) for e in estimates]))
    for found in estimates:
        parts += [f"note, {found.name}: {note}" for note in found.notes]
    return "\n".join(parts)


_TOTALS = (
    *("machine", "cycles", "latency", "energy", "low to high", "power", "TOPS/W"),
    *("utilization", "area mm²", "low to high"),
)


_CHAINS = (
    "depth first",
    "to",
    "layers",
    "tiles",
    "on chip B",
    "weights",
    "MACs again",
    "outer B",
    "layer by layer B",
)


def _chain_row(chain: ChainCost) -> tuple[object, ...]:
    return (
        chain.layers[0],
        chain.layers[-1],
        len(chain.layers),
        f"{chain.tiles_down}x{chain.tiles_across}",
        chain.peak_bytes,
        chain.weights,
        chain.recomputed_macs,
        chain.outer_bytes,
        chain.layer_by_layer_bytes,
    )


def _total_row(found: Estimate) -> tuple[object, ...]:
    t = found.totals
    return (
        found.name,
        t.cycles,
        si(t.latency_s, "s"),
        cost_text(t.energy_fj, t.unit),
        _range(t),
        "-" if t.power_w is None else si(t.power_w, "W"),
        "-" if t.tops_per_w is None else f"{t.tops_per_w:.3g}",
        f"{t.utilization:.1%}",
        f"{t.area_mm2:.3g}",
        f"{t.area_mm2_low:.3g} to {t.area_mm2_high:.3g}",
    )


def _range(t: Totals) -> str:
    if t.energy_fj_low == t.energy_fj_high:
        return "-"
    return f"{cost_text(t.energy_fj_low, t.unit)} to {cost_text(t.energy_fj_high, t.unit)}"


def cost_text(energy_fj: int, unit: str) -> str:
    """An energy in joules with its prefix, or a cost, exact, in the unit of its model."""
    if unit == "pJ":
        return si(energy_fj * 1e-15, "J")
    return f"{energy_fj // 1000 if energy_fj % 1000 == 0 else energy_fj / 1000} {unit}"


def _layer_row(layer: dict[str, Any]) -> tuple[object, ...]:
    cycles = layer["cycles"]
    if "cost" in layer:
        energy = f"{sum(layer['cost'].values()):g}"
    else:
        energy = si(sum(layer["energy_fj"].values()) * 1e-15, "J")
    return (
        layer["name"],
        layer["macs"],
        *(cycles[k] for k in ("compute", "stall", "overhead", "total")),
        layer["bound_by"],
        energy,
    )


def to_csv(estimates: Sequence[Estimate]) -> str:
    """One row a machine and layer; a column for each level's bytes and component's energy."""
    rows = [
        {"machine": found.name, **_flat(layer)}
        for found in estimates
        for layer in found.to_json_dict()["layers"]
    ]
    names = list(dict.fromkeys(name for row in rows for name in row))
    stream = io.StringIO()
    writer = csv.DictWriter(stream, names, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return stream.getvalue()


def _flat(value: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, item in value.items():
        if isinstance(item, dict):
            flat |= _flat(item, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = item
    return flat
