"""Resource variables of a TFLite file: the handles that name them and the values they start from.

VAR_HANDLE and CALL_ONCE compute nothing when a graph runs. The first names a variable, which is
known by `container` and `shared_name` throughout the file; the second runs a subgraph once, before
all else, that assigns initial values. Here both become part of the graph: its `variables`.
"""

from collections.abc import Callable, Iterator
from typing import Any, Final

import numpy as np

from simulator.errors import IllegalGraph
from simulator.graph import Array, TensorType
from workloads.tflite.options import builtin_name, check_text, read_options

VAR_HANDLE: Final = "VAR_HANDLE"
CALL_ONCE: Final = "CALL_ONCE"
TAKES_HANDLE: Final = frozenset({"READ_VARIABLE", "ASSIGN_VARIABLE"})
"""Operators whose input 0 is a handle, and stands for the variable itself."""


class Variables:
    """The variables found so far in one file: their types and initial values by name."""

    def __init__(self) -> None:
        self.types: dict[str, TensorType] = {}
        self.values: dict[str, Array] = {}

    def declare(self, name: str, kind: TensorType, place: str) -> TensorType:
        """The type of a variable, from a tensor that is read from or assigned to it.

        It starts at its zero point (TFLM; LiteRT refuses to read what nothing has assigned).
        Raises IllegalGraph where shape or dtype differ from those of an earlier use.
        """
        known = self.types.setdefault(name, kind)
        if (known.shape, known.dtype) != (kind.shape, kind.dtype):
            raise IllegalGraph(
                f"{place}: variable '{name}' is {kind.dtype} of shape {kind.shape} here and "
                f"{known.dtype} of shape {known.shape} elsewhere; give it one type"
            )
        if name not in self.values:
            self.values[name] = initial_value(kind)
        return known


def initial_value(kind: TensorType) -> Array:
    """What a variable tensor holds after a reset: int8 its zero point, all else 0.

    LiteRT core/api/tensor_utils.cc, ResetVariableTensor. One stored element, seen everywhere:
    a damaged shape must not fill the memory.
    """
    zero = kind.quant.zero_point[0] if kind.quant is not None and kind.dtype == "int8" else 0
    element = np.array(zero, dtype=kind.dtype)
    element.setflags(write=False)
    return np.broadcast_to(element, kind.shape)


def handle_names(
    model: Any, name: str, count: Callable[[int, str], int]
) -> Iterator[tuple[int, int, str]]:
    """(subgraph, tensor, variable's name) of each handle in the file.

    `count` passes a vector's length on, or refuses one that the file cannot hold.
    """
    for s in range(count(model.SubgraphsLength(), "subgraphs")):
        subgraph = model.Subgraphs(s)
        for i in range(count(subgraph.OperatorsLength(), "operators")):
            operator = subgraph.Operators(i)
            if builtin_name(model, operator.OpcodeIndex(), name) != VAR_HANDLE:
                continue
            place = f"{name}, node {i} ({VAR_HANDLE})"
            options = read_options(operator, place)
            if operator.OutputsLength() != 1:
                raise IllegalGraph(f"{place}: it must have one output")
            container, own = (
                check_text(options[key] or "", f"{place}: its {key}")
                for key in ("container", "shared_name")
            )
            yield s, operator.Outputs(0), f"{container}/{own}" if container else own
