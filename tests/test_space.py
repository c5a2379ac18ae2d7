"""Designs of a space: their rows, values and refusals are those of machines built one by one."""

import itertools
import random
import re
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import numpy as np
import pytest

import hwconfigs
from simulator.designs import limits_of
from simulator.document import Document, Entry, Place
from simulator.errors import BadConfig, Unsupported
from simulator.machine_set import MachineSet, Mapped, kind_of
from simulator.machines.base import Machine
from simulator.machines.platform import Platform
from simulator.machines.registry import machine_from
from simulator.platforms import unit_of
from simulator.reached import extrapolated, extrapolated_part, priced_parts
from simulator.residency import retention_of
from simulator.space import Axis, Designs, Space

DESIGNS = 40
SETTINGS = list[tuple[tuple[str, ...], Entry]]
SKIPPED = ("name", "source", "calibration", "kernels", "pinned", "text")
"""What no row holds, or no axis is likely to set."""


def leaves(entry: Entry, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every scalar of a document with its path."""
    if isinstance(entry.value, tuple):
        below = [(str(i), item) for i, item in enumerate(entry.value)]
    elif hasattr(entry.value, "items"):
        below = list(entry.value.items())  # type: ignore[union-attr]
    else:
        yield path, entry.value
        return
    for step, item in below:
        if step not in SKIPPED and "technology" not in path:
            yield from leaves(item, (*path, step))


@cache
def pool() -> dict[tuple[str, ...], list[Any]]:
    """The values that shipped machines have at each path, wherever in a platform it lies."""
    found: dict[tuple[str, ...], list[Any]] = {}
    for document in map(hwconfigs.document, hwconfigs.names()):
        for path, value in leaves(document.root):
            found.setdefault(path[-2:], []).append(value)
    return found


@cache
def technologies() -> list[Entry]:
    return [hwconfigs.technology(name) for name in hwconfigs.names("technologies")]


def values(path: tuple[str, ...], value: Any, rng: random.Random) -> list[Any]:
    """A field's own value, some that others have, and some that few fields take."""
    known = [v for v in pool()[path[-2:]] if type(v) is type(value)]
    found = [value, rng.choice(known)]
    if isinstance(value, bool):
        found.append(not value)
    elif isinstance(value, int):
        found += [rng.choice([value + 1, 2 * value, max(1, value // 2)])]
    elif isinstance(value, float):
        found += [rng.choice([1.5 * value, value / 4])]
    if rng.random() < 0.1:
        found.append(rng.choice([0, -1, 1 << 50, 2.5, "nothing", True]))
    return list({(type(v), v): v for v in found}.values())


def random_axes(document: Document, rng: random.Random) -> list[list[SETTINGS]]:
    """Axes, each a list of what its values set: fields of the document, or technologies."""
    at = Place("axis", 1)
    here = dict(leaves(document.root))
    chosen = rng.sample(sorted(here), min(len(here), rng.randint(2, 7)))
    axes = [
        [[(path, Entry(v, at))] for v in values(path, here[path], rng)]
        for path in chosen
        if "technology" not in path
    ]
    if rng.random() < 0.5:
        place: tuple[str, ...] = ("technology",)
        if document.root.child("host") is not None:
            place = ("host", "technology")
        axes.append([[(place, technology)] for technology in rng.sample(technologies(), 3)])
    if len(axes) > 2 and rng.random() < 0.5:
        # Two fields that go together.
        first, second = axes.pop(), axes.pop()
        axes.append([a + b for a, b in zip(first, second, strict=False)])
    return axes


def builder(document: Document, axes: list[list[SETTINGS]]) -> Callable[..., Machine]:
    def build(choice: tuple[int, ...]) -> Machine:
        made = document
        for axis, index in zip(axes, choice, strict=True):
            for path, entry in axis[index] if index >= 0 else ():
                made = made.with_entry(path, entry)
        return machine_from(made)

    return build


def alone(build: Callable[..., Machine], choice: list[int]) -> Machine | str:
    try:
        return build(tuple(choice))
    except BadConfig as error:
        return str(error)


def space_of(axes: list[list[SETTINGS]], build: Callable[..., Machine]) -> Space:
    paths = [tuple(path for path, _ in axis[0]) for axis in axes]
    return Space([Axis(len(a), p) for a, p in zip(axes, paths, strict=True)], build)


def peak(machine: Machine) -> int:
    return machine.peak_macs_per_cycle


def outer(machine: Machine) -> float:
    return machine.outer_bytes_per_cycle


def technology(machine: Machine) -> str:
    return machine.technology.name


ASKED: tuple[Callable[[Machine], Any], ...] = (
    *(kind_of, peak, outer, technology, extrapolated, retention_of, limits_of),
)


def assert_the_same(designs: MachineSet, machines: list[Machine]) -> None:
    for function in ASKED:
        found, which = designs.spread(function)
        assert [found[index] for index in which.tolist()] == [function(m) for m in machines]
    parts = range(max(map(priced_parts, machines)))
    apart = sum(designs.column(np.int64, extrapolated_part, part) for part in parts)
    assert np.array_equal(apart, [extrapolated(machine) for machine in machines])
    if isinstance(machines[0], Platform):
        for name in machines[0].machines:
            assert_rows(Mapped(designs, unit_of, name), [m.machines[name] for m in machines])  # type: ignore[attr-defined]
        attached = designs.stacked(Platform.attachments)
        assert np.array_equal(attached, [m.attachments() for m in machines])  # type: ignore[attr-defined]
    else:
        assert_rows(designs, machines)


def assert_rows(designs: MachineSet, machines: list[Machine]) -> None:
    per_layer = [m for m in machines if m.datapath.layers or m.datapath.widen]
    if per_layer:
        with pytest.raises(Unsupported) as raised:
            list(designs.families())
        with pytest.raises(Unsupported, match=re.escape(str(raised.value))):
            per_layer[0].row()
        return
    seen = []
    for family in designs.families():
        triples = zip(family.places, family.rows, family.technology_of, strict=True)
        for at, row, of in triples:
            assert type(machines[at]) is family.kind
            assert row.tolist() == machines[at].row().tolist()
            prices = machines[at].technology.row()
            assert family.technologies[of].tobytes() == prices.tobytes()
            seen.append(int(at))
    assert sorted(seen) == list(range(len(machines)))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", hwconfigs.names())
def test_designs_are_the_machines_built_one_by_one(name: str, seed: int) -> None:
    rng = random.Random(f"{name} {seed}")
    document = hwconfigs.document(name)
    axes = random_axes(document, rng)
    build = builder(document, axes)
    choices = np.array(
        [[rng.randint(-1, len(axis) - 1) for axis in axes] for _ in range(DESIGNS)], np.int64
    )
    each = [alone(build, choice) for choice in choices.tolist()]
    space = space_of(axes, build)
    refused = [index for index, made in enumerate(each) if isinstance(made, str)]
    if refused:
        with pytest.raises(BadConfig) as raised:
            space.designs(choices)
        assert str(raised.value) == each[refused[0]]
    kept = [index for index, made in enumerate(each) if not isinstance(made, str)]
    if kept:
        machines = [made for made in each if not isinstance(made, str)]
        for fresh in (space, space_of(axes, build)):
            assert_the_same(fresh.designs(choices[kept]), machines)


def named(*settings: tuple[str, Any]) -> SETTINGS:
    return [(tuple(path.split(".")), Entry(value, Place("axis", 1))) for path, value in settings]


def grid(axes: list[list[SETTINGS]]) -> Any:
    return np.array(list(itertools.product(*(range(len(axis)) for axis in axes))), np.int64)


def same_as_one_by_one(name: str, axes: list[list[SETTINGS]]) -> tuple[Space, MachineSet]:
    """The designs of a whole grid, all of them accepted, compared with their machines."""
    build = builder(hwconfigs.document(name), axes)
    space, choices = space_of(axes, build), grid(axes)
    designs = space.designs(choices)
    assert_the_same(designs, [build(tuple(choice)) for choice in choices.tolist()])
    return space, designs


def test_an_axis_that_makes_a_part_starts_a_variant_for_each_value() -> None:
    rates = [named(("datapath.decompress.elements_per_cycle", n)) for n in (1, 2, 4)]
    clocks = [named(("clock_mhz", 100 + 7 * i)) for i in range(6)]
    space, designs = same_as_one_by_one("systolic_16x16", [rates, clocks])
    assert isinstance(designs, Designs)
    left_out = np.array([[-1, 0], [-1, 3], [2, -1], [1, 1], [-1, -1], [2, 4], [0, 0], [0, 5]] * 2)
    build = builder(hwconfigs.document("systolic_16x16"), [rates, clocks])
    machines = [build(tuple(choice)) for choice in left_out.tolist()]
    assert_the_same(space.designs(left_out), machines)


def test_an_axis_of_the_base_has_its_own_machines() -> None:
    documents = [hwconfigs.document(n) for n in ("systolic_16x16", "hvx_1024", "cortex_m4")]
    clocks = [named(("clock_mhz", 100 + i)) for i in range(8)]

    def build(choice: tuple[int, ...]) -> Machine:
        return builder(documents[choice[0]], [clocks])(choice[1:])

    space = Space([Axis(len(documents)), Axis(len(clocks), (("clock_mhz",),))], build)
    choices = np.array(list(itertools.product(range(3), range(8))))[::-1]
    designs = space.designs(choices)
    assert isinstance(designs, Designs)
    assert_the_same(designs, [build(tuple(choice)) for choice in choices.tolist()])
    every_third = np.arange(1, 24, 3)
    assert_the_same(designs.take(every_third), [build(tuple(c)) for c in choices[1::3].tolist()])


def test_a_refusal_of_two_fields_is_told_in_the_words_of_the_first_such_machine() -> None:
    sizes = [named(("memory.ofmap_sram.bytes", 1 << b)) for b in (16, 14, 12)]
    kept = [named(("memory.ofmap_sram.resident_bytes", b)) for b in (0, 8192, 40000)]
    axes = [kept, sizes]
    build = builder(hwconfigs.document("systolic_16x16"), axes)
    space = space_of(axes, build)
    with pytest.raises(BadConfig) as raised:
        space.designs(grid(axes))
    told = alone(build, [1, 2])
    assert str(raised.value) == told
    assert "below the 4096 bytes" in str(told)
    allowed = np.array([[2, 0], [1, 0], [1, 1], [0, 2], [0, 0]])
    machines = [build(tuple(choice)) for choice in allowed.tolist()]
    assert_the_same(space.designs(allowed), machines)


def test_a_function_runs_once_for_each_set_of_values_it_reads() -> None:
    asked = []

    def elements(machine: Any) -> int:
        asked.append(1)
        return int(machine.array.rows * machine.array.cols)

    axes = [
        [named(("array.rows", n)) for n in (2, 3, 4)],
        [named(("clock_mhz", n)) for n in range(100, 110)],
        [named(("array.cols", n)) for n in (5, 7)],
    ]
    space, designs = same_as_one_by_one("systolic_16x16", axes)
    found = designs.column(np.int64, elements)
    assert found.tolist() == [r * c for r in (2, 3, 4) for _ in range(10) for c in (5, 7)]
    # Once to see what it reads, then once for each of the six.
    assert len(asked) == 7
    space.designs(grid(axes)[::-1]).column(np.int64, elements)
    assert len(asked) == 7
