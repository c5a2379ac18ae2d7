"""What operators share whose output elements depend on the elements at their own place alone."""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from simulator.decode import present
from simulator.errors import IllegalGraph
from simulator.graph import Array, InPlace, Operator, TensorType
from simulator.numeric.datapath import Datapath
from simulator.real_work import computes_reals, on_reals
from simulator.shapes import broadcast
from simulator.work import Work

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Pointwise(Operator):
    """One output of the broadcast shape of the first `operands` inputs; the rest are parameters."""

    in_place: ClassVar[InPlace] = "elementwise"
    operands: ClassVar[int] = 1
    operations: ClassVar[int] = 1
    """Scalar ALU operations an output element, for `work`."""
    real_multiplications: ClassVar[int] = 0
    """Of the operations multiplications and divisions, where the tensors are real."""
    integer_operations: ClassVar[int] = 0
    """Of the operations those that are on codes or bits even so."""
    real: ClassVar[bool] = False
    """Whether it computes with real numbers although its tensors hold codes."""
    lookups: ClassVar[int] = 0
    """Entries of tables that an output element reads, beside its operations."""
    requantizes: ClassVar[bool] = False
    """Whether each output element is rounded onto a grid."""

    @abstractmethod
    def compute(self, inputs: Sequence[Array | None]) -> Array:
        """The output from all inputs."""

    def infer(self, inputs: Sequence[TensorType | None]) -> tuple[Shape, ...]:
        """The broadcast shape (NumPy's rules)."""
        shapes = [present(inputs, i).shape for i in range(min(self.operands, len(inputs)))]
        try:
            return (broadcast(*shapes),)
        except ValueError:
            raise IllegalGraph(f"shapes {shapes} do not broadcast") from None

    def run(self, inputs: Sequence[Array | None], datapath: Datapath) -> tuple[Array, ...]:
        """Compute every element; float overflow and invalid operations give IEEE's answers."""
        with np.errstate(all="ignore"):
            return (np.asarray(self.compute(inputs)),)

    def work(self, inputs: Sequence[TensorType | None], outputs: Sequence[TensorType]) -> Work:
        """`operations` an output element; parameters count as weights."""
        kinds = [kind for kind in inputs[: self.operands] if kind is not None]
        parameters = [kind for kind in inputs[self.operands :] if kind is not None]
        work = Work(
            weight_bits=max((kind.bits for kind in parameters), default=8),
            activation_bits=kinds[0].bits,
            output_bits=outputs[0].bits,
            input_elements=sum(kind.elements for kind in kinds),
            weight_elements=sum(kind.elements for kind in parameters),
            output_elements=outputs[0].elements,
            elementwise=self.operations * outputs[0].elements,
            requantizations=outputs[0].elements if self.requantizes else 0,
            lookups=self.lookups * outputs[0].elements,
        )
        if not (self.real or computes_reals((*kinds, *outputs))):
            return work
        products = self.real_multiplications or int(self.multiplies())
        return on_reals(work, products, self.integer_operations)

    def multiplies(self) -> bool:
        """Whether the one operation of an operator of many functions is a multiplication."""
        return False


def broadcasts_into(shape: Shape, target: Shape) -> bool:
    """Whether an array of `shape` broadcasts against one of `target` without enlarging it."""
    padded = (1,) * (len(target) - len(shape)) + shape
    return len(shape) <= len(target) and all(
        a in (1, b) for a, b in zip(padded, target, strict=True)
    )


def spread_parameter(value: NDArray[Any], shape: Shape, axis: int, block: int) -> NDArray[Any]:
    """A scale or zero point that broadcasts against a tensor of `shape`.

    One value stays one; a vector lies along `axis`; with `block` each value along `axis` serves
    that many elements, the last one fewer where they do not divide (ONNX QuantizeLinear-21).
    """
    if value.size == 1:
        return value.reshape(())
    if block:
        return np.repeat(value, block, axis=axis)[
            tuple(slice(0, n) if k == axis else slice(None) for k, n in enumerate(shape))
        ]
    return value.reshape([-1 if k == axis else 1 for k in range(len(shape))])


def check_parameter(
    kind: TensorType | None, what: str, shape: Shape, axis: int, block: int
) -> None:
    """Refuse a scale or zero point that `spread_parameter` cannot lay out; raises IllegalGraph."""
    if kind is None or kind.elements == 1:
        return
    if not 0 <= axis < len(shape):
        raise IllegalGraph(f"axis {axis} lies outside a tensor of shape {shape}")
    expected: Shape = (shape[axis],)
    if block:
        expected = tuple(-(-n // block) if k == axis else n for k, n in enumerate(shape))
    if kind.shape != expected:
        raise IllegalGraph(f"{what} must have shape {expected} or one element; found {kind.shape}")
