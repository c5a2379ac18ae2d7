"""`bitlane estimate --constraint`: which bounds a machine holds, by the totals of its estimate."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

from analysis.constraints import Constraint, Metric, parse
from analysis.text import table
from simulator.cost import Estimate
from simulator.errors import BadConfig
from simulator.machines.base import Machine
from simulator.machines.platform import Platform

_OPTION: Final = "--constraint"
_BY_VALUES: Final = ("accuracy", "sqnr_db", "overflow_rate")
"""Metrics that need inputs to run on."""


def constraints_of(texts: Sequence[str]) -> tuple[Constraint, ...]:
    """The constraints of the command line; raises BadConfig for a text or metric it has not."""
    found = tuple(parse(text, _OPTION) for text in texts)
    for constraint in found:
        if constraint.metric in _BY_VALUES:
            raise BadConfig(
                f"{_OPTION}: {constraint.metric} is no figure of an estimate, which runs nothing; "
                "give it in a sweep's constraints"
            )
    return found


def figures(found: Estimate, machine: Machine) -> Mapping[Metric, float | None]:
    """What constraints are held against; None where a technology has no such figure."""
    t = found.totals
    return MappingProxyType(
        {
            "latency_s": t.latency_s,
            "energy_j": t.energy_j,
            "area_mm2": t.area_mm2 if has_area(machine) else None,
            "power_w": t.power_w,
            "cost": t.cost,
            "cycles": t.cycles,
            "throughput_per_s": t.throughput_per_s,
            "tops_per_w": t.tops_per_w,
            "utilization": t.utilization,
            "peak_macs_per_cycle": machine.peak_macs_per_cycle,
            "edp": None if t.energy_j is None else t.energy_j * t.latency_s,
        }
    )


def has_area(machine: Machine) -> bool:
    """Whether the technology gives areas; on a platform those of all its machines do."""
    each = machine.machines.values() if isinstance(machine, Platform) else (machine,)
    return all(own.technology.area is not None for own in each)


def verdicts(
    constraints: Sequence[Constraint], found: Estimate, machine: Machine
) -> list[dict[str, Any]]:
    """Each constraint of one machine with its value and whether it is met, as JSON has them."""
    values = figures(found, machine)
    return [
        {
            "constraint": str(constraint),
            "metric": constraint.metric,
            "value": values[constraint.metric],
            "met": not constraint.broken(values[constraint.metric]),
        }
        for constraint in constraints
    ]


def to_text(names: Sequence[str], judged: Sequence[Sequence[Mapping[str, Any]]]) -> str:
    """A row for each machine and constraint."""
    rows = [
        (
            name,
            verdict["constraint"],
            "none" if verdict["value"] is None else f"{verdict['value']:.6g}",
            "met" if verdict["met"] else "broken",
        )
        for name, verdicts_of in zip(names, judged, strict=True)
        for verdict in verdicts_of
    ]
    return table(("machine", "constraint", "value", ""), rows)
