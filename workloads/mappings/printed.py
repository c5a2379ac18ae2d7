"""Timeloop's printed loop nest, as its mapper leaves it in ``timeloop-mapper.map.txt``.

Levels from the outermost, each with the tensors it keeps; ``(Spatial-X)`` and ``(Spatial-Y)``
mark loops on the array. Loops with a remainder, ``[0:4,3)``, are refused: our loops are all of
one size.
"""

import re
from collections.abc import Sequence

from simulator.errors import Unsupported
from simulator.machines.spatial import Spatial
from simulator.mapping.loopnest import LoopNest
from workloads.mappings.levels import Level, levels_of_nest, nest_of_levels, one_each
from workloads.mappings.names import (
    TIMELOOP_LOOPS,
    TIMELOOP_NAMES,
    TIMELOOP_OPERANDS,
    loop_called,
)

_LOOP = re.compile(r"\|?\s*for (\w+) in \[0:(\d+)(,\d+)?\)(?: \(Spatial-([XY])\))?$")
_LEVEL = re.compile(r"(\S+) \[([^\]]*)\]$")
_KEPT = re.compile(r"(\w+):(\d+)")


def read_printed(text: str, machine: Spatial, place: str) -> LoopNest:
    """The nest that Timeloop printed; X and Y are the array's first and second dimension.

    Lines end as lines do, or with `` / ``. `place` is named in messages. Raises Unsupported where
    a line is neither a level nor a loop, or where the machine's memories are others.
    """
    axes = tuple(machine.array.dimensions)
    spatial: list[tuple[str, str, int]] = []
    levels: list[Level] = []
    for number, line in enumerate(re.split(r"\n| / ", text), start=1):
        line = line.strip()
        where = f"{place}:{number}"
        if not line or set(line) == {"-"} or line.lstrip("| ") == "<< Compute >>":
            continue
        if loop := _LOOP.match(line):
            if not levels:
                raise Unsupported(f"{where}: '{line}' stands above the first level; name it first")
            _add_loop(loop, levels, spatial, axes, where)
        elif level := _LEVEL.match(line):
            keeps = [loop_called(k, TIMELOOP_OPERANDS, where) for k, _ in _KEPT.findall(level[2])]
            levels.append(Level(level[1], tuple(keeps), ()))
        else:
            raise Unsupported(
                f"{where}: '{line[:60]}' is no line of a printed nest; write a level as "
                "'DRAM [ Weights:864 (864) ]' and a loop as '| for P in [0:8)'"
            )
    # Outermost first in the text, inner first here.
    inner = [Level(v.name, v.keeps, v.loops[::-1]) for v in reversed(levels)]
    spatial.reverse()
    unrolled = sorted(spatial, key=lambda part: axes.index(part[0]))
    return nest_of_levels(inner, unrolled, machine.chains(), place)


def _add_loop(
    found: re.Match[str],
    levels: list[Level],
    spatial: list[tuple[str, str, int]],
    axes: Sequence[str],
    where: str,
) -> None:
    loop, factor, axis = loop_called(found[1], TIMELOOP_LOOPS, where), int(found[2]), found[4]
    if found[3]:
        raise Unsupported(
            f"{where}: '[0:{factor}{found[3]})' ends in a remainder; give factors that divide"
        )
    if axis:
        spatial.append((axis_of(axis, axes, where), loop, factor))
    else:
        last = levels[-1]
        levels[-1] = Level(last.name, last.keeps, (*last.loops, (loop, factor)))


def axis_of(axis: str, axes: Sequence[str], where: str) -> str:
    """The array dimension of X or Y: the machine's first or second."""
    if "XY".index(axis) >= len(axes):
        raise Unsupported(f"{where}: no axis {axis}; the machine's array has {', '.join(axes)}")
    return axes["XY".index(axis)]


def along(machine: Spatial, memory: str) -> tuple[str, ...]:
    """The array dimensions along which one instance of a memory serves all units."""
    level = machine.memory[machine.levels.index(memory)]
    return tuple(machine.array.dimensions) if level.shared_along == "all" else level.shared_along


def tile_words(
    nest: LoopNest, operand: str, loops: int, dimensions: Sequence[str], strides: tuple[int, int]
) -> int:
    """Elements of an operand that the innermost loops and these array dimensions touch."""
    size = dict.fromkeys(("n", "g", "oc", "ic", "oy", "ox", "ky", "kx"), 1)
    for dimension, loop, factor in nest.spatial:
        size[loop] *= factor if dimension in dimensions else 1
    for loop, factor in nest.loops[:loops]:
        size[loop] *= factor
    if operand == "weight":
        return size["g"] * size["oc"] * size["ic"] * size["ky"] * size["kx"]
    if operand == "output":
        return size["n"] * size["g"] * size["oc"] * size["oy"] * size["ox"]
    rows = (size["oy"] - 1) * strides[0] + size["ky"]
    columns = (size["ox"] - 1) * strides[1] + size["kx"]
    return size["n"] * size["g"] * size["ic"] * rows * columns


def write_printed(nest: LoopNest, machine: Spatial, strides: tuple[int, int] = (1, 1)) -> str:
    """The nest as Timeloop prints one, each level with the words of one instance's tiles.

    The loops on an array dimension stand below the memories that its units share. Raises
    Unsupported where Timeloop has no such nest.
    """
    axes = tuple(machine.array.dimensions)
    if len(axes) > 2:
        raise Unsupported(
            f"the array has {len(axes)} dimensions, {', '.join(axes)}; Timeloop's nest has X and "
            "Y: write this mapping as bitlane, timeloop (its YAML) or zigzag"
        )
    names = {operand: name for name, operand in TIMELOOP_OPERANDS.items()}
    lines: list[str] = []
    depth, inside, left = 0, len(nest.loops), list(axes)
    for level in reversed(levels_of_nest(nest, machine)):
        own = [d for d in left if d not in along(machine, level.name)]
        depth = _add_array(nest, own, axes, lines, depth)
        left = [d for d in left if d not in own]
        reach = along(machine, level.name)
        words = [f"{names[o]}:{tile_words(nest, o, inside, reach, strides)}" for o in level.keeps]
        text = " ".join(f"{word} ({word.partition(':')[2]})" for word in words)
        lines += ["", f"{level.name} [ {text} ]"]
        for loop, factor in reversed(one_each(level.name, level.loops)):
            lines.append(f"| {'  ' * depth}for {TIMELOOP_NAMES[loop]} in [0:{factor})")
            depth += 1
        inside -= len(level.loops)
    depth = _add_array(nest, left, axes, lines, depth)
    return "\n".join([*lines[1:], f"| {'  ' * depth}<< Compute >>", ""])


def _add_array(
    nest: LoopNest, own: Sequence[str], axes: Sequence[str], lines: list[str], depth: int
) -> int:
    """Append a level that keeps nothing for each array dimension; returns the new depth."""
    for dimension in own:
        lines += ["", f"{dimension} [ ]"]
        for _, loop, factor in reversed([s for s in nest.spatial if s[0] == dimension]):
            axis = "XY"[axes.index(dimension)]
            lines.append(
                f"| {'  ' * depth}for {TIMELOOP_NAMES[loop]} in [0:{factor}) (Spatial-{axis})"
            )
            depth += 1
    return depth
