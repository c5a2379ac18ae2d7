"""Assign a variable: it holds the value until the next assignment, in this run or a later one."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self, final

from simulator.decode import present
from simulator.errors import IllegalGraph
from simulator.graph import Array, Operator, Source, TensorType
from simulator.numeric.datapath import Datapath
from simulator.registry import register
from simulator.work import Work


@register
@final
@dataclass(frozen=True)
class AssignVariable(Operator):
    """The variable, input 0, takes the value of input 1. No outputs."""

    kind = "assign_variable"
    formats = ("tflite:ASSIGN_VARIABLE",)
    reference = "LiteRT 2.3.0 BUILTIN_REF, assign_variable.cc"
    updates = (0,)

    @classmethod
    def decode(cls, source: Source) -> Self:
        """Nothing to decode: the importer has put the variable in the handle's place."""
        return cls()

    def check(self, inputs: Sequence[TensorType | None], outputs: Sequence[TensorType]) -> None:
        """Refuse outputs, and a value of another dtype than the variable's."""
        variable, value = present(inputs, 0), present(inputs, 1)
        if outputs:
            raise IllegalGraph(f"an assignment has no outputs; found {len(outputs)}")
        if variable.dtype != value.dtype:
            raise IllegalGraph(f"the variable is {variable.dtype}, the value {value.dtype}")

    def infer(self, inputs: Sequence[TensorType | None]) -> tuple[tuple[int, ...], ...]:
        """The value's shape, now the variable's."""
        return (present(inputs, 1).shape,)

    def run(self, inputs: Sequence[Array | None], datapath: Datapath) -> tuple[Array, ...]:
        """The value."""
        return (present(inputs, 1),)

    def work(self, inputs: Sequence[TensorType | None], outputs: Sequence[TensorType]) -> Work:
        """One move an element."""
        value = present(inputs, 1)
        return Work(
            activation_bits=value.bits,
            output_bits=value.bits,
            input_elements=value.elements,
            output_elements=value.elements,
            elementwise=value.elements,
        )
