"""Counted actions of many designs at prices: totals and energies again, nothing mapped again.

The kernels are those of every cost function: a kind's `design_prices`, then `add_layer` for each
layer in turn. So a design that is priced here has the energies that counting it anew would give,
where its mapping does not depend on prices.
"""

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from simulator.jit import njit
from simulator.machine_set import MachineSet
from simulator.machines.actions import (
    ACTIONS,
    COMPONENTS,
    TOTAL_ENERGY_FJ,
    TOTAL_REFUSAL,
    TOTALS,
    Counts,
    Prices,
    add_layer,
)
from simulator.machines.base import Machine
from simulator.spread import energy_at
from simulator.technology.model import Bound

Ints: TypeAlias = NDArray[np.int64]
Floats: TypeAlias = NDArray[np.float64]


def prices_of_rows(
    kind: type[Machine], rows: Ints, technologies: Floats, technology_of: Ints
) -> tuple[Floats, Floats]:
    """Femtojoules per action [P, ACTIONS] and mm2 [P] of machine rows [P, M] of one kind.

    `technologies` [T, K] are rows of `Technology.row`, `technology_of` [P] says which is whose.
    """
    prices, areas_mm2 = np.zeros((len(rows), ACTIONS)), np.zeros(len(rows))
    found = kind.design_prices
    for index, (row, technology) in enumerate(zip(rows, technology_of.tolist(), strict=True)):
        areas_mm2[index] = found(row, technologies[technology], prices[index])
    return prices, areas_mm2


def prices_of(machines: MachineSet, bound: Bound = "value") -> tuple[Floats, Floats]:
    """As `prices_of_rows` of machines of any kinds but platforms, at one bound of each price."""
    prices, areas_mm2 = np.zeros((len(machines), ACTIONS)), np.zeros(len(machines))
    for own in machines.families(bound):
        found = prices_of_rows(own.kind, own.rows, own.technologies, own.technology_of)
        prices[own.places], areas_mm2[own.places] = found
    return prices, areas_mm2


@njit
def price_designs(
    actions: Counts, prices: Prices, refused: Counts, totals: Counts, energies: Counts
) -> None:
    """Price the layers [P, L, ACTIONS] of designs that are not refused at `prices` [P, ACTIONS].

    Fills int64 totals [P, TOTALS] as `simulator.designs.Evaluation` has them, and energies
    [P, L, COMPONENTS] where these have room for P designs.
    """
    own = np.zeros(ACTIONS, np.int64)
    energy = np.zeros(COMPONENTS, np.int64)
    for design in range(actions.shape[0]):
        if refused[design] != 0:
            continue
        for layer in range(actions.shape[1]):
            for action in range(ACTIONS):
                own[action] = actions[design, layer, action]
            add_layer(layer, own, prices[design], energy, totals[design])
            if energies.shape[0] > 0:
                for component in range(COMPONENTS):
                    energies[design, layer, component] = energy[component]


def priced(actions: Ints, prices: Floats, refused: Ints) -> tuple[Ints, Ints]:
    """Totals [P, TOTALS] and energies [P, L, COMPONENTS] of counted layers [P, L, ACTIONS].

    Totals of a design that is `refused` [P] are -1 and its refusal; its energies are 0.
    """
    totals = np.zeros((len(actions), TOTALS), np.int64)
    totals[refused != 0] = -1
    totals[:, TOTAL_REFUSAL] = refused
    energies = np.zeros((*actions.shape[:2], COMPONENTS), np.int64)
    price_designs(actions, prices, refused, totals, energies)
    return totals, energies


def energies_at(machines: MachineSet, actions: Ints, refused: Ints, bound: Bound) -> Floats:
    """Femtojoules of designs with every price at one bound: float64 [P], NaN where refused.

    `actions` is int64 [P, L, ACTIONS]. The sums are those of `simulator.spread.energy_at`, exact
    before they become floats.
    """
    prices, _ = prices_of(machines, bound)
    totals = np.zeros((len(machines), TOTALS), np.int64)
    price_designs(actions, prices, refused, totals, np.zeros((0, 0, COMPONENTS), np.int64))
    found = np.where(refused != 0, np.nan, totals[:, TOTAL_ENERGY_FJ])
    for index in np.flatnonzero((totals[:, TOTAL_REFUSAL] != 0) & (refused == 0)).tolist():
        # Beyond 2^63 at this bound alone: Python's integers hold it.
        found[index] = float(energy_at(machines.machine(index), actions[index].tolist(), bound))
    return found
