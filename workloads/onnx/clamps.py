"""Clip of integer codes, taken into the operator that makes them: its own clamp does both.

So a grid of fewer bits than its type, or a fused activation, is written in a file: ONNX Runtime
fuses what stands before the QuantizeLinear, and the Clip behind it is one more clamp.
"""

from dataclasses import replace
from typing import Final

from workloads.onnx.model import Model, OnnxNode, storage

LIMITS: Final = "limits"
"""The attribute that a node gets: the least and the greatest code of its output."""
CLAMPING: Final = (
    *("QuantizeLinear", "QLinearConv", "QLinearMatMul", "QGemm", "QLinearAdd", "QLinearMul"),
    *("QLinearAveragePool", "QLinearGlobalAveragePool", "QLinearSoftmax"),
)
"""Operators that clamp to the range of their output."""


def fold_clamps(model: Model) -> None:
    """Drop each Clip of 8-bit codes whose input one clamping operator makes for it alone."""
    producers, consumers = model.producers(), model.consumers()
    made: dict[int, OnnxNode] = {}
    dropped = set[int]()
    for node in model.nodes:
        before = producers.get(node.inputs[0]) if node.op == "Clip" else None
        limits = _limits(model, node) if before is not None else None
        if before is None or limits is None or before.op not in CLAMPING:
            continue
        x = node.inputs[0]
        if len(consumers[x]) > 1 or x in model.outputs:
            continue
        attributes = {**before.attributes, LIMITS: limits}
        made[before.index] = replace(before, outputs=node.outputs, attributes=attributes)
        dropped.add(node.index)
    model.nodes = [made.get(n.index, n) for n in model.nodes if n.index not in dropped]


def bits_of(limits: tuple[int, int]) -> int:
    """The bits of codes from a least to a greatest one; at least 1."""
    low, high = limits
    if low >= 0:
        return max(high.bit_length(), 1)
    return max((-low - 1).bit_length(), max(high, 0).bit_length()) + 1


def _limits(model: Model, node: OnnxNode) -> tuple[int, int] | None:
    """The constant bounds of a Clip of int8 or uint8; None for others, or an empty range."""
    dtype, bits = storage(model.types[node.inputs[0]].element)
    if dtype not in ("int8", "uint8") or bits != 8:
        return None
    ends = (0, 255) if dtype == "uint8" else (-128, 127)
    found = []
    for position, end in enumerate(ends, start=1):
        name = node.input(position)
        value = model.scalar(name) if name else end
        if value is None:
            return None
        found.append(int(value))
    low, high = max(found[0], ends[0]), min(found[1], ends[1])
    return (low, high) if low <= high else None
