"""Energy from what the operands do: a graph's values on a machine, beside the data-blind price.

Each layer that multiplies is priced by `simulator.activity_prices` on the machine that runs it.
Memories, instructions and requantizers cost what they cost whatever the bits.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from simulator.activity_prices import priced, shares_of
from simulator.cost import Estimate, estimate
from simulator.decode import value_range
from simulator.errors import Unsupported
from simulator.execute import run
from simulator.graph import Array, Graph, Node
from simulator.layered import counted
from simulator.mac import AccumulatingOperator, MacOperator
from simulator.machines.base import Machine
from simulator.machines.platform import Platform
from simulator.machines.systolic import Systolic
from simulator.mapping.loopnest import LoopNest
from simulator.narrow import datapath_of, requantized
from simulator.numeric.datapath import Datapath
from simulator.platforms import datapaths
from simulator.residency import retention_of, works_on
from simulator.stepper.activity import Activity, Lay, lay_out, real_activity, uniform_activity
from simulator.work import Work

UNIFORM_PRODUCTS: Final = 1 << 20
"""Products visited of uniform operands, which differ little from one another."""
_MOST_CODE: Final = (1 << 15) - 1
"""Operands are int16."""


@dataclass(frozen=True)
class LayerEnergy:
    """One layer that multiplies: its activity, that of uniform operands, and both prices.

    `energy_fj` and `blind_fj` map component to integer femtojoules; `standard_error_fj` is that of
    the sum of `energy_fj`, 0 where every product was visited. `unit` is the machine of a platform.
    """

    name: str
    unit: str
    real: Activity
    uniform: Activity
    energy_fj: Mapping[str, int]
    blind_fj: Mapping[str, int]
    standard_error_fj: float


@dataclass(frozen=True)
class GraphEnergy:
    """A graph's energy with the activity of its operands, and the data-blind one.

    `layers` are those whose products are known; the others cost in both totals what they cost
    data-blind. `notes` are sentences that say what was not looked at.
    """

    layers: tuple[LayerEnergy, ...]
    energy_fj: int
    blind_fj: int
    standard_error_fj: float
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Job:
    """One layer and the machine that runs it; `prefix` stands before its memories' names.

    Its operands are those of `datapath`, its data-blind price is that of `priced_as`.
    """

    node: Node
    operands: Sequence[Array | None]
    machine: Machine
    unit: str
    work: Work
    datapath: Datapath
    priced_as: Datapath
    nest: LoopNest | None
    blind_fj: Mapping[str, int]
    codes: tuple[int, int]

    @property
    def prefix(self) -> str:
        return f"{self.unit}." if self.unit else ""


def energy_of(
    graph: Graph,
    machine: Machine,
    inputs: Mapping[str, Array],
    seed: int = 0,
    found: Estimate | None = None,
) -> GraphEnergy:
    """Run a graph on a machine's datapath and price each layer by what its operands do.

    Batch 1. Large layers are drawn with `seed`. `found` is the machine's estimate where there is
    one already. Raises Unsupported for a cost model that is no energy, and whatever
    `simulator.run` and `simulator.cost.estimate` raise.
    """
    for name, unit in _units(machine).items():
        if not unit.technology.physical:
            raise Unsupported(
                f"{'.'.join(filter(None, (machine.name, name)))}: --inputs: bits move energy, and "
                f"{unit.technology.name} counts {unit.technology.unit}; leave out --inputs"
            )
    found = found or estimate(graph, machine)
    layers: list[LayerEnergy] = []
    left: list[tuple[Node, str]] = []
    for job in _jobs(graph, machine, inputs, found):
        try:
            layers.append(_layer(job, seed))
        except Unsupported as reason:
            left.append((job.node, str(reason)))
    left += [
        (node, "the order of their products is not known")
        for node in graph.nodes
        if isinstance(node.op, AccumulatingOperator) and not isinstance(node.op, MacOperator)
    ]
    blind = sum(sum(energy.values()) for energy in found.energy_fj)
    saved = sum(sum(la.blind_fj.values()) - sum(la.energy_fj.values()) for la in layers)
    error = math.hypot(*(layer.standard_error_fj for layer in layers))
    notes = tuple(_notes(machine, left))
    return GraphEnergy(tuple(layers), blind - saved, blind, error, notes)


def _units(machine: Machine) -> Mapping[str, Machine]:
    """The machines of a platform by name; any other under no name."""
    return machine.machines if isinstance(machine, Platform) else {"": machine}


def _jobs(
    graph: Graph, machine: Machine, inputs: Mapping[str, Array], found: Estimate
) -> list[_Job]:
    """Every layer whose operator tells its products, with the operands of one run."""
    own = datapaths(graph, machine)
    taken: dict[str, tuple[Node, Sequence[Array | None]]] = {}

    def keep(node: Node, operands: Sequence[Array | None], _: Sequence[Array]) -> None:
        if isinstance(node.op, MacOperator):
            taken[node.name] = (node, list(operands))

    run(graph, inputs, datapath=own, tap=keep)
    # Costs are those of one machine, as wide as its widest layer.
    costed, one = (graph, machine) if isinstance(machine, Platform) else counted(graph, machine)
    units, jobs = _units(one), []
    places = [layer.unit if isinstance(machine, Platform) else "" for layer in found.layers]
    works = _works(costed, units, places)
    tensors = requantized(graph, own).graph.tensors
    for index, layer in enumerate(found.layers):
        if layer.name not in taken or not layer.macs:
            continue
        node, operands = taken[layer.name]
        unit, datapath = units[places[index]], datapath_of(node, own)
        priced_as = datapath if one is machine else unit.datapath.datapath()
        assert isinstance(node.op, MacOperator)
        low, high = value_range(tensors[node.inputs[node.op.positions[0]]])
        # The price is that of the datapath's width, and so are the codes of uniform operands.
        wider = max(0, priced_as.activation_bits - (high - low).bit_length())
        zero = 0 if datapath.zero_point == "folded" else node.op.weighted.input_zero_point
        codes = ((low << wider) - zero, min(((high + 1) << wider) - 1 - zero, _MOST_CODE))
        nest = found.nests[index] if found.nests is not None else None
        jobs.append(
            _Job(
                node, operands, unit, places[index], works[index], datapath, priced_as, nest,
                found.energy_fj[index], codes,
            )
        )  # fmt: skip
    return jobs


def _works(graph: Graph, units: Mapping[str, Machine], places: Sequence[str]) -> list[Work]:
    """The work of each node on the machine that runs it."""
    made = {}
    for name, unit in units.items():
        nodes = frozenset(i for i, place in enumerate(places) if place == name) if name else None
        made[name] = works_on(graph, retention_of(unit), 1, nodes)
    return [made[place][index] for index, place in enumerate(places)]


def _layer(job: _Job, seed: int) -> LayerEnergy:
    op, machine = job.node.op, job.machine
    assert isinstance(op, MacOperator)
    lay = _lay(job, op, job.datapath)
    blind = lay if job.priced_as == job.datapath else _lay(job, op, job.priced_as)
    real = real_activity(lay, seed)
    uniform = uniform_activity(blind, job.codes, seed, UNIFORM_PRODUCTS)
    shares = {
        (job.prefix + name if name in machine.levels else name): share
        for name, share in shares_of(machine, real).items()
    }
    energy, error = priced(job.blind_fj, shares, real, uniform)
    return LayerEnergy(
        job.node.name, job.unit, real, uniform, MappingProxyType(energy), job.blind_fj, error
    )


def _lay(job: _Job, op: MacOperator, datapath: Datapath) -> Lay:
    return lay_out(
        op,
        job.operands,
        job.machine,
        job.work,
        datapath=datapath,
        nest=job.nest,
        ordered=not job.machine.technology.whole_system,
    )


def _notes(machine: Machine, left: Sequence[tuple[Node, str]]) -> list[str]:
    """What was not looked at, a line each."""
    notes = []
    for name, unit in _units(machine).items():
        where, datapath = f"{name}: " if name else "", unit.datapath
        if unit.technology.whole_system:
            notes.append(
                f"{where}{unit.technology.name} prices power times time, in which no multiplier is "
                "told apart: zeros are counted, the price is the data-blind one"
            )
        elif datapath.composition != "fixed" and not isinstance(unit, Systolic):
            notes.append(
                f"{where}multipliers are composed ({datapath.composition}): zeros and essential "
                "bits are counted, toggles are not"
            )
        elif datapath.accumulator.stages and not isinstance(unit, Systolic):
            notes.append(f"{where}narrow sums before the accumulator are counted as one sum in it")
        if unit.depth_first.tile_rows:
            notes.append(f"{where}layers that run depth first are counted as if each ran whole")
    for reason in dict.fromkeys(why for _, why in left):
        nodes = [node for node, why in left if why == reason]
        kinds = ", ".join(dict.fromkeys(node.op.kind for node in nodes))
        notes.append(
            f"{len(nodes)} layers cost what they cost data-blind: {reason.split('; ')[0]} ({kinds})"
        )
    return notes
