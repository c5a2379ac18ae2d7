"""The tables of a sweep: a row a design, and a row a design and layer."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from simulator.cost import Evaluation
from simulator.machine_set import Ints, MachineSet
from simulator.machines.actions import (
    COMPONENT_NAMES,
    COMPUTE_CYCLES,
    LEVEL_0,
    MACS,
    OVERHEAD_CYCLES,
    STALL_CYCLES,
    TOTAL_CYCLES,
    TOTAL_ENERGY_FJ,
    TOTAL_MACS,
    TOTAL_MULTIPLIER_CYCLES,
    TOTAL_REFUSAL,
)
from simulator.machines.base import Machine
from simulator.reached import extrapolated_part, priced_parts

if TYPE_CHECKING:
    import polars as pl


def points_table(
    columns: dict[str, Any],
    machines: MachineSet,
    result: Evaluation,
    batch: int,
    reasons: Sequence[str | None],
) -> "pl.DataFrame":
    """One row a design: `columns` as given, its costs; a refused design has a reason and no cost.

    `area_mm2` is that of the machine, whether it can run the network or not. `extrapolated_prices`
    counts prices beyond their cited points; a cost model's `cost` is in its own unit, without
    joules.
    """
    import polars as pl

    totals = result.totals
    refused = totals[:, TOTAL_REFUSAL] != 0
    cycles, energy_fj, macs = (
        totals[:, column] for column in (TOTAL_CYCLES, TOTAL_ENERGY_FJ, TOTAL_MACS)
    )
    busy = totals[:, TOTAL_MULTIPLIER_CYCLES]
    latency_s = np.where(refused, np.nan, result.latency_s)
    joules = machines.column(np.bool_, _in_joules)
    energy_j = np.where(refused | ~joules, np.nan, energy_fj * 1e-15)
    if not joules.all():
        columns = columns | {"cost": np.where(refused | joules, np.nan, energy_fj / 1000)}
    peak = machines.column(np.float64, _peak_macs)
    with np.errstate(divide="ignore", invalid="ignore"):
        columns = columns | {
            "latency_s": latency_s,
            "energy_j": energy_j,
            "area_mm2": result.area_mm2,
            "power_w": energy_j / latency_s,
            "throughput_per_s": batch / latency_s,
            "tops_per_w": 2e-12 * macs / energy_j,
            "utilization": np.where(refused, np.nan, busy / (cycles * peak)),
            "cycles": cycles,
            "energy_fj": energy_fj,
            "macs": macs,
            "peak_macs_per_cycle": peak,
            "outer_bytes_per_cycle": machines.column(np.float64, _outer_rate),
            "extrapolated_prices": _extrapolated(machines),
        }
    columns["refused"] = list(reasons)
    table = pl.DataFrame(columns, schema_overrides={"refused": pl.String})
    counts = ("cycles", "energy_fj", "macs")
    ran = pl.col("refused").is_null()
    return table.with_columns(
        pl.col(pl.Float64).fill_nan(None),
        *(pl.when(ran).then(pl.col(name)).alias(name) for name in counts),
    )


def _extrapolated(machines: MachineSet) -> Ints:
    """`simulator.reached.extrapolated` of each, part by part: few fields matter to a part."""
    found = np.zeros(len(machines), np.int64)
    for part in range(int(machines.column(np.int64, priced_parts).max(initial=0))):
        found += machines.column(np.int64, extrapolated_part, part)
    return found


def _in_joules(machine: Machine) -> bool:
    return machine.technology.physical


def _peak_macs(machine: Machine) -> int:
    return machine.peak_macs_per_cycle


def _outer_rate(machine: Machine) -> float:
    return machine.outer_bytes_per_cycle


def layers_table(machine: Machine, result: Evaluation | None, first: int) -> "pl.DataFrame":
    """One row a design and layer: cycles, MACs, bytes of each level, femtojoules by component."""
    import polars as pl

    components = (*COMPONENT_NAMES, *machine.levels)
    cycles = ("compute", "stall", "overhead", "macs")
    if result is None:
        names = [*cycles, *(f"{k}_bytes" for k in machine.levels), *(f"{c}_fj" for c in components)]
        return pl.DataFrame(schema=dict.fromkeys(("point", "layer", *names), pl.Int64))
    kept = np.flatnonzero(result.totals[:, TOTAL_REFUSAL] == 0)
    actions, energy = result.actions[kept], result.energy_fj[kept]
    count = actions.shape[1]
    columns = {
        "point": np.repeat(kept + first, count),
        "layer": np.tile(np.arange(count), len(kept)),
    }
    for name, at in zip(cycles, (COMPUTE_CYCLES, STALL_CYCLES, OVERHEAD_CYCLES, MACS), strict=True):
        columns[name] = actions[:, :, at].ravel()
    for k, level in enumerate(machine.levels):
        both = actions[:, :, LEVEL_0 + 2 * k] + actions[:, :, LEVEL_0 + 2 * k + 1]
        columns[f"{level}_bytes"] = both.ravel()
    for c, component in enumerate(components):
        columns[f"{component}_fj"] = energy[:, :, c].ravel()
    return pl.DataFrame(columns, schema_overrides=dict.fromkeys(columns, pl.Int64))
