"""A plan as a full-integer `.tflite` that LiteRT runs and the reader reads back.

int8 activations with int8 or int4 weights, or int16 activations with int8 weights. Not a narrowing
of grids: every code is the plan's, shifted where int8 takes the place of uint8.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from simulator.errors import Unsupported
from simulator.graph import Node
from workloads.quantize.export import tflite_functions, tflite_layers, tflite_moves, tflite_windows
from workloads.quantize.export.tflite_draft import Draft
from workloads.quantize.ptq.biases import with_room_for_biases
from workloads.quantize.ptq.plan import Plan

_EMITTERS: Final[Mapping[str, Callable[[Draft, Node], None]]] = MappingProxyType(
    {
        **tflite_functions.EMITTERS,
        **tflite_layers.EMITTERS,
        **tflite_moves.EMITTERS,
        **tflite_windows.EMITTERS,
    }
)


def to_tflite(plan: Plan, *, real_ends: bool = False) -> bytes:
    """The bytes of the plan's integer network as a `.tflite` with one subgraph.

    Inputs and outputs are codes; with `real_ends` float32, behind a QUANTIZE and a DEQUANTIZE.
    Where TFLite fixes a grid that the plan has not (behind a softmax, an average pool that keeps
    its input's), the operator writes its own and a QUANTIZE brings it onto the plan's. Raises
    Unsupported, naming the tensor or node, for grids, weights and operators that the format or its
    kernels do not have, and for tensors that the plan leaves float.
    """
    graph, draft = plan.graph, Draft(with_room_for_biases(plan))
    if graph.variables:
        name = next(iter(graph.variables))
        raise Unsupported(f"{graph.name}: variable '{name}' has no integer form; unroll the state")
    for name in graph.inputs:
        draft.take(name, real=real_ends)
    for node in graph.nodes:
        if node.op.kind not in _EMITTERS:
            draft.refuse(
                node,
                f"operators with an int8 form here are {', '.join(sorted(_EMITTERS))}",
                node.op.kind,
                "Replace it, or cut the network before it.",
            )
        _EMITTERS[node.op.kind](draft, node)
    return draft.model(real=real_ends)
