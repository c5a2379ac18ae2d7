"""What bounds of a technology's figures make of a machine: energies and areas, low to high."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import numpy as np

from simulator.machines.actions import (
    ACTIONS,
    AREA_NAMES,
    AREAS,
    COMPONENTS,
    price_layer,
)
from simulator.machines.base import Machine
from simulator.machines.platform import Platform
from simulator.machines.pricing import UM2_PER_MM2, finish
from simulator.technology.costs import Bound

_STEP: Final = 1 << 20


def prices_at(machine: Machine, bound: Bound) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Femtojoules per action, float64 [ACTIONS]."""
    prices = np.zeros(ACTIONS)
    machine.design_prices(machine.row(), machine.technology.row(bound), prices)
    return prices


def energy_at(machine: Machine, layers: Iterable[Sequence[int]], bound: Bound) -> int:
    """Femtojoules of counted layers (rows of actions) at one bound of each figure.

    All figures are at the same end at once: the widest spread, not a likely one.
    """
    prices, energy, total = prices_at(machine, bound), np.zeros(COMPONENTS, np.int64), 0
    for actions in layers:
        found = int(price_layer(np.array(actions, np.int64), prices, energy))
        # What int64 does not hold is rounded.
        if found < 0:
            # What int64 does not hold is summed in steps of 2^20 femtojoules.
            found = int(price_layer(np.array(actions, np.int64), prices / _STEP, energy)) * _STEP
        total += found
    return total


def areas_mm2(machine: Machine, bound: Bound = "value") -> Mapping[str, float]:
    """Square millimetres by part; on a platform those of all its machines together."""
    if isinstance(machine, Platform):
        parts = [areas_mm2(each, bound) for each in machine.machines.values()]
        return {name: sum(part[name] for part in parts) for name in AREA_NAMES}
    row, technology, areas = machine.row(), machine.technology.row(bound), np.zeros(AREAS)
    machine.design_areas(row, technology, areas)
    finish(row, technology, areas, np.zeros(ACTIONS))
    return dict(zip(AREA_NAMES, (areas / UM2_PER_MM2).tolist(), strict=True))
