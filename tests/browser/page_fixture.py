"""For the tests of the report page: a synthetic design space, and a browser to open it in.

The points are the same at every call. The formulas are only as real as the page needs (more
multipliers: faster, larger, hungrier); the configuration holds every kind of YAML value, some of
them hostile to HTML, JSON or YAML.
"""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import pytest

from analysis.page import Layers, Mapped, Objective, Point, ReportData, render
from simulator.memory import Placement

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page

Launch = Callable[..., "Browser"]

OBJECTIVES = (
    Objective("latency_s", "Latency", "s"),
    Objective("energy_j", "Energy", "J"),
    Objective("area_mm2", "Area", "mm²"),
)
AXES = ("array.rows", "array.cols", "array.dataflow", "datapath.weight_bits", "clock_mhz")
OPS = ("CONV_2D", "DEPTHWISE_CONV_2D", "CONV_2D", "ADD", "FULLY_CONNECTED")
LAYERS = 20
NAMES = tuple(
    f"model/stage_{layer // 5}/block_{layer % 5}/{OPS[layer % 5].lower()}"
    for layer in range(LAYERS)
)
LAYER_MACS = tuple(
    0 if layer % 5 == 3 else 40_000 * (1 + layer * 7 % 11) for layer in range(LAYERS)
)
TEXTS = tuple(
    "" if macs == 0 else f"for oc in 0..{1 + layer}\n  for k in 0..9"
    for layer, macs in enumerate(LAYER_MACS)
)
ARENA = tuple(
    Placement(f"tensor <{layer}>", 4096 * (layer % 2), 4096 - 64 * layer, layer, layer + 1, None)
    for layer in range(LAYERS - 1)
)
FIXED: Mapping[str, object] = {
    "model": "systolic",
    "source": 'tables: "a", </script><script>throw 1</script> & <!-- µm²',
    "array.name": "500e6",
    "array.enabled": "on",
    "datapath.accumulator.bits": 32,
    "datapath.accumulator.overflow": "wrap",
    "datapath.requantize": {"multiplier_bits": 31, "rounding": ["away", "1e3", 1e-5]},
    "memory.dram.bytes_per_cycle": 8.0,
    "memory.leakage_w": 1e-05,
    "memory.ifmap_sram.bytes": 65536,
    "memory.tag": 2**60,
    "datapath.layers.conv: 1 #.weight_bits": 4,
    "memory.nothing": None,
    "memory.empty": {},
    "memory.dotted": {"a.b": 1, "c: d": [2]},
    "technology.scaled": True,
    "units.accelerator_of_a_platform.datapath.accumulator.stages_with_a_long_name": 1,
}


def make_data(count: int, layers_every: int = 7) -> ReportData:
    """Return `count` points; layers for the front and for every `layers_every`-th point."""
    rng = random.Random(20240)
    drafts = [_point(identity, rng) for identity in range(100, 100 + count)]
    front = front_of([tuple(p.metrics[o.key] for o in OBJECTIVES) for p in drafts])
    points = tuple(
        replace(
            p,
            on_front=row in front,
            layers=_layers(p),
            mapped=Mapped(TEXTS, 0) if row in front else None,
        )
        if row in front or row % layers_every == 0
        else p
        for row, p in enumerate(drafts)
    )
    return ReportData(
        "Keyword spotting on systolic arrays",
        f"{count} machines, synthetic data",
        OBJECTIVES,
        AXES,
        points,
        NAMES,
        tuple(OPS[layer % 5] for layer in range(LAYERS)),
        (
            "Energies are sums of rounded per-layer femtojoules.",
            "A note with <b>markup</b> & more.",
        ),
        (ARENA,),
    )


def front_of(costs: list[tuple[float, ...]]) -> set[int]:
    """Return the rows that no other row beats: nowhere worse and somewhere better."""
    front: list[int] = []
    for row in sorted(range(len(costs)), key=lambda row: costs[row]):
        mine = costs[row]
        beaten = any(
            all(a <= b for a, b in zip(costs[other], mine, strict=True)) and costs[other] != mine
            for other in front
        )
        if not beaten:
            front.append(row)
    return set(front)


def _point(identity: int, rng: random.Random) -> Point:
    rows, cols = rng.choice((4, 8, 12, 16, 24, 32)), rng.choice((4, 8, 16, 32))
    dataflow = rng.choice(("weight_stationary", "output_stationary", "input_stationary"))
    bits, clock = rng.choice((2, 4, 8)), 100 + 25 * rng.randrange(30)
    noise = rng.lognormvariate(0, 0.25)
    cycles = int(sum(LAYER_MACS) / (rows * cols) ** 0.8 * noise)
    latency, area = cycles / (clock * 1e6), 0.002 * rows * cols * (1 + bits / 8) + 0.3 * noise
    switching = 0.2e-12 * (bits + 2) * (clock / 400) ** 1.5 * rng.lognormvariate(0, 0.2)
    energy = sum(LAYER_MACS) * switching + 0.02 * area * latency
    metrics = {
        "latency_s": latency,
        "energy_j": energy,
        "area_mm2": area,
        "cycles": float(cycles),
        "utilization": sum(LAYER_MACS) / (cycles * rows * cols),
        "power_w": energy / latency,
        "tops_per_w": 2e-12 * sum(LAYER_MACS) / energy,
        "throughput_per_s": float("inf") if identity == 100 else 1 / latency,
    }
    axes = (rows, cols, dataflow, bits, clock)
    config = {**dict(zip(AXES, axes, strict=True)), **FIXED}
    if dataflow == "weight_stationary":
        config["memory.weight_sram.bytes"] = 1024 * rows
    bounds = {"energy_j": (0.6 * energy, 1.9 * energy), "area_mm2": (0.9 * area, 1.2 * area)}
    return Point(identity, f"systolic_{rows}x{cols}", config, metrics, False, bounds=bounds)


def _layers(point: Point) -> Layers:
    share = [macs / sum(LAYER_MACS) for macs in LAYER_MACS]
    cycles = point.metrics["cycles"]
    femtojoules = point.metrics["energy_j"] * 1e15
    stall = tuple(int(0.25 * cycles * s) for s in share)
    parts = (("mac", 0.4), ("sram", 0.3), ("dram", 0.25), ("leakage", 0.05))
    energy = {part: tuple(int(femtojoules * f * s) for s in share) for part, f in parts}
    return Layers(
        compute=tuple(int(0.7 * cycles * s) + 1 for s in share),
        stall=stall,
        overhead=(64,) * LAYERS,
        macs=LAYER_MACS,
        dram_bytes=tuple(0 if layer == 7 else (1 + layer % 8) * c for layer, c in enumerate(stall)),
        energy_fj=energy,
        energy_fj_low=tuple(sum(column) // 2 for column in zip(*energy.values(), strict=True)),
        energy_fj_high=tuple(sum(column) * 2 for column in zip(*energy.values(), strict=True)),
        peak_macs_per_cycle=float(point.config["array.rows"]) * float(point.config["array.cols"]),  # type: ignore[arg-type]
        dram_bytes_per_cycle=8.0,
    )


class Open(Protocol):
    """Render `data` and open the page in a window of `width` pixels."""

    def __call__(self, data: ReportData, width: int = 1280, dark: bool = False) -> Page: ...


FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
         "--disable-background-networking", "--disable-component-update"]  # fmt: skip
# Chromium's remarks on its own software renderer and on how plotly reads text widths back.
IGNORED = ("GPU stall due to ReadPixels", "Multiple readback operations using getImageData")


def chromium() -> Iterator[Launch]:
    """Yield a function that starts the system's Chromium with extra flags, or skip."""
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    names = ("chromium", "chromium-browser", "google-chrome")
    path = next(filter(None, map(shutil.which, names)), None)
    if path is None:
        pytest.skip(f"no browser: none of {', '.join(names)} is on PATH")
    with api.sync_playwright() as playwright:
        browsers: list[Browser] = []

        def launch(*flags: str) -> Browser:
            browser: Browser = playwright.chromium.launch(
                executable_path=path, args=[*FLAGS, *flags]
            )
            browsers.append(browser)
            return browser

        yield launch
        for browser in browsers:
            browser.close()


def rendered(data: ReportData) -> str:
    """`render`, once for data that several tests open one after another."""
    if not _LAST or _LAST[0][0] is not data:
        _LAST[:] = [(data, render(data))]
    return _LAST[0][1]


_LAST: list[tuple[ReportData, str]] = []


def opener(browser: Browser, folder: Path) -> Iterator[Open]:
    """Yield an `Open`; afterwards no page may have logged, thrown, or requested another address."""
    reports: list[str] = []
    contexts: list[BrowserContext] = []

    def open_page(data: ReportData, width: int = 1280, dark: bool = False) -> Page:
        file = folder / "report.html"
        file.write_text(rendered(data), encoding="utf-8")
        context = browser.new_context(
            viewport={"width": width, "height": 760},
            color_scheme="dark" if dark else "light",
            permissions=["clipboard-read", "clipboard-write"],
        )
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: reports.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: reports.append(f"uncaught: {error}"))
        page.on("request", lambda request: reports.append(f"request: {request.url}"))
        page.goto(file.as_uri())
        page.wait_for_function("window.bitlane", timeout=60_000)
        reports.remove(f"request: {file.as_uri()}")
        return page

    yield open_page
    for context in contexts:
        context.close()
    if said := [report for report in reports if not any(i in report for i in IGNORED)]:
        raise AssertionError("the page said or asked for: " + "; ".join(said))
