"""Energy from what the operands do: a graph's real values on an array, beside the data-blind price.

The data-blind price of a multiplication, an addition or a register is that of operands whose every
code is as likely. The same array is therefore given such operands as well, and a component costs
its price times the toggles of the real ones over theirs, multipliers by their partial products.
Memories, instructions and requantizers cost what they cost whatever the bits.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from simulator.cost import count, price
from simulator.decode import value_range
from simulator.errors import Unsupported
from simulator.execute import run
from simulator.graph import Array, Graph, Node
from simulator.mac import MacOperator
from simulator.machines.base import Machine
from simulator.machines.systolic import Systolic
from simulator.narrow import requantized
from simulator.stepper.activity import Activity, activity, uniform_activity

CLOCK_SHARE: Final = 0.71
"""Of a register's energy, what its clock takes whatever the data: 8.35 fJ a bit and cycle of the
11.7 fJ that a bit of a MAC's accumulator takes with uniform operands, gate-level simulation of
Nangate 45 nm MACs at 1.1 V."""
UNIFORM_PRODUCTS: Final = 1 << 20
"""Products visited of uniform operands, which differ little from one another."""


@dataclass(frozen=True)
class LayerEnergy:
    """One layer that multiplies: its activity, that of uniform operands, and both prices.

    `energy_fj` and `blind_fj` map component to integer femtojoules; `standard_error_fj` is that of
    the sum of `energy_fj`, 0 where every product was visited.
    """

    name: str
    real: Activity
    uniform: Activity
    energy_fj: Mapping[str, int]
    blind_fj: Mapping[str, int]
    standard_error_fj: float


@dataclass(frozen=True)
class GraphEnergy:
    """A graph's energy with the activity of its operands, and the data-blind one.

    `layers` are those that multiply; the others cost in both totals what they cost data-blind.
    """

    layers: tuple[LayerEnergy, ...]
    energy_fj: int
    blind_fj: int
    standard_error_fj: float


def energy_of(
    graph: Graph, machine: Machine, inputs: Mapping[str, Array], seed: int = 0
) -> GraphEnergy:
    """Run a graph on a machine's datapath and price each layer by what its operands do.

    Batch 1. Large layers are drawn with `seed`. Raises Unsupported for a machine that has no array
    whose order is known, and whatever `simulator.run` and `simulator.cost.count` raise.
    """
    if not isinstance(machine, Systolic):
        raise Unsupported(
            f"{machine.name}: --inputs: only model: systolic has an array whose order of operands "
            f"is known; found model: {machine.model}; leave out --inputs"
        )
    datapath = machine.datapath.datapath()
    graph = requantized(graph, datapath).graph
    found: dict[str, Sequence[Array | None]] = {}

    def keep(node: Node, operands: Sequence[Array | None], _: Sequence[Array]) -> None:
        if isinstance(node.op, MacOperator):
            found[node.name] = list(operands)

    run(graph, inputs, datapath=datapath, tap=keep)
    counted = count(graph, machine)
    prices = price(counted, machine)
    layers = [
        _layer(graph, index, machine, found[node.name], prices[index], seed)
        for index, node in enumerate(graph.nodes)
        if node.name in found and counted[index].macs
    ]
    blind = sum(sum(energy.values()) for energy in prices)
    saved = sum(sum(la.blind_fj.values()) - sum(la.energy_fj.values()) for la in layers)
    error = math.hypot(*(layer.standard_error_fj for layer in layers))
    return GraphEnergy(tuple(layers), blind - saved, blind, error)


def _layer(
    graph: Graph,
    index: int,
    machine: Systolic,
    operands: Sequence[Array | None],
    blind: Mapping[str, int],
    seed: int,
) -> LayerEnergy:
    node, work = graph.nodes[index], graph.work[index]
    op = node.op
    assert isinstance(op, MacOperator)
    low, high = value_range(graph.tensors[node.inputs[op.positions[0]]])
    zero = op.weighted.input_zero_point if machine.datapath.zero_point == "subtracted" else 0
    real = activity(op, operands, machine, work, seed)
    codes = (low - zero, high - zero)
    uniform = uniform_activity(op, operands, machine, work, codes, seed, UNIFORM_PRODUCTS)
    ratios = _ratios(machine, real, uniform)
    energy = {
        component: math.floor(fj * ratios[component][0] + 0.5) if component in ratios else fj
        for component, fj in blind.items()
    }
    error = math.hypot(*(blind[component] * e for component, (_, e) in ratios.items()))
    return LayerEnergy(node.name, real, uniform, MappingProxyType(energy), blind, error)


def _ratios(machine: Systolic, real: Activity, uniform: Activity) -> dict[str, tuple[float, float]]:
    """What each component costs, of its data-blind price, and the standard error of that."""
    gating = machine.datapath.gating
    if machine.datapath.composition != "fixed":
        bits = real.products * machine.datapath.activation_bits
        return {"multiply": (min(real.essential_bits / bits, 1.0), 0.0)} if gating.bits else {}
    product = "gated_product" if gating.zero else "product"
    moved = _ratio(_registers(real), _registers(uniform))
    register = CLOCK_SHARE * _clocked(machine, real) + (1 - CLOCK_SHARE) * moved[0]
    return {
        "multiply": _ratio(_toggles(real, product), _toggles(uniform, "product")),
        "accumulate": _ratio(_toggles(real, "accumulator"), _toggles(uniform, "accumulator")),
        "register": (register, (1 - CLOCK_SHARE) * moved[1]),
    }


def _toggles(found: Activity, kind: str) -> tuple[float, float]:
    """One count of toggles and its standard error."""
    products = {"product": found.product_toggles, "gated_product": found.gated_product_toggles}
    return {**found.toggles, **products}[kind], found.standard_error.get(kind, 0.0)


def _registers(found: Activity) -> tuple[float, float]:
    """The toggles of all registers and their standard error."""
    counts, errors = zip(*(_toggles(found, kind) for kind in found.toggles), strict=True)
    return sum(counts), math.hypot(*errors)


def _ratio(real: tuple[float, float], uniform: tuple[float, float]) -> tuple[float, float]:
    """Real toggles over uniform ones and the standard error of that; 1 where nothing toggles."""
    if not uniform[0]:
        return 1.0, 0.0
    ratio = real[0] / uniform[0]
    return ratio, math.hypot(real[1], ratio * uniform[1]) / uniform[0]


def _clocked(machine: Systolic, real: Activity) -> float:
    """The share of the register bits that is still clocked where accumulators are gated."""
    if not machine.datapath.gating.clock:
        return 1.0
    datapath = machine.datapath
    widths = {
        "weight": datapath.weight_bits * datapath.dot_width,
        "activation": datapath.activation_bits * datapath.dot_width,
        "accumulator": datapath.accumulator.bits,
    }
    bits = {kind: real.writes[kind] * width for kind, width in widths.items()}
    saved = real.writes["accumulator"] - real.gated_accumulator_writes
    return 1 - saved * widths["accumulator"] / sum(bits.values())
