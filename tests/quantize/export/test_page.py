"""docs/export.md: its example runs, and what it says of opsets is so."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import workloads
from tests.quantize.export.minmax import Widths, drawn, plan_of
from workloads.quantize.export.qdq import to_qdq
from workloads.quantize.ptq import Plan

PAGE = (Path(__file__).parents[3] / "docs/export.md").read_text(encoding="utf-8")


def test_the_example_runs(tmp_path: Path) -> None:
    graph, samples = drawn(3, tmp_path)
    plan = plan_of(graph, {graph.inputs[0]: samples}, Widths(4, 8))
    code = PAGE.split("```python\n")[1].split("```")[0]
    names: dict[str, Any] = {"plan": plan, "path": tmp_path / "net.onnx"}
    exec(compile(code, "docs/export.md", "exec"), names)
    read, again = names["same"], names["again"]
    assert read.constants.keys() == again.constants.keys()
    assert all(np.array_equal(again.constants[k], v) for k, v in read.constants.items())
    assert workloads.load(names["path"]).dialect == "qonnx"


@pytest.mark.parametrize(
    ("widths", "narrow", "opset"),
    [
        (Widths(8, 8), "packed", 13),
        (Widths(5, 3), "packed", 13),
        (Widths(4, 8), "packed", 21),
        (Widths(4, 4), "bytes", 13),
        (Widths(8, 16), "packed", 21),
    ],
)
def test_the_opsets(widths: Widths, narrow: Any, opset: int, tmp_path: Path) -> None:
    graph, samples = drawn(3, tmp_path, functions=False)
    plan = plan_of(graph, {graph.inputs[0]: samples}, widths)
    assert to_qdq(plan, narrow).opset_import[0].version == opset
    assert to_qdq(Plan(graph, {}, {})).opset_import[0].version == 13
