"""The design-space report: one HTML file that holds its data, its scripts and plotly.

It opens from a disk without a network: no request leaves the page. `render` is the only door; the
dataclasses say what it needs and know no result folder, no simulator and no table library. Read
next: `analysis.page_payload`, how 100 000 points travel in a few MB.
"""

from __future__ import annotations

import html
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from string import Template
from typing import Literal, Protocol

from analysis import gantt, plots

SCRIPTS = (
    *("data.js", "plane.js", "figures.js", "views.js", "filters.js", "table.js"),
    *("compare.js", "controls.js", "page.js"),
)
"""Parts of the page's one script, in order: constants of a part serve the later ones."""

METRICS: Mapping[str, tuple[str, str]] = {
    "latency_s": ("Latency", "s"),
    "energy_j": ("Energy", "J"),
    "area_mm2": ("Area", "mm²"),
    "cost": ("Cost", ""),
    "accuracy": ("Accuracy", ""),
    "sqnr_db": ("SQNR", "dB"),
    "overflow_rate": ("Overflow rate", ""),
    "power_w": ("Power", "W"),
    "throughput_per_s": ("Throughput", "inferences/s"),
    "tops_per_w": ("Efficiency", "TOPS/W"),
    "utilization": ("MAC utilization", ""),
    "edp": ("Energy-delay product", "J s"),
    "cycles": ("Cycles", ""),
    "macs": ("MACs", ""),
    "peak_macs_per_cycle": ("Peak rate", "MACs/cycle"),
    "peak_memory_bytes": ("Peak memory", "B"),
}
"""Label and unit of the metrics of `estimate`; others are shown under their own key."""


@dataclass(frozen=True)
class Objective:
    """A quantity to judge by: its key in `Point.metrics`, its label, its unit ("s", "J", "mm²").

    `sense` says which way it is better: "min" or "max".
    """

    key: str
    label: str
    unit: str
    sense: Literal["min", "max"] = "min"


@dataclass(frozen=True)
class Layers:
    """Per-layer results of one point, one entry a layer in the order of `ReportData.layer_names`.

    Cycles are split in compute, stall (waiting for data) and overhead; `energy_fj` is integer
    femtojoules by component, `energy_fj_low` and `energy_fj_high` those of the whole layer at the
    bounds of every price, empty where they are not known. The two rates are the machine's roofs.
    Raises ValueError where lengths differ or a roof is not a positive finite number.
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
    energy_fj_low: tuple[int, ...] = ()
    energy_fj_high: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        columns = [self.stall, self.overhead, self.macs, self.dram_bytes, *self.energy_fj.values()]
        if self.energy_fj_low or self.energy_fj_high:
            columns += [self.energy_fj_low, self.energy_fj_high]
        if any(len(column) != len(self.compute) for column in columns):
            raise ValueError("Layers: every column needs one entry a layer")
        for roof in (self.peak_macs_per_cycle, self.dram_bytes_per_cycle):
            if not (math.isfinite(roof) and roof > 0):
                raise ValueError(f"Layers: a roof must be positive and finite; got {roof}")


class Buffer(Protocol):
    """A tensor in the arena: `simulator.memory.Placement`."""

    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def offset(self) -> int: ...  # noqa: D102
    @property
    def bytes(self) -> int: ...  # noqa: D102
    @property
    def first(self) -> int: ...  # noqa: D102
    @property
    def last(self) -> int: ...  # noqa: D102


@dataclass(frozen=True)
class Mapped:
    """How one point runs each layer: a loop nest or folds as text, empty where there is none.

    `arena` is the index in `ReportData.arenas` of its plan of the activations, if there is one.
    """

    texts: tuple[str, ...]
    arena: int | None = None


@dataclass(frozen=True)
class Point:
    """One evaluated machine: dotted path -> value of its whole YAML, and what it costs.

    A metric may be missing or not finite: the page then says "n/a" and does not draw the point on
    that axis. `bounds` are (low, high) of the metrics that have them. `on_front` is membership of
    the front in all objectives, found by the caller. `choices` are the values of axes that `config`
    has no such field for: the widths of a class of layers lie inside its list of layers.
    """

    id: int
    machine: str
    config: Mapping[str, object]
    metrics: Mapping[str, float]
    on_front: bool
    layers: Layers | None = None
    bounds: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    mapped: Mapped | None = None
    choices: Mapping[str, object] = field(default_factory=dict)

    def value(self, axis: str, without: object = None) -> object:
        """What the point has on an axis; `without` where the axis does not apply to it."""
        return self.choices.get(axis, self.config.get(axis, without))


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
    arenas: tuple[tuple[Buffer, ...], ...] = ()

    def __post_init__(self) -> None:
        if len(self.objectives) < 2:
            raise ValueError("ReportData: a plane needs two objectives or more")
        if len({point.id for point in self.points}) != len(self.points):
            raise ValueError("ReportData: point ids must differ")
        depth = {len(p.layers.compute) for p in self.points if p.layers} | {len(self.layer_ops)}
        depth |= {len(p.mapped.texts) for p in self.points if p.mapped}
        if depth != {len(self.layer_names)}:
            raise ValueError("ReportData: layer_names, layer_ops and layers differ in length")


def default_selection(points: Sequence[Point], objectives: Sequence[Objective]) -> int | None:
    """The id of the front point that is best in the product of the first two objectives.

    Those that are maximised divide: latency and energy give the energy-delay product.
    """

    def product(point: Point) -> tuple[bool, float, int]:
        value = 1.0
        for objective in objectives[:2]:
            metric = point.metrics.get(objective.key, math.nan)
            if objective.sense == "max":
                value = value / metric if metric > 0 else math.inf
            else:
                value *= metric
        return not point.on_front, value if math.isfinite(value) else math.inf, point.id

    return min(points, key=product).id if points else None


def render(data: ReportData) -> str:
    """Return the complete HTML page of `data`, self-contained, UTF-8, a few MB of it plotly."""
    from plotly.offline import get_plotlyjs

    from analysis.page_payload import packed

    return Template(asset("page.html")).substitute(
        title=html.escape(data.title),
        subtitle=html.escape(data.subtitle),
        notes=_items(data.notes),
        style=theme_variables() + asset("page.css"),
        plotly=get_plotlyjs().replace("</script", "<\\/script"),
        payload=packed(data),
        script="".join(asset(name) for name in SCRIPTS),
    )


def _items(notes: Iterable[str]) -> str:
    return "".join(f"<li>{html.escape(note)}</li>" for note in notes)


def theme_variables() -> str:
    """CSS variables of the two themes, so that page and plots share one set of colours."""
    blocks = {}
    for name, look in plots.THEMES.items():
        colors = {"text": look.text, "muted": look.muted, "line": look.grid, "paper": look.paper}
        rules = "".join(
            f"--{key}:{value};" for key, value in (*colors.items(), ("front", look.front))
        )
        blocks[name] = f":root{{color-scheme:{name};{rules}}}"
    return f"{blocks['light']}@media (prefers-color-scheme:dark){{{blocks['dark']}}}\n"


def asset(name: str) -> str:
    """A file of the pages that is not Python."""
    return resources.files("analysis").joinpath("page_assets", name).read_text(encoding="utf-8")
