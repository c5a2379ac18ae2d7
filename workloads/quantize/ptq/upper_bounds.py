"""ReLU6 and other upper bounds between layers whose channels were divided by factors."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import inf
from typing import Any, Literal, TypeAlias

import numpy as np

from simulator.graph import Array, Graph, Node, Source, TensorType
from simulator.numeric.dialect import dialect
from simulator.ops.arithmetic import Arithmetic
from simulator.ops.float_unary import FloatUnary
from workloads.float_graph.activations import Bounded
from workloads.float_graph.edit import decoded, rebuilt
from workloads.quantize.ptq.channels import Joint, Step, cuts_to
from workloads.quantize.quantizer import Reals

UpperBounds: TypeAlias = Literal["replace", "per_channel", "keep"]


def without_upper_bounds(
    graph: Graph, joints: Sequence[Joint], scales: Mapping[str, Reals], upper: UpperBounds
) -> tuple[Graph, tuple[str, ...]]:
    """The scaled graph without scalar upper bounds inside joints, and the tensors that lost one.

    "per_channel" puts a minimum with bound / s behind each, and no tensor loses anything. `scales`
    has s by the first layer's weights.
    """
    steps = [
        (step, scales[found.first.weights])
        for found in joints
        for step in found.steps
        if cuts_to(step.node)[1] < inf
    ]
    names = tuple(step.node.outputs[0] for step, _ in steps if cuts_to(step.node)[1] > 0)
    if not names:
        return graph, ()
    by_output = {step.node.outputs[0]: (step, scale) for step, scale in steps}
    tensors, constants, nodes = dict(graph.tensors), dict(graph.constants), list[Node]()
    for node in graph.nodes:
        if node.outputs[0] not in names:
            nodes.append(node)
        elif upper == "replace":
            nodes.append(_uncapped(node, tensors, constants))
        else:
            nodes += _per_channel(node, *by_output[node.outputs[0]], tensors, constants)
    made = rebuilt(graph, nodes, tensors, constants)
    return made, names if upper == "replace" else ()


def _uncapped(
    node: Node, tensors: Mapping[str, TensorType], constants: Mapping[str, Array]
) -> Node:
    """The node with its lower bound alone."""
    low, op = cuts_to(node)[0], node.op
    changed: dict[str, Any] = {"bounds": (low, inf), "fused_activation_function": "NONE"}
    if isinstance(op, FloatUnary):
        changed = {"parameters": (low, inf)}
    if node.source is not None:
        return decoded(node, tensors, constants, changed)
    if isinstance(op, FloatUnary):
        return replace(node, op=replace(op, parameters=(low, inf)))
    assert isinstance(op, Bounded)
    return replace(node, op=replace(op, bounds=(low, inf)))


def _per_channel(
    node: Node,
    step: Step,
    scale: Reals,
    tensors: dict[str, TensorType],
    constants: dict[str, Array],
) -> tuple[Node, Node]:
    """The node without its upper bound, and a minimum with one bound a channel behind it."""
    output, high = node.outputs[0], cuts_to(node)[1]
    kind = tensors[output]
    whole, bound = f"{output}@uncut", f"{output}@bounds"
    assert step.channels is not None
    values = high / np.append(scale, 1.0)[step.channels]
    constants[bound] = values.astype(kind.dtype)
    tensors[whole] = kind
    tensors[bound] = TensorType(values.shape, kind.dtype, kind.bits)
    before = _uncapped(replace(node, outputs=(whole,)), tensors, constants)
    source = Source(
        place=f"{node.name}, its upper bounds",
        options={"function": "min"},
        inputs=(kind, tensors[bound]),
        outputs=(kind,),
        constants=(None, constants[bound]),
        dialect=dialect("litert-ref") if node.source is None else node.source.dialect,
    )
    op = Arithmetic.decode(source)
    return before, Node(f"{node.name}@bounds", op, (whole, bound), (output,), source)
