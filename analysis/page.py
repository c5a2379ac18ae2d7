"""The design-space report: one HTML file that holds its data, its scripts and plotly.

It opens from a disk without a network: no request leaves the page. `render` is the only door; the
dataclasses say what it needs and know no result folder, no simulator and no table library. Points
travel column by column, configuration values once each, so that 100 000 points stay a small file.
"""

from __future__ import annotations

import html
import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import resources
from string import Template
from typing import Any

import yaml

from analysis import gantt, plots

MAX_EXACT_INTEGER = 2**53
"""Largest magnitude up to which every integer is a JavaScript number (IEEE 754 binary64)."""

SCRIPTS = ("data.js", "figures.js", "filters.js", "table.js", "page.js")
"""Parts of the page's one script, in order: constants of a part serve the later ones."""

METRICS: Mapping[str, tuple[str, str]] = {
    "latency_s": ("Latency", "s"),
    "energy_j": ("Energy", "J"),
    "area_mm2": ("Area", "mm²"),
    "cost": ("Cost", ""),
    "power_w": ("Power", "W"),
    "throughput_per_s": ("Throughput", "inferences/s"),
    "tops_per_w": ("Efficiency", "TOPS/W"),
    "utilization": ("MAC utilization", ""),
    "cycles": ("Cycles", ""),
    "macs": ("MACs", ""),
    "peak_memory_bytes": ("Peak memory", "B"),
}
"""Label and unit of the metrics of `estimate`; others are shown under their own key."""


@dataclass(frozen=True)
class Objective:
    """A quantity to minimise: its key in `Point.metrics`, its label, its unit ("s", "J", "mm²")."""

    key: str
    label: str
    unit: str


@dataclass(frozen=True)
class Layers:
    """Per-layer results of one point, one entry a layer in the order of `ReportData.layer_names`.

    Cycles are split in compute, stall (waiting for data) and overhead; `energy_fj` is integer
    femtojoules by component. The two rates are the machine's roofs. Raises ValueError where lengths
    differ or a roof is not a positive finite number.
    """

    compute: tuple[int, ...]
    stall: tuple[int, ...]
    overhead: tuple[int, ...]
    macs: tuple[int, ...]
    dram_bytes: tuple[int, ...]
    energy_fj: Mapping[str, tuple[int, ...]]
    peak_macs_per_cycle: float
    dram_bytes_per_cycle: float
    spans: tuple[gantt.Span, ...] = ()
    """The timeline of the whole network; empty where it was not kept."""

    def __post_init__(self) -> None:
        columns = (self.stall, self.overhead, self.macs, self.dram_bytes, *self.energy_fj.values())
        if any(len(column) != len(self.compute) for column in columns):
            raise ValueError("Layers: every column needs one entry a layer")
        for roof in (self.peak_macs_per_cycle, self.dram_bytes_per_cycle):
            if not (math.isfinite(roof) and roof > 0):
                raise ValueError(f"Layers: a roof must be positive and finite; got {roof}")


@dataclass(frozen=True)
class Point:
    """One evaluated machine: dotted path -> value of its whole YAML, and what it costs.

    A metric may be missing or not finite: the page then says "n/a" and does not draw the point on
    that axis. `on_front` is membership of the front in all objectives, found by the caller.
    """

    id: int
    machine: str
    config: Mapping[str, object]
    metrics: Mapping[str, float]
    on_front: bool
    layers: Layers | None = None


@dataclass(frozen=True)
class ReportData:
    """Everything the page shows. `axes` are the dotted paths that the sweep varied.

    Raises ValueError for fewer than two objectives, ids that repeat, or layer columns whose length
    is not that of `layer_names` and `layer_ops`.
    """

    title: str
    subtitle: str
    objectives: tuple[Objective, ...]
    axes: tuple[str, ...]
    points: tuple[Point, ...]
    layer_names: tuple[str, ...] = ()
    layer_ops: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if len(self.objectives) < 2:
            raise ValueError("ReportData: a plane needs two objectives or more")
        if len({point.id for point in self.points}) != len(self.points):
            raise ValueError("ReportData: point ids must differ")
        depth = {len(p.layers.compute) for p in self.points if p.layers} | {len(self.layer_ops)}
        if depth != {len(self.layer_names)}:
            raise ValueError("ReportData: layer_names, layer_ops and layers differ in length")


def render(data: ReportData) -> str:
    """Return the complete HTML page of `data`, self-contained, UTF-8, a few MB of it plotly."""
    from plotly.offline import get_plotlyjs

    payload = json.dumps(_payload(data), allow_nan=False, separators=(",", ":"))
    return Template(_asset("page.html")).substitute(
        title=html.escape(data.title),
        subtitle=html.escape(data.subtitle),
        notes="".join(f"<li>{html.escape(note)}</li>" for note in data.notes),
        style=_theme_variables() + _asset("page.css"),
        plotly=get_plotlyjs().replace("</script", "<\\/script"),
        # A "<" in JSON stands in strings only; escaped, no string can end or open a script element.
        payload=payload.replace("<", "\\u003c"),
        script="".join(_asset(name) for name in SCRIPTS),
    )


def yaml_scalar(value: object) -> str:
    """Return `value` as YAML on one line that YAML 1.1 and 1.2 loaders read back as the same value.

    Strings that any loader could take for another type are double-quoted; floats always carry a
    point (`1.0e-05`: without it PyYAML reads a string); lists and mappings are in flow style.
    Raises TypeError for a type that YAML has no notation for.
    """
    if isinstance(value, str):
        if re.fullmatch(r"[A-Za-z_][\w./-]*", value, re.ASCII) and yaml.safe_load(value) == value:
            return value if value.lower() not in {"y", "n"} else f'"{value}"'
        quoted = yaml.safe_dump(value, default_style='"', allow_unicode=True, width=math.inf)
        return quoted.removesuffix("\n")
    if isinstance(value, Mapping):
        return (
            "{" + ", ".join(f"{yaml_scalar(k)}: {yaml_scalar(v)}" for k, v in value.items()) + "}"
        )
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(yaml_scalar, value)) + "]"
    if isinstance(value, float):
        return _yaml_float(value)
    if value is None or isinstance(value, (bool, int)):
        return json.dumps(value)
    raise TypeError(f"a configuration value must be plain YAML data; got {type(value).__name__}")


def _yaml_float(value: float) -> str:
    if math.isnan(value):
        return ".nan"
    if math.isinf(value):
        return ".inf" if value > 0 else "-.inf"
    mantissa, exponent, power = repr(value).partition("e")
    return (mantissa if "." in mantissa else mantissa + ".0") + exponent + power


def _payload(data: ReportData) -> dict[str, Any]:
    """All that the scripts read, as JSON values; row numbers, not ids, refer to points."""
    points = data.points
    paths = dict.fromkeys((*data.axes, *(path for point in points for path in point.config)))
    keys = dict.fromkeys(
        (*(o.key for o in data.objectives), *(k for p in points for k in p.metrics))
    )
    labels = dict(METRICS) | {o.key: (o.label, o.unit) for o in data.objectives}
    return {
        "ids": [point.id for point in points],
        "machine": _column([point.machine for point in points]),
        "config": {path: _column([p.config.get(path, _ABSENT) for p in points]) for path in paths},
        "yamlKeys": {path: yaml_scalar(path) for path in paths if yaml_scalar(path) != path},
        "metrics": {key: [_finite(p.metrics.get(key)) for p in points] for key in keys},
        "metricLabels": {key: labels.get(key, (key, "")) for key in keys},
        "objectives": [{"key": o.key, "axis": plots.objective_axis(o)} for o in data.objectives],
        "axes": data.axes,
        "front": [row for row, point in enumerate(points) if point.on_front],
        "layers": {row: _layers(p.layers) for row, p in enumerate(points) if p.layers},
        "layerTitles": plots.layer_titles(data.layer_names, data.layer_ops),
        "figures": {theme: _empty_figures(data, theme) for theme in plots.THEMES},
        "spanKinds": gantt.KINDS,
        "ganttPixels": [gantt.FRAME_PIXELS, gantt.ROW_PIXELS],
        "siUnits": plots.SI_UNITS,
        "siPrefixes": plots.SI_PREFIXES,
        "selected": _default_selection(data),
    }


class _Absent:
    """The machine of this point has no such field."""


_ABSENT = _Absent()


def _column(values: Sequence[object]) -> dict[str, Any]:
    """Encode one column: each distinct value once, and per row its index (-1: no such field).

    `yaml` holds the YAML text of a value where it is not what JavaScript's JSON.stringify gives.
    A column that is the same in every row has no index.
    """
    places: dict[tuple[type, object], int] = {}
    distinct: list[object] = []
    index: list[int] = []
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
    return column if set(index) == {0} else column | {"index": index}


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
    return _finite(value) if isinstance(value, float) else value


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _layers(layers: Layers) -> dict[str, Any]:
    roofline = [
        {"name": s.name, "x": _rounded(s.x), "y": _rounded(s.y), "layer": s.layer}
        for s in plots.roofline_series(layers)
    ]
    cycles = {"compute": layers.compute, "stall": layers.stall, "overhead": layers.overhead}
    shown = {"cycles": cycles, "energy": dict(layers.energy_fj), "roofline": roofline}
    return shown | ({"spans": gantt.span_columns(layers.spans)} if layers.spans else {})


def _rounded(values: Iterable[float]) -> list[float]:
    return [float(f"{value:.6g}") for value in values]


def _empty_figures(data: ReportData, theme: plots.ThemeName) -> dict[str, Any]:
    """The figures of `analysis.plots` without values: the scripts put in those of the selection."""
    components = dict.fromkeys(c for p in data.points if p.layers for c in p.layers.energy_fj)
    zeros = (0,) * len(data.layer_names)
    blank = Layers(zeros, zeros, zeros, zeros, zeros, dict.fromkeys(components, zeros), 1.0, 1.0)
    keys = {objective.key: 1.0 for objective in data.objectives}
    point = Point(0, "", {}, keys, on_front=False, layers=blank)
    arguments = (point, data.layer_names, data.layer_ops, theme)
    figures = {
        "scatter": plots.pareto_figure(replace(data, points=(point,)), theme, selected=0),
        "cycles": plots.layer_cycles_figure(*arguments),
        "energy": plots.layer_energy_figure(*arguments),
        "roofline": plots.roofline_figure(*arguments),
        "gantt": gantt.gantt_figure((), data.layer_names, data.layer_ops, theme),
    }
    return {name: json.loads(figure.to_json()) for name, figure in figures.items()}


def _default_selection(data: ReportData) -> int | None:
    """The front point with the lowest product of the first two objectives (energy-delay)."""
    x, y = data.objectives[0].key, data.objectives[1].key

    def product(point: Point) -> tuple[bool, float, int]:
        value = point.metrics.get(x, math.nan) * point.metrics.get(y, math.nan)
        return not point.on_front, value if math.isfinite(value) else math.inf, point.id

    return min(data.points, key=product).id if data.points else None


def _theme_variables() -> str:
    """CSS variables of the two themes, so that page and plots share one set of colours."""
    blocks = {}
    for name, look in plots.THEMES.items():
        colors = {"text": look.text, "muted": look.muted, "line": look.grid, "paper": look.paper}
        rules = "".join(
            f"--{key}:{value};" for key, value in (*colors.items(), ("front", look.front))
        )
        blocks[name] = f":root{{color-scheme:{name};{rules}}}"
    return f"{blocks['light']}@media (prefers-color-scheme:dark){{{blocks['dark']}}}\n"


def _asset(name: str) -> str:
    return resources.files("analysis").joinpath("page_assets", name).read_text(encoding="utf-8")
