"""What convolutions and matrix products without a requantizer share: shapes and work."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from simulator.decode import optional, present
from simulator.errors import IllegalGraph
from simulator.graph import Array, Operator, TensorType
from simulator.jit import FUSED_MULTIPLY_ADD
from simulator.numeric.bounds import UNBOUNDED, Bounds
from simulator.numeric.datapath import Datapath
from simulator.numeric.float_direct import float_direct
from simulator.numeric.float_lanes import lane_weights
from simulator.numeric.matmul import Window
from simulator.prepared import Prepared, PreparedReals, PreparedRows
from simulator.shapes import broadcast
from simulator.windowed import Windows
from simulator.work import Work

Shape = tuple[int, ...]


@dataclass(frozen=True)
class PlainConvolution(Operator):
    """Inputs x (n, h, w, c), weights (filters, ky, kx, c / groups), bias (filters) or none."""

    real: ClassVar[bool] = False
    """Whether it multiplies real numbers, not codes."""

    windows: Windows

    def infer(self, inputs: Sequence[TensorType | None]) -> tuple[Shape, ...]:
        """(n, oy, ox, filters)."""
        x, w = present(inputs, 0).shape, present(inputs, 1).shape
        return ((x[0], *self.windows.over(x).output, w[0]),)

    def window_of(self, inputs: Sequence[TensorType | None]) -> Window:
        """Of the filters."""
        return self.windows.over(present(inputs, 0).shape)

    def work(self, inputs: Sequence[TensorType | None], outputs: Sequence[TensorType]) -> Work:
        """MACs = n oy ox groups oc ky kx ic; nothing is requantized."""
        x, w, bias = present(inputs, 0), present(inputs, 1), optional(inputs, 2)
        groups = x.shape[3] // w.shape[3]
        n, oy, ox, filters = outputs[0].shape
        return Work(
            n=n,
            oy=oy,
            ox=ox,
            oc=filters // groups,
            ky=w.shape[1],
            kx=w.shape[2],
            ic=w.shape[3],
            groups=groups,
            stride_y=self.windows.stride[0],
            stride_x=self.windows.stride[1],
            weight_bits=w.bits,
            activation_bits=x.bits,
            output_bits=outputs[0].bits,
            input_elements=x.elements,
            weight_elements=w.elements,
            bias_elements=0 if bias is None else bias.elements,
            output_elements=outputs[0].elements,
            depthwise=int(groups > 1 and groups == x.shape[3]),
            input_rows=x.shape[1],
            input_columns=x.shape[2],
            real_products=int(self.real),
        )


def prepare_float(
    windows: Windows,
    inputs: Sequence[TensorType | None],
    constants: Sequence[Array | None],
    datapath: Datapath,
    bounds: Bounds = UNBOUNDED,
) -> Prepared | None:
    """A float32 convolution made ready; None where a machine's datapath sums codes instead."""
    x, w, bias = present(inputs, 0), optional(constants, 1), optional(constants, 2)
    if not datapath.graph or w is None or (optional(inputs, 2) is not None and bias is None):
        return None
    if x.dtype != "float32":
        return None
    direct = float_direct(x.shape, w, windows.over(x.shape))
    return None if direct is None else PreparedReals(direct, bias, bounds)


def prepare_rows(
    rows: int, w: NDArray[Any], start: NDArray[Any] | None, alpha: float, bounds: Bounds
) -> Prepared | None:
    """The product of `rows` rows with float32 weights w (k, n), added as MLAS adds packed ones.

    `start` broadcasts to (rows, n). None where the processor has no fused multiply-add.
    """
    if not FUSED_MULTIPLY_ADD or w.dtype != np.float32 or not w.size:
        return None
    taps, columns = w.shape
    return PreparedRows(
        starts=np.arange(rows, dtype=np.int64) * taps,
        offsets=np.arange(taps, dtype=np.int64),
        weights=lane_weights(w),
        columns=columns,
        start=start,
        alpha=np.float32(alpha),
        bounds=bounds,
    )


def check_convolution(inputs: Sequence[TensorType | None]) -> None:
    """Refuse channels that do not divide into groups, and a bias that is not one a filter."""
    x, w, bias = present(inputs, 0).shape, present(inputs, 1).shape, optional(inputs, 2)
    if len(x) != 4 or len(w) != 4 or not x[3] or not w[3]:
        raise IllegalGraph(f"an input of {x} and weights {w} do not hold channels")
    if x[3] % w[3] or w[0] % (x[3] // w[3]):
        raise IllegalGraph(f"an input of {x} does not divide into groups for weights {w}")
    if bias is not None and bias.shape != (w[0],):
        raise IllegalGraph(f"bias must have shape ({w[0]},); found {bias.shape}")


@dataclass(frozen=True)
class PlainMatMul(Operator):
    """Inputs x (.., m, k), w (.., k, n) and an addend or none; stacks as in NumPy's matmul."""

    real: ClassVar[bool] = False
    """Whether it multiplies real numbers, not codes."""

    def infer(self, inputs: Sequence[TensorType | None]) -> tuple[Shape, ...]:
        """(.., m, n), the leading dimensions broadcast."""
        x, w = present(inputs, 0).shape, present(inputs, 1).shape
        if len(x) < 2 or len(w) < 2 or x[-1] != w[-2]:
            raise IllegalGraph(f"matrices {x} and {w} do not multiply")
        try:
            return ((*broadcast(x[:-2], w[:-2]), x[-2], w[-1]),)
        except ValueError:
            raise IllegalGraph(f"stacks {x} and {w} do not broadcast") from None

    def work(self, inputs: Sequence[TensorType | None], outputs: Sequence[TensorType]) -> Work:
        """MACs = stacked m n k; nothing is requantized."""
        x, w, c = present(inputs, 0), present(inputs, 1), optional(inputs, 2)
        return Work(
            n=outputs[0].elements // max(w.shape[-1], 1),
            oc=w.shape[-1],
            ky=1,
            kx=1,
            ic=w.shape[-2],
            weight_bits=w.bits,
            activation_bits=x.bits,
            output_bits=outputs[0].bits,
            input_elements=x.elements,
            weight_elements=w.elements,
            bias_elements=0 if c is None else c.elements,
            output_elements=outputs[0].elements,
            real_products=int(self.real),
        )
