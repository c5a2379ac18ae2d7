"""`bitlane estimate --mapping FILE` pins mappings; `--mappings DIR` writes those in use."""

import re
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import workloads
from analysis.chosen import machine_of
from analysis.files import make_folder, tell, write_text
from simulator.cost import Estimate
from simulator.designs import batched_works
from simulator.errors import BadConfig, BitlaneError, Unsupported
from simulator.graph import Graph
from simulator.machines.base import Machine
from simulator.machines.hierarchy import PINS, UNROLLINGS
from simulator.machines.spatial import Spatial
from simulator.mapped import is_pinned, map_work
from simulator.work import Work
from workloads.mappings.files import FORMS, Pin, read_pins, write_nest

Sets = Sequence[tuple[str, Any]]
Remake = Callable[[Sets], Machine]
"""The machine again with more fields replaced."""


def pinned_machines(
    model: str, names: Sequence[str], pairs: list[str] | None, files: Sequence[Path], batch: int
) -> list[Machine]:
    """The machines of --hw and --set, with the mappings of --mapping pinned on each."""
    machines = [machine_of(name, pairs) for name in names]
    if not files:
        return machines
    graph = workloads.load(model)
    return [
        pinned_machine(machine, partial(machine_of, name, pairs), files, graph, batch)
        for name, machine in zip(names, machines, strict=True)
    ]


def check_mappings(machines: Sequence[Machine], form: str) -> None:
    """Raise BitlaneError on an unknown form, and Unsupported where no machine maps nests."""
    if form not in FORMS:
        raise BitlaneError(f"--mapping-format {form}: must be one of {', '.join(FORMS)}")
    if not any(isinstance(machine, Spatial) for machine in machines):
        names = ", ".join(machine.name for machine in machines)
        raise Unsupported(f"--mappings: no spatial machine among {names}; only those map nests")


def mappings_command(
    graph: Graph,
    machines: Sequence[Machine],
    estimates: Sequence[Estimate],
    batch: int,
    folder: Path,
    form: str,
    json: Path | None,
) -> None:
    """Write the mappings in use and say how many."""
    lines = write_mappings(folder, form, graph, machines, estimates, batch)
    tell("\n".join(lines), json)


def pinned_machine(
    machine: Machine, remake: Remake, files: Sequence[Path], graph: Graph, batch: int
) -> Machine:
    """The machine with the mappings of files pinned, each on every layer that it covers.

    A mapping's unrolling joins the machine's own where it is none of them; of more than it may
    have, the machine's last go. Raises Unsupported where a mapping covers no layer of the graph.
    """
    if not isinstance(machine, Spatial):
        raise Unsupported(
            f"--mapping: {machine.name} is a {machine.model} machine, which maps no loop nests; "
            "give a spatial one"
        )
    works = [work for work in set(batched_works(graph.work, batch)) if work.macs]
    pins = [(path, pin) for path in files for pin in read_pins(path, machine)]
    if len(pins) > PINS:
        raise Unsupported(f"--mapping: {len(pins)} mappings; a machine pins {PINS} at most")
    own = [
        {str(d): {str(k): n for k, n in loops.items()} for d, loops in unrolling.items()}
        for unrolling in machine.array.unrollings
    ]
    added: list[dict[str, dict[str, int]]] = []
    for path, pin in pins:
        _check_axes(path, pin, machine)
        only = ("mapping.pinned", [pin.plain()])
        unrolling = _unrolling(pin.spatial)
        try:
            if _covers(remake([only]), works, pin):
                continue
            unrolled = remake([("array.unrollings", [unrolling]), only])
        except BadConfig as error:
            raise Unsupported(f"{path}: {error}") from None
        if not _covers(unrolled, works, pin):
            raise Unsupported(
                f"{path}: covers no layer of {graph.name} on {machine.name}: with the array its "
                f"loops make {_steps(pin)}; these must be a layer's, and each tile must fit its "
                "memory"
            )
        if unrolling not in added:
            added.append(unrolling)
    pinned = ("mapping.pinned", [pin.plain() for _, pin in pins])
    more = [("array.unrollings", (added + own)[:UNROLLINGS])] if added else []
    return remake([*more, pinned])


def _check_axes(path: Path, pin: Pin, machine: Spatial) -> None:
    axes = tuple(machine.array.dimensions)
    for dimension, _, _ in pin.spatial:
        if dimension not in axes:
            raise Unsupported(
                f"{path}: spatial names the dimension '{dimension}'; {machine.name} has "
                f"{', '.join(axes)}"
            )


def _covers(machine: Machine, works: Sequence[Work], pin: Pin) -> bool:
    """Whether a layer runs as the machine's one pin says, its unrolling included where it has one.

    A pinned layer is not searched.
    """
    assert isinstance(machine, Spatial)
    covered = [work for work in works if is_pinned(work, machine)]
    wanted = _unrolling(pin.spatial)
    if not wanted:
        return bool(covered)
    return any(_unrolling(map_work(work, machine).nest.spatial) == wanted for work in covered)


def _unrolling(spatial: Sequence[tuple[str, str, int]]) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = {}
    for dimension, loop, factor in spatial:
        if factor > 1:
            loops = found.setdefault(dimension, {})
            loops[loop] = loops.get(loop, 1) * factor
    return found


def _steps(pin: Pin) -> str:
    steps: dict[str, int] = {}
    for loop, factor in (*((loop, n) for _, loop, n in pin.spatial), *pin.loops):
        steps[loop] = steps.get(loop, 1) * factor
    return ", ".join(f"{loop} {n}" for loop, n in steps.items()) or "one step"


def write_mappings(
    folder: Path,
    form: str,
    graph: Graph,
    machines: Sequence[Machine],
    estimates: Sequence[Estimate],
    batch: int,
) -> list[str]:
    """Write the nest that each layer was costed in to FOLDER/MACHINE/NUMBER_LAYER.

    Returns lines to print. Where a form cannot say a nest, one tells why; the others are written.
    """
    lines, written = [], 0
    works = batched_works(graph.work, batch)
    for machine, found in zip(machines, estimates, strict=True):
        if not isinstance(machine, Spatial) or found.nests is None:
            continue
        place = folder / _file_name(machine.name)
        make_folder(place, "--mappings")
        layers = zip(graph.nodes, works, found.nests, strict=True)
        for index, (node, work, nest) in enumerate(layers):
            if nest is None:
                continue
            try:
                text = write_nest(nest, form, machine, work, node.name)
            except Unsupported as error:
                lines.append(f"not written, {machine.name}, {node.name}: {error}")
                continue
            write_text(place / f"{index:03d}_{_file_name(node.name)}.{FORMS[form]}", text)
            written += 1
    return [f"{written} mappings written to {folder}", *lines]


def _file_name(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "_", name).strip("_.")[:80] or "layer"
