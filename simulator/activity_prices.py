"""What a layer's components cost by what its operands do: shares of their data-blind prices.

A data-blind price is that of operands whose every code is as likely; a component therefore costs
its price times the toggles of the real operands over those of uniform ones, on the same machine.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from simulator.machines.actions import ACCUMULATIONS, ACTIONS, MULTIPLIER_CYCLES
from simulator.machines.base import Machine
from simulator.machines.pricing import datapath_prices
from simulator.machines.spatial import Spatial
from simulator.machines.systolic import Systolic
from simulator.stepper.counted import Activity

CLOCK_SHARE: Final = 0.71
"""Of a register's energy, what its clock takes whatever the data: 8.35 fJ a bit and cycle of the
11.7 fJ that a bit of a MAC's accumulator takes with uniform operands, gate-level simulation of
Nangate 45 nm MACs at 1.1 V."""
_REGISTERS: Final = {"weight": "weight", "input": "activation", "output": "accumulator"}


@dataclass(frozen=True)
class Term:
    """A share of a price, times toggles of the real operands over those of uniform ones."""

    share: float
    real: tuple[str, ...]
    uniform: tuple[str, ...]


@dataclass(frozen=True)
class Share:
    """A component's part of its data-blind price: `fixed`, whatever the operands toggle, and terms.

    A term whose uniform operands toggle nothing costs its share.
    """

    fixed: float
    terms: tuple[Term, ...] = ()

    def of(self, real: Activity, uniform: Activity) -> float:
        """The part."""
        return self.fixed + sum(term.share * _ratio(term, real, uniform) for term in self.terms)


def shares_of(machine: Machine, real: Activity) -> dict[str, Share]:
    """What each component that operands move costs, by its name in the layer's energy."""
    gating = machine.datapath.gating
    if machine.datapath.composition != "fixed":
        bits = max(real.products * machine.datapath.activation_bits, 1)
        return {"multiply": Share(min(real.essential_bits / bits, 1.0))} if gating.bits else {}
    if not real.toggles:
        return {}
    multiply = Term(1.0, ("gated_product" if gating.zero else "product",), ("product",))
    add = Term(1.0, ("accumulator",), ("accumulator",))
    found = {"multiply": Share(0.0, (multiply,)), "accumulate": Share(0.0, (add,))}
    if isinstance(machine, Systolic):
        found["register"] = _registers(machine, real, tuple(_REGISTERS.values()))
    if isinstance(machine, Spatial):
        if machine.mac_pj is not None:
            found = {"multiply": _whole_mac(machine, multiply, add)}
        found |= _register_files(machine, real)
    return found


def priced(
    blind: Mapping[str, int], shares: Mapping[str, Share], real: Activity, uniform: Activity
) -> tuple[dict[str, int], float]:
    """Integer femtojoules by component, and the standard error of their sum."""
    energy = dict(blind)
    weights: tuple[dict[str, float], dict[str, float]] = ({}, {})
    for component, share in shares.items():
        energy[component] = math.floor(blind[component] * share.of(real, uniform) + 0.5)
        for term in share.terms:
            toggles = sum(uniform.count(kind) for kind in term.uniform)
            if not toggles:
                continue
            slope = blind[component] * term.share / toggles
            ratio = _ratio(term, real, uniform)
            for kind in term.real:
                weights[0][kind] = weights[0].get(kind, 0.0) + slope
            for kind in term.uniform:
                weights[1][kind] = weights[1].get(kind, 0.0) - slope * ratio
    return energy, math.hypot(real.error_of(weights[0]), uniform.error_of(weights[1]))


def _ratio(term: Term, real: Activity, uniform: Activity) -> float:
    toggles = sum(uniform.count(kind) for kind in term.uniform)
    return sum(real.count(kind) for kind in term.real) / toggles if toggles else 1.0


def _registers(machine: Machine, real: Activity, kinds: tuple[str, ...]) -> Share:
    """Registers of some kinds: their clock, and what they toggle."""
    clock = CLOCK_SHARE * _clocked(machine, real, kinds)
    return Share(clock, (Term(1 - CLOCK_SHARE, kinds, kinds),))


def _clocked(machine: Machine, real: Activity, kinds: tuple[str, ...]) -> float:
    """The share of the bits of registers that is still clocked where accumulators are gated."""
    if not machine.datapath.gating.clock or "accumulator" not in kinds:
        return 1.0
    datapath = machine.datapath
    lanes = datapath.dot_width if isinstance(machine, Systolic) else 1
    widths = {
        "weight": datapath.weight_bits * lanes,
        "activation": datapath.activation_bits * lanes,
        "accumulator": datapath.accumulator.bits,
    }
    bits = sum(real.writes[kind] * widths[kind] for kind in kinds)
    saved = real.writes["accumulator"] - real.gated_accumulator_writes
    return 1 - saved * widths["accumulator"] / max(bits, 1)


def _register_files(machine: Spatial, real: Activity) -> dict[str, Share]:
    """Memories of registers that the multipliers take all their operands from, and no others do."""
    chains, found = machine.chains(), {}
    for level in machine.memory:
        inner = all(chains[operand][0] == level.name for operand in level.holds)
        if level.kind == "register" and inner:
            kinds = tuple(_REGISTERS[operand] for operand in level.holds)
            found[level.name] = _registers(machine, real, kinds)
    return found


def _whole_mac(machine: Spatial, multiply: Term, add: Term) -> Share:
    """A price of a whole multiply-accumulate, divided as the technology's own prices of both."""
    prices = np.zeros(ACTIONS)
    datapath_prices(machine.row(), machine.technology.row(), prices)
    both = (float(prices[MULTIPLIER_CYCLES]), float(prices[ACCUMULATIONS]))
    part = both[0] / sum(both) if sum(both) else 1.0
    return Share(
        0.0,
        (
            Term(part, multiply.real, multiply.uniform),
            Term(1 - part, add.real, add.uniform),
        ),
    )
