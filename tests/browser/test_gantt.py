"""The timeline in the page of an estimate: bars, rows and table say what the estimate says."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import hwconfigs
import simulator
import workloads
from analysis.page import ReportData
from analysis.report import estimate_data
from simulator.cost import Estimate
from tests.browser.page_fixture import Launch, Open, chromium, opener

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

MACHINES = ("systolic_and_m4", "systolic_16x16")
BARS = """() => document.getElementById("gantt").data.flatMap((trace) =>
  trace.y.map((unit, at) => [trace.name, unit, trace.base[at], trace.x[at], trace.customdata[at]]))
"""
TABLE = """() => [...document.querySelectorAll("#timeline-table tbody tr")].map((row) =>
  [...row.cells].map((cell) => cell.textContent))"""
DRAWN = """() => document.querySelectorAll("#gantt .bars .point").length"""


@pytest.fixture(scope="module")
def estimates() -> list[Estimate]:
    graph = workloads.load("zoo:digits")
    return [simulator.estimate(graph, hwconfigs.load(name)) for name in MACHINES]


@pytest.fixture(scope="module")
def data(estimates: list[Estimate]) -> ReportData:
    graph = workloads.load("zoo:digits")
    return estimate_data(graph, [hwconfigs.load(name) for name in MACHINES], estimates, 1)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    launches: Iterator[Launch] = chromium()
    launch = next(launches)
    yield launch()
    next(launches, None)


@pytest.fixture
def open_page(browser: Browser, tmp_path: Path) -> Iterator[Open]:
    yield from opener(browser, tmp_path)


def bars(page: Page, point: int) -> set[tuple[Any, ...]]:
    assert page.evaluate("id => window.bitlane.select(id)", point)
    return {(what, unit, at, length) for what, unit, at, length, _ in page.evaluate(BARS)}


def test_the_bars_are_the_events_of_a_platform(
    open_page: Open, data: ReportData, estimates: list[Estimate]
) -> None:
    page, (made, _) = open_page(data), estimates
    assert made.timeline is not None
    events = [event for event in made.timeline if event.cycles]
    assert bars(page, 0) == {(e.what, e.unit, e.start, e.cycles) for e in events}
    assert page.evaluate(DRAWN) == len(events)
    rows = page.evaluate("document.getElementById('gantt').layout.yaxis.categoryarray")
    assert rows == ["host", "npu", "npu.link"] or rows == ["npu", "npu.link", "host"]
    ends = [at + length for _, _, at, length in bars(page, 0)]
    assert max(ends) == made.totals.cycles
    titles = {title for *_, title in page.evaluate(BARS)}
    assert len(titles) == len(made.layers)


def test_layers_of_one_unit_follow_each_other(
    open_page: Open, data: ReportData, estimates: list[Estimate]
) -> None:
    page, made = open_page(data), estimates[1]
    expected, start = set(), 0
    for layer in made.layers:
        expected.add(("run", layer.unit, start, layer.cycles.total))
        start += layer.cycles.total
    assert bars(page, 1) == expected
    assert start == made.totals.cycles


def test_the_table_is_reached_by_keyboard(
    open_page: Open, data: ReportData, estimates: list[Estimate]
) -> None:
    page, (made, _) = open_page(data), estimates
    assert page.evaluate("id => window.bitlane.select(id)", 0)
    page.focus("#timeline summary")
    assert not page.is_visible("#timeline-table")
    page.keyboard.press("Enter")
    page.wait_for_selector("#timeline-table", state="visible")
    found = page.evaluate(TABLE)
    assert made.timeline is not None
    assert [(row[0], row[1], row[2], row[3]) for row in found] == [
        (f"{e.start:,}", f"{e.start + e.cycles:,}", e.unit, e.what)
        for e in made.timeline
        if e.cycles
    ]
    page.keyboard.press("Tab")
    assert page.evaluate(
        "document.activeElement.contains(document.getElementById('timeline-table'))"
    )


def test_a_point_without_spans_shows_no_timeline(open_page: Open) -> None:
    from tests.browser.page_fixture import make_data

    page = open_page(make_data(30))
    assert not page.is_visible("#timeline")
    assert page.is_visible("#layer-plots")
