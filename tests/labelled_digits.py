"""The digits network's labelled set in part, and small sweeps that execute it."""

from dataclasses import replace
from typing import Any

from analysis.labelled import LabelledSet
from analysis.spec import SweepSpec


def few(data: LabelledSet, count: int) -> LabelledSet:
    """The first samples of a set."""
    assert data.labels is not None
    inputs = {name: value[:count] for name, value in data.inputs.items()}
    return replace(data, inputs=inputs, labels=data.labels[:count], digest=f"the first {count}")


def spec(**fields: Any) -> SweepSpec:
    axes = {"array.rows": [4, 8], "datapath.accumulator.bits": [14, 17]}
    known = {"name": "s", "base": "systolic_16x16", "workload": "zoo:digits", "axes": axes}
    return SweepSpec(**{**known, **fields})
