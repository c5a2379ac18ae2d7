"""The tables of a sweep: a row a design, and a row a design and layer."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from analysis.axes import Scalar
from analysis.layout import Layout
from simulator.cost import Evaluation
from simulator.machine_set import Floats, Ints, MachineSet
from simulator.machines.actions import (
    ACTION_NAMES,
    ACTIONS,
    COMPONENT_NAMES,
    COMPUTE_CYCLES,
    LEVEL_0,
    MACS,
    OVERHEAD_CYCLES,
    REFUSAL,
    STALL_CYCLES,
    TOTAL_CYCLES,
    TOTAL_ENERGY_FJ,
    TOTAL_MACS,
    TOTAL_MULTIPLIER_CYCLES,
    TOTAL_REFUSAL,
)
from simulator.machines.base import Machine
from simulator.machines.platform import Platform
from simulator.platform_estimate import platform_energy_at
from simulator.platforms import Timelines
from simulator.priced import energies_at
from simulator.reached import extrapolated_part, priced_parts
from simulator.technology.model import Bound

if TYPE_CHECKING:
    import polars as pl

ENDS: Final[tuple[Bound, ...]] = ("low", "high")
"""The bounds of every price that a design's energy is told at, beside its value."""
_NAMED: Final = {
    "compute": COMPUTE_CYCLES,
    "stall": STALL_CYCLES,
    "overhead": OVERHEAD_CYCLES,
    "macs": MACS,
}
ACTION_COLUMNS: Final[Mapping[str, int]] = _NAMED | {
    f"action.{name}": at
    for at, name in enumerate(ACTION_NAMES)
    if at not in (*_NAMED.values(), REFUSAL)
}
"""The integer actions of a layer that a table keeps, with their place in a row of actions: all that
prices are applied to. Levels of memory that a machine lacks are zeros, which Parquet keeps small.
"""


def points_table(
    columns: dict[str, Any],
    machines: MachineSet,
    result: Evaluation,
    batch: int,
    reasons: Sequence[str | None],
    ends: Sequence[Floats],
) -> "pl.DataFrame":
    """One row a design: `columns` as given, its costs; a refused design has a reason and no cost.

    `ends` are femtojoules [P] with every price at its low and at its high bound. `area_mm2` is that
    of the machine, whether it can run the network or not. `extrapolated_prices` counts prices
    beyond their cited points; a cost model's `cost` is in its own unit, without joules.
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
    energies = {"": energy_fj} | {f"_{end}": fj for end, fj in zip(ENDS, ends, strict=True)}
    energy_j = np.where(refused | ~joules, np.nan, energy_fj * 1e-15)
    if not joules.all():
        columns = columns | {
            f"cost{end}": np.where(refused | joules, np.nan, fj / 1000)
            for end, fj in energies.items()
        }
    peak = machines.column(np.float64, _peak_macs)
    with np.errstate(divide="ignore", invalid="ignore"):
        columns = columns | {
            "latency_s": latency_s,
            **{
                f"energy_j{end}": np.where(refused | ~joules, np.nan, fj * 1e-15)
                for end, fj in energies.items()
            },
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


def energy_ends(machines: MachineSet, result: Evaluation | Timelines) -> list[Floats]:
    """Femtojoules [P] at both `ENDS` of every price, from the layers of `result`, which it keeps.

    Those of `estimate`'s totals: NaN where a design is refused.
    """
    if isinstance(result, Timelines):
        return [_platform_energies(machines, result, end) for end in ENDS]
    refused = result.totals[:, TOTAL_REFUSAL]

    def at(end: Bound) -> Floats:
        return energies_at(machines, result.actions, refused, end)

    # The kernels hold no lock: both ends at once.
    with ThreadPoolExecutor(len(ENDS)) as pool:
        return list(pool.map(at, ENDS))


def _platform_energies(machines: MachineSet, lines: Timelines, end: Bound) -> Floats:
    """Of platforms, whose copies and dispatches are no layer's."""
    found = np.full(len(machines), np.nan)
    for design in np.flatnonzero(~lines.evaluation.refused).tolist():
        platform = machines.machine(design)
        if isinstance(platform, Platform):
            found[design] = float(platform_energy_at(platform, lines, end, design))
    return found


def layers_table(machine: Machine, result: Evaluation | None, first: int) -> "pl.DataFrame":
    """One row a design and layer: actions, bytes of each level, femtojoules by component."""
    import polars as pl

    components = (*COMPONENT_NAMES, *machine.levels)
    if result is None:
        names = [f"{k}_bytes" for k in machine.levels] + [f"{c}_fj" for c in components]
        every = ("point", "layer", *ACTION_COLUMNS, *names)
        return pl.DataFrame(schema=dict.fromkeys(every, pl.Int64))
    kept = np.flatnonzero(result.totals[:, TOTAL_REFUSAL] == 0)
    actions, energy = result.actions[kept], result.energy_fj[kept]
    count = actions.shape[1]
    columns = {
        "point": np.repeat(kept + first, count),
        "layer": np.tile(np.arange(count), len(kept)),
    }
    columns |= {name: actions[:, :, at].ravel() for name, at in ACTION_COLUMNS.items()}
    for k, level in enumerate(machine.levels):
        both = actions[:, :, LEVEL_0 + 2 * k] + actions[:, :, LEVEL_0 + 2 * k + 1]
        columns[f"{level}_bytes"] = both.ravel()
    for c, component in enumerate(components):
        columns[f"{component}_fj"] = energy[:, :, c].ravel()
    return pl.DataFrame(columns, schema_overrides=dict.fromkeys(columns, pl.Int64))


def actions_of(layers: "pl.DataFrame", count: int) -> Ints:
    """The actions that a table of layers keeps: int64 [P, count, ACTIONS], designs in its order."""
    actions = np.zeros((len(layers), ACTIONS), np.int64)
    for name, at in ACTION_COLUMNS.items():
        actions[:, at] = layers[name].to_numpy()
    return actions.reshape(-1, count, ACTIONS)


def axis_columns(layout: Layout, choices: Ints, first: int) -> "pl.DataFrame":
    """The number of each design and what its axes set; null where the base machine's stands.

    `choices` is int64 [P, axes] as `Layout.choices` has them, and designs count from `first`.
    """
    import polars as pl

    dtypes = {bool: pl.Boolean, int: pl.Int64, float: pl.Float64, str: pl.String}
    columns = {"point": pl.Series("point", np.arange(first, first + len(choices)))}
    for axis, own in enumerate(layout.members):
        chosen = choices[:, axis]
        for path, values in own.items():
            kind = _common_kind(layout.values[path])
            known = pl.Series(path, [*(kind(v) for v in values), None], dtype=dtypes[kind])
            column = known.gather(np.where(chosen < 0, len(values), chosen))
            if path in columns:
                column = column.zip_with(column.is_not_null(), columns[path])
            columns[path] = column
    return pl.DataFrame(list(columns.values()))


def _common_kind(values: Sequence[Scalar]) -> type[Scalar]:
    """One type for a column: that of all its values, numbers as floats, any other mix as text."""
    kinds = {type(value) for value in values}
    if len(kinds) == 1:
        return kinds.pop()
    return float if kinds == {int, float} else str
