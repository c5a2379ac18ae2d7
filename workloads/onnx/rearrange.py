"""Converters of operators that rearrange, repeat or find elements, in the file's layout."""

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Final

from simulator.errors import IllegalGraph, Unsupported
from simulator.graph import Operator, TensorType
from simulator.ops.arg_max import ArgMax
from simulator.ops.arg_min import ArgMin
from simulator.ops.broadcast_to import BroadcastTo
from simulator.ops.reshape import Reshape
from simulator.ops.tile import Tile
from simulator.ops.transpose import Transpose
from workloads.onnx.build import Builder
from workloads.onnx.grids import axis_in
from workloads.onnx.model import OnnxNode

# The orders of (n, block, block, c, h, w), (n, c, block, block, h, w) and (n, c, h, block, w,
# block) that bring blocks beside their pixels, and back.
_DEPTH_ROW_COLUMN: Final = (0, 3, 4, 1, 5, 2)
_COLUMN_ROW_DEPTH: Final = (0, 1, 4, 2, 5, 3)
_SPACE_TO_DEPTH: Final = (0, 3, 5, 1, 2, 4)


def _kind(b: Builder, node: OnnxNode) -> TensorType:
    """The output with the input's carrier and, where it has one scale, its grid."""
    kind = b.kind(node.required(0))
    quant = kind.quant if kind.quant is not None and kind.quant.axis is None else None
    return replace(kind, shape=b.model.types[node.outputs[0]].shape, quant=quant)


def _put(b: Builder, node: OnnxNode, op: Operator) -> None:
    b.put(node, op, [b.at(node.required(0), "file", node)], {node.outputs[0]: _kind(b, node)})


def blocks(b: Builder, node: OnnxNode) -> None:
    """DepthToSpace and SpaceToDepth: split axes, exchange them, join them."""
    n, c, h, w = b.kind(node.required(0)).shape
    size = int(node.get("blocksize", 0))
    if size < 1:
        raise IllegalGraph(f"{node.place}: blocksize must be >= 1; found {size}")
    if node.op == "SpaceToDepth":
        split, order = (n, c, h // size, size, w // size, size), _SPACE_TO_DEPTH
    elif str(node.get("mode", "DCR")) == "CRD":
        split, order = (n, c // size**2, size, size, h, w), _COLUMN_ROW_DEPTH
    else:
        split, order = (n, size, size, c // size**2, h, w), _DEPTH_ROW_COLUMN
    result = _kind(b, node)
    names = [f"{node.outputs[0]}@{step}" for step in ("split", "exchanged")]
    exchanged = tuple(split[k] for k in order)
    source = b.at(node.required(0), "file", node)
    b.put(node, Reshape(split), [source], {names[0]: replace(result, shape=split)})
    b.put(node, Transpose(order), names[:1], {names[1]: replace(result, shape=exchanged)})
    b.put(node, Reshape(result.shape), names[1:], {node.outputs[0]: result})


def expand(b: Builder, node: OnnxNode) -> None:
    """Expand: the shape was inferred."""
    _put(b, node, BroadcastTo(b.model.types[node.outputs[0]].shape))


def tile(b: Builder, node: OnnxNode) -> None:
    """Tile by constant multiples."""
    multiples = b.constant(node.required(1), node, "the multiples").reshape(-1)
    _put(b, node, Tile(tuple(int(m) for m in multiples)))


_EXTREMES: Final[Mapping[str, type[ArgMax] | type[ArgMin]]] = MappingProxyType(
    {"ArgMax": ArgMax, "ArgMin": ArgMin}
)


def extreme(b: Builder, node: OnnxNode) -> None:
    """ArgMax and ArgMin: the first of equals."""
    if node.get("select_last_index", 0):
        raise Unsupported(f"{node.place}: select_last_index must be 0; found 1. Use the first")
    shape = b.kind(node.required(0)).shape
    axis = axis_in(int(node.get("axis", 0)), len(shape), "file", node)
    found = TensorType((*shape[:axis], *shape[axis + 1 :]), "int64", 64)
    op = _EXTREMES[node.op](axis, "int64")
    source, target = b.at(node.required(0), "file", node), node.outputs[0]
    if not node.get("keepdims", 1):
        b.put(node, op, [source], {target: found})
        return
    kept = (*shape[:axis], 1, *shape[axis + 1 :])
    b.put(node, op, [source], {f"{target}@found": found})
    b.put(node, Reshape(kept), [f"{target}@found"], {target: replace(found, shape=kept)})
