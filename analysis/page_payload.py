"""How the data of the report page travel: columns, distinct values once each, compressed.

Layout of the compressed bytes: int32 length n of a JSON text, the text, zeros up to a multiple of
8, then the arrays that the text refers to as {"at", "count", "kind"}. All little-endian. The page
unpacks them with the browser's own DecompressionStream.
"""

from __future__ import annotations

import base64
import gzip
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from analysis import gantt, plots, space_plots
from analysis.page import METRICS, Layers, Point, ReportData, default_selection
from analysis.sensitivity import Sensitivity, sensitivity_of
from analysis.yaml_text import yaml_scalar

MAX_EXACT_INTEGER = 2**53
"""Largest magnitude up to which every integer is a JavaScript number (IEEE 754 binary64)."""
COMPRESSION = 6


class Arrays:
    """The bytes that follow the text; `add` returns what the text says of an array."""

    def __init__(self) -> None:
        self.parts: list[bytes] = []
        self.size = 0

    def add(self, values: np.ndarray[Any, Any]) -> dict[str, Any]:
        """Append an array, 8-byte aligned, in its own type."""
        data = np.ascontiguousarray(values, values.dtype.newbyteorder("<")).tobytes()
        made = {"at": self.size, "count": len(values), "kind": values.dtype.str[1:]}
        self.parts.append(data + bytes(-len(data) % 8))
        self.size += len(self.parts[-1])
        return made


def packed(data: ReportData) -> str:
    """The data as base64 text for a script element."""
    arrays = Arrays()
    text = json.dumps(payload(data, arrays), allow_nan=False, separators=(",", ":")).encode()
    head = len(text).to_bytes(4, "little") + text
    whole = b"".join([head, bytes(-len(head) % 8), *arrays.parts])
    # Without a time stamp: the same data make the same page.
    return base64.b64encode(gzip.compress(whole, COMPRESSION, mtime=0)).decode()


def payload(data: ReportData, arrays: Arrays) -> dict[str, Any]:
    """All that the scripts read, as JSON values; row numbers, not ids, refer to points."""
    points = data.points
    inner = dict.fromkeys(path for point in points for path in point.choices)
    outer = (axis for axis in data.axes if axis not in inner)
    paths = dict.fromkeys((*outer, *(path for point in points for path in point.config)))
    steps = {key for path in paths for key in path.split(".")}
    judged = [o.key for o in data.objectives]
    keys = dict.fromkeys((*judged, *(k for p in points for k in p.metrics)))
    labels = dict(METRICS) | {o.key: (o.label, o.unit) for o in data.objectives}
    found = sensitivity_of(data)
    return {
        "ids": _exact(arrays, [point.id for point in points]),
        "machine": _column([point.machine for point in points], arrays),
        "config": {
            path: _column([p.config.get(path, _ABSENT) for p in points], arrays) for path in paths
        },
        "choices": {
            path: _column([p.choices.get(path, _ABSENT) for p in points], arrays) for path in inner
        },
        "yamlKeys": {key: yaml_scalar(key) for key in steps if yaml_scalar(key) != key},
        "metrics": {
            key: _reals(arrays, [p.metrics.get(key) for p in points], key in judged) for key in keys
        },
        "bounds": _bounds(points, arrays),
        "metricLabels": {key: labels.get(key) or _label_of_network(key) for key in keys},
        "objectives": [
            {"key": o.key, "axis": plots.objective_axis(o), "sense": o.sense}
            for o in data.objectives
        ],
        "axes": data.axes,
        "front": [row for row, point in enumerate(points) if point.on_front],
        "layers": {row: _layers(p.layers) for row, p in enumerate(points) if p.layers},
        "mapped": {row: _mapped(p) for row, p in enumerate(points) if p.mapped},
        "arenas": [[[b.name, b.offset, b.bytes, b.first, b.last] for b in a] for a in data.arenas],
        "layerTitles": plots.layer_titles(data.layer_names, data.layer_ops),
        "layerNames": data.layer_names,
        "figures": {theme: _empty_figures(data, theme, found) for theme in plots.THEMES},
        "sensitivity": _told(found),
        "spanKinds": gantt.KINDS,
        "ganttPixels": [gantt.FRAME_PIXELS, gantt.ROW_PIXELS],
        "siUnits": plots.SI_UNITS,
        "siPrefixes": plots.SI_PREFIXES,
        "selected": default_selection(data.points, data.objectives),
    }


def _label_of_network(key: str) -> tuple[str, str]:
    """Label and unit of a metric of one network of several, `<network>.<metric>`."""
    network, _, name = key.rpartition(".")
    label, unit = METRICS.get(name, (name, ""))
    return (f"{network}: {label}" if network else label), unit


def _told(found: Sensitivity | None) -> str | None:
    """The sentence under the heat map."""
    if found is None:
        return None
    kind = "logarithm of each objective" if all(found.logarithmic) else "objectives"
    if 0 < sum(found.logarithmic) < len(found.logarithmic):
        kind = "objectives (logarithms where all values are positive)"
    grid = (
        "The grid is whole, so that the shares are exact and the rest is interactions."
        if found.whole_grid
        else "The grid is not whole (designs are refused, outside a constraint, not yet done or "
        "searched): shares are correlation ratios and may overlap."
    )
    if found.partial:
        grid += (
            f" Not every design has {', '.join(found.partial)}: such an axis is judged among the "
            "designs that have it."
        )
    return (
        f"Share of the variance of the {kind} that one axis explains alone: the first-order "
        f"Sobol index Var(E[y|x]) / Var(y), Saltelli et al., Global Sensitivity Analysis: The "
        f"Primer, 2008, chapter 4. From {found.points:,} points. {grid}"
    )


class _Absent:
    """The machine of this point has no such field."""


_ABSENT = _Absent()


def _exact(arrays: Arrays, values: Sequence[int]) -> dict[str, Any]:
    return arrays.add(np.array(values, np.float64))


def _reals(arrays: Arrays, values: Sequence[float | None], exact: bool) -> dict[str, Any]:
    """A column of numbers, NaN where there is none; what is no objective in single precision.

    The page shows four digits of those, and binary32 has seven.
    """
    column = np.array([math.nan if v is None else v for v in values], np.float64)
    column[~np.isfinite(column)] = math.nan
    if not exact and not (np.abs(column[np.isfinite(column)]) > np.finfo(np.float32).max).any():
        return arrays.add(column.astype(np.float32))
    return arrays.add(column)


def _bounds(points: Sequence[Point], arrays: Arrays) -> dict[str, Any]:
    """Low and high of the metrics that have bounds, a column each."""
    keys = dict.fromkeys(key for point in points for key in point.bounds)
    none = (None, None)
    found = {}
    for key in keys:
        ends = [p.bounds.get(key, none) for p in points]
        found[key] = [_reals(arrays, [pair[end] for pair in ends], exact=False) for end in (0, 1)]
    return found


def _column(values: Sequence[object], arrays: Arrays) -> dict[str, Any]:
    """Encode one column: each distinct value once, and per row its index (-1: no such field).

    `yaml` holds the YAML text of a value where it is not what JavaScript's JSON.stringify gives.
    A column that is the same in every row has no index.
    """
    places: dict[tuple[type, object], int] = {}
    distinct: list[object] = []
    index: list[int] = []
    first = values[0] if values else None
    if values and first is not _ABSENT and all(value is first for value in values):
        values = values[:1]
    for value in values:
        if value is _ABSENT:
            index.append(-1)
            continue
        hashable = isinstance(value, (str, int, float)) or value is None
        place = places.setdefault((type(value), value if hashable else repr(value)), len(distinct))
        if place == len(distinct):
            distinct.append(value)
        index.append(place)
    texts = {i: yaml_scalar(v) for i, v in enumerate(distinct) if not _same_in_javascript(v)}
    column = {"values": [_plain(value) for value in distinct], "yaml": texts}
    if set(index) == {0}:
        return column
    width = np.int8 if len(distinct) < 2**7 else np.int16 if len(distinct) < 2**15 else np.int32
    return column | {"index": arrays.add(np.array(index, width))}


def _same_in_javascript(value: object) -> bool:
    if isinstance(value, float):
        return math.isfinite(value) and not value.is_integer() and "e" not in repr(value)
    return isinstance(value, int) and abs(value) <= MAX_EXACT_INTEGER


def _plain(value: object) -> Any:
    """`value` as JSON: a number that is not finite becomes null (its YAML text says which)."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _layers(layers: Layers) -> dict[str, Any]:
    roofline = [
        {"name": s.name, "x": _rounded(s.x), "y": _rounded(s.y), "layer": s.layer}
        for s in plots.roofline_series(layers)
    ]
    cycles = {"compute": layers.compute, "stall": layers.stall, "overhead": layers.overhead}
    shown: dict[str, Any] = {
        "cycles": cycles,
        "energy": {name: part for name, part in layers.energy_fj.items() if any(part)},
        "roofline": roofline,
    }
    if layers.energy_fj_low:
        shown["bounds"] = [layers.energy_fj_low, layers.energy_fj_high]
    return shown | ({"spans": gantt.span_columns(layers.spans)} if layers.spans else {})


def _mapped(point: Point) -> dict[str, Any]:
    assert point.mapped is not None
    return {"texts": point.mapped.texts, "arena": point.mapped.arena}


def _rounded(values: Iterable[float]) -> list[float]:
    return [float(f"{value:.6g}") for value in values]


def _empty_figures(
    data: ReportData, theme: plots.ThemeName, found: Sensitivity | None
) -> dict[str, Any]:
    """The figures of the plot modules without values: the scripts put in those of the selection."""
    # A component that costs nothing anywhere has no bar.
    components = dict.fromkeys(
        name
        for p in data.points
        if p.layers
        for name, energy in p.layers.energy_fj.items()
        if any(energy)
    )
    zeros = (0,) * len(data.layer_names)
    blank = Layers(
        *(zeros, zeros, zeros, zeros, zeros, dict.fromkeys(components, zeros), 1.0, 1.0),
        energy_fj_low=zeros,
        energy_fj_high=zeros,
    )
    keys = {objective.key: 1.0 for objective in data.objectives}
    bounds = dict.fromkeys(keys, (1.0, 1.0))
    point = Point(0, "", {}, keys, on_front=True, layers=blank, bounds=bounds)
    arguments = (point, data.layer_names, data.layer_ops, theme)
    alone = replace(data, points=(point,))
    figures = {
        "scatter": space_plots.pareto_figure(alone, theme, selected=0),
        "parallel": space_plots.parallel_figure(alone, theme),
        "cycles": plots.layer_cycles_figure(*arguments),
        "energy": plots.layer_energy_figure(*arguments),
        "roofline": plots.roofline_figure(*arguments),
        "gantt": gantt.gantt_figure((), data.layer_names, data.layer_ops, theme),
        "memory": gantt.memory_figure((), len(data.layer_names), theme),
        "compared": space_plots.compared_figure((), (), data.layer_names, "", theme),
    }
    if len(data.objectives) > 2:
        figures["space"] = space_plots.space_figure(alone, theme)
    if found is not None:
        figures["sensitivity"] = space_plots.sensitivity_figure(found, theme)
    return {name: json.loads(figure.to_json()) for name, figure in figures.items()}
