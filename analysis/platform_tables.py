"""Tables of a sweep over platforms: every layer with its unit and start beside its costs."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from analysis.tables import ACTION_COLUMNS
from simulator.machines.actions import (
    COMPONENT_NAMES,
    LEVEL_0,
    MACS,
    TOTAL_REFUSAL,
)
from simulator.machines.platform import HOST, Platform
from simulator.platforms import EXTRA_COMPONENTS, Timelines

if TYPE_CHECKING:
    import polars as pl

    from simulator.designs import Ints

UNIT = "unit"
START = "start"
_OWN_CLOCK = {name: at for name, at in ACTION_COLUMNS.items() if name.startswith("action.")}
"""What a layer does on its own machine, in that one's clock."""


def platform_layers(platform: Platform, result: Timelines | None, first: int) -> "pl.DataFrame":
    """One row a design and layer; cycles and start are the host's, `unit` is 0 on the host.

    `outer_bytes` are those of the outermost memory of the layer's own unit.
    """
    import polars as pl

    if result is None:
        return pl.DataFrame(schema=dict.fromkeys(("point", "layer", *_names(platform)), pl.Int64))
    kept = np.flatnonzero(result.evaluation.totals[:, TOTAL_REFUSAL] == 0)
    count = result.places.shape[1]
    columns: dict[str, Any] = {
        "point": np.repeat(kept + first, count),
        "layer": np.tile(np.arange(count), len(kept)),
    }
    found = _columns(platform, result)
    columns |= {name: found[name][kept].ravel() for name in _names(platform)}
    return pl.DataFrame(columns, schema_overrides=dict.fromkeys(columns, pl.Int64))


def _names(platform: Platform) -> list[str]:
    levels = [f"{name}.{level}" for name, m in platform.machines.items() for level in m.levels]
    links = [f"{name}.link" for name in platform.units]
    components = (*COMPONENT_NAMES, *levels, *EXTRA_COMPONENTS)
    return [
        *("compute", "stall", "overhead", "macs", UNIT, START),
        *_OWN_CLOCK,
        *(f"{name}_bytes" for name in (*levels, *links, "outer")),
        *(f"{name}_fj" for name in components),
    ]


def _columns(platform: Platform, result: Timelines) -> "Mapping[str, Ints]":
    """Every column as int64 [P, L]."""
    actions, energy = result.evaluation.actions, result.evaluation.energy_fj
    columns = {name: result.parts[:, :, i] for i, name in enumerate(("compute", "stall"))}
    columns |= {"overhead": result.parts[:, :, 2], "macs": actions[:, :, MACS]}
    columns |= {UNIT: result.places, START: result.starts}
    columns |= {name: actions[:, :, at] for name, at in _OWN_CLOCK.items()}
    outer = np.zeros_like(result.places)
    for number, (name, machine) in enumerate(platform.machines.items()):
        here = result.places == number
        for k, level in enumerate(machine.levels):
            read, written = (actions[:, :, LEVEL_0 + 2 * k + way] for way in (0, 1))
            moved = (read + written) * here
            columns[f"{name}.{level}_bytes"] = moved
            outer = outer + moved * (k == len(machine.levels) - 1)
            columns[f"{name}.{level}_fj"] = energy[:, :, len(COMPONENT_NAMES) + k] * here
        if name != HOST:
            columns[f"{name}.link_bytes"] = result.moved[:, :, number].sum(axis=2)
    columns["outer_bytes"] = outer
    columns |= {f"{name}_fj": energy[:, :, c] for c, name in enumerate(COMPONENT_NAMES)}
    columns |= {f"{n}_fj": result.extra_fj[:, :, c] for c, n in enumerate(EXTRA_COMPONENTS)}
    return columns
