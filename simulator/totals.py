"""The totals of an estimate: sums over layers, what follows from them, and their bounds."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from types import MappingProxyType
from typing import Any

from simulator.machines.actions import COMPONENT_NAMES
from simulator.machines.base import Machine
from simulator.spread import areas_mm2
from simulator.technology.model import Technology


@dataclass(frozen=True)
class Totals:
    """Sums over the layers, and what follows from them and the clock.

    Energy is the exact sum of the layers' integer femtojoules, `low` and `high` the same counts at
    the bounds of every price; `area_mm2` is a proxy without wires, `area_parts_mm2` its parts. A
    cost model in another `unit` has no energy: its `cost` is in that unit, its `energy_fj` in
    thousandths of it.
    """

    cycles: int
    latency_s: float
    throughput_per_s: float
    energy_fj: int
    energy_fj_low: int
    energy_fj_high: int
    energy_j: float | None
    power_w: float | None
    tops_per_w: float | None
    macs: int
    utilization: float
    area_mm2: float
    area_mm2_low: float
    area_mm2_high: float
    area_parts_mm2: Mapping[str, float]
    peak_memory_bytes: int
    unit: str = "pJ"
    cost: float | None = None

    def to_json_dict(self) -> dict[str, Any]:
        """The totals of a document: energies of a process, or the costs of a model."""
        made = {field.name: getattr(self, field.name) for field in fields(self)}
        made["area_parts_mm2"] = dict(self.area_parts_mm2)
        unit, cost = made.pop("unit"), made.pop("cost")
        if cost is not None:
            energies = [name for name in made if name.startswith("energy_")]
            for name in (*energies, "power_w", "tops_per_w"):
                made.pop(name)
            bounds = (self.energy_fj_low / 1000, self.energy_fj_high / 1000)
            made |= {"unit": unit, "cost": cost, "cost_low": bounds[0], "cost_high": bounds[1]}
        return made


def component_names(technology: Technology) -> tuple[str, ...]:
    """The components before memory levels; `time`, `storage`, `lookup` only where priced."""
    left = {"time"} if not technology.priced_time else set()
    left |= {"storage"} if technology.energy.stored_weight_bit is None else set()
    left |= {"lookup"} if technology.energy.lut is None else set()
    return tuple(name for name in COMPONENT_NAMES if name not in left)


def totals_of(
    machine: Machine,
    *,
    cycles: int,
    latency_s: float,
    batch: int,
    energies: tuple[int, int, int],
    macs: int,
    utilization: float,
    area_mm2: float,
    peak_memory_bytes: int,
) -> Totals:
    """The totals of a machine or platform from its sums; `energies` are value, low and high."""
    technology = machine.technology
    energy_fj, low, high = energies
    energy_j = energy_fj * 1e-15 if technology.physical else None
    return Totals(
        cycles=cycles,
        latency_s=latency_s,
        throughput_per_s=batch / latency_s,
        energy_fj=energy_fj,
        energy_fj_low=low,
        energy_fj_high=high,
        energy_j=energy_j,
        power_w=None if energy_j is None else energy_j / latency_s,
        tops_per_w=2e-12 * macs / energy_j if energy_j else None,
        macs=macs,
        utilization=utilization,
        area_mm2=area_mm2,
        area_mm2_low=sum(areas_mm2(machine, "low").values()),
        area_mm2_high=sum(areas_mm2(machine, "high").values()),
        area_parts_mm2=MappingProxyType(dict(areas_mm2(machine))),
        peak_memory_bytes=peak_memory_bytes,
        unit=technology.unit,
        cost=None if technology.physical else energy_fj / 1000,
    )
