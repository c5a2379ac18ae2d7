"""The layers that a run kept, as the report page shows them: of the front and of a sample."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import numpy as np

from analysis.gantt import Span
from analysis.kept_run import ANOTHER, bases_of
from analysis.layout import BASE
from analysis.page import Layers
from analysis.space_plots import sampled
from analysis.store import Store
from simulator.errors import BadFile
from simulator.machines.platform import HOST

if TYPE_CHECKING:
    import polars as pl

Flags: TypeAlias = np.ndarray[Any, np.dtype[np.bool_]]
LAYERED_POINTS: Final = 2000
"""Points whose layers travel with the page: the front first, then an even sample."""
LAYER_NUMBERS: Final = 500_000
"""Numbers of layers that travel at most: a deep network's on fewer points."""
NUMBERS_A_LAYER: Final = 16
"""What a layer is counted for: cycles, bytes, femtojoules by component."""
ENDS: Final = ("energy_fj_low", "energy_fj_high")


def shown_layers(store: Store, points: "pl.DataFrame", front: Flags) -> dict[int, Layers]:
    """By point the layers that travel; none where none are kept.

    `points` are those on the page and `front` says which of them are on the front. Raises BadFile
    where the kept layers are not what this version writes.
    """
    import polars as pl

    shown = points.filter(_layered(front, len(store.manifest["layers"])))
    try:
        table = store.layers_of(shown["point"].to_list())
        if table.is_empty():
            return {}
        if not all(kind.is_integer() or kind == pl.Null for kind in table.dtypes):
            raise ValueError("a layer's columns are integers")
        return _layers_by_point(store, shown, table)
    except (LookupError, TypeError, ValueError, pl.exceptions.PolarsError):
        raise BadFile(f"{store.folder / 'layers'}: {ANOTHER}") from None


def _layered(front: Flags, layers: int) -> Flags:
    """Which points' layers are shown: at most `LAYERED_POINTS`, the front before an even sample."""
    room = LAYER_NUMBERS // (NUMBERS_A_LAYER * max(1, layers))
    room = min(LAYERED_POINTS, max(room, 1))
    chosen = np.zeros(len(front), np.bool_)
    chosen[np.flatnonzero(front)[:room]] = True
    others, left = np.flatnonzero(~front), room - int(chosen.sum())
    if others.size and left > 0:
        chosen[others[sampled(others.size, left)]] = True
    return chosen


def _layers_by_point(
    store: Store, shown: "pl.DataFrame", table: "pl.DataFrame"
) -> dict[int, Layers]:
    rates = ("point", "peak_macs_per_cycle", "outer_bytes_per_cycle")
    roofs = {point: (peak, rate) for point, peak, rate in shown.select(rates).iter_rows()}
    # The costs of a model are in units of its own and no joules.
    priceless = set(shown.filter(shown["energy_j"].is_null())["point"])
    bases = bases_of(store)
    first = next(iter(bases))
    base_of = dict(shown.select("point", BASE).iter_rows()) if BASE in shown.columns else {}
    depth, found = len(store.manifest["layers"]), {}
    for (number,), part in table.group_by(["point"], maintain_order=True):
        point = int(str(number))
        if len(part) != depth:
            raise ValueError(f"point {point} has {len(part)} layers, not {depth}")
        # Machines of a sweep over several have levels of their own.
        own = [column for column in part if column.null_count() < len(column)]
        columns = {column.name: column.to_list() for column in own}
        units = [HOST, *bases[base_of.get(point, first)].get("units", ())]
        if point in priceless:
            columns = {name: c for name, c in columns.items() if not name.endswith("_fj")}
        found[point] = _layers(columns, roofs[point], units)
    return found


def _layers(
    columns: Mapping[str, Sequence[int]], roofs: tuple[float, float], units: Sequence[str]
) -> Layers:
    levels = [c for c in columns if c.endswith("_bytes")]
    outer = "outer_bytes" if "outer_bytes" in levels else levels[-1]
    components = [c for c in columns if c.endswith("_fj") and c != "energy_fj"]
    peak, rate = roofs
    return Layers(
        compute=tuple(columns["compute"]),
        stall=tuple(columns["stall"]),
        overhead=tuple(columns["overhead"]),
        macs=tuple(columns["macs"]),
        dram_bytes=tuple(columns[outer]),
        energy_fj={c.removesuffix("_fj"): tuple(columns[c]) for c in components},
        peak_macs_per_cycle=peak,
        dram_bytes_per_cycle=rate,
        spans=_runs(columns, units),
        **{end: tuple(columns[end]) for end in ENDS if end in columns},
    )


def _runs(columns: Mapping[str, Sequence[int]], units: Sequence[str]) -> tuple[Span, ...]:
    """When each layer runs on a platform; copies and dispatches are in `estimate --html` alone."""
    if "start" not in columns:
        return ()
    parts = (columns[name] for name in ("unit", "start", "compute", "stall", "overhead"))
    return tuple(
        Span(units[unit], "run", layer, start, compute + stall + overhead)
        for layer, (unit, start, compute, stall, overhead) in enumerate(zip(*parts, strict=True))
    )
