"""Operators that move elements and compute nothing, as ONNX has them."""

from collections.abc import Sequence

import numpy as np

from simulator.graph import Node
from simulator.movement import Slicing
from simulator.ops.broadcast_to import BroadcastTo
from simulator.ops.concatenation import Concatenation
from simulator.ops.depth_to_space import DepthToSpace
from simulator.ops.gather import Gather
from simulator.ops.pack import Pack
from simulator.ops.pad import Pad
from simulator.ops.space_to_depth import SpaceToDepth
from simulator.ops.split import Split
from simulator.ops.split_v import SplitV
from simulator.ops.tile import Tile
from simulator.ops.transpose import Transpose
from simulator.ops.unpack import Unpack
from workloads.quantize.export.onnx_values import TO_NCHW, TO_NHWC, Form, Values


def _integers(values: Values, stem: str, numbers: Sequence[int]) -> str:
    return values.writer.constant(stem, np.array(numbers, np.int64))


def _reshape(values: Values, value: str, stem: str, shape: Sequence[int]) -> str:
    return values.writer.node("Reshape", [value, _integers(values, "shape", shape)], stem)


def reshape(values: Values, node: Node) -> None:
    """Reshape, Squeeze and ExpandDims: the shape is the graph's."""
    name = node.outputs[0]
    value = _reshape(values, values.at(node.inputs[0], "own"), name, values.shape(name))
    values.put_moved(name, "own", value)


def transpose(values: Values, node: Node) -> None:
    """A permutation; one between the two layouts is another form of the same tensor."""
    op = node.op
    assert isinstance(op, Transpose)
    x, y = node.inputs[0], node.outputs[0]
    alike = values.plan.activations.get(x) == values.plan.activations.get(y)
    if alike and op.order == TO_NHWC and (x, "own") in values.names:
        values.names[y, "nchw"] = values.names[x, "own"]
    elif alike and op.order == TO_NCHW and (x, "nchw") in values.names:
        values.names[y, "own"] = values.names[x, "nchw"]
    else:
        value = values.writer.node("Transpose", [values.at(x, "own")], y, perm=op.order)
        values.put_moved(y, "own", value)


def concatenation(values: Values, node: Node) -> None:
    """Concat along an axis."""
    op = node.op
    assert isinstance(op, Concatenation)
    form = values.form(node.inputs)
    inputs = [values.at(name, form) for name in node.inputs]
    value = values.writer.node(
        "Concat", inputs, f"{node.outputs[0]}_real", axis=values.axis(op.axis, form)
    )
    values.put_moved(node.outputs[0], form, value)


def pack(values: Values, node: Node) -> None:
    """A new axis, then Concat along it."""
    op = node.op
    assert isinstance(op, Pack)
    shape = values.shape(node.outputs[0])
    one = (*shape[: op.axis], 1, *shape[op.axis + 1 :])
    inputs = [_reshape(values, values.at(n, "own"), f"{n}_packed", one) for n in node.inputs]
    value = values.writer.node("Concat", inputs, f"{node.outputs[0]}_real", axis=op.axis)
    values.put_moved(node.outputs[0], "own", value)


def pad(values: Values, node: Node) -> None:
    """Pad with a constant; zeros around a tensor on a grid are the format's own matter."""
    op = node.op
    assert isinstance(op, Pad)
    x, y = node.inputs[0], node.outputs[0]
    form = values.form((x,))
    axes = TO_NCHW if form == "nchw" else range(len(op.before))
    pads = _integers(values, "pads", [side[k] for side in (op.before, op.after) for k in axes])
    grid = values.plan.activations.get(y)
    held = values.at(x, form)
    if grid is not None and op.fill == 0:
        values.names[y, form] = values.quantizers.padded(values.writer, held, pads, y, grid)
        return
    fill = values.writer.constant("fill", np.array(op.fill, values.graph.tensors[x].dtype))
    values.put(y, form, values.writer.node("Pad", [held, pads, fill], f"{y}_real"))


def slice_(values: Values, node: Node) -> None:
    """Slice, and the shape that dropped and new axes give."""
    op = node.op
    assert isinstance(op, Slicing)
    x, y = node.inputs[0], node.outputs[0]
    form: Form = values.form((x,)) if op.shape == op.count else "own"
    axes = TO_NCHW if form == "nchw" else range(len(op.start))
    start = [op.start[k] for k in axes]
    step = [op.step[k] for k in axes]
    # An end before the first element is one that no negative index means.
    ends = [s + op.count[k] * d for s, d, k in zip(start, step, axes, strict=True)]
    ends = [e if e >= 0 else int(np.iinfo(np.int64).min) for e in ends]
    numbers = (("starts", start), ("ends", ends), ("axes", range(len(start))), ("steps", step))
    bounds = [_integers(values, stem, tuple(given)) for stem, given in numbers]
    value = values.writer.node("Slice", [values.at(x, form), *bounds], f"{y}_real")
    if op.shape != op.count:
        value = _reshape(values, value, f"{y}_shaped", op.shape)
    values.put_moved(y, form, value)


def split(values: Values, node: Node) -> None:
    """Parts along an axis; of Unpack without that axis."""
    op = node.op
    assert isinstance(op, Split | SplitV | Unpack)
    x = node.inputs[1 if isinstance(op, Split) else 0]
    whole = isinstance(op, Unpack)
    form: Form = "own" if whole else values.form((x,))
    sizes = (1,) * len(node.outputs) if isinstance(op, Unpack) else op.sizes
    parts = values.writer.several(
        "Split",
        [values.at(x, form), _integers(values, "sizes", sizes)],
        [f"{name}_real" for name in node.outputs],
        axis=values.axis(op.axis, form),
    )
    for name, part in zip(node.outputs, parts, strict=True):
        shaped = _reshape(values, part, f"{name}_shaped", values.shape(name)) if whole else part
        values.put_moved(name, form, shaped)


def gather(values: Values, node: Node) -> None:
    """Gather along an axis."""
    op = node.op
    assert isinstance(op, Gather)
    if op.batch_dims:
        raise values.refuse(node, "batch_dims must be 0; export the network without")
    x, indices = node.inputs
    inputs = [values.at(x, "own"), values.at(indices, "own")]
    value = values.writer.node("Gather", inputs, f"{node.outputs[0]}_real", axis=op.axis)
    values.put_moved(node.outputs[0], "own", value)


def repeat(values: Values, node: Node) -> None:
    """Tile and Expand."""
    op, y = node.op, node.outputs[0]
    assert isinstance(op, Tile | BroadcastTo)
    name, numbers = ("Tile", op.multiples) if isinstance(op, Tile) else ("Expand", op.shape)
    inputs = [values.at(node.inputs[0], "own"), _integers(values, "shape", numbers)]
    values.put_moved(y, "own", values.writer.node(name, inputs, f"{y}_real"))


def blocks(values: Values, node: Node) -> None:
    """DepthToSpace and SpaceToDepth."""
    op, y = node.op, node.outputs[0]
    assert isinstance(op, DepthToSpace | SpaceToDepth)
    name = "DepthToSpace" if isinstance(op, DepthToSpace) else "SpaceToDepth"
    x = values.at(node.inputs[0], "nchw")
    values.put_moved(y, "nchw", values.writer.node(name, [x], f"{y}_real", blocksize=op.block))
