"""Chains run tile by tile on sets of pixels, in plain Python: nothing here knows of ranges.

A layer's rule is that of one output row: it takes the rows under its window and those up to the
next window, the first row all before it, the last one all behind.
"""

from dataclasses import dataclass, field

Axis = tuple[int, int, int, int, int]
"""Kernel, stride, dilation, padding ahead, and length of the input along one axis."""
Pixels = set[tuple[int, int]]


@dataclass
class Reader:
    """How a layer reads one of its operands."""

    tensor: str
    axes: tuple[Axis, Axis]


@dataclass
class Step:
    """A layer: the tensor it makes, its size, and what it reads."""

    output: str
    size: tuple[int, int]
    readers: list[Reader]


@dataclass
class Walk:
    """What all tiles together do: pixels made, taken, taken for the first time, most waiting."""

    made: dict[str, int] = field(default_factory=dict)
    taken: dict[tuple[str, str], int] = field(default_factory=dict)
    new: dict[tuple[str, str], int] = field(default_factory=dict)
    waiting: dict[tuple[str, str], int] = field(default_factory=dict)


def rows_of(axis: Axis, row: int, made: int) -> set[int]:
    """The input rows of one output row."""
    kernel, stride, dilation, before, length = axis
    begin = row * stride - before
    rows = set(range(begin, max(begin + (kernel - 1) * dilation + 1, begin + stride)))
    if row == 0:
        rows |= set(range(begin))
    if row == made - 1:
        rows |= set(range(min(rows), length))
    return {r for r in rows if 0 <= r < length}


def box(pixels: Pixels) -> Pixels:
    """The smallest rectangle around pixels."""
    if not pixels:
        return set()
    ys, xs = zip(*pixels, strict=True)
    return {(y, x) for y in range(min(ys), max(ys) + 1) for x in range(min(xs), max(xs) + 1)}


def window(step: Step, reader: Reader, pixels: Pixels) -> Pixels:
    """What a layer takes of an operand for these output pixels."""
    ys, xs = ({p[k] for p in pixels} for k in range(2))
    rows = set().union(*(rows_of(reader.axes[0], y, step.size[0]) for y in ys))
    columns = set().union(*(rows_of(reader.axes[1], x, step.size[1]) for x in xs))
    return {(y, x) for y in rows for x in columns}


def walk(steps: list[Step], tile: tuple[int, int], cached: bool) -> Walk:
    """Run a chain; `tile` is (rows, columns) of its last output, 0 for all of an axis."""
    height, width = steps[-1].size
    down, across = tile[0] or height, tile[1] or width
    tiles = [
        {(y, x) for y in range(r, min(r + down, height)) for x in range(c, min(c + across, width))}
        for r in range(0, height, down)
        for c in range(0, width, across)
    ]
    own = {step.output for step in steps}
    done: dict[str, Pixels] = {name: set() for name in own}
    takes: list[dict[tuple[str, str], Pixels]] = []
    makes: list[dict[str, Pixels]] = []
    for pixels in tiles:
        made = {steps[-1].output: pixels}
        took: dict[tuple[str, str], Pixels] = {}
        for step in reversed(steps):
            if step is not steps[-1]:
                needs = [t for (_, tensor), t in took.items() if tensor == step.output]
                made[step.output] = box(set().union(*needs))
                if cached:
                    made[step.output] -= done[step.output]
            for reader in step.readers:
                took[step.output, reader.tensor] = window(step, reader, made[step.output])
        for name, new in made.items():
            done[name] |= new
        takes.append(took)
        makes.append(made)
    return _told(steps, takes, makes, cached)


def _told(
    steps: list[Step],
    takes: list[dict[tuple[str, str], Pixels]],
    makes: list[dict[str, Pixels]],
    cached: bool,
) -> Walk:
    found = Walk()
    own = {step.output for step in steps}
    for step in steps:
        found.made[step.output] = sum(len(made[step.output]) for made in makes)
        for reader in step.readers:
            key = step.output, reader.tensor
            found.taken[key] = sum(len(took[key]) for took in takes)
            had: Pixels = set()
            new = most = 0
            for index, took in enumerate(takes):
                new += len(took[key] - had) if cached else len(took[key])
                inner = reader.tensor in own
                had |= makes[index][reader.tensor] if inner else took[key]
                later = takes[index if inner else index + 1 :]
                most = max(most, len(had & set().union(*(t[key] for t in later))))
            found.new[key], found.waiting[key] = new, most
    return found
