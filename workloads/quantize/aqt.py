"""AQT's grids, which multiply by a scale and do not divide by a step.

arXiv 2105.03536 (CVPR 2021 workshop) and google/aqt, jax_legacy. Not `Grid`: the rounding differs
by form, and so do the codes that are used.
"""

from dataclasses import dataclass
from typing import Final, Literal, TypeAlias, get_args

import numpy as np

from simulator.errors import BadConfig, IllegalValues
from workloads.quantize.forms import WIDEST, Ends
from workloads.quantize.quantizer import PER_TENSOR, Array, Codes, Layout, Quantizer, Reals, reals
from workloads.quantize.rounding import Rounding, round_product

AqtForm: TypeAlias = Literal["signed", "unsigned", "half_shift"]
EPSILON: Final = 2.0**-23
"""Added to every bound, so that none divides by 0: the unit of float32."""


@dataclass(frozen=True)
class AqtGrid(Quantizer):
    """real = code / scale; half_shift: (code + 1/2) / scale.

    signed : floor(clip(x s, +-(2^(p-1)-1)) + 1/2), half up, no code -2^(p-1).
    unsigned : clip(floor(x s), 0, 2^p-1), low by half a step on average, as the paper has it.
    half_shift : floor(clip(x s, +-(2^(p-1) - 2^-7))) + 1/2; the code is the floor, 2^p of them, and
        0 is not on the grid.

    `scale` is the factor, one or one per parameter of `layout`. x * scale is exact here; AQT rounds
    it to float32, so a code may differ where x * scale is within 2^-24 of itself from a threshold.
    """

    scale: tuple[float, ...]
    bits: int
    form: AqtForm
    layout: Layout = PER_TENSOR

    @property
    def ends(self) -> tuple[int, int]:
        """The least and greatest code."""
        half = 2 ** (self.bits - 1)
        if self.form == "unsigned":
            return 0, 2 * half - 1
        return (1 - half if self.form == "signed" else -half), half - 1

    def quantize(self, x: Array) -> Codes:
        """The code of every value, int32, the shape of x."""
        wide = reals(x)
        scale = self.layout.spread(np.array(self.scale, dtype=np.float64), wide.shape)
        rule: Rounding = "half_up" if self.form == "signed" else "floor"
        # The ends are whole, so clipping after the rounding is clipping before it.
        return np.clip(round_product(wide, scale, rule), *self.ends).astype(np.int32)

    def dequantize(self, codes: Array) -> Reals:
        """The real value of every code."""
        scale = self.layout.spread(np.array(self.scale, dtype=np.float64), codes.shape)
        offset = 0.5 if self.form == "half_shift" else 0.0
        return np.asarray((codes + offset) / scale)


def aqt(
    bound: Ends,
    *,
    bits: int,
    form: AqtForm = "signed",
    epsilon: float = EPSILON,
    layout: Layout = PER_TENSOR,
) -> AqtGrid:
    """The grid of a bound, one or one per parameter: max |w| of a channel, or of activations.

    Scale (2^(bits-1)-1)/(bound + epsilon), unsigned 2^bits/(bound + epsilon), half_shift
    2^(bits-1)/(bound + epsilon). A bound below 0 is AQT's mark of "not quantized" and is refused.
    """
    if form not in get_args(AqtForm):
        raise BadConfig(f"form must be one of {', '.join(get_args(AqtForm))}; found {form!r}")
    fewest = 2 if form == "signed" else 1
    if not fewest <= bits <= WIDEST:
        raise BadConfig(f"bits must be {fewest} to {WIDEST} for AQT's {form} form; found {bits}")
    bounds = np.atleast_1d(np.asarray(bound, dtype=np.float64)).reshape(-1) + epsilon
    if not (np.isfinite(bounds).all() and (bounds > 0).all()):
        raise IllegalValues(f"a bound must be finite and not negative; found {bound}")
    top = {"signed": 2 ** (bits - 1) - 1, "unsigned": 2**bits, "half_shift": 2 ** (bits - 1)}[form]
    return AqtGrid(tuple((top / bounds).tolist()), bits, form, layout)
