"""What resizes of an NHWC plane share: size, corner and centre conventions, legality, work."""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from simulator.decode import present, refuse
from simulator.errors import IllegalGraph
from simulator.graph import Array, Operator, Source, TensorType
from simulator.movement import Shape, integers
from simulator.numeric.datapath import Datapath
from simulator.work import Work


@dataclass(frozen=True)
class Resize(Operator):
    """y (n, *size, c) samples x (n, h, w, c).

    With `align_corners` the corner elements' centres coincide; with `half_pixel` elements are
    areas whose centres lie at halves; with neither their top left corners coincide.
    """

    operations: ClassVar[int]
    """ALU operations an output element."""

    size: tuple[int, int]
    align_corners: bool
    half_pixel: bool

    @abstractmethod
    def resample(self, x: Array) -> Array:
        """The resized tensor."""

    def check(self, inputs: Sequence[TensorType | None], outputs: Sequence[TensorType]) -> None:
        """Refuse ranks and sizes that no plane has, and another dtype."""
        x = present(inputs, 0)
        if len(x.shape) != 4 or min((*self.size, *x.shape[1:3])) < 1:
            raise IllegalGraph(f"a resize needs 4-D tensors; found {x.shape} to {self.size}")
        if outputs[0].dtype != x.dtype:
            raise IllegalGraph(f"a resize keeps its dtype; found {x.dtype}, {outputs[0].dtype}")

    def infer(self, inputs: Sequence[TensorType | None]) -> tuple[Shape, ...]:
        """(n, *size, c)."""
        x = present(inputs, 0).shape
        return ((x[0], *self.size, x[3]),)

    def run(self, inputs: Sequence[Array | None], datapath: Datapath) -> tuple[Array, ...]:
        """Resample."""
        return (self.resample(present(inputs, 0)),)

    def work(self, inputs: Sequence[TensorType | None], outputs: Sequence[TensorType]) -> Work:
        """`operations` an output element."""
        x, y = present(inputs, 0), outputs[0]
        return Work(
            activation_bits=x.bits,
            output_bits=y.bits,
            input_elements=x.elements,
            output_elements=y.elements,
            elementwise=self.operations * y.elements,
        )


def decode_size(source: Source) -> tuple[tuple[int, int], bool, bool]:
    """The constant size (input 1), and the options align_corners and half_pixel_centers."""
    size = integers(source, 1, "the size")
    if len(size) != 2:
        raise IllegalGraph(f"{source.place}: the size must be (height, width); found {size}")
    align = bool(source.options.get("align_corners", False))
    half = bool(source.options.get("half_pixel_centers", False))
    return (size[0], size[1]), align, half


def refuse_both(source: Source, align_corners: bool, half_pixel: bool) -> None:
    """Refuse the two conventions together: LiteRT's bilinear resize knows no such grid."""
    if align_corners and half_pixel:
        refuse(
            source.place,
            "align_corners and half_pixel_centers exclude each other",
            "both",
            "Export it with one.",
        )
