"""What the networks of a study cost on its machines, at every width of operands."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import hwconfigs
import workloads
from analysis.study_spec import Mode, On, StudySpec, beside_study
from simulator.cost import estimate
from simulator.errors import BitlaneError, Unsupported
from simulator.graph import Graph, TensorType
from simulator.machines.base import Machine


@dataclass(frozen=True)
class Cost:
    """One network on one machine; `refused` says why the numbers are none."""

    macs: int
    latency_s: float | None = None
    energy_j: float | None = None
    cost: float | None = None
    cycles: int | None = None
    area_mm2: float | None = None
    refused: str | None = None

    @property
    def edp(self) -> float | None:
        """Energy times latency, J s."""
        if self.energy_j is None or self.latency_s is None:
            return None
        return self.energy_j * self.latency_s


def shapes_of(spec: StudySpec, multiplier: float) -> Graph:
    """The network of a multiplier, 16 bits wide, to be costed."""
    return workloads.load(f"{spec.study.network},width={multiplier:g},bits=16")


def cost_of(graph: Graph, mode: Mode, machines: Mapping[int, Machine]) -> Cost:
    """Costs of a network at a mode's widths: each layer on the machine for its width.

    `machines` by width; they are one and the same unless they are built for it.
    """
    narrowed = at_widths(graph, mode)
    macs = sum(work.macs for work in narrowed.work)
    widest = machines[max(machines)]
    try:
        found = {bits: estimate(narrowed, machine) for bits, machine in machines.items()}
    except Unsupported as error:
        return Cost(macs, refused=str(error))
    totals = found[max(machines)].totals
    if len(found) == 1:
        return Cost(
            macs, totals.latency_s, totals.energy_j, totals.cost, totals.cycles, totals.area_mm2
        )
    chosen = [found[_width_at(mode, place, graph)] for place in range(len(graph.nodes))]
    fj = sum(sum(one.energy_fj[k].values()) for k, one in enumerate(chosen))
    cycles = sum(one.layers[k].cycles.total for k, one in enumerate(chosen))
    priced = totals.cost is not None
    return Cost(
        macs,
        cycles / (widest.clock_mhz * 1e6),
        None if priced else fj * 1e-15,
        fj / 1000 if priced else None,
        cycles,
        totals.area_mm2,
    )


def _width_at(mode: Mode, place: int, graph: Graph) -> int:
    return mode.ends if mode.ends is not None and place in _ends(graph) else mode.bits


def _ends(graph: Graph) -> frozenset[int]:
    """The places of the first and the last layer that multiply."""
    multiplying = [k for k, work in enumerate(graph.work) if work.macs]
    return frozenset((multiplying[0], multiplying[-1])) if multiplying else frozenset()


def machines_for(path: Path, on: On, mode: Mode) -> dict[int, Machine]:
    """The machine of a study by width of operands; raises BitlaneError in the machine's words."""
    widths = sorted({mode.bits, mode.ends or mode.bits})
    if on.operands == "given":
        return {widths[-1]: hwconfigs.load(beside_study(path, on.base), list(on.set.items()))}
    return {
        bits: hwconfigs.load(
            beside_study(path, on.base),
            [
                *on.set.items(),
                ("datapath.weight_bits", bits),
                ("datapath.activation_bits", bits),
                ("datapath.narrow", True),
            ],
        )
        for bits in widths
    }


def machines_of(path: Path, spec: StudySpec) -> dict[tuple[str, str], dict[int, Machine]]:
    """Every machine by its name and a mode's; a fault names the machine."""
    found = {}
    for name, on in spec.machines.items():
        for mode_name, mode in spec.study.modes.items():
            try:
                found[name, mode_name] = machines_for(path, on, mode)
            except BitlaneError as error:
                raise type(error)(f"{path}: machines.{name}: {error}") from None
    return found


def at_widths(graph: Graph, mode: Mode) -> Graph:
    """A graph of shapes with the operands of a mode; what a layer gives is as its reader takes it.

    The first and the last layer that multiply have the widths of the ends, their weights and the
    tensors that they read.
    """
    read = dict[str, int]()
    for place, node in enumerate(graph.nodes):
        bits = _width_at(mode, place, graph)
        for name in node.inputs:
            if name and graph.tensors[name].quant is not None:
                read[name] = max(read.get(name, 0), bits)
    tensors = {
        name: _in_bits(kind, read.get(name, mode.bits)) for name, kind in graph.tensors.items()
    }
    works = [
        replace(
            work,
            weight_bits=_widest(tensors, node.inputs[1:2], work.weight_bits),
            activation_bits=_widest(tensors, node.inputs[:1], work.activation_bits),
            output_bits=_widest(tensors, node.outputs[:1], work.output_bits),
        )
        for node, work in zip(graph.nodes, graph.work, strict=True)
    ]
    return graph.in_widths(tensors, works)


def _widest(tensors: Mapping[str, TensorType], names: Sequence[str], before: int) -> int:
    known = [tensors[name].bits for name in names if name and tensors[name].quant is not None]
    return max(known, default=before)


def _in_bits(kind: TensorType, bits: int) -> TensorType:
    if kind.quant is None:
        return kind
    return replace(kind, dtype="int8" if bits <= 8 else "int16", bits=bits)
