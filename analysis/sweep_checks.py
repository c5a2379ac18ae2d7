"""What is wrong with a sweep before anything runs: every value of every axis makes a machine."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final

from analysis.accuracy import METRICS
from analysis.constraints import Constraint
from analysis.held import has_area
from analysis.layout import BASE, Layout
from analysis.limits import MAX_POINTS
from analysis.spec import Scalar, SweepSpec
from simulator.document import Place
from simulator.errors import BadConfig, Unsupported
from simulator.graph import Graph
from simulator.layers import configs
from simulator.machines.base import Machine

SHOWN_FAULTS: Final = 20
"""Of an axis with many impossible values, as many are named."""
CHECKED: Final = 1024
"""Of an axis with more values than this, as many are tried: the ends, and evenly spread between."""


def first_designs(layout: Layout) -> Iterator[tuple[Scalar | None, ...]]:
    """A design for each base machine, then one for each further value of each axis on it.

    Of a long axis `CHECKED` of the values.
    """
    import numpy as np

    bases = range(layout.grid.sizes[0]) if layout.names[0] == BASE else (None,)
    seen: set[tuple[int, ...]] = set()
    for base in bases:
        on = {} if base is None else {0: base}
        tried = {
            axis: np.linspace(0, size - 1, min(size, CHECKED)).astype(int).tolist()
            for axis, size in enumerate(layout.grid.sizes)
            if axis not in on
        }
        wanted = [on, *(on | {axis: v} for axis, own in tried.items() for v in own)]
        for values in wanted:
            row = layout.grid.example(values)
            if row is not None and tuple(row) not in seen:
                seen.add(tuple(row))
                yield layout.rows(np.array([row]))[0]


def check_designs(
    spec: SweepSpec,
    places: Mapping[str, Place],
    machine: Callable[[Sequence[Scalar | None]], Machine],
    graphs: Sequence[Graph],
) -> tuple[bool, list[Machine]]:
    """Build the `first_designs`, so that faults show at once; raises BadConfig with all of them.

    Returns whether a design is counted in a cost model's own unit, without joules, and the first
    design of each base machine.
    """
    faults: dict[str, None] = {}
    costs = False
    areas: dict[bool, str] = {}
    firsts: dict[Scalar | None, Machine] = {}
    several = isinstance(spec.base, list)
    for values in first_designs(spec.layout):
        try:
            made = machine(values)
            check_unit(made, spec.objectives, spec.limits, places)
            check_layers(made, graphs, places)
            costs |= not made.technology.physical
            areas.setdefault(has_area(made), made.technology.name)
            firsts.setdefault(values[0] if several else None, made)
        except BadConfig as error:
            on = f" (base {values[0]}; keep an axis from it by when: {{base: ...}})"
            lines = str(error).split("\n")
            faults |= dict.fromkeys(f"{line}{on}" if several else line for line in lines)
        if len(faults) >= SHOWN_FAULTS:
            break
    if len(areas) == 2 and "area_mm2" in spec.objectives:
        faults[
            f"{places.get('objectives', 'objectives')}: objectives: {areas[False]} gives no area "
            f"to compare with that of {areas[True]}; leave 'area_mm2' out"
        ] = None
    if faults:
        raise BadConfig("\n".join(faults))
    return costs, list(firsts.values())


def check_layers(machine: Machine, graphs: Iterable[Graph], places: Mapping[str, Place]) -> None:
    """Refuse entries of `datapath.layers` that name no layer of one of the networks."""
    for graph in graphs:
        for override in machine.datapath.layers:
            try:
                configs(machine.datapath.model_copy(update={"layers": (override,)}), graph)
            except Unsupported as error:
                begin = f"datapath.layers.{override.layer}."
                found = [place for axis, place in places.items() if axis.startswith(begin)]
                at = f"{found[0]}: " if found else ""
                text = str(error).replace("datapath.layers.0.layer", "datapath.layers")
                raise BadConfig(f"{at}{text}") from None


def check_enumerable(spec: SweepSpec) -> None:
    """Refuse to sweep what only a search can go through: too many designs, or no axes."""
    if not spec.axes:
        raise BadConfig(
            f"{spec.name}: axes: is missing, its designs are those of search.problem; run bitlane "
            "search"
        )
    if spec.count > MAX_POINTS:
        raise BadConfig(
            f"{spec.name}: axes: {spec.count} points are more than {MAX_POINTS}; run bitlane "
            "search, shorten an axis, or draw a sample"
        )


def check_unit(
    machine: Machine,
    objectives: Sequence[str],
    limits: Sequence[Constraint],
    places: Mapping[str, Place],
) -> None:
    """Refuse objectives and constraints that a technology has no figure of."""
    for field, name, other in lacking(machine, objectives, limits):
        technology = machine.technology
        raise BadConfig(
            f"{places.get(field, field)}: {field}: {technology.name} counts "
            f"{technology.unit} and has no '{name}'; name '{other}' instead"
        )
    check_area(machine, limits, f"{places.get('constraints', 'constraints')}: constraints")


def check_area(machine: Machine, limits: Sequence[Constraint], what: str) -> None:
    """Refuse constraints on an area that a technology does not give; `what` names them."""
    if any(limit.metric == "area_mm2" for limit in limits) and not has_area(machine):
        raise BadConfig(
            f"{what}: {machine.technology.name} gives no area to hold to a bound; "
            "leave 'area_mm2' out"
        )


def lacking(
    machine: Machine, objectives: Sequence[str], limits: Sequence[Constraint]
) -> Iterator[tuple[str, str, str]]:
    """Fields of a spec, metrics that the technology has no figure of, and what it has instead."""
    physical = machine.technology.physical
    lacks = ("cost",) if physical else ("energy_j", "power_w", "tops_per_w", "edp")
    for field, name in _named(objectives, limits):
        if name in lacks:
            yield field, name, "energy_j" if physical else "cost"


def check_measured(
    objectives: Sequence[str],
    limits: Sequence[Constraint],
    places: Mapping[str, Place],
    measured: Sequence[str] = (),
) -> None:
    """Refuse metrics of what designs compute, but for those that are `measured`."""
    for field, name in _named(objectives, limits):
        if name in METRICS and name not in measured:
            raise BadConfig(
                f"{places.get(field, field)}: {field}: '{name}' is measured on labelled data, and "
                "this sweep has none; name it by data: or --data"
            )


def _named(objectives: Sequence[str], limits: Sequence[Constraint]) -> Iterator[tuple[str, str]]:
    yield from (("objectives", name) for name in objectives)
    yield from (("constraints", limit.metric) for limit in limits)
