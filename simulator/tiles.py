"""Tiles of a tensor and what each takes of the tensor before: ranges along one axis, as integers.

Rows and columns are alike. An output row takes the rows under its window, and those up to the
next window where the step is larger: the first row takes from the first on, the last one to the
last, so that all tiles together take every row, as a whole layer does.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Ints: TypeAlias = NDArray[np.int64]
Range: TypeAlias = Ints
"""int64 [T, 2]: the first row of each tile, and one behind its last."""
Taken: TypeAlias = Ints
"""int64 [T, 3]: the first row that a tile needs, the first that it has not had, one behind."""


@dataclass(frozen=True)
class Slide:
    """A window along one axis: `reach` rows at steps of `step`, `before` of padding ahead.

    `length` rows are read and `made` are written.
    """

    reach: int
    step: int
    before: int
    length: int
    made: int


def cut(length: int, size: int) -> Range:
    """An axis in tiles of `size` (all of it if 0), the last one shorter."""
    size = min(size, length) or length
    begins = np.arange(0, length, size, dtype=np.int64)
    return np.stack([begins, np.minimum(begins + size, length)], axis=1)


def first_needed(slide: Slide, row: Ints) -> Ints:
    """The first input row that output rows from `row` on need; `length` behind the last."""
    found = np.clip(row * slide.step - slide.before, 0, slide.length)
    return np.where(row <= 0, 0, np.where(row >= slide.made, slide.length, found))


def end_needed(slide: Slide, end: Ints) -> Ints:
    """One behind the last input row that the output rows before `end` need."""
    window = (end - 1) * slide.step - slide.before + slide.reach
    found = np.clip(np.maximum(window, end * slide.step - slide.before), 0, slide.length)
    return np.where(end <= 0, 0, np.where(end >= slide.made, slide.length, found))


def taken(slide: Slide, tiles: Range, cached: bool) -> Taken:
    """What each tile takes of an input; where nothing is cached, it has had none of it."""
    begin, end = first_needed(slide, tiles[:, 0]), end_needed(slide, tiles[:, 1])
    if cached:
        return np.stack([begin, end_needed(slide, tiles[:, 0]), end], axis=1)
    empty = tiles[:, 0] == tiles[:, 1]
    begin, end = np.where(empty, 0, begin), np.where(empty, 0, end)
    return np.stack([begin, begin, end], axis=1)


def joined(needs: Sequence[Taken], cached: bool) -> Taken:
    """What a tensor must hold for all its readers, and how much of it each tile makes."""
    end = np.max([need[:, 2] for need in needs], axis=0)
    if cached:
        begin = np.min([need[:, 0] for need in needs], axis=0)
        before = np.concatenate([np.zeros(1, np.int64), end[:-1]])
        return np.stack([begin, before, end], axis=1)
    # A reader that makes nothing in a tile needs nothing, and begins at no row.
    begin = np.min([np.where(n[:, 0] == n[:, 2], end, n[:, 0]) for n in needs], axis=0)
    return np.stack([begin, begin, end], axis=1)


def most_held(rows: Taken, columns: Taken, width: int, made: bool) -> int:
    """The most pixels of a tensor that wait on chip for later windows, tiles in raster order.

    `made` on this chip, a tile's new pixels count as soon as they are there; of what comes from
    beyond it, only what a later tile needs again.
    """
    lo, had, end = rows.T
    c_lo, c_end = columns[:, 0], columns[:, 2]
    later = np.concatenate([lo[1:], end[-1:]])
    c_later = c_lo if made else np.concatenate([c_lo[1:], c_end[-1:]])
    # Left of the tile, lines for the next row of tiles; in it, its own; right of it, older ones.
    left = np.outer(end - np.minimum(later, end), c_later)
    own = np.outer(end - lo, c_end - c_later)
    right = np.outer(had - np.minimum(lo, had), width - c_end)
    return int((left + own + right).max())


def classes(*axes: Ints) -> list[tuple[tuple[int, ...], int]]:
    """Distinct rows of arrays [T, ...] side by side and how often each is there, tile 0 alone."""
    table = np.concatenate(axes, axis=1)
    found = [(tuple(table[0].tolist()), 1)]
    if len(table) > 1:
        rows, counts = np.unique(table[1:], axis=0, return_counts=True)
        found += [(tuple(r), c) for r, c in zip(rows.tolist(), counts.tolist(), strict=True)]
    return found
