"""Timeloop's YAML of a mapping: directives, each for one level.

The keys are those of its documentation ("Input formats, Mapping") and of the file its mapper
writes, ``timeloop-mapper.map.yaml``: ``target``, ``type`` (temporal, spatial, datatype), factors
as ``C1 M2``, ``C=1`` or a list, the permutation from the innermost loop, ``keep`` and ``bypass``.
Of a spatial directive the loops before ``split`` lie on X, the others on Y; one whose target is an
array dimension of the machine lies on that.
"""

import re
from collections.abc import Sequence

from simulator.document import Entry
from simulator.errors import Unsupported
from simulator.machines.spatial import Spatial
from simulator.mapping.layout import OPERANDS
from simulator.mapping.loopnest import LoopNest
from simulator.yaml_source import parse_entry
from workloads.mappings.levels import Level, levels_of_nest, nest_of_levels, one_each
from workloads.mappings.names import (
    TIMELOOP_LOOPS,
    TIMELOOP_NAMES,
    TIMELOOP_OPERANDS,
    loop_called,
)
from workloads.mappings.printed import axis_of

DIRECTIVES = ("temporal", "spatial", "datatype", "dataspace", "bypass", "bypassing")
_FACTOR = re.compile(r"([A-Z]\w*?)\s*=?\s*(\d+)(,\d+)?$")
Loops = list[tuple[str, int]]


def read_timeloop(text: str, machine: Spatial, label: str) -> LoopNest:
    """The nest of a mapping file; `label` names it in messages.

    Levels are nested as the machine lists its memories. Raises BadFile where it is no YAML, and
    Unsupported where a directive says what no nest of ours can.
    """
    root = parse_entry(text, label)
    listed = root.child("mapping") or root
    if not isinstance(listed.value, tuple):
        raise Unsupported(f"{label}: no list 'mapping'; write 'mapping:' and its directives below")
    temporal: dict[str, Loops] = {}
    keeps: dict[str, tuple[str, ...]] = {
        level.name: tuple(o for o in OPERANDS if o in level.holds) for level in machine.memory
    }
    spatial: list[tuple[str, str, int]] = []
    for directive in listed.value:
        kind, target = _text(directive, "type"), _text(directive, "target")
        where = f"{directive.place}: {kind} at '{target}'"
        if kind == "spatial":
            spatial += _unrolled(directive, target, machine, where)
        elif kind == "temporal":
            loops = [pair for pair in _loops(directive, where) if pair[1] > 1]
            if loops and target not in machine.levels:
                raise Unsupported(
                    f"{where}: no such memory; {machine.name} has {', '.join(machine.levels)}"
                )
            temporal[target] = loops
        elif target in keeps:
            keeps[target] = _kept(directive, keeps[target], where)
    levels = [Level(name, keeps[name], tuple(temporal.get(name, ()))) for name in machine.levels]
    axes = tuple(machine.array.dimensions)
    unrolled = sorted(spatial, key=lambda part: axes.index(part[0]))
    return nest_of_levels(levels, unrolled, machine.chains(), label)


def _text(directive: Entry, key: str) -> str:
    value = directive.child(key)
    if value is None or not isinstance(value.value, str):
        raise Unsupported(f"{directive.place}: a directive without '{key}'; give it as text")
    if key == "type" and value.value not in DIRECTIVES:
        raise Unsupported(f"{value.place}: type '{value.value}' is none of {', '.join(DIRECTIVES)}")
    return value.value


def _words(directive: Entry, key: str) -> list[str]:
    """A list, or a text of words, as texts."""
    entry = directive.child(key)
    plain = entry.plain() if entry is not None else None
    if plain is None:
        return []
    if isinstance(plain, list):
        return [str(item) for item in plain]
    # `C=1, M=2` is a list with commas; `P=4,3` a factor with a remainder.
    return re.sub(r"\s*=\s*", "=", str(plain)).replace(", ", " ").split()


def _loops(directive: Entry, where: str) -> Loops:
    """The loops of a directive, innermost first."""
    factors: dict[str, int] = {}
    for word in _words(directive, "factors"):
        match = _FACTOR.match(word)
        if match is None:
            raise Unsupported(f"{where}: factor '{word}' is none; write it as C=4")
        if match[3]:
            raise Unsupported(f"{where}: factor '{word}' has a remainder; give one that divides")
        if int(match[2]) == 0:
            raise Unsupported(f"{where}: factor '{word}' means what is left; write the number")
        factors[match[1]] = int(match[2])
    order = _words(directive, "permutation")
    if len(order) == 1 and len(order[0]) > 1:
        order = list(order[0])
    unplaced = [name for name, factor in factors.items() if factor > 1 and name not in order]
    if len(unplaced) > 1 or (unplaced and any(factors.get(name, 1) > 1 for name in order)):
        raise Unsupported(
            f"{where}: permutation does not place {', '.join(unplaced)}; list the dimensions "
            "from the innermost"
        )
    names = [*order, *unplaced]
    return [(loop_called(n, TIMELOOP_LOOPS, where), factors.get(n, 1)) for n in names]


def _unrolled(
    directive: Entry, target: str, machine: Spatial, where: str
) -> list[tuple[str, str, int]]:
    axes = tuple(machine.array.dimensions)
    split = directive.child("split")
    first = split.value if split is not None else len(TIMELOOP_LOOPS)
    if not isinstance(first, int) or isinstance(first, bool):
        raise Unsupported(f"{where}: split must be a number; found {first}")
    found = []
    for place, (loop, factor) in enumerate(_loops(directive, where)):
        if factor > 1:
            axis = "X" if place < first else "Y"
            dimension = target if target in axes else axis_of(axis, axes, where)
            found.append((dimension, loop, factor))
    return found


def _kept(directive: Entry, default: tuple[str, ...], where: str) -> tuple[str, ...]:
    keep = [loop_called(k, TIMELOOP_OPERANDS, where) for k in _words(directive, "keep")]
    left = [loop_called(k, TIMELOOP_OPERANDS, where) for k in _words(directive, "bypass")]
    return tuple(o for o in OPERANDS if o in keep or (o in default and o not in left))


def write_timeloop(nest: LoopNest, machine: Spatial) -> str:
    """The nest as a mapping file of Timeloop; an array dimension is a spatial target of its own.

    Raises Unsupported where a level has one loop twice around another, which Timeloop has not, or
    where its levels cannot be drawn (`levels_of_nest`).
    """
    levels = levels_of_nest(nest, machine)
    names = {operand: name for name, operand in TIMELOOP_OPERANDS.items()}
    lines = ["mapping:"]
    for level in levels:
        keep = ", ".join(names[o] for o in level.keeps)
        left = ", ".join(names[o] for o in OPERANDS if o not in level.keeps)
        lines.append(
            f"  - {{target: {level.name}, type: datatype, keep: [{keep}], bypass: [{left}]}}"
        )
    for place, dimension in enumerate(machine.array.dimensions):
        own = [(loop, factor) for d, loop, factor in nest.spatial if d == dimension]
        split = 8 if place == 0 else 0
        lines.append(f"  - {{{_directive(dimension, 'spatial', own)}, split: {split}}}")
    lines += [f"  - {{{_directive(v.name, 'temporal', v.loops)}}}" for v in levels]
    return "\n".join(lines) + "\n"


def _directive(target: str, kind: str, loops: Sequence[tuple[str, int]]) -> str:
    joined = one_each(target, loops)
    seen = [loop for loop, _ in joined]
    rest = [loop for loop in TIMELOOP_NAMES if loop not in seen]
    order = [*seen, *(loop for loop in rest if loop != "g")]
    sizes = dict(joined)
    factors = " ".join(f"{TIMELOOP_NAMES[loop]}={sizes.get(loop, 1)}" for loop in order)
    permutation = "".join(TIMELOOP_NAMES[loop] for loop in order)
    return f"target: {target}, type: {kind}, factors: {factors}, permutation: {permutation}"
