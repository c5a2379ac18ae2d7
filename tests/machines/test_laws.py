"""Laws that no parameter of a machine can break, on any layer."""

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from simulator.machines.base import Machine
from simulator.work import Work
from tests.machines.works import (
    MACHINES,
    OPERATORS,
    compulsory_bytes,
    conv,
    cost,
    layers,
    machine,
)

RATES = {
    "systolic_16x16": (
        "memory__ifmap_sram__bytes_per_cycle",
        "memory__weight_sram__bytes_per_cycle",
        "memory__ofmap_sram__bytes_per_cycle",
        "memory__dram__bytes_per_cycle",
    ),
    "hvx_1024": (
        "memory__l2__bytes_per_cycle",
        "memory__dram__bytes_per_cycle",
        "vector__multiply_slots",
        "vector__permute_slots",
    ),
    "cortex_m4": (
        "memory__flash__line_bytes",
        "memory__sram__line_bytes",
        "core__simd__int8__dot",
        "core__simd__int8__lanes",
        "core__simd__int16__dot",
        "core__simd__int16__lanes",
    ),
    "cortex_a73": (
        "memory__cache__bytes_per_cycle",
        "memory__dram__bytes_per_cycle",
        "core__simd__int8__dot",
        "core__simd__int8__lanes",
        "core__simd__int16__lanes",
    ),
}
SIZES = {
    "systolic_16x16": (
        "memory__ifmap_sram__bytes",
        "memory__weight_sram__bytes",
        "memory__ofmap_sram__bytes",
    ),
    "hvx_1024": ("memory__l2__bytes",),
    "cortex_m4": ("memory__sram__bytes",),
    "cortex_a73": ("memory__cache__bytes",),
}
FLOWS = st.sampled_from(["weight_stationary", "output_stationary", "input_stationary"])


@st.composite
def targets(draw: st.DrawFn, names: Sequence[str] = MACHINES) -> tuple[str, dict[str, Any]]:
    """A shipped machine with a few of its fields drawn."""
    name = draw(st.sampled_from(names))
    changes: dict[str, Any] = {}
    for path in RATES[name]:
        changes[path] = draw(st.integers(1, 2 if path.endswith("slots") else 64))
    for path in SIZES[name]:
        changes[path] = draw(st.integers(256, 40_000))
    if name == "systolic_16x16":
        changes["array__dataflow"] = draw(FLOWS)
        changes["array__rows"] = draw(st.integers(1, 20))
        changes["array__cols"] = draw(st.integers(1, 20))
        changes["datapath__dot_width"] = draw(st.integers(1, 4))
    if name == "cortex_m4":
        changes["memory__sram__wait_states"] = draw(st.integers(0, 3))
    return name, changes


def build(target: tuple[str, dict[str, Any]]) -> Machine:
    name, changes = target
    return machine(name, **changes)


@given(target=targets(), work=layers())
@settings(max_examples=150, deadline=None)
def test_bytes_utilization_energy(target: tuple[str, dict[str, Any]], work: Work) -> None:
    made = build(target)
    counted = cost(made, work)
    outermost = made.levels[-1]
    moved = counted[f"{outermost}_read"] + counted[f"{outermost}_write"]
    if target[0] == "cortex_m4":
        moved += counted["sram_read"] + counted["sram_write"]
    assert moved >= compulsory_bytes(work)
    assert counted["macs"] == work.macs
    assert work.macs <= counted["cycles"] * made.peak_macs_per_cycle
    assert counted["macs"] == counted["accumulations"] + counted["tree_additions"]
    assert min(counted.values()) >= 0


@given(target=targets(), work=layers(), data=st.data())
@settings(max_examples=200, deadline=None)
def test_more_bandwidth_memory_or_simd_never_costs_cycles(
    target: tuple[str, dict[str, Any]], work: Work, data: st.DataObject
) -> None:
    name, changes = target
    path = data.draw(st.sampled_from(RATES[name] + SIZES[name]))
    factor = data.draw(st.sampled_from([2, 3, 7]))
    before = cost(build(target), work)
    after = cost(machine(name, **{**changes, path: changes[path] * factor}), work)
    assume(before["refusal"] == 0)
    assert after["refusal"] == 0
    assert after["cycles"] <= before["cycles"]


@given(target=targets(["systolic_16x16"]), work=layers(), data=st.data())
@settings(max_examples=300, deadline=None)
def test_more_processing_elements_never_cost_cycles(
    target: tuple[str, dict[str, Any]], work: Work, data: st.DataObject
) -> None:
    name, changes = target
    path = data.draw(st.sampled_from(["array__rows", "array__cols", "datapath__dot_width"]))
    more = data.draw(st.integers(1, 9))
    before = cost(build(target), work)
    after = cost(machine(name, **{**changes, path: changes[path] + more}), work)
    assume(before["refusal"] == 0)
    assert after["refusal"] == 0
    assert after["cycles"] <= before["cycles"]


def test_operands_that_fit_stay_in_ragged_folds() -> None:
    # Two folds of 18 and 17 columns, of which an SRAM of 35 holds both: more rows change nothing.
    work = conv((19, 3), 35, (3, 3), 1, groups=2)
    fields = {
        "array__cols": 19,
        "array__dataflow": "output_stationary",
        "memory__ifmap_sram__bytes": 67,
        "memory__ifmap_sram__bytes_per_cycle": 0.18,
        "memory__weight_sram__bytes": 1802,
        "memory__dram__bytes_per_cycle": 0.34,
    }
    before = cost(machine("systolic_16x16", **fields, array__rows=18), work)
    after = cost(machine("systolic_16x16", **fields, array__rows=20), work)
    assert after["cycles"] <= before["cycles"]


@pytest.mark.parametrize("name", MACHINES)
@pytest.mark.parametrize("operator", sorted(OPERATORS))
def test_no_operator_is_free(name: str, operator: str) -> None:
    counted = cost(machine(name), OPERATORS[operator])
    assert counted["cycles"] >= 1
    assert counted["energy_fj"] > 0
    assert counted["instructions"] >= 1


@pytest.mark.parametrize("name", MACHINES)
def test_narrower_operands_never_cost_more(name: str) -> None:
    work = OPERATORS["conv_2d"]
    four = {"datapath__weight_bits": 4, "datapath__activation_bits": 4, "datapath__narrow": True}
    narrow, wide = cost(machine(name, **four), work), cost(machine(name), work)
    assert narrow["multiply_fj"] < wide["multiply_fj"]
    assert narrow["energy_fj"] < wide["energy_fj"]
    assert narrow["cycles"] <= wide["cycles"]
