"""What Timeloop counts for a nest, in loops over Python integers, and where we count otherwise.

Written from Timeloop's documentation and its published statistics, not from our cost model. Each
field of `Conventions` is one difference; between Timeloop's and ours they explain every word.
"""

import itertools
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

OPERANDS = {"Weights": "weight", "Inputs": "input", "Outputs": "output"}
ARITHMETIC = "mac"
Place = tuple[str, str, str]
"""Memory, operand, direction (`simulator.mapping.layout.DIRECTIONS`)."""
Vector = tuple[int, ...]


@dataclass(frozen=True)
class Conventions:
    """How words are counted; the defaults are Timeloop's.

    stale : a tile is kept where it equals that after two steps of each loop within, which is as
        far as Timeloop steps (the rest it extrapolates); a defect, of a few percent on few nests.
    slides : an input tile keeps its overlap with the tile before it.
    equal_only : units of different array columns share inputs only where their tiles are equal.
    skipped : pixels between the windows of a stride beyond the taps are moved as well.
    first_sums : a sum that starts from nothing is read all the same.
    drains : a sum that leaves a memory upwards is read from it.
    held : a MAC unit keeps an operand for as long as it stays the same.
    """

    stale: bool = True
    slides: bool = True
    equal_only: bool = True
    skipped: bool = True
    first_sums: bool = False
    drains: bool = False
    held: bool = False


TIMELOOP = Conventions()
STEPS: tuple[tuple[str, Mapping[str, bool]], ...] = (
    ("tile taken for one long gone", {"stale": False}),
    ("window overlap loaded again", {"slides": False}),
    ("overlap shared by columns", {"equal_only": False}),
    ("pixels between windows", {"skipped": False}),
    ("first sum read", {"first_sums": True}),
    ("sums read to leave", {"drains": True}),
    ("operand held at the MAC", {"held": True}),
)
"""From Timeloop's conventions to ours, one field at a time."""


def conventions() -> list[tuple[str, Conventions]]:
    """Timeloop's, then each step towards ours."""
    found = [("timeloop", TIMELOOP)]
    for name, change in STEPS:
        found.append((name, replace(found[-1][1], **change)))
    return found


@dataclass(frozen=True)
class Loop:
    """One loop of a nest: Timeloop's dimension, its level, and how many elements a step moves."""

    level: int
    name: str
    factor: int
    spatial: bool
    step: int


@dataclass(frozen=True)
class Nest:
    """Levels from the outermost, the operands each keeps, and all loops, outermost first."""

    levels: tuple[str, ...]
    keeps: tuple[tuple[str, ...], ...]
    loops: tuple[Loop, ...]
    strides: tuple[int, int]

    @property
    def cycles(self) -> int:
        return math.prod(loop.factor for loop in self.loops if not loop.spatial)


def parse(text: str, strides: tuple[int, int]) -> Nest:
    """A printed nest whose lines end with `` / ``."""
    names: list[str] = []
    keeps: list[tuple[str, ...]] = []
    raw: list[tuple[int, str, int, bool]] = []
    for line in text.split(" / "):
        loop = re.search(r"for (\w) in \[0:(\d+)\)( \(Spatial)?", line)
        if loop:
            raw.append((len(names) - 1, loop[1], int(loop[2]), loop[3] is not None))
        elif "[" in line:
            names.append(line.split()[0])
            keeps.append(tuple(OPERANDS[k] for k in re.findall(r"(\w+):\d+", line)))
    loops = []
    for place, (level, name, factor, spatial) in enumerate(raw):
        step = math.prod(r[2] for r in raw[place + 1 :] if r[1] == name)
        loops.append(Loop(level, name, factor, spatial, step))
    return Nest(tuple(names), tuple(keeps), tuple(loops), strides)


def moved(nest: Nest, operand: str, loop: Loop) -> Vector:
    """How far one step of a loop moves an operand's tile, along the operand's own axes."""
    n, m, c, p, q, r, s = (loop.step if loop.name == name else 0 for name in "NMCPQRS")
    if operand == "weight":
        return (m, c, r, s)
    if operand == "output":
        return (n, m, p, q)
    return (n, c, p * nest.strides[0] + r, q * nest.strides[1] + s)


def tile(nest: Nest, operand: str, loops: Sequence[Loop], kind: Conventions) -> Vector:
    """The sides of the tile that loops touch."""
    sides = [1, 1, 1, 1]
    for loop in loops:
        for axis, by in enumerate(moved(nest, operand, loop)):
            sides[axis] += by * (loop.factor - 1)
    if operand == "input" and not kind.skipped:
        for axis, outputs, taps in ((2, "P", "R"), (3, "Q", "S")):
            rows, wide = extent(loops, outputs), extent(loops, taps)
            gaps = max(0, nest.strides[axis - 2] - wide) * (rows - 1)
            sides[axis] -= gaps
    return tuple(sides)


def extent(loops: Sequence[Loop], name: str) -> int:
    """Steps of all loops of one dimension."""
    return math.prod(loop.factor for loop in loops if loop.name == name)


def fills(nest: Nest, operand: str, sides: Vector, outer: Sequence[Loop], kind: Conventions) -> int:
    """Elements of a tile that are new to it, over all steps of the temporal loops around it."""
    whole = math.prod(sides)
    total = whole
    for place, loop in enumerate(outer):
        steps = (loop.factor - 1) * math.prod(o.factor for o in outer[:place])
        by = moved(nest, operand, loop)
        inner = [(moved(nest, operand, o), o.factor - 1) for o in outer[place + 1 :]]
        back = [sum(v[axis] * far for v, far in inner) for axis in range(4)]
        two = [sum(v[axis] * min(far, 1) for v, far in inner) for axis in range(4)]
        kept = 0
        still = not any(by) and not any(back)
        gone = kind.stale and by == tuple(two)
        if still or gone or (kind.slides and by == tuple(back)):
            kept = whole
        elif kind.slides and not any(back):
            # Only where nothing else moves: a corner's overlap is no box.
            kept = math.prod(max(0, side - step) for side, step in zip(sides, by, strict=True))
        total += steps * (whole - kept)
    return total


def copies(nest: Nest, operand: str, between: Sequence[Loop], kind: Conventions) -> int:
    """Different tiles that the units below one parent hold."""
    if not kind.equal_only:
        # The units' first elements: loops on the array side by side.
        flat = [replace(loop, step=1) for loop in between]
        flat = [
            replace(loop, step=math.prod(o.factor for o in flat[i + 1 :] if o.name == loop.name))
            for i, loop in enumerate(flat)
        ]
        return math.prod(tile(nest, operand, flat, replace(kind, skipped=False)))
    found = 1
    for level in {loop.level for loop in between}:
        own = [loop for loop in between if loop.level == level]
        places = set()
        for steps in itertools.product(*(range(loop.factor) for loop in own)):
            vectors = [moved(nest, operand, loop) for loop in own]
            pairs = list(zip(steps, vectors, strict=True))
            places.add(tuple(sum(at * v[axis] for at, v in pairs) for axis in range(4)))
        found *= len(places)
    return found


def words(nest: Nest, kind: Conventions = TIMELOOP) -> dict[Place, int]:
    """Words by memory, operand and direction."""
    found: dict[Place, int] = {}
    for operand in OPERANDS.values():
        chain = [i for i, kept in enumerate(nest.keeps) if operand in kept]
        for parent, child in itertools.pairwise([*chain, len(nest.levels)]):
            found |= crossing(nest, operand, parent, child, kind)
    return found


def crossing(
    nest: Nest, operand: str, parent: int, child: int, kind: Conventions
) -> dict[Place, int]:
    """What moves between two levels next to each other on an operand's chain."""
    inner = [loop for loop in nest.loops if loop.level >= child]
    outer = [loop for loop in nest.loops if loop.level < child]
    temporal = [loop for loop in outer if not loop.spatial]
    between = [loop for loop in outer if loop.spatial and loop.level >= parent]
    parents = math.prod(loop.factor for loop in outer if loop.spatial and loop.level < parent)
    units = parents * math.prod(loop.factor for loop in between)
    above, below = nest.levels[parent], (*nest.levels, ARITHMETIC)[child]
    each = fills(nest, operand, tile(nest, operand, inner, kind), temporal, kind)
    if below == ARITHMETIC and (operand == "output" or not kind.held):
        each = nest.cycles
    all_units, unique = each * units, each * parents * copies(nest, operand, between, kind)
    if operand != "output":
        return {
            (above, operand, "read_to_below"): unique,
            (below, operand, "written_from_above"): all_units,
        }
    apart = [loop for loop in inner + temporal if any(moved(nest, operand, loop))]
    own = math.prod(loop.factor for loop in apart)
    spread = [loop for loop in between if any(moved(nest, operand, loop))]
    firsts = own * math.prod(loop.factor for loop in spread) * parents
    back, again = unique - firsts, all_units - own * units
    if kind.first_sums and adds(nest, parent, temporal):
        back, again = unique, all_units
    return {
        (above, operand, "written_from_below"): unique,
        (above, operand, "read_to_below"): back,
        (below, operand, "written_from_above"): again,
        (below, operand, "read_to_above"): all_units if kind.drains else 0,
    }


def adds(nest: Nest, parent: int, temporal: Sequence[Loop]) -> bool:
    """Whether a tile of sums is left and comes back, or units above its parent add to it."""
    around = list(temporal)
    while around and around[-1].name in "CRS":
        around.pop()
    above = [loop for loop in nest.loops if loop.spatial and loop.level < parent]
    return any(loop.factor > 1 and loop.name in "CRS" for loop in around + above)


def cycles(nest: Nest, counted: Mapping[Place, int], rates: Mapping[str, int]) -> int:
    """The slowest of computing and of each memory's reads and writes, on average."""
    slowest = nest.cycles
    for memory, rate in rates.items():
        for way in ("read", "written"):
            total = sum(n for (m, _, d), n in counted.items() if m == memory and way in d)
            slowest = max(slowest, math.ceil(total / rate))
    return slowest
