"""Links of a platform: bounds of the energy of a byte that is copied."""

from typing import Any

import pytest

import hwconfigs
import simulator
import workloads
from simulator.errors import BadConfig


def test_the_bounds_of_a_copied_byte_are_those_of_its_link() -> None:
    graph = workloads.load("zoo:digits")
    found = simulator.estimate(graph, hwconfigs.load("systolic_and_m4"))
    bare = [("attach.npu.link.low_pj_per_byte", None), ("attach.npu.link.high_pj_per_byte", None)]
    unbounded = simulator.estimate(graph, hwconfigs.load("systolic_and_m4", bare))
    copied = sum(layer.bytes["npu.link"].read + layer.bytes["npu.link"].write
                 for layer in found.layers)  # fmt: skip
    assert copied > 0
    assert found.totals.energy_fj == unbounded.totals.energy_fj
    # 1.3 and 2.6 nJ for 64 bits where the value is 1.95 nJ.
    assert unbounded.totals.energy_fj_low - found.totals.energy_fj_low == copied * 81_250
    assert found.totals.energy_fj_high - unbounded.totals.energy_fj_high == copied * 81_250
    note = "npu: the energy of its link has no bounds: low and high hold its value"
    assert note in unbounded.notes
    assert note not in found.notes


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"low_pj_per_byte": None}, "must both be given, or neither"),
        ({"pj_per_byte": 0.24375}, "must lie from low_pj_per_byte to high_pj_per_byte"),
    ],
)
def test_bounds_of_a_link_that_do_not_hold_it_are_refused(
    changes: dict[str, Any], message: str
) -> None:
    pairs = [(f"attach.npu.link.{name}", value) for name, value in changes.items()]
    with pytest.raises(BadConfig, match=message):
        hwconfigs.load("systolic_and_m4", pairs)
