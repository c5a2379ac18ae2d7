"""Sliding windows in TFLite's terms: SAME or VALID, or a PAD before."""

from collections.abc import Callable
from typing import Final, TypeAlias

from simulator.errors import IllegalGraph
from simulator.graph import Node
from simulator.numeric.bounds import UNBOUNDED
from simulator.ops.float_average_pool import FloatAveragePool
from simulator.ops.max_pool import MaxPool
from simulator.windowed import Windows
from workloads.quantize.export.tflite_draft import Draft, Held

Sides: TypeAlias = tuple[int, int, int, int]
SCHEMES: Final = ("SAME", "VALID")


def scheme_of(windows: Windows, shape: tuple[int, ...]) -> str:
    """SAME or VALID, where one of them places the windows so; else the empty string."""
    if isinstance(windows.padding, str):
        return windows.padding
    return next((s for s in SCHEMES if _placed(windows, s, shape) == windows.over(shape)), "")


def _placed(windows: Windows, scheme: str, shape: tuple[int, ...]) -> object:
    placed = Windows(windows.kernel, windows.stride, windows.dilation, scheme)
    try:
        return placed.over(shape)
    except IllegalGraph:
        return None


def padded(draft: Draft, x: Held, windows: Windows, *, least: bool = False) -> tuple[str, Held]:
    """(scheme, x), x inside explicit padding where neither scheme places the windows."""
    scheme, padding = scheme_of(windows, x.shape), windows.padding
    if scheme or isinstance(padding, str):
        return scheme, x
    return "VALID", inside(draft, x, padding, least=least)


def inside(draft: Draft, x: Held, padding: Sides, *, least: bool = False) -> Held:
    """A tensor inside (top, left, bottom, right) zeros, or elements of the least code."""
    top, left, bottom, right = padding
    sides = [[0, 0], [top, bottom], [left, right], [0, 0]]
    shape = tuple(n + sum(s) for n, s in zip(x.shape, sides, strict=True))
    pads = draft.integers(f"{x.name}@paddings", sides)
    if not least:
        return draft.put("PAD", x, [pads], {}, (f"{x.name}@padded", shape))
    fill = draft.code(f"{x.name}@least", x.grid.limits[0], x.grid)
    return draft.put("PADV2", x, [pads, fill], {}, (f"{x.name}@padded", shape))


def strides(windows: Windows, scheme: str) -> dict[str, object]:
    """The options of every operator over windows."""
    return {"padding": scheme, "stride_h": windows.stride[0], "stride_w": windows.stride[1]}


def dilations(windows: Windows) -> dict[str, object]:
    """Those of a convolution."""
    return {
        "dilation_h_factor": windows.dilation[0],
        "dilation_w_factor": windows.dilation[1],
    }


def max_pool(draft: Draft, node: Node) -> None:
    """MAX_POOL_2D on the input's grid; padding holds the least code, which never wins."""
    op, x = node.op, draft.operand(node)
    assert isinstance(op, MaxPool)
    if op.windows.dilation != (1, 1):
        way_out = "Export the network without."
        draft.refuse(node, "MAX_POOL_2D has no dilation", op.windows.dilation, way_out)
    scheme, x = padded(draft, x, op.windows, least=True)
    options = {**strides(op.windows, scheme), **_filter(op.windows)}
    draft.give(node, "MAX_POOL_2D", [x.index], options, x.grid, op.bounds)


def average_pool(draft: Draft, node: Node) -> None:
    """AVERAGE_POOL_2D on the input's grid; MEAN, which has two grids, of a whole image."""
    op, x = node.op, draft.operand(node)
    assert isinstance(op, FloatAveragePool)
    y = draft.grid(node.outputs[0])
    whole = op.windows.kernel == x.shape[1:3] and not any(op.windows.over(x.shape).padding)
    single = op.windows.over(x.shape).output == (1, 1)
    if y not in (None, x.grid) and whole and single and op.bounds == UNBOUNDED:
        axes = draft.integers(f"{node.outputs[0]}@axes", [1, 2])
        draft.give(node, "MEAN", [x.index, axes], {"keep_dims": True})
        return
    scheme, around = scheme_of(op.windows, x.shape), _around(op.windows, x.shape)
    if op.count_padding:
        scheme, x = "VALID", inside(draft, x, around) if any(around) else x
    elif not scheme:
        draft.refuse(
            node,
            "AVERAGE_POOL_2D leaves padding out only where it is SAME",
            op.windows.padding,
            "Count the padding, or pad as SAME.",
        )
    options = {**strides(op.windows, scheme), **_filter(op.windows)}
    draft.give(node, "AVERAGE_POOL_2D", [x.index], options, x.grid, op.bounds)


def _around(windows: Windows, shape: tuple[int, ...]) -> Sides:
    """The padding that windows reach into: (top, left, bottom, right)."""
    over = windows.over(shape)
    bottom, right = (
        max((out - 1) * step + size - before - n, 0)
        for out, step, size, before, n in zip(
            over.output, over.stride, over.kernel, over.padding, shape[1:3], strict=True
        )
    )
    return (*over.padding, bottom, right)


def _filter(windows: Windows) -> dict[str, object]:
    return {"filter_height": windows.kernel[0], "filter_width": windows.kernel[1]}


EMITTERS: Final[dict[str, Callable[[Draft, Node], None]]] = {
    "float_average_pool": average_pool,
    "max_pool": max_pool,
}
"""By kind of operator."""
