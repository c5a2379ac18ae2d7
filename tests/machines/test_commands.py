"""Fields that say how a spatial array is commanded: commands, whole refills, input windows."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.errors import BadConfig
from simulator.machines.spatial import Spatial
from simulator.mapped import cost_mapping, map_work
from simulator.mapping.loopnest import LoopNest
from tests.machines.test_spatial import SMALL, every_nest, small
from tests.machines.works import conv

WIDE = [(f"memory.{level}.bits_per_cycle", 65536) for level in range(3)]
"""Ports so wide that a transfer takes one cycle."""


def nest(machine: Spatial, loops: list[tuple[str, int]], cut: int) -> LoopNest:
    """The loops, inner to outer, `cut` of them within the SRAM, none within the registers."""
    cuts = {name: (cut, len(loops)) for name in ("weight", "input")}
    return LoopNest((), tuple(loops), {**cuts, "output": (0, cut, len(loops))}, machine.chains())


def oracle(loops: list[tuple[str, int]], commands: dict[str, int]) -> int:
    """Cycles of the array, command by command: oy, ox and n keep the weights."""
    held: list[tuple[str, int]] = []
    for loop, factor in loops:
        if loop not in ("n", "oy", "ox"):
            break
        held.append((loop, factor))
    streams = others = tiles = 1
    for loop, factor in held:
        streams, others = (streams * factor, others) if loop == "ox" else (streams, others * factor)
    for _, factor in loops[len(held) :]:
        tiles *= factor
    busy = count = 0
    for _ in range(others):
        left = streams
        while left > 0:
            taken = max(min(left, commands["steps"]), commands["minimum_cycles"])
            if count == 0:
                taken = max(taken, commands["load_cycles"])
            busy, count = busy + taken, count + 1
            left -= commands["steps"]
    return tiles * max(busy, count * commands["issue_cycles"])


@given(
    steps=st.integers(1, 9),
    minimum=st.integers(0, 6),
    load=st.integers(0, 12),
    issue=st.integers(0, 12),
    inner=st.permutations([("ox", 2), ("ox", 3), ("oy", 2)]),
    held=st.integers(0, 3),
)
@settings(max_examples=60, deadline=None)
def test_commands_take_the_time_of_their_steps_or_of_their_issue(
    steps: int, minimum: int, load: int, issue: int, inner: list[tuple[str, int]], held: int
) -> None:
    commands = {
        "steps": steps,
        "minimum_cycles": minimum,
        "load_cycles": load,
        "issue_cycles": issue,
    }
    loops = [*inner[:held], ("oc", 2), ("ic", 3), *inner[held:]]
    work = conv((2, 6), 8, (1, 1), 6)
    room = ("memory.1.bytes", 4096)
    machine = small(("array.commands", commands), room, *WIDE)
    found = cost_mapping(work, machine, nest(machine, loops, len(loops))).cycles
    free = small(room, *WIDE)
    ports = cost_mapping(work, free, nest(free, loops, len(loops))).cycles
    assert found["ideal"] == ports["ideal"] == 2 * 6 * 2 * 3
    assert found["ideal"] + found["stall"] == max(
        oracle(loops, commands), ports["ideal"] + ports["stall"]
    )


def test_a_memory_refilled_as_a_whole_moves_everything_again() -> None:
    """Inputs stay while output channels step, unless the refill takes both operands."""
    work = conv((2, 6), 8, (1, 1), 6)
    loops = [("ic", 3), ("ox", 6), ("oy", 2), ("oc", 2)]
    words = {}
    for refill in ("changed", "together"):
        machine = small(("memory.1.refill", refill))
        moved = cost_mapping(work, machine, nest(machine, loops, 3)).words
        words[refill] = [moved["dram", name, "read_to_below"] for name in ("weight", "input")]
    weights, inputs = 6 * 8 // 2, 2 * 6 * 6 // 2
    assert words["changed"] == [weights, inputs]
    assert words["together"] == [weights, 2 * inputs]
    slow = small(("memory.1.refill", "together"), ("memory.1.refill_cycles", 500), *WIDE)
    cycles = cost_mapping(work, slow, nest(slow, loops, 3)).cycles
    assert cycles["ideal"] + cycles["stall"] == 2 * 500


def test_the_first_tile_of_a_whole_refill_is_waited_for() -> None:
    """A tile that comes once may come while the array computes, but for a whole refill."""
    work, register = conv((2, 6), 8, (1, 1), 6), {"name": "weights", "kind": "register"}
    levels = [{**register, "bytes": 2, "bits_per_cycle": 8, "holds": ["weight"]}, *SMALL[2][1]]  # type: ignore[misc]
    cuts = {"weight": (0, 4, 4), "input": (4, 4), "output": (0, 4, 4)}
    loops = (("ox", 6), ("oy", 2), ("ic", 3), ("oc", 2))
    onload = []
    for refill in ("changed", "together"):
        room = (("memory", levels), ("memory.2.refill", refill), ("memory.2.bytes", 4096))
        machine = small(*room)
        mapping = LoopNest((), loops, cuts, machine.chains())
        onload.append(cost_mapping(work, machine, mapping).cycles["onload"])
    weights, inputs = 6 * 8 * 8 // 16, 2 * 6 * 6 * 8 // 16
    assert inputs < onload[0] < onload[1] == weights + inputs


def test_a_bounding_box_moves_what_a_stride_skips() -> None:
    work = conv((4, 4), 4, (1, 1), 2, stride_y=2, stride_x=2, input_rows=7, input_columns=7)
    loops = [("ox", 4), ("oy", 4)]
    moved = []
    for window in ("touched", "bounding_box"):
        machine = small(("input_window", window))
        words = cost_mapping(work, machine, nest(machine, loops, 2)).words
        moved.append(words["dram", "input", "read_to_below"])
    assert moved == [4 * 4 * 2 // 2, 7 * 7 * 2 // 2]


@pytest.mark.parametrize("objective", ["latency", "energy", "edp"])
@pytest.mark.parametrize("shape", [((2, 2), 8, (1, 1), 4), ((3, 1), 5, (2, 1), 3)])
def test_the_search_still_finds_the_best_of_all_nests(shape: Any, objective: str) -> None:
    """The new terms only add to what the bounds take as the least."""
    machine = small(
        ("mapping.objective", objective),
        ("memory.1.refill", "together"),
        ("memory.1.refill_cycles", 7),
        ("input_window", "bounding_box"),
        ("array.commands", {"steps": 2, "minimum_cycles": 3, "load_cycles": 4, "issue_cycles": 5}),
    )
    work = conv(*shape)
    scores = {
        "latency": lambda m: m.latency,
        "energy": lambda m: m.energy_fj,
        "edp": lambda m: m.latency * m.energy_fj,
    }
    best = min(scores[objective](nest) for nest in every_nest(work, machine))
    assert scores[objective](map_work(work, machine)) == pytest.approx(best, rel=1e-12)


def test_their_faults_are_one_line() -> None:
    for path, value, text in [
        ("memory.1.refill_cycles", 5, "refill_cycles needs refill: together; found changed"),
        ("array.commands", {"steps": 0}, "array.commands.steps: must be >= 1; found 0"),
        ("array.commands", {"steps": 4, "holds": "output"}, "'weight' or 'input'"),
        ("input_window", "all", "'touched' or 'bounding_box'"),
    ]:
        with pytest.raises(BadConfig) as caught:
            small((path, value))
        assert text in str(caught.value)
        assert "\n" not in str(caught.value)
