"""Strided slices by Python's own indexing, one axis at a time."""

from collections.abc import Iterator, Sequence
from random import Random
from typing import Any

from simulator.ops.strided_slice import StridedSlice
from tests.ops.structure import (
    MOVED,
    Case,
    OneNode,
    cases_of,
    like,
    shape_of_rank,
    stored,
    tensor_of,
)
from tests.oracle.nested import leaves, shape_of

Entry = tuple[str, int, int, int]


def _entries(rng: Random, shape: tuple[int, ...]) -> list[Entry]:
    """(what, begin, end, stride): ranges, indices, new axes, and an ellipsis for axes left out."""
    used = rng.randint(0, len(shape))
    ellipsis = rng.randint(0, used) if used < len(shape) and rng.random() < 0.5 else None
    entries: list[Entry] = []
    axis = 0
    for k in range(used + 1):
        if k == ellipsis:
            entries.append(("ellipsis", rng.randint(-9, 9), rng.randint(-9, 9), 1))
            axis += len(shape) - used
        if rng.random() < 0.15:
            entries.append(("new_axis", rng.randint(-9, 9), rng.randint(-9, 9), 1))
        if k == used:
            break
        size = shape[axis]
        axis += 1
        if rng.random() < 0.25:
            entries.append(("shrink_axis", rng.randrange(-size, size), rng.randint(-9, 9), 1))
        else:
            step = rng.choice([1, 1, 1, 2, 3, -1, -2])
            entries.append(("range", rng.randint(-7, 7), rng.randint(-7, 7), step))
    return entries


def _python(entries: list[Entry], begin_mask: int, end_mask: int) -> list[Any]:
    """The entries as what stands between Python's brackets."""
    index: list[Any] = []
    for k, (what, begin, end, step) in enumerate(entries):
        first = None if begin_mask >> k & 1 else begin
        if what == "ellipsis":
            index.append(...)
        elif what == "new_axis":
            index.append(None)
        elif what == "shrink_axis":
            index.append(0 if first is None else first)
        else:
            index.append(slice(first, None if end_mask >> k & 1 else end, step))
    return index


def _taken(x: Any, index: list[Any], rank: int) -> Any:
    """x[index] for nested lists."""
    if not index:
        return x
    head, *rest = index
    if head is None:
        return [_taken(x, rest, rank)]
    if head is ...:
        left = rank - sum(i is not None for i in rest)
        return _taken(x, [slice(None)] * left + rest, rank)
    if isinstance(head, int):
        return _taken(x[head], rest, rank - 1)
    return [_taken(part, rest, rank - 1) for part in x[head]]


def one_ops(rng: Random, largest: int = 5) -> Iterator[OneNode]:
    """Every mask; results that hold at least one element and have five axes at most."""
    largest = min(largest, 6)
    while True:
        shape = shape_of_rank(rng, rng.randint(1, 4), largest)
        entries = _entries(rng, shape)
        if not 1 <= len(entries) <= len(shape) + 2:
            continue
        bits = 2 ** len(entries)
        begin_mask, end_mask = (rng.randrange(bits) & rng.randrange(bits) for _ in range(2))
        x = tensor_of(rng, shape, rng.choice(MOVED))
        taken = _taken(x.value.tolist(), _python(entries, begin_mask, end_mask), len(shape))
        if not leaves(taken) or len(shape_of(taken)) > 5:
            continue
        options: dict[str, Any] = {"begin_mask": begin_mask, "end_mask": end_mask, "offset": False}
        for what in ("ellipsis", "new_axis", "shrink_axis"):
            options[f"{what}_mask"] = sum(1 << k for k, e in enumerate(entries) if e[0] == what)
        vectors = (stored([e[k] for e in entries]) for k in (1, 2, 3))
        yield OneNode("STRIDED_SLICE", options, (x, *vectors), (like(x.kind, shape_of(taken)),))


def cases(rng: Random) -> Iterator[Case]:
    """Decoded operators with types and values."""
    return cases_of(one_ops(rng))


def oracle(operator: StridedSlice, inputs: Sequence[Any]) -> tuple[list[int], tuple[int, ...]]:
    """The elements at start, start + step, ... of each axis, under the operator's shape."""

    def walk(x: Any, axis: int) -> Any:
        if axis == len(operator.start):
            return x
        start, step = operator.start[axis], operator.step[axis]
        return [walk(x[start + k * step], axis + 1) for k in range(operator.count[axis])]

    return leaves(walk(inputs[0], 0)), operator.shape
