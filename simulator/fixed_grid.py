"""What QONNX quantizers share: integer ranges, and parameters that broadcast."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from simulator.decode import present, refuse
from simulator.errors import IllegalGraph
from simulator.graph import Array, Source, TensorType
from simulator.numeric.rounding_modes import ROUNDING_MODES
from simulator.pointwise import broadcasts_into


def integer_range(
    bits: NDArray[np.float32], *, signed: bool, narrow: bool
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """(least, greatest) integer of `bits` bits, element by element, in float32.

    Signed and narrow: symmetric. Unsigned and narrow: without the greatest (qonnx 1.0.0).
    """
    one, two = np.float32(1), np.float32(2)
    if signed:
        half = two ** (bits - one)
        return (one - half if narrow else -half), half - one
    return bits * np.float32(0), two**bits - (two if narrow else one)


def rounding_mode(source: Source) -> str:
    """The option rounding_mode in upper case (ROUND where it is missing); refuses others."""
    mode = str(source.options.get("rounding_mode", "ROUND")).upper()
    if mode not in ROUNDING_MODES:
        refuse(
            source.place,
            f"rounding_mode must be one of {', '.join(ROUNDING_MODES)}",
            mode,
            "Export the model with one of them.",
        )
    return mode


def check_parameters(inputs: Sequence[TensorType | None], count: int) -> None:
    """Refuse parameters (inputs 1 ..) that are missing or do not broadcast against input 0."""
    x = present(inputs, 0).shape
    for i in range(1, count):
        shape = present(inputs, i).shape
        if not broadcasts_into(shape, x):
            raise IllegalGraph(f"input {i} of shape {shape} does not broadcast against {x}")


def float_inputs(inputs: Sequence[Array | None], count: int) -> list[NDArray[np.float32]]:
    """The first `count` inputs in float32."""
    return [present(inputs, i).astype(np.float32) for i in range(count)]
