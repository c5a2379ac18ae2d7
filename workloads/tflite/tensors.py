"""Types of tensors in a `.tflite` file, and values narrower than a byte."""

from typing import Any, Final

import numpy as np
import tflite
from numpy.typing import NDArray

from simulator.errors import IllegalGraph, Unsupported
from simulator.graph import DTYPE_BITS, QuantParams, TensorType

MOST_DIMENSIONS: Final = 8
"""Of a tensor; converted networks have up to 5, runtimes compute on up to 8."""
# float64 is for reference runs of float32 networks (`workloads.float_graph.as_double`).
_DTYPES: Final = {
    value: name.lower()
    for name, value in vars(tflite.TensorType).items()
    if not name.startswith("_") and name.lower() in DTYPE_BITS.keys() - {"float64"}
}
_DTYPE_NAMES: Final = {
    value: name for name, value in vars(tflite.TensorType).items() if not name.startswith("_")
}


def unpack_int4(data: NDArray[np.uint8], elements: int) -> NDArray[np.int8]:
    """Two's complement values of 4 bits as int8: two a byte, the low one first."""
    both = np.empty((data.size, 2), dtype=np.int8)
    both[:, 0] = data.view(np.int8) << 4 >> 4
    both[:, 1] = data.view(np.int8) >> 4
    return both.reshape(-1)[:elements]


def pack_int4(values: NDArray[np.int8]) -> NDArray[np.uint8]:
    """The bytes of int4 values, -8 to 7, as `unpack_int4` reads them; a last half byte is 0."""
    nibbles = np.zeros(values.size + values.size % 2, dtype=np.uint8)
    nibbles[: values.size] = values.reshape(-1).view(np.uint8) & 15
    return (nibbles[::2] | nibbles[1::2] << 4).astype(np.uint8)


def tensor_type(tensor: Any, place: str) -> TensorType:
    """Shape, dtype and grid; raises Unsupported or IllegalGraph, naming `place`."""
    if tensor.Type() not in _DTYPES:
        found = _DTYPE_NAMES.get(tensor.Type(), tensor.Type())
        raise Unsupported(f"{place}: tensors of type {found} are not supported")
    dtype = _DTYPES[tensor.Type()]
    shape = tuple(int(d) for d in tensor.ShapeAsNumpy()) if tensor.ShapeLength() else ()
    if len(shape) > MOST_DIMENSIONS:
        raise Unsupported(
            f"{place}: has {len(shape)} dimensions; up to {MOST_DIMENSIONS} are supported"
        )
    if any(d < 0 for d in shape):
        raise Unsupported(f"{place}: shape {shape} is not fixed; export it with fixed shapes")
    quant = _quantization(tensor, place, shape)
    try:
        return TensorType(shape, dtype, DTYPE_BITS[dtype], quant)
    except IllegalGraph as error:
        raise IllegalGraph(f"{place}: {error}") from None


def _quantization(tensor: Any, place: str, shape: tuple[int, ...]) -> QuantParams | None:
    quantization = tensor.Quantization()
    if quantization is None or quantization.ScaleLength() == 0:
        return None
    scale = tuple(float(np.float32(s)) for s in quantization.ScaleAsNumpy())
    count = quantization.ZeroPointLength()
    zero = tuple(int(z) for z in quantization.ZeroPointAsNumpy()) if count else (0,) * len(scale)
    axis = quantization.QuantizedDimension() if len(scale) > 1 else None
    if axis is not None and len(shape) == 1:
        # Old converters left the weights' dimension on their 1-D bias; only one is possible.
        axis = 0
    if axis is not None and not (0 <= axis < len(shape) and shape[axis] == len(scale)):
        raise IllegalGraph(
            f"{place}: {len(scale)} scales along dimension {axis} of shape {shape}; "
            "there must be one per index"
        )
    try:
        return QuantParams(scale, zero, axis)
    except IllegalGraph as error:
        raise IllegalGraph(f"{place}: {error}") from None
