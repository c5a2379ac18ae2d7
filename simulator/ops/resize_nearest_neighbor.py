"""Nearest-neighbour resize: each output element is one of the input's."""

from typing import ClassVar, Self, final

import numpy as np
from numpy.typing import NDArray

from simulator.graph import Array, Source
from simulator.registry import register
from simulator.resize import Resize, decode_size


@register
@final
class ResizeNearestNeighbor(Resize):
    """y[i] = x[position of i], the position computed in float32.

    Positions are cut, with `align_corners` rounded half away from zero. Data movement only.
    """

    kind = "resize_nearest_neighbor"
    formats = ("tflite:RESIZE_NEAREST_NEIGHBOR",)
    reference = "LiteRT 2.3.0 BUILTIN_REF, reference/resize_nearest_neighbor.h"
    operations: ClassVar[int] = 1

    @classmethod
    def decode(cls, source: Source) -> Self:
        """Constant size."""
        return cls(*decode_size(source))

    def resample(self, x: Array) -> Array:
        """Pick rows and columns."""
        rows, columns = (self._indices(n, m) for n, m in zip(x.shape[1:3], self.size, strict=True))
        return np.ascontiguousarray(x[:, rows[:, None], columns])

    def _indices(self, size: int, out: int) -> NDArray[np.int64]:
        if self.align_corners and out > 1:
            scale = np.float32(size - 1) / np.float32(out - 1)
        else:
            scale = np.float32(size) / np.float32(out)
        offset = np.float32(0.5 if self.half_pixel else 0.0)
        position = (np.arange(out).astype(np.float32) + offset) * scale
        if self.align_corners:
            # float32 + 0.5 is exact as a double, so that this rounds half away from zero.
            position = np.floor(position.astype(np.float64) + 0.5)
        return np.minimum(position.astype(np.int64), size - 1)
