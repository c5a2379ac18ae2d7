"""Resize of real NHWC planes: nearest element, or linear between two along each axis."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final, Self, final

import numpy as np
from numpy.typing import NDArray

from simulator.decode import present, refuse, require_dtypes
from simulator.errors import IllegalGraph
from simulator.graph import Array, Operator, Source, TensorType
from simulator.numeric.datapath import Datapath
from simulator.real_bounds import REALS
from simulator.real_work import on_reals
from simulator.registry import register
from simulator.work import Work

COORDINATES: Final = ("half_pixel", "pytorch_half_pixel", "asymmetric", "align_corners")
"""Where an output element's centre lies on the input's axis (ONNX Resize-19)."""

NEAREST: Final[MappingProxyType[str, Callable[[Any], Any]]] = MappingProxyType(
    {
        "floor": np.floor,
        "ceil": np.ceil,
        "round_prefer_floor": lambda x: np.ceil(x - np.float32(0.5)),
        "round_prefer_ceil": lambda x: np.floor(x + np.float32(0.5)),
    }
)
"""How a place between two elements becomes one of them."""


@register
@final
@dataclass(frozen=True)
class FloatResize(Operator):
    """y (n, *size, c) samples x (n, h, w, c) at the places that `coordinates` names.

    `scale` is output over input along each axis, as the file states it. `nearest` names the
    rounding, or is empty for linear interpolation, whose places and sums are in double, rounded
    once. Not `resize_bilinear`, which interpolates codes.
    """

    kind = "float_resize"
    formats = ("onnx:Resize", "tflite:RESIZE_BILINEAR[numbers]")
    reference = "ONNX Runtime 1.31.1, Resize (linear: to rounding)"

    size: tuple[int, int]
    scale: tuple[float, float]
    coordinates: str
    nearest: str

    @classmethod
    def decode(cls, source: Source) -> Self:
        """From the options size, scale, coordinates and nearest."""
        require_dtypes(source.place, source.inputs[:1], REALS)
        options = source.options
        for option, known in (("coordinates", COORDINATES), ("nearest", (*NEAREST, ""))):
            if options[option] not in known:
                rule = f"{option} must be one of {', '.join(filter(None, known))}"
                refuse(source.place, rule, options[option], "Export it so.")
        return cls(options["size"], options["scale"], options["coordinates"], options["nearest"])

    def check(self, inputs: Sequence[TensorType | None], outputs: Sequence[TensorType]) -> None:
        """Refuse ranks and sizes that no plane has, and another dtype."""
        x = present(inputs, 0)
        if len(x.shape) != 4 or min((*self.size, *x.shape[1:3])) < 1 or min(self.scale) <= 0:
            raise IllegalGraph(f"a resize needs 4-D tensors; found {x.shape} to {self.size}")
        if outputs[0].dtype != x.dtype:
            raise IllegalGraph(f"a resize keeps its dtype; found {x.dtype}, {outputs[0].dtype}")

    def infer(self, inputs: Sequence[TensorType | None]) -> tuple[tuple[int, ...], ...]:
        """(n, *size, c)."""
        x = present(inputs, 0).shape
        return ((x[0], *self.size, x[3]),)

    def run(self, inputs: Sequence[Array | None], datapath: Datapath) -> tuple[Array, ...]:
        """One axis after the other."""
        x = present(inputs, 0)
        rows, columns = (self._places(k, x.shape[1 + k]) for k in (0, 1))
        if self.nearest:
            rows, columns = (
                np.clip(NEAREST[self.nearest](at), 0, n - 1).astype(np.int64)
                for at, n in zip((rows, columns), x.shape[1:3], strict=True)
            )
            return (np.ascontiguousarray(x[:, rows[:, None], columns]),)
        y = _between(_between(x.astype(np.float64), rows, 1), columns, 2)
        return (y.astype(x.dtype),)

    def work(self, inputs: Sequence[TensorType | None], outputs: Sequence[TensorType]) -> Work:
        """A move an output element; of a linear one two products and two sums along each axis."""
        x, y = present(inputs, 0), outputs[0]
        work = Work(
            activation_bits=x.bits,
            output_bits=y.bits,
            input_elements=x.elements,
            output_elements=y.elements,
            elementwise=(1 if self.nearest else 8) * y.elements,
        )
        return work if self.nearest else on_reals(work, 4, 0)

    def _places(self, axis: int, size: int) -> Any:
        """The place of each output element; in float32 where it is rounded, as runtimes do."""
        real: Any = np.float32 if self.nearest else np.float64
        out = self.size[axis]
        index, scale = np.arange(out).astype(real), real(self.scale[axis])
        if self.coordinates == "align_corners":
            return index * real(size - 1) / real(max(out - 1, 1))
        if self.coordinates == "asymmetric":
            return index / scale
        if self.coordinates == "pytorch_half_pixel" and out == 1:
            return np.zeros(1, real)
        return (index + real(0.5)) / scale - real(0.5)


def _between(x: NDArray[Any], places: NDArray[Any], axis: int) -> NDArray[Any]:
    """Linear interpolation along an axis; places outside take the nearest end."""
    last = x.shape[axis] - 1
    inside = np.clip(places, 0, last)
    low = np.floor(inside).astype(np.int64)
    share = (inside - low).reshape([-1 if k == axis else 1 for k in range(x.ndim)])
    before, after = x.take(low, axis), x.take(np.minimum(low + 1, last), axis)
    return np.asarray(before * (1 - share) + after * share)
