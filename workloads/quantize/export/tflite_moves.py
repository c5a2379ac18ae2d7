"""Operators that move elements, and resizes: codes stay on the input's grid."""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Final

import numpy as np

from simulator.graph import Node
from simulator.movement import Slicing
from simulator.numeric.datapath import GRAPH_DATAPATH
from simulator.ops.batch_to_space_nd import BatchToSpaceND
from simulator.ops.broadcast_to import BroadcastTo
from simulator.ops.concatenation import Concatenation
from simulator.ops.depth_to_space import DepthToSpace
from simulator.ops.float_resize import FloatResize
from simulator.ops.gather import Gather
from simulator.ops.mirror_pad import MirrorPad
from simulator.ops.pack import Pack
from simulator.ops.pad import Pad
from simulator.ops.resize_nearest_neighbor import ResizeNearestNeighbor
from simulator.ops.space_to_batch_nd import SpaceToBatchND
from simulator.ops.space_to_depth import SpaceToDepth
from simulator.ops.split import Split
from simulator.ops.split_v import SplitV
from simulator.ops.tile import Tile
from simulator.ops.transpose import Transpose
from simulator.ops.unpack import Unpack
from workloads.quantize.export.tflite_draft import Draft, Held

_CONVENTIONS: Final = ((False, False), (False, True), (True, False), (True, True))
"""Of a resize: whether it aligns corners, and whether it takes centres at half pixels."""


def _moved(
    draft: Draft,
    node: Node,
    op: str,
    constants: Sequence[tuple[str, object]] = (),
    options: Mapping[str, object] | None = None,
) -> None:
    """An operator on input 0 and constants of int32, by the names of what they say."""
    x = draft.operand(node, getattr(node.op, "operand", 0))
    others = [draft.integers(f"{node.outputs[0]}@{name}", value) for name, value in constants]
    draft.give(node, op, [x.index, *others], options or {}, x.grid)


def reshape(draft: Draft, node: Node) -> None:
    """RESHAPE, for whatever changes the shape alone."""
    shape = draft.graph.tensors[node.outputs[0]].shape
    _moved(draft, node, "RESHAPE", [("shape", shape)], {"new_shape": shape})


def transpose(draft: Draft, node: Node) -> None:
    """TRANSPOSE."""
    assert isinstance(node.op, Transpose)
    _moved(draft, node, "TRANSPOSE", [("order", node.op.order)])


def pad(draft: Draft, node: Node) -> None:
    """PAD, and PADV2 with the code of another value than 0."""
    op, x = node.op, draft.operand(node)
    assert isinstance(op, Pad)
    sides = list(zip(op.before, op.after, strict=True))
    if not op.fill:
        _moved(draft, node, "PAD", [("paddings", sides)])
        return
    fill = int(x.grid.quantize(np.array(op.fill, dtype=np.float64)))
    pads = draft.integers(f"{node.outputs[0]}@paddings", sides)
    code = draft.code(f"{node.outputs[0]}@fill", fill, x.grid)
    draft.give(node, "PADV2", [x.index, pads, code], {}, x.grid)


def mirror_pad(draft: Draft, node: Node) -> None:
    """MIRROR_PAD."""
    op = node.op
    assert isinstance(op, MirrorPad)
    sides = list(zip(op.before, op.after, strict=True))
    _moved(draft, node, "MIRROR_PAD", [("paddings", sides)], {"mode": op.mode.upper()})


def strided_slice(draft: Draft, node: Node) -> None:
    """STRIDED_SLICE by begin, end and stride of every axis; axes that it drops are dropped after.

    An end before the first element is written as one that no axis reaches.
    """
    op, x = node.op, draft.operand(node)
    assert isinstance(op, Slicing)
    ends = [
        stop if (stop := start + count * step) >= 0 else -n - 1
        for n, start, count, step in zip(x.shape, op.start, op.count, op.step, strict=True)
    ]
    name = node.outputs[0]
    bounds = {"begin": op.start, "end": ends, "strides": op.step}
    inputs = [draft.integers(f"{name}@{what}", value) for what, value in bounds.items()]
    if op.count == op.shape:
        draft.give(node, "STRIDED_SLICE", [x.index, *inputs], {}, x.grid)
        return
    y = draft.put("STRIDED_SLICE", x, inputs, {}, (f"{name}@slice", op.count))
    shape = draft.integers(f"{name}@shape", op.shape)
    draft.give(node, "RESHAPE", [y.index, shape], {"new_shape": op.shape}, x.grid)


def joined(draft: Draft, node: Node) -> None:
    """CONCATENATION and PACK: inputs on other grids are brought onto the output's first."""
    op, grid = node.op, draft.output_grid(node)
    assert isinstance(op, Concatenation | Pack)
    inputs = [draft.operand(node, i, grid).index for i in range(len(node.inputs))]
    if isinstance(op, Pack):
        draft.give(node, "PACK", inputs, {"axis": op.axis, "values_count": len(inputs)}, grid)
        return
    draft.give(node, "CONCATENATION", inputs, {"axis": op.axis}, grid)


def parts(draft: Draft, node: Node) -> None:
    """SPLIT_V by sizes and axis."""
    op = node.op
    assert isinstance(op, Split | SplitV)
    options = {"num_splits": len(op.sizes)}
    _moved(draft, node, "SPLIT_V", [("sizes", op.sizes), ("axis", op.axis)], options)


def unpack(draft: Draft, node: Node) -> None:
    """UNPACK."""
    assert isinstance(node.op, Unpack)
    _moved(draft, node, "UNPACK", (), {"axis": node.op.axis, "num": node.op.count})


def tile(draft: Draft, node: Node) -> None:
    """TILE."""
    assert isinstance(node.op, Tile)
    _moved(draft, node, "TILE", [("multiples", node.op.multiples)])


def broadcast(draft: Draft, node: Node) -> None:
    """BROADCAST_TO."""
    assert isinstance(node.op, BroadcastTo)
    _moved(draft, node, "BROADCAST_TO", [("shape", node.op.shape)])


def gather(draft: Draft, node: Node) -> None:
    """GATHER by constant indices."""
    op, indices = node.op, draft.graph.constants.get(node.inputs[1])
    assert isinstance(op, Gather)
    if indices is None:
        draft.refuse(node, "indices are constant", f"'{node.inputs[1]}'", "Fold them first.")
    options = {"axis": op.axis, "batch_dims": op.batch_dims}
    _moved(draft, node, "GATHER", [("indices", indices)], options)


def batches(draft: Draft, node: Node) -> None:
    """SPACE_TO_BATCH_ND and BATCH_TO_SPACE_ND."""
    op = node.op
    assert isinstance(op, SpaceToBatchND | BatchToSpaceND)
    sides = list(zip(op.before, op.after, strict=True))
    _moved(draft, node, op.kind.upper(), [("block", op.block), ("sides", sides)])


def blocks(draft: Draft, node: Node) -> None:
    """DEPTH_TO_SPACE and SPACE_TO_DEPTH."""
    assert isinstance(node.op, DepthToSpace | SpaceToDepth)
    _moved(draft, node, node.op.kind.upper(), (), {"block_size": node.op.block})


def resize(draft: Draft, node: Node) -> None:
    """RESIZE_BILINEAR and RESIZE_NEAREST_NEIGHBOR, by the conventions that TFLite has."""
    op, x = node.op, draft.operand(node)
    if isinstance(op, ResizeNearestNeighbor):
        _resized(draft, node, x, op.size, (op.align_corners, op.half_pixel), "NEAREST_NEIGHBOR")
        return
    assert isinstance(op, FloatResize)
    if op.nearest:
        found = next((how for how in _CONVENTIONS if _picks(op, x, how)), None)
    else:
        names = {"asymmetric": (False, False), "align_corners": (True, False)}
        found = {**names, "half_pixel": (False, True)}.get(op.coordinates)
        ratios = tuple(m / n for m, n in zip(op.size, x.shape[1:3], strict=True))
        found = found if np.allclose(op.scale, ratios, rtol=1e-6, atol=0) else None
    if found is None:
        draft.refuse(
            node,
            "a resize is by corners, by corners aligned or by half pixels, to size / input size",
            f"{op.coordinates} {op.nearest} by {op.scale}",
            "Export it so.",
        )
    _resized(draft, node, x, op.size, found, "NEAREST_NEIGHBOR" if op.nearest else "BILINEAR")


def _resized(
    draft: Draft, node: Node, x: Held, size: tuple[int, int], how: tuple[bool, bool], op: str
) -> None:
    pair = draft.integers(f"{node.outputs[0]}@size", size)
    options = {"align_corners": how[0], "half_pixel_centers": how[1]}
    draft.give(node, f"RESIZE_{op}", [x.index, pair], options, x.grid)


def _picks(op: FloatResize, x: Held, how: tuple[bool, bool]) -> bool:
    """Whether TFLite's resize by a convention takes the elements that the network's takes."""
    _, height, width, _ = x.shape
    places = np.arange(height * width, dtype=np.float64).reshape(1, height, width, 1)
    (wanted,) = op.run([places], GRAPH_DATAPATH)
    return np.array_equal(ResizeNearestNeighbor(op.size, *how).resample(places), wanted)


EMITTERS: Final[Mapping[str, Callable[[Draft, Node], None]]] = MappingProxyType(
    {
        "batch_to_space_nd": batches,
        "broadcast_to": broadcast,
        "concatenation": joined,
        "depth_to_space": blocks,
        "expand_dims": reshape,
        "float_resize": resize,
        "gather": gather,
        "mirror_pad": mirror_pad,
        "pack": joined,
        "pad": pad,
        "reshape": reshape,
        "resize_nearest_neighbor": resize,
        "slice": strided_slice,
        "space_to_batch_nd": batches,
        "space_to_depth": blocks,
        "split": parts,
        "split_v": parts,
        "squeeze": reshape,
        "strided_slice": strided_slice,
        "tile": tile,
        "transpose": transpose,
        "unpack": unpack,
    }
)
"""By kind of operator."""
