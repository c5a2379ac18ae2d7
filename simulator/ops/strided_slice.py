"""Strided slice: NumPy's basic indexing, given as vectors and bit masks."""

from dataclasses import dataclass
from typing import Self, final

from simulator.decode import present, refuse
from simulator.errors import IllegalGraph
from simulator.graph import Source
from simulator.movement import Shape, Slicing, integers
from simulator.registry import register


@dataclass(frozen=True)
class _Masks:
    """Bit i of each mask speaks of entry i of begin, end and strides."""

    begin: int
    end: int
    ellipsis: int
    new_axis: int
    shrink_axis: int
    offset: bool


def _range(
    size: int, begin: int | None, end: int | None, step: int, offset: bool
) -> tuple[int, int]:
    """(start, count) of one axis; None reaches to the end, as an empty side of Python's a:b:c."""
    low, high = (0, size) if step > 0 else (-1, size - 1)
    first = low if step > 0 else high
    if begin is not None:
        first = min(max(begin + size if begin < 0 else begin, low), high)
    if end is None:
        last = high if step > 0 else low
    else:
        if offset:
            end += first
        last = min(max(end + size if end < 0 else end, low), high)
    return first, max(-((first - last) // step), 0)


@register
@final
class StridedSlice(Slicing):
    """y = x[begin:end:strides, ...] with one ellipsis, new axes and single indices.

    Masks: an open begin or end, an ellipsis, a new axis of length 1, or an index that drops its
    axis. With `offset`, and no mask, an end counts from its begin.
    """

    kind = "strided_slice"
    formats = ("tflite:STRIDED_SLICE",)
    reference = "LiteRT 2.3.0 BUILTIN_REF, strided_slice.cc (data movement only)"

    @classmethod
    def decode(cls, source: Source) -> Self:
        """Constant begin, end and strides, and the masks."""
        begin = integers(source, 1, "the begin")
        end = integers(source, 2, "the end")
        strides = integers(source, 3, "the strides")
        if not len(begin) == len(end) == len(strides) or 0 in strides:
            raise IllegalGraph(
                f"{source.place}: begin {begin}, end {end} and strides {strides} need one length "
                "and no stride of 0"
            )
        options = source.options
        masks = _Masks(
            begin=options["begin_mask"],
            end=options["end_mask"],
            ellipsis=options["ellipsis_mask"],
            new_axis=options["new_axis_mask"],
            shrink_axis=options["shrink_axis_mask"],
            offset=bool(options.get("offset", False)),
        )
        if masks.offset and masks != _Masks(0, 0, 0, 0, 0, True):
            # The reference sizes the output by one rule and reads by another, out of bounds.
            refuse(source.place, "offset takes no masks", masks, "Export begin and end instead.")
        x = present(source.inputs, 0).shape
        return cls(*_resolve(x, begin, end, strides, masks, source.place))


def _resolve(
    x: Shape, begin: Shape, end: Shape, strides: Shape, masks: _Masks, place: str
) -> tuple[Shape, Shape, Shape, Shape]:
    """(start, count, step) of every axis of x, and the result's shape."""
    if masks.ellipsis & (masks.ellipsis - 1):
        raise IllegalGraph(f"{place}: more than one ellipsis; keep one")
    named = sum(not (masks.ellipsis | masks.new_axis) >> i & 1 for i in range(len(begin)))
    if named > len(x):
        raise IllegalGraph(f"{place}: {named} indices for the {len(x)} axes of {x}")
    ranges: list[tuple[int, int, int]] = []
    shape: list[int] = []
    for i in range(len(begin)):
        bit = 1 << i
        if masks.ellipsis & bit:
            whole = x[len(ranges) : len(ranges) + len(x) - named]
            ranges += [(0, size, 1) for size in whole]
            shape += whole
        elif masks.new_axis & bit:
            shape.append(1)
        else:
            first = None if masks.begin & bit else begin[i]
            shrinks = bool(masks.shrink_axis & bit)
            last = None if masks.end & bit or shrinks else end[i]
            start, count = _range(x[len(ranges)], first, last, strides[i], masks.offset)
            ranges.append((start, 1, 1) if shrinks else (start, count, strides[i]))
            shape += [] if shrinks else [count]
    rest = x[len(ranges) :]
    ranges += [(0, size, 1) for size in rest]
    columns = [tuple(r[k] for r in ranges) for k in range(3)]
    return columns[0], columns[1], columns[2], (*shape, *rest)
