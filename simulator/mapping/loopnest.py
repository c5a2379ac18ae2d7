"""A mapping as a value: loops and cuts, as text a person reads, as YAML's plain data, as a row.

Loops are listed inner to outer; a cut says how many of them run within one tile of a level.
"""

import math
from collections.abc import Mapping as Dict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from simulator.errors import Unsupported
from simulator.mapping.layout import LOOPS, MEMORIES, NEST_LOOPS, OPERANDS, Ints
from simulator.mapping.search import (
    BEST_COUNT,
    BEST_CUTS,
    BEST_FACTORS,
    BEST_LOOPS,
    FREE_CUTS,
    MAPPING,
)

MOST_STEPS: Final = 1 << 62
"""Steps that an int64 counts."""


@dataclass(frozen=True)
class LoopNest:
    """One layer's mapping on one machine.

    Fields
    ------
    spatial : (dimension, loop, factor) of each unrolling, a fraction of the array's where ragged.
    loops : (loop, factor), inner to outer.
    cuts : by operand, for each memory on its chain, inner to outer, how many loops it holds.
    memories : by operand, the names of those memories.
    """

    spatial: tuple[tuple[str, str, int], ...]
    loops: tuple[tuple[str, int], ...]
    cuts: Dict[str, tuple[int, ...]]
    memories: Dict[str, tuple[str, ...]]

    def row(self) -> Ints:
        """The temporal part as int64 [MAPPING], as the search writes it."""
        row = np.zeros(MAPPING, np.int64)
        row[BEST_COUNT] = len(self.loops)
        for place, (loop, factor) in enumerate(self.loops):
            row[BEST_LOOPS + place] = LOOPS.index(loop)
            row[BEST_FACTORS + place] = factor
        for index, operand in enumerate(OPERANDS):
            for level, cut in enumerate(self.cuts[operand]):
                row[BEST_CUTS + index * MEMORIES + level] = cut
        return row

    def to_text(self) -> str:
        """The nest, outermost loop first; the columns say which memory serves each operand there.

        An operand's tile of a memory is what the loops below that memory's last line touch.
        """
        width = max((len(m) for names in self.memories.values() for m in names), default=0)
        width = max(width, *(len(operand) for operand in OPERANDS))
        head = " ".join(f"{operand:{width}}" for operand in OPERANDS)
        lines = [f"{head}   loop nest, outermost first"]
        for place in reversed(range(len(self.loops))):
            loop, factor = self.loops[place]
            served = " ".join(f"{self._memory(operand, place):{width}}" for operand in OPERANDS)
            lines.append(f"{served}   for {loop} in 0..{factor}")
        for dimension, loop, factor in self.spatial:
            lines.append(" " * (3 * width + 5) + f"parallel {loop} in 0..{factor} on {dimension}")
        return "\n".join(lines)

    def to_plain(self) -> dict[str, Any]:
        """The nest as data for YAML and JSON; `from_plain` reads it back."""
        return {
            "spatial": [
                {"dimension": dimension, "loop": loop, "factor": factor}
                for dimension, loop, factor in self.spatial
            ],
            "loops": [f"{loop} {factor}" for loop, factor in self.loops],
            "cuts": {operand: list(cuts) for operand, cuts in self.cuts.items()},
        }

    def _memory(self, operand: str, place: int) -> str:
        for level, cut in enumerate(self.cuts[operand]):
            if place < cut:
                return self.memories[operand][level]
        return self.memories[operand][-1]


def nest_of_row(
    row: Ints, spatial: Sequence[tuple[str, str, int]], memories: Dict[str, tuple[str, ...]]
) -> LoopNest:
    """The mapping that the search wrote as int64 [MAPPING]."""
    count = int(row[BEST_COUNT])
    loops = tuple(
        (LOOPS[int(row[BEST_LOOPS + place])], int(row[BEST_FACTORS + place]))
        for place in range(count)
    )
    cuts = {}
    for index, operand in enumerate(OPERANDS):
        start = BEST_CUTS + index * MEMORIES
        cuts[operand] = tuple(int(c) for c in row[start : start + len(memories[operand])])
    return LoopNest(tuple(spatial), loops, cuts, memories)


def from_plain(data: Dict[str, Any], memories: Dict[str, tuple[str, ...]]) -> LoopNest:
    """Read what `to_plain` gave; raises Unsupported, naming the entry, where it is no mapping."""
    spatial = unrollings_of(data.get("spatial", ()))
    loops = loops_of(data["loops"])
    cuts = {}
    for operand in OPERANDS:
        given = tuple(int(cut) for cut in data["cuts"].get(operand, ()))
        if len(given) != len(memories[operand]):
            raise Unsupported(
                f"cuts.{operand}: {len(given)} of them; the machine has the memories "
                f"{', '.join(memories[operand])} for it"
            )
        if list(given) != sorted(given) or not given or given[-1] != len(loops):
            raise Unsupported(
                f"cuts.{operand}: {list(given)} must not fall and must end with {len(loops)}, "
                "the number of loops"
            )
        cuts[operand] = given
    return LoopNest(spatial, loops, cuts, memories)


def unrollings_of(entries: Sequence[Any]) -> tuple[tuple[str, str, int], ...]:
    """(dimension, loop, factor) of entries with these keys; raises Unsupported on others."""
    found = []
    for entry in entries:
        dimension, loop, factor = (entry[key] for key in ("dimension", "loop", "factor"))
        if type(factor) is not int or not 1 <= factor <= MOST_STEPS:
            raise Unsupported(
                f"spatial: the factor of {loop} on {dimension} must be a whole number from 1; "
                f"found {factor}"
            )
        if unknown := [key for key in entry if key not in ("dimension", "loop", "factor")]:
            raise Unsupported(
                f"spatial: '{unknown[0]}' is no field; there are dimension, loop, factor"
            )
        found.append((str(dimension), _loop(str(loop)), factor))
    return tuple(found)


def loops_of(texts: Sequence[Any]) -> tuple[tuple[str, int], ...]:
    """The loops of texts as 'oc 4', inner to outer; raises Unsupported where one is none."""
    loops = []
    for text in texts:
        name, _, factor = str(text).partition(" ")
        if not factor.strip().isdigit() or int(factor) < 1:
            raise Unsupported(f"loops: '{text}' is no loop; write it as 'oc 4'")
        loops.append((_loop(name), int(factor)))
    if len(loops) > NEST_LOOPS:
        raise Unsupported(f"loops: {len(loops)} of them; at most {NEST_LOOPS}")
    if math.prod(factor for _, factor in loops) > MOST_STEPS:
        raise Unsupported("loops: they make more than 2^62 steps, which no layer has")
    return tuple(loops)


def pin_row(data: Dict[str, Any], memories: Dict[str, tuple[str, ...]]) -> Ints:
    """A pin as int64 [MAPPING]; without cuts the first of them is FREE_CUTS."""
    if data.get("cuts") is not None:
        return from_plain(data, memories).row()
    loops = loops_of(data["loops"])
    none: Dict[str, tuple[int, ...]] = dict.fromkeys(OPERANDS, ())
    row = LoopNest((), loops, none, memories).row()
    row[BEST_CUTS] = FREE_CUTS
    return row


def _loop(name: str) -> str:
    if name not in LOOPS:
        raise Unsupported(f"loops: '{name}' is no loop; there are {', '.join(LOOPS)}")
    return name
