"""The estimate of a graph on a platform: layers with unit and start, transfers, one timeline."""

import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import NoReturn

from simulator.cost import (
    Cycles,
    Estimate,
    Event,
    LayerCost,
    Traffic,
    refuse,
)
from simulator.flow import Flow, flow_of
from simulator.graph import Graph
from simulator.machines.actions import (
    BOUND,
    COMPONENT_NAMES,
    COMPUTE_CYCLES,
    INSTRUCTIONS,
    LEVEL_0,
    MACS,
    MULTIPLIER_CYCLES,
    OVERHEAD_CYCLES,
    STALL_CYCLES,
    TOTAL_CYCLES,
    TOTAL_ENERGY_FJ,
    TOTAL_MACS,
    TOTAL_MULTIPLIER_CYCLES,
    TOTAL_REFUSAL,
    TOTAL_REFUSED_LAYER,
)
from simulator.machines.platform import HOST, Platform
from simulator.machines.timeline import EVENT_NAMES
from simulator.memory import constant_bytes, peak_memory_bytes
from simulator.notes import notes_of, unpriced_notes
from simulator.platforms import EXTRA_COMPONENTS, Timelines, evaluate_platforms
from simulator.spread import energy_at, prices_at
from simulator.technology.costs import Bound
from simulator.totals import Totals, component_names, totals_of


def estimate_platform(graph: Graph, platform: Platform, batch: int) -> Estimate:
    """Cycles, traffic, energy and area; raises Unsupported where the host cannot run what is left.

    A layer's cycles are its own, in the host's clock; copies and dispatches are events beside it.
    """
    flow = flow_of(graph)
    result = evaluate_platforms(graph, [platform], batch, events=True)
    row = result.evaluation.totals[0]
    if row[TOTAL_REFUSAL]:
        code, layer = int(row[TOTAL_REFUSAL]), int(row[TOTAL_REFUSED_LAYER])
        refuse_platform(graph, platform, code, layer, batch)
    peak = peak_memory_bytes(graph, batch)
    return Estimate(
        name=platform.name,
        totals=_totals(platform, result, batch, peak),
        layers=tuple(_layer(graph, platform, result, i) for i in range(len(graph.nodes))),
        energy_fj=tuple(_energy(platform, result, i) for i in range(len(graph.nodes))),
        notes=_notes(graph, platform, peak, result.places[0].tolist()),
        timeline=_timeline(graph, flow, platform, result),
    )


def refuse_platform(
    graph: Graph, platform: Platform, code: int, layer: int, batch: int
) -> NoReturn:
    """Raise Unsupported as `refuse`: what no unit takes and the host cannot run."""
    where = f"{platform.name}: its host {platform.host.name}"
    refuse(graph, platform.host, code, layer, batch, where)


def _layer(graph: Graph, platform: Platform, result: Timelines, index: int) -> LayerCost:
    names = list(platform.machines)
    node, place = graph.nodes[index], int(result.places[0, index])
    machine = platform.machines[names[place]]
    actions = result.evaluation.actions[0, index]
    own = int(sum(actions[c] for c in (COMPUTE_CYCLES, STALL_CYCLES, OVERHEAD_CYCLES)))
    macs = int(actions[MACS])
    moved: dict[str, Traffic] = {}
    for number, (name, each) in enumerate(platform.machines.items()):
        for k, level in enumerate(each.levels):
            counts = actions[LEVEL_0 + 2 * k : LEVEL_0 + 2 * k + 2] * (number == place)
            moved[f"{name}.{level}"] = Traffic(int(counts[0]), int(counts[1]))
        if name != HOST:
            into, out = result.moved[0, index, number].tolist()
            moved[f"{name}.link"] = Traffic(into, out)
    return LayerCost(
        name=node.name,
        op=node.op.kind,
        unit=names[place],
        macs=macs,
        cycles=Cycles(*result.parts[0, index].tolist()),
        bound_by=machine.bounds[actions[BOUND]],
        utilization=int(actions[MULTIPLIER_CYCLES]) / (own * machine.peak_macs_per_cycle),
        bytes=MappingProxyType(moved),
        actions=tuple(actions.tolist()),
        start=int(result.starts[0, index]),
    )


def _energy(platform: Platform, result: Timelines, index: int) -> Mapping[str, int]:
    place = int(result.places[0, index])
    values = result.evaluation.energy_fj[0, index].tolist()
    count = len(COMPONENT_NAMES)
    priced = {n for m in platform.machines.values() for n in component_names(m.technology)}
    pairs = zip(COMPONENT_NAMES, values[:count], strict=True)
    found = {name: value for name, value in pairs if name in priced}
    for number, (name, machine) in enumerate(platform.machines.items()):
        for k, level in enumerate(machine.levels):
            found[f"{name}.{level}"] = values[count + k] if number == place else 0
    extra = result.extra_fj[0, index].tolist()
    return MappingProxyType(found | dict(zip(EXTRA_COMPONENTS, extra, strict=True)))


def _totals(platform: Platform, result: Timelines, batch: int, peak: int) -> Totals:
    row = result.evaluation.totals[0]
    cycles, macs = int(row[TOTAL_CYCLES]), int(row[TOTAL_MACS])
    return totals_of(
        platform,
        cycles=cycles,
        latency_s=float(result.evaluation.latency_s[0]),
        batch=batch,
        energies=(
            int(row[TOTAL_ENERGY_FJ]),
            platform_energy_at(platform, result, "low"),
            platform_energy_at(platform, result, "high"),
        ),
        macs=macs,
        utilization=int(row[TOTAL_MULTIPLIER_CYCLES]) / (cycles * platform.peak_macs_per_cycle),
        area_mm2=float(result.evaluation.area_mm2[0]),
        peak_memory_bytes=peak,
    )


def platform_energy_at(platform: Platform, result: Timelines, bound: Bound, design: int = 0) -> int:
    """Femtojoules at one bound of the prices of each machine and link."""
    total = 0
    for place, machine in enumerate(platform.machines.values()):
        actions = result.evaluation.actions[design, result.places[design] == place]
        total += energy_at(machine, actions.tolist(), bound)
    dispatch = int(result.extra_fj[design].sum(axis=0)[1])
    link = sum(_copied_fj(platform, moved.tolist(), bound) for moved in result.moved[design])
    prices = [float(prices_at(platform.host, b)[INSTRUCTIONS]) for b in ("value", bound)]
    return total + link + (round(dispatch * prices[1] / prices[0]) if dispatch else 0)


def _copied_fj(platform: Platform, moved: Sequence[Sequence[int]], bound: Bound) -> int:
    """Femtojoules of one node's copies, rounded once as `node_energy` rounds them."""
    copied = 0.0
    for (into, out), name in zip(moved[1:], platform.units, strict=True):
        copied += (into + out) * platform.link_byte_fj(name, bound)
    return math.floor(copied + 0.5)


def _timeline(graph: Graph, flow: Flow, platform: Platform, result: Timelines) -> tuple[Event, ...]:
    """Every run, dispatch and copy by its start; a copy is on its unit's link."""
    names = list(platform.machines)
    events = []
    for what, layer, tensor, place, start, cycles in result.events[0].tolist():
        link = ".link" if tensor >= 0 else ""
        events.append(
            Event(
                unit=names[place] + link,
                what=EVENT_NAMES[what],
                layer=graph.nodes[layer].name,
                tensor=flow.names[tensor] if tensor >= 0 else None,
                start=start,
                cycles=cycles,
            )
        )
    return tuple(sorted(events, key=lambda event: (event.start, event.unit)))


def _notes(graph: Graph, platform: Platform, peak: int, places: Sequence[int]) -> tuple[str, ...]:
    notes = [
        "cycles are those of the host's clock, the total is the end of the timeline; every unit, "
        "the host and every link work in the order of the nodes",
        "weights lie in the memory of the unit that uses them before the inference starts; a unit "
        "that waits costs no energy",
    ]
    for place, (name, machine) in enumerate(platform.machines.items()):
        own = list(notes_of(graph.work, machine, peak if name == HOST else 0, 0))
        here = [i for i, chosen in enumerate(places) if chosen == place]
        names, works = [graph.nodes[i].name for i in here], [graph.work[i] for i in here]
        own += unpriced_notes(names, works, machine)
        notes += [f"{name}: {note}" for note in own]
    for name, attachment in platform.attach.items():
        if attachment.link is None or not attachment.link.pj_per_byte:
            continue
        if not platform.technology.physical:
            notes.append(
                f"{name}: the energy of its link is left out of {platform.technology.unit}"
            )
        elif attachment.link.low_pj_per_byte is None:
            notes.append(
                f"{name}: the energy of its link has no bounds: low and high hold its value"
            )
    room = platform.storage()[1]
    if room is not None and constant_bytes(graph) > room:
        notes.append(
            f"constants of all units together need {constant_bytes(graph)} bytes and the host has "
            f"{room}"
        )
    return tuple(notes)
