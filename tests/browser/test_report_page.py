"""The report page in a real browser: what a reader clicks, reads and copies is what the data say.

Headless Chromium opens the file from disk; every test fails on a console error, on an uncaught
exception and on any request beyond the file itself.
"""

from __future__ import annotations

import base64
import gzip
import json
import math
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import yaml

from analysis.copied import copied_yaml, nested
from analysis.page import Layers, Point, ReportData, render
from analysis.plots import layer_cycles_figure, roofline_series
from analysis.space_plots import pareto_figure, plane_front
from tests.browser.page_fixture import OBJECTIVES, Launch, Open, chromium, make_data, opener

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

PIXEL_OF_ROW = """row => {
  const plot = document.getElementById("scatter"), box = plot.getBoundingClientRect();
  const {xaxis, yaxis} = plot._fullLayout, at = plot.data[0].customdata.indexOf(row);
  return [box.left + xaxis._offset + xaxis.d2p(plot.data[0].x[at]),
          box.top + yaxis._offset + yaxis.d2p(plot.data[0].y[at])];
}"""
TRACES = "id => document.getElementById(id).data.map(({name, x, y, mode}) => ({name, x, y, mode}))"
SHOWN = "id => document.getElementById(id).getBoundingClientRect().width"


@pytest.fixture(scope="module")
def launch() -> Iterator[Launch]:
    yield from chromium()


@pytest.fixture(scope="module")
def browser(launch: Launch) -> Browser:
    return launch()


@pytest.fixture(scope="module")
def data() -> ReportData:
    return make_data(1000)


@pytest.fixture
def open_page(browser: Browser, tmp_path: Path) -> Iterator[Open]:
    yield from opener(browser, tmp_path)


@pytest.fixture
def open_without_webgl(launch: Launch, tmp_path: Path) -> Iterator[Open]:
    yield from opener(launch("--disable-3d-apis"), tmp_path)


def lonely_row(data: ReportData) -> int:
    """The row, with layers and off the front, whose nearest neighbour in the plane is farthest."""
    plane = [tuple(math.log10(p.metrics[o.key]) for o in OBJECTIVES[:2]) for p in data.points]
    rows = [r for r, p in enumerate(data.points) if p.layers and not p.on_front]
    return max(
        rows, key=lambda r: min(math.dist(plane[r], q) for i, q in enumerate(plane) if i != r)
    )


def click_row(page: Page, row: int) -> None:
    x, y = page.evaluate(PIXEL_OF_ROW, row)
    page.mouse.move(x - 1, y - 1)
    page.mouse.move(x, y)
    page.wait_for_selector("#tooltip:not([hidden])", state="visible")
    page.mouse.click(x, y)


def assert_panel_shows(page: Page, point: Point) -> None:
    page.wait_for_function("id => window.bitlane.selected() === id", arg=point.id)
    assert page.inner_text("#point-title") == f"Point {point.id}"
    assert point.machine in page.inner_text("#status")
    assert yaml.safe_load(page.inner_text("#config-yaml")) == nested(point.config)
    shown = page.eval_on_selector_all("#point-config th", "cells => cells.map(c => c.textContent)")
    assert set(shown) == set(point.config)


def naive_front(data: ReportData, x: str, y: str) -> set[int]:
    costs = {p.id: (p.metrics[x], p.metrics[y]) for p in data.points}
    return {
        mine
        for mine, (a, b) in costs.items()
        if not any(c <= a and d <= b and (c, d) != (a, b) for c, d in costs.values())
    }


def test_click_selects_the_point_under_the_mouse(open_page: Open, data: ReportData) -> None:
    page, row = open_page(data), lonely_row(data)
    assert page.evaluate("window.bitlane.selected()") != data.points[row].id
    click_row(page, row)
    assert_panel_shows(page, data.points[row])
    tooltip = page.inner_text("#tooltip")
    assert f"Point {data.points[row].id}," in tooltip
    assert all(path in tooltip for path in data.points[row].config if path != "source")


def test_click_works_without_webgl(open_without_webgl: Open, data: ReportData) -> None:
    page, row = open_without_webgl(data), lonely_row(data)
    assert page.evaluate("document.getElementById('scatter').data[0].type") == "scatter"
    click_row(page, row)
    assert_panel_shows(page, data.points[row])


def test_default_selection_has_the_lowest_energy_delay_product(
    open_page: Open, data: ReportData
) -> None:
    best = min(
        (p for p in data.points if p.on_front),
        key=lambda p: p.metrics["latency_s"] * p.metrics["energy_j"],
    )
    assert_panel_shows(open_page(data), best)


def test_layer_plots_hold_the_numbers_of_the_selected_point(
    open_page: Open, data: ReportData
) -> None:
    page, point = open_page(data), data.points[lonely_row(data)]
    layers = point.layers
    assert layers is not None
    assert page.evaluate("id => window.bitlane.select(id)", point.id)
    cycles = {t["name"]: t["y"] for t in page.evaluate(TRACES, "layer-cycles")}
    assert cycles == {
        "compute": list(layers.compute),
        "stall": list(layers.stall),
        "overhead": list(layers.overhead),
    }
    *stacks, _ = page.evaluate(TRACES, "layer-energy")
    energy = {t["name"]: sum(t["y"]) for t in stacks}
    assert energy == {k: pytest.approx(1e-15 * sum(v)) for k, v in layers.energy_fj.items()}
    roofs, expected = page.evaluate(TRACES, "roofline"), roofline_series(layers)
    assert [t["mode"] for t in roofs] == ["lines", "lines", "markers", "markers"]
    for trace, series in zip(roofs, expected, strict=True):
        assert trace["name"] == series.name
        assert trace["x"] == pytest.approx(list(series.x), rel=1e-5)
        assert trace["y"] == pytest.approx(list(series.y), rel=1e-5)
    assert page.inner_text("#roofline-note") == "4 layers without MACs are not drawn."


def test_point_without_layers_says_so(open_page: Open, data: ReportData) -> None:
    page = open_page(data)
    bare = next(p for p in data.points if p.layers is None)
    page.fill("#point-id", str(bare.id))
    page.press("#point-id", "Enter")
    assert_panel_shows(page, bare)
    assert "no per-layer results" in page.inner_text("#no-layers")
    assert page.is_hidden("#layer-cycles")
    page.click("#next-front")
    assert page.is_hidden("#no-layers")
    assert page.evaluate(SHOWN, "roofline") > 1000
    page.fill("#point-id", "5")
    page.press("#point-id", "Enter")
    assert page.inner_text("#status") == "There is no point 5."


def test_filters_keep_exactly_the_matching_points(open_page: Open, data: ReportData) -> None:
    page = open_page(data)
    page.uncheck("fieldset[data-axis='array.rows'] label:has-text('32') input")
    page.uncheck("fieldset[data-axis='array.dataflow'] label:has-text('input_stationary') input")
    page.fill("[aria-label='clock_mhz, lowest']", "300")
    page.fill("[aria-label='clock_mhz, highest']", "612.5")
    page.press("[aria-label='clock_mhz, highest']", "Enter")
    kept = [
        p
        for p in data.points
        if p.config["array.rows"] != 32
        and p.config["array.dataflow"] != "input_stationary"
        and 300 <= float(str(p.config["clock_mhz"])) <= 612.5
    ]
    assert 0 < len(kept) < len(data.points)
    assert page.evaluate("window.bitlane.visibleCount()") == len(kept)
    assert page.inner_text("#count") == f"{len(kept)} of 1,000 points"
    points, _, front = page.evaluate(TRACES, "scatter")
    assert points["y"] == [p.metrics["energy_j"] for p in kept]
    assert front["y"] == [p.metrics["energy_j"] for p in kept if p.on_front]
    page.click("#reset-filters")
    assert page.inner_text("#count") == "1,000 of 1,000 points"


@pytest.mark.parametrize(("x", "y"), [(0, 1), (0, 2), (2, 1)])
def test_front_of_the_chosen_plane(open_page: Open, data: ReportData, x: int, y: int) -> None:
    page, axes = open_page(data), (OBJECTIVES[x], OBJECTIVES[y])
    page.select_option("#x-objective", axes[0].key)
    page.select_option("#y-objective", axes[1].key)
    ids = page.evaluate("window.bitlane.frontIds()")
    columns = [[p.metrics[o.key] for p in data.points] for o in axes]
    assert ids == [data.points[row].id for row in plane_front(columns[0], columns[1])]
    assert set(ids) == naive_front(data, axes[0].key, axes[1].key)
    assert len(ids) > 2
    line = page.evaluate(TRACES, "scatter")[1]
    assert line["x"] == sorted(line["x"])
    assert line["y"] == sorted(line["y"], reverse=True)
    title = page.evaluate("document.getElementById('scatter')._fullLayout.xaxis.title.text")
    assert title == f"{axes[0].label} [{axes[0].unit}]"


def test_front_table_sorts_and_selects_by_keyboard(open_page: Open, data: ReportData) -> None:
    page = open_page(data)
    front = sorted((p for p in data.points if p.on_front), key=lambda p: p.metrics["area_mm2"])
    page.focus("#front-table thead th:last-child button")
    page.keyboard.press("Enter")
    ids = page.eval_on_selector_all(
        "#front-table tbody th", "t => t.map(c => Number(c.textContent))"
    )
    assert ids == [p.id for p in front]
    page.keyboard.press("Enter")
    assert page.inner_text("#front-table tbody tr:first-child th") == str(front[-1].id)
    assert page.get_attribute("#front-table thead th:last-child", "aria-sort") == "descending"
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert_panel_shows(page, front[-1])


def test_copy_button_puts_the_yaml_on_the_clipboard(open_page: Open, data: ReportData) -> None:
    page = open_page(data)
    page.click("#copy-yaml")
    page.wait_for_function("document.getElementById('copy-yaml').textContent === 'Copied'")
    copied = page.evaluate("navigator.clipboard.readText()")
    selected = page.evaluate("window.bitlane.selected()")
    config = next(p.config for p in data.points if p.id == selected)
    assert yaml.safe_load(copied) == nested(config)
    assert copied == copied_yaml(config)


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [390, 1280])
def test_page_fits_its_window(open_page: Open, data: ReportData, width: int, dark: bool) -> None:
    page = open_page(data, width, dark)
    assert page.evaluate("document.documentElement.scrollWidth") == width
    background = page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
    assert (background == "rgb(255, 255, 255)") == (not dark)
    for plot in ("scatter", "layer-cycles", "layer-energy", "roofline"):
        assert page.evaluate(SHOWN, plot) <= width


def test_page_without_points_opens(open_page: Open) -> None:
    page = open_page(make_data(0))
    assert page.inner_text("#count") == "0 of 0 points"
    assert page.evaluate("window.bitlane.selected()") is None
    page.click("#next-front")
    assert page.inner_text("#point-title") == "No point selected"


def test_hundred_thousand_points_load_and_select(
    open_page: Open, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = make_data(100_000, layers_every=1000)
    page = open_page(data)
    seconds = page.evaluate("window.bitlane.readyAfterMs") / 1000
    size = (tmp_path / "report.html").stat().st_size / 1e6
    with capsys.disabled():
        print(f"\n100 000 points, {size:.1f} MB: usable {seconds:.2f} s after the navigation began")
    assert size < 15
    assert page.inner_text("#count") == "100,000 of 100,000 points"
    assert page.evaluate(TRACES, "scatter")[3]["name"] == "density"
    page.select_option("#shown", "points")
    assert page.evaluate("document.getElementById('scatter').data[0].x.length") == 100_000
    assert page.evaluate("id => window.bitlane.select(id)", data.points[-1].id)
    assert_panel_shows(page, data.points[-1])
    fastest = min(data.points, key=lambda p: (p.metrics["latency_s"], p.metrics["energy_j"]))
    click_row(page, data.points.index(fastest))
    assert_panel_shows(page, fastest)


def unpacked(data: ReportData) -> tuple[dict[str, Any], bytes]:
    """The text and the arrays of a page, read by its documented layout."""

    def refuse(token: str) -> Any:
        raise AssertionError(f"{token} is not JSON")

    text = render(data).partition('type="application/octet-stream">')[2].partition("</script>")[0]
    assert re.fullmatch(r"[A-Za-z0-9+/]+=*", text)
    whole = gzip.decompress(base64.b64decode(text))
    size = int.from_bytes(whole[:4], "little")
    arrays = whole[-(-(size + 4) // 8) * 8 :]
    return json.loads(whole[4 : 4 + size], parse_constant=refuse), arrays


def test_embedded_data_are_strict_json_and_columns(data: ReportData) -> None:
    payload, arrays = unpacked(data)

    def column(at: int, count: int, kind: str) -> list[float]:
        return [float(v) for v in np.frombuffer(arrays, "<" + kind, count, at)]

    rates = column(**payload["metrics"]["throughput_per_s"])
    assert math.isnan(rates[0])
    found = [p.metrics["throughput_per_s"] for p in data.points[1:]]
    assert rates[1:] == pytest.approx(found, rel=2**-24)
    energies = column(**payload["metrics"]["energy_j"])
    assert energies == [p.metrics["energy_j"] for p in data.points]
    low = column(**payload["bounds"]["energy_j"][0])
    assert low == pytest.approx([p.bounds["energy_j"][0] for p in data.points], rel=2**-24)
    assert payload["config"]["source"]["values"] == [data.points[0].config["source"]]
    assert "index" not in payload["config"]["source"]


def test_front_keeps_equal_points_and_drops_what_is_not_finite() -> None:
    assert plane_front([3, 1, 1, 1, 2, math.nan, -math.inf], [1, 5, 4, 4, 4, 0, 0]) == [2, 3, 0]


def test_data_that_do_not_fit_are_refused(data: ReportData) -> None:
    with pytest.raises(ValueError, match="two objectives"):
        replace(data, objectives=OBJECTIVES[:1])
    with pytest.raises(ValueError, match="ids must differ"):
        replace(data, points=data.points[:1] * 2)
    with pytest.raises(ValueError, match="differ in length"):
        replace(data, layer_ops=())
    with pytest.raises(ValueError, match="one entry a layer"):
        Layers((1,), (1,), (), (1,), (1,), {}, 1.0, 1.0)
    with pytest.raises(ValueError, match="positive and finite; got 0"):
        Layers((1,), (1,), (1,), (1,), (1,), {}, 1.0, 0.0)


def test_figures_in_python_show_the_same_numbers(data: ReportData) -> None:
    figure = pareto_figure(data, "dark", selected=data.points[3].id)
    assert list(figure.data[0].y) == [p.metrics["energy_j"] for p in data.points]
    assert len(figure.data[2].x) == sum(p.on_front for p in data.points)
    assert figure.layout.shapes[0].xanchor == data.points[3].metrics["latency_s"]
    bare = next(p for p in data.points if p.layers is None)
    with pytest.raises(ValueError, match=f"point {bare.id} carries no per-layer results"):
        layer_cycles_figure(bare, data.layer_names)
