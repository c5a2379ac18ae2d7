"""docs/quantizers.md: its example runs, and its tables are what the code gives."""

import re
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from workloads.quantize import ROUNDINGS, AqtGrid, Grid, affine, aqt, symmetric

PAGE = (Path(__file__).parents[2] / "docs/quantizers.md").read_text(encoding="utf-8")


def rows(heading: str) -> list[list[str]]:
    """The cells of the first table below a heading."""
    part = PAGE.split(f"## {heading}\n")[1].split("\n## ")[0]
    lines = re.search(r"(\|.*\n)+", part)
    assert lines
    table = [[c.strip() for c in line.strip("|").split("|")] for line in lines[0].splitlines()]
    return [table[0], *table[2:]]


def test_the_example_runs() -> None:
    code = PAGE.split("```python\n")[1].split("```")[0]
    names: dict[str, Any] = {}
    exec(compile(code, "docs/quantizers.md", "exec"), names)
    assert np.abs(names["codes"]).max() == 7
    assert (names["inputs"].low, names["inputs"].high) == (-128, 127)


def test_the_table_of_codes() -> None:
    for name, least, greatest, count, zero in rows("Codes: the signed range is plural")[1:]:
        grid = made(name.strip("`"))
        low, high = grid.ends if isinstance(grid, AqtGrid) else (grid.low, grid.high)
        assert [str(low), str(high), str(high - low + 1)] == [least, greatest, count]
        assert bool(grid.fake_quantize(np.zeros(1)) == 0) == (zero == "yes")
        reached = grid.quantize(np.linspace(-3, 3, 5001))
        assert (reached.min(), reached.max(), len(set(reached.tolist()))) == (
            low,
            high,
            high - low + 1,
        )


def made(call: str) -> Grid | AqtGrid:
    """The 4-bit grid of the range -1 to 1 (1.2 to 1 apart) that a cell of the table names."""
    forms: dict[str, Any] = {
        "affine": partial(affine, -1.0, 1.2, bits=4),
        "symmetric": partial(symmetric, -1.0, 1.0, bits=4),
        "aqt": partial(aqt, 1.0, bits=4),
    }
    name, _, options = call.rstrip(")").partition("(")
    pairs = re.findall(r"(\w+)=\"?(\w+)\"?", options)
    chosen = {key: {"True": True, "False": False}.get(value, value) for key, value in pairs}
    found: Grid | AqtGrid = forms[name](**chosen)
    return found


def test_the_table_of_ties() -> None:
    head, *ties = rows("Rounding is plural")
    assert head[1:] == [f"`{rule}`" for rule in ROUNDINGS]
    for value, *codes in ties:
        found = [Grid((1.0,), (0,), -8, 7, r).quantize(np.array([float(value)])) for r in ROUNDINGS]
        assert [str(int(c[0])) for c in found] == codes


def test_every_switch_is_named() -> None:
    source = Path(__file__).parents[2] / "workloads/quantize"
    switches = {
        name
        for file in source.glob("*.py")
        for name in re.findall(r"(erratum_\w+): bool", file.read_text(encoding="utf-8"))
    }
    assert switches == set(re.findall(r"(erratum_\w+)=", PAGE))
