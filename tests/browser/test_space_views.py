"""The report page's wider views: density, brushing, parallel coordinates, volume, A beside B."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from analysis.copied import copied_yaml
from analysis.page import Objective, Point, ReportData
from analysis.sensitivity import sensitivity_of
from tests.browser.page_fixture import OBJECTIVES, TEXTS, Open, chromium, make_data, opener

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

POINTS = 400
BOX = """() => {
  const {xaxis, yaxis} = document.getElementById("scatter")._fullLayout;
  const box = document.getElementById("scatter").getBoundingClientRect();
  return [box.left + xaxis._offset, box.top + yaxis._offset, xaxis._length, yaxis._length];
}"""
AT = """([x, y]) => {
  const {xaxis, yaxis} = document.getElementById("scatter")._fullLayout;
  const box = document.getElementById("scatter").getBoundingClientRect();
  return [box.left + xaxis._offset + xaxis.d2p(x), box.top + yaxis._offset + yaxis.d2p(y)];
}"""
LINES = "document.getElementById('parallel').data[0].dimensions.map(d => [...d.values])"
IDS = "t => t.map(c => Number(c.textContent))"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    for launch in chromium():
        yield launch()


@pytest.fixture(scope="module")
def data() -> ReportData:
    return make_data(POINTS)


@pytest.fixture
def open_page(browser: Browser, tmp_path: Path) -> Iterator[Open]:
    yield from opener(browser, tmp_path)


def see(page: Page, name: str) -> None:
    """Scroll to a plot that waits to be seen, and wait for it."""
    page.evaluate(f"document.getElementById('{name}').scrollIntoView()")
    page.wait_for_function(f"document.getElementById('{name}').data !== undefined")
    page.wait_for_timeout(300)


def drag_box(page: Page) -> tuple[float, float, float, float]:
    """Select the lower left part of the plane; returns its ends in the objectives' units."""
    page.select_option("#drag", "select")
    page.evaluate("window.scrollTo(0, 0)")
    left, top, width, height = page.evaluate(BOX)
    page.mouse.move(left + 0.05 * width, top + 0.95 * height)
    page.mouse.down()
    page.mouse.move(left + 0.3 * width, top + 0.6 * height, steps=4)
    page.mouse.move(left + 0.4 * width, top + 0.5 * height, steps=4)
    page.mouse.up()
    page.wait_for_selector("#clear-brush", state="visible")
    box = page.evaluate("document.getElementById('scatter').layout.selections[0]")
    x, y = sorted((box["x0"], box["x1"])), sorted((box["y0"], box["y1"]))
    return x[0], x[1], y[0], y[1]


def test_a_box_filters_table_and_parallel_coordinates(open_page: Open, data: ReportData) -> None:
    page = open_page(data)
    left, right, bottom, top = drag_box(page)
    inside = [
        p
        for p in data.points
        if left <= p.metrics["latency_s"] <= right and bottom <= p.metrics["energy_j"] <= top
    ]
    assert 5 < len(inside) < POINTS / 2
    assert page.evaluate("window.bitlane.brushedIds()") == [p.id for p in inside]
    assert page.inner_text("#count") == f"{POINTS} of {POINTS} points, {len(inside)} selected"
    shown = page.eval_on_selector_all("#front-table tbody th", IDS)
    assert set(shown) == {p.id for p in inside if p.on_front}
    page.check("#every-point")
    shown = page.eval_on_selector_all("#front-table tbody th", IDS)
    assert len(shown) == min(200, len(inside))
    assert set(shown) <= {p.id for p in inside}
    see(page, "parallel")
    assert {len(values) for values in page.evaluate(LINES)} == {len(inside)}
    page.evaluate("document.getElementById('scatter').focus()")
    page.keyboard.press("Escape")
    page.wait_for_selector("#clear-brush", state="hidden")
    assert len(page.evaluate("window.bitlane.brushedIds()")) == POINTS
    assert not page.evaluate("document.getElementById('scatter').layout.selections")


def test_filters_keep_the_selected_region(open_page: Open, data: ReportData) -> None:
    page = open_page(data)
    left, right, bottom, top = drag_box(page)
    page.uncheck("fieldset[data-axis='array.cols'] label:has-text('32') input")
    inside = [
        p.id
        for p in data.points
        if left <= p.metrics["latency_s"] <= right
        and bottom <= p.metrics["energy_j"] <= top
        and p.config["array.cols"] != 32
    ]
    assert page.evaluate("window.bitlane.brushedIds()") == inside
    page.select_option("#x-objective", "area_mm2")
    assert page.is_hidden("#clear-brush")


def test_objectives_filter_by_range(open_page: Open, data: ReportData) -> None:
    page = open_page(data)
    page.fill("[aria-label='Area, highest']", "1.5")
    page.press("[aria-label='Area, highest']", "Enter")
    kept = sum(p.metrics["area_mm2"] <= 1.5 for p in data.points)
    assert 0 < kept < POINTS
    assert page.evaluate("window.bitlane.visibleCount()") == kept


def test_parallel_coordinates_hold_ranks_and_logarithms(open_page: Open, data: ReportData) -> None:
    page = open_page(data)
    see(page, "parallel")
    columns = page.evaluate(LINES)
    assert len(columns) == len(data.axes) + len(OBJECTIVES)
    rows = sorted({p.config["array.rows"] for p in data.points}, key=lambda v: int(str(v)))
    assert columns[0] == [rows.index(p.config["array.rows"]) for p in data.points]
    energy = [p.metrics["energy_j"] for p in data.points]
    assert [10**v for v in columns[-2]] == pytest.approx(energy)


def test_an_axis_that_does_not_apply_has_a_place_of_its_own(
    open_page: Open, data: ReportData
) -> None:
    """As a conditional axis: what has no value lies below the lowest, under `none`."""
    bare = tuple(
        replace(p, config={k: v for k, v in p.config.items() if k != "clock_mhz" or i % 2})
        for i, p in enumerate(data.points)
    )
    page = open_page(replace(data, points=bare))
    see(page, "parallel")
    clock = page.evaluate("document.getElementById('parallel').data[0].dimensions[4]")
    assert clock["ticktext"][0] == "none"
    assert {v < 0 for v in clock["values"][::2]} == {True}
    assert min(clock["values"][1::2]) == 0


def test_the_volume_holds_the_points_and_the_front(open_page: Open, data: ReportData) -> None:
    page = open_page(data)
    see(page, "space")
    found = page.evaluate("document.getElementById('space').data.map(t => [t.name, [...t.z]])")
    front = [p.metrics["area_mm2"] for p in data.points if p.on_front]
    assert [name for name, _ in found] == ["design points", "front", "selected"]
    assert found[0][1] == [p.metrics["area_mm2"] for p in data.points]
    assert found[1][1] == front
    kinds = page.evaluate("['x', 'y', 'z'].map(a => document.getElementById('space')"
                          "._fullLayout.scene[a + 'axis'].type)")  # fmt: skip
    assert kinds == ["log"] * 3


def test_density_counts_every_point_and_a_click_selects(open_page: Open, data: ReportData) -> None:
    page = open_page(data)
    page.select_option("#shown", "density")
    total = "document.getElementById('scatter').data[3].customdata.flat().reduce((a, b) => a + b)"
    assert page.evaluate(total) == POINTS
    far = max(data.points, key=lambda p: p.metrics["latency_s"])
    x, y = page.evaluate(AT, [far.metrics["latency_s"], far.metrics["energy_j"]])
    page.mouse.move(x - 1, y)
    page.mouse.move(x, y)
    page.wait_for_timeout(200)
    page.mouse.click(x, y)
    page.wait_for_function("id => window.bitlane.selected() === id", arg=far.id)


def test_error_bars_go_from_low_to_high(open_page: Open, data: ReportData) -> None:
    page = open_page(data)
    bars = page.evaluate("document.getElementById('scatter').data[2].error_y")
    front = [p for p in data.points if p.on_front]
    highs = [p.bounds["energy_j"][1] - p.metrics["energy_j"] for p in front]
    lows = [p.metrics["energy_j"] - p.bounds["energy_j"][0] for p in front]
    assert bars["array"] == pytest.approx(highs, rel=1e-5)
    assert bars["arrayminus"] == pytest.approx(lows, rel=1e-5)
    page.evaluate("id => window.bitlane.select(id)", front[3].id)
    shape = page.evaluate("document.getElementById('scatter').layout.shapes.at(-1)")
    assert [shape["y0"], shape["y1"]] == pytest.approx(list(front[3].bounds["energy_j"]), rel=1e-6)
    assert " to " in page.inner_text("#point-metrics tr:nth-child(2) .spread")
    layers = front[3].layers
    assert layers is not None
    spread = page.evaluate("document.getElementById('layer-energy').data.at(-1)")
    totals = [sum(column) for column in zip(*layers.energy_fj.values(), strict=True)]
    assert spread["y"] == pytest.approx([1e-15 * v for v in totals])
    up = [1e-15 * (h - v) for h, v in zip(layers.energy_fj_high, totals, strict=True)]
    assert spread["error_y"]["array"] == pytest.approx(up)
    page.uncheck("#error-bars")
    assert page.evaluate("document.getElementById('scatter').data[2].error_y") is None


def test_two_points_side_by_side(open_page: Open, data: ReportData) -> None:
    page = open_page(data)
    first, second = [p for p in data.points if p.on_front][:2]
    page.evaluate("id => window.bitlane.select(id)", first.id)
    page.click("#hold")
    page.evaluate("id => window.bitlane.select(id)", second.id)
    assert page.inner_text("#compare-title") == f"Point {second.id} (A) beside point {first.id} (B)"
    fields = page.eval_on_selector_all(
        "#compare-config tbody th", "cells => cells.map(c => c.textContent)"
    )
    both = {**first.config, **second.config}
    assert set(fields) == {k for k in both if first.config.get(k) != second.config.get(k)}
    for name in ("compare-config", "point-config"):
        cell = page.evaluate(f"document.querySelector('#{name} tbody td').clientWidth")
        assert cell > 60, name  # long paths leave room for values
    ratio = float(page.inner_text("#compare-metrics tbody tr:first-child td:last-child"))
    expected = first.metrics["latency_s"] / second.metrics["latency_s"]
    assert ratio == pytest.approx(expected, rel=1e-3)
    see(page, "compare-cycles")
    drawn = page.evaluate("document.getElementById('compare-cycles').data.map(t => t.y)")
    for values, point in zip(drawn, (second, first), strict=True):
        assert point.layers is not None
        parts = (point.layers.compute, point.layers.stall, point.layers.overhead)
        assert values == [sum(column) for column in zip(*parts, strict=True)]
    page.click("#swap")
    assert page.evaluate("[window.bitlane.selected(), window.bitlane.held()]") == [
        first.id,
        second.id,
    ]
    page.click("#release")
    assert page.is_hidden("#compare")


def test_shift_and_click_holds_a_point(open_page: Open, data: ReportData) -> None:
    page = open_page(data)
    before = page.evaluate("window.bitlane.selected()")
    page.click("#front-table tbody tr:nth-child(3) td", modifiers=["Shift"])
    held = int(page.inner_text("#front-table tbody tr:nth-child(3) th"))
    assert page.evaluate("[window.bitlane.selected(), window.bitlane.held()]") == [before, held]


def test_arrow_keys_go_along_the_front(open_page: Open, data: ReportData) -> None:
    page = open_page(data)
    front = sorted((p for p in data.points if p.on_front), key=lambda p: p.metrics["latency_s"])
    page.focus("#scatter")
    for key, expected in (
        ("Home", front[0]),
        ("ArrowRight", front[1]),
        ("ArrowDown", front[2]),
        ("ArrowLeft", front[1]),
        ("End", front[-1]),
        ("ArrowRight", front[-1]),
    ):
        page.keyboard.press(key)
        assert page.evaluate("window.bitlane.selected()") == expected.id
    page.keyboard.press("b")
    assert page.evaluate("window.bitlane.held()") == front[-1].id


def test_nests_and_memory_of_a_front_point(open_page: Open, data: ReportData) -> None:
    page = open_page(data)
    text = page.inner_text("#nests")
    assert all(nest in text for nest in TEXTS)
    assert text.count("no products, no nest") == TEXTS.count("")
    see(page, "memory")
    boxes = page.evaluate("document.getElementById('memory').data[0]")
    assert boxes["base"] == [b.offset for b in data.arenas[0]]
    assert boxes["y"] == [b.bytes for b in data.arenas[0]]
    bare = next(p for p in data.points if not p.on_front)
    page.evaluate("id => window.bitlane.select(id)", bare.id)
    assert page.is_hidden("#mapping")
    assert page.is_visible("#no-mapping")


def test_the_heat_map_holds_the_shares(open_page: Open, data: ReportData) -> None:
    page = open_page(data)
    see(page, "sensitivity")
    found = sensitivity_of(data)
    assert found is not None
    drawn = page.evaluate("document.getElementById('sensitivity').data[0].z")
    assert drawn == [list(row) for row in found.shares]
    assert "Saltelli" in page.inner_text("#sensitivity-note")


def test_a_maximised_objective_turns_the_front(open_page: Open, data: ReportData) -> None:
    rate = Objective("tops_per_w", "Efficiency", "TOPS/W", "max")
    turned = replace(data, objectives=(OBJECTIVES[0], rate), points=data.points[:200])
    page = open_page(turned)
    costs = {p.id: (p.metrics["latency_s"], -p.metrics["tops_per_w"]) for p in turned.points}
    expected = {
        mine
        for mine, (a, b) in costs.items()
        if not any(c <= a and d <= b and (c, d) != (a, b) for c, d in costs.values())
    }
    assert set(page.evaluate("window.bitlane.frontIds()")) == expected
    assert page.is_hidden("#space-part")
    stairs = page.evaluate("document.getElementById('scatter').data[1].line.shape")
    assert stairs == "hv"  # across at the better latency's rate, then up
    best: Point = max(turned.points, key=lambda p: p.metrics["tops_per_w"])
    assert best.id in expected


def test_an_axis_inside_a_field_filters_and_is_not_copied(
    open_page: Open, data: ReportData
) -> None:
    """As the widths of a class of layers, which lie inside the machine's list of layers."""
    axis = "datapath.layers.first.weight_bits"
    points = tuple(
        replace(p, choices={axis: 4 if i % 3 else 8} if i % 2 else {})
        for i, p in enumerate(data.points)
    )
    page = open_page(replace(data, axes=(axis, *data.axes), points=points))
    page.uncheck(f"fieldset[data-axis='{axis}'] label:has-text('4') input")
    page.uncheck(f"fieldset[data-axis='{axis}'] label:has-text('none') input")
    kept = [p for p in points if p.value(axis) == 8]
    assert 0 < len(kept) < POINTS
    assert page.evaluate("window.bitlane.visibleCount()") == len(kept)
    see(page, "parallel")
    assert len(page.evaluate(LINES)) == len(data.axes) + 1 + len(OBJECTIVES)
    page.evaluate("id => window.bitlane.select(id)", kept[0].id)
    assert axis in page.inner_text("#point-config tr:first-child")
    assert page.inner_text("#config-yaml").strip() == copied_yaml(kept[0].config).strip()


def test_what_is_known_of_bounds_by_layer_is_told(open_page: Open, data: ReportData) -> None:
    first, *rest = (p for p in data.points if p.layers)
    assert first.layers is not None
    bare = replace(first, layers=replace(first.layers, energy_fj_low=(), energy_fj_high=()))
    points = tuple(bare if p.id == first.id else p for p in data.points)
    page = open_page(replace(data, points=points))
    page.evaluate("id => window.bitlane.select(id)", first.id)
    assert "Bounds are told of the total" in page.inner_text("#energy-note")
    page.evaluate("id => window.bitlane.select(id)", rest[0].id)
    assert page.is_hidden("#energy-note")


def test_every_control_and_plot_has_a_name(open_page: Open, data: ReportData) -> None:
    page = open_page(data)
    nameless = page.evaluate("""() => [...document.querySelectorAll("button, input, select")]
      .filter(e => !(e.textContent.trim() || e.getAttribute("aria-label") || e.labels?.length))
      .map(e => e.outerHTML)""")
    assert nameless == []
    plots = page.evaluate("""() => [...document.querySelectorAll("[role=img], [role=group]")]
      .filter(e => !e.getAttribute("aria-label")).map(e => e.id)""")
    assert [name for name in plots if name] == []
