"""The stepper's page in a real browser: each cycle shows the registers that were traced."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

import hwconfigs
import workloads
from analysis.stepper import Outcome, render, step_layer
from tests.browser.page_fixture import chromium

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

ROWS, COLS = 4, 3


@pytest.fixture(scope="module")
def browser() -> "Iterator[Browser]":
    for launch in chromium():
        yield launch()


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    inputs = tmp_path_factory.mktemp("in") / "in.npz"
    pixels = np.arange(64, dtype=np.int8).reshape(1, 8, 8, 1)
    np.savez(inputs, pixels=pixels)
    machine = hwconfigs.load("systolic_16x16", [("array.rows", ROWS), ("array.cols", COLS)])
    return step_layer(workloads.load("zoo:digits"), machine, inputs, "conv_2d_0", traced=True)


@pytest.fixture
def page(browser: "Browser", outcome: Outcome, tmp_path: Path) -> "Iterator[Page]":
    reports: list[str] = []
    file = tmp_path / "page.html"
    file.write_text(render("digits", outcome), encoding="utf-8")
    opened = browser.new_page()
    opened.on("console", lambda message: reports.append(message.text))
    opened.on("pageerror", lambda error: reports.append(str(error)))
    opened.on("request", lambda request: reports.append(request.url))
    opened.goto(file.as_uri())
    yield opened
    opened.close()
    assert reports == [file.as_uri()]


def at(page: "Page", cycle: int) -> None:
    slide = "(s, v) => { s.value = v; s.dispatchEvent(new Event('input')); }"
    page.eval_on_selector("#cycle", slide, str(cycle))


def test_every_element_at_some_cycles(page: "Page", outcome: Outcome) -> None:
    trace = outcome.stepped.trace
    assert int(page.get_attribute("#cycle", "max") or 0) == len(trace)
    for cycle in (1, 4, 9, 20, len(trace)):
        at(page, cycle)
        shown = page.eval_on_selector_all(
            "#grid td", "cells => cells.map(c => [...c.children].map(d => d.textContent))"
        )
        registers = trace[cycle - 1].reshape(ROWS * COLS, -1)
        assert shown == [[f"w {w}", f"a {a}", f"acc {s}"] for w, a, s, _, _ in registers.tolist()]
        busy = page.eval_on_selector_all("#grid td.busy", "cells => cells.length")
        assert busy == int((registers[:, 3] >= 0).sum())
        phase = ("load", "stream", "drain")[registers[0, 4]]
        expected = f"cycle {cycle} of {len(trace)}: {phase}, {busy} of {ROWS * COLS} elements"
        assert page.inner_text("#status").startswith(expected)


def test_buttons_step_and_play(page: "Page") -> None:
    page.click("#forward")
    assert page.inner_text("#status").startswith("cycle 2 of")
    page.click("#back")
    page.click("#back")
    assert page.inner_text("#status").startswith("cycle 1 of")
    page.click("#play")
    page.wait_for_timeout(1000)
    page.click("#play")
    stopped = page.inner_text("#status")
    assert not stopped.startswith("cycle 1 of")
    page.wait_for_timeout(500)
    assert page.inner_text("#status") == stopped
    assert page.inner_text("#play") == "Play"
