"""What products on learned bases share: codes and bases as operands, bit planes as arithmetic.

LQ-Nets: Zhang et al., ECCV 2018, section 3.4. A tensor of codes is uint8, K bits wide and without
a grid; the reals of its basis are another input. Five inputs: x, weights, the basis of x (K_x,),
those of the weights, one or one a filter (1 | filters, K_w), and a real bias or none.
"""

from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, get_args

import numpy as np
from numpy.typing import NDArray

from simulator.decode import optional, present, refuse, require_dtypes
from simulator.errors import IllegalGraph
from simulator.graph import Array, Operator, Source, TensorType
from simulator.numeric.bitplane import Planes, weighted_dots
from simulator.numeric.bitplane_fixed import Integers, fixed_dots, fixed_point
from simulator.numeric.bounds import UNBOUNDED, Bounds, cut
from simulator.numeric.datapath import Basis, Datapath
from simulator.numeric.levels import CodeSet
from simulator.work import Work

X, WEIGHTS, X_BASIS, W_BASIS, BIAS = range(5)
"""Positions of the inputs."""
CODES: Final = ("uint8",)
REALS: Final = ("float32", "float64")
WIDEST: Final = 8
"""Bits of a code."""


@dataclass(frozen=True)
class LearnedProduct(Operator):
    """y[r, c] = cut(sum over i, j of v_i[c] u_j (w_i . x_j) + bias[c]): planes of codes, not codes.

    Summed in float64 and rounded once to float32; on a machine whose datapath has a `basis`, in
    fixed point and its accumulator, then scaled and rounded. `bounds` are a fused activation.
    """

    fixed_widths = "a basis has as many reals as its codes have bits"

    x_codes: CodeSet
    w_codes: CodeSet
    _kept: dict[int, tuple[Array, Planes]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )
    bounds: Bounds = UNBOUNDED

    @abstractmethod
    def blocks(
        self, x: Array, w: Array, bits: tuple[int, int]
    ) -> Iterator[tuple[Planes, Planes, int]]:
        """Rows of x, filters, and the first of these filters, group by group."""

    def sums(self, inputs: Sequence[Array | None], datapath: Datapath) -> NDArray[np.float64]:
        """The real products without the bias: (rows, filters)."""
        form = None if datapath.graph else datapath.basis
        if form is not None:
            total, fraction = self.accumulate(inputs, datapath, form)
            return np.ldexp(total.astype(np.float64), -fraction)
        u, v = (present(inputs, i).astype(np.float64) for i in (X_BASIS, W_BASIS))
        return self._side_by_side(inputs, lambda x, w, own, _: weighted_dots(x, w, u, v[own]))

    def accumulate(
        self, inputs: Sequence[Array | None], datapath: Datapath, form: Basis
    ) -> tuple[Integers, int]:
        """(accumulators (rows, filters), fraction bits) with bases in fixed point."""
        u, u_fraction = fixed_point(present(inputs, X_BASIS), form)
        v, v_fraction = fixed_point(present(inputs, W_BASIS), form)
        total = self._side_by_side(
            inputs, lambda x, w, own, first: fixed_dots(x, w, u, v[own], datapath, first)
        )
        return total, u_fraction + v_fraction

    def run(self, inputs: Sequence[Array | None], datapath: Datapath) -> tuple[Array, ...]:
        """Sum the planes, add the bias, round."""
        total, bias = self.sums(inputs, datapath), optional(inputs, BIAS)
        total = total if bias is None else total + bias.astype(np.float64)
        (shape,) = self.shapes(present(inputs, X).shape, present(inputs, WEIGHTS).shape)
        y = total.astype(np.float32).reshape(shape)
        cut(y, self.bounds)
        return (y,)

    @abstractmethod
    def shapes(self, x: tuple[int, ...], w: tuple[int, ...]) -> tuple[tuple[int, ...], ...]:
        """The shape of the output, as `infer` gives it."""

    def kept(self, w: Array, first: int, make: Callable[[], Planes]) -> Planes:
        """The planes of the filters from `first` on; made once where the weights are constant."""
        held = self._kept.get(first)
        if held is not None and held[0] is w:
            return held[1]
        planes = make()
        if not w.flags.writeable:
            self._kept[first] = (w, planes)
        return planes

    def _side_by_side(
        self, inputs: Sequence[Array | None], dots: Callable[[Planes, Planes, Any, int], Array]
    ) -> Array:
        x, w, u, v = (present(inputs, i) for i in (X, WEIGHTS, X_BASIS, W_BASIS))
        found = []
        for rows, filters, first in self.blocks(x, w, (len(u), v.shape[1])):
            own = np.arange(first, first + filters.rows) if len(v) > 1 else [0] * filters.rows
            found.append(dots(rows, filters, own, first))
        return found[0] if len(found) == 1 else np.concatenate(found, axis=1)


def code_sets(source: Source) -> tuple[CodeSet, CodeSet]:
    """The options x_codes and w_codes; {0, 1} and {-1, 1} unless given. Refuses other operands."""
    require_dtypes(source.place, source.inputs[:2], CODES)
    require_dtypes(source.place, source.inputs[2:4], REALS, first=2)
    return code_set(source, "x_codes", "binary"), code_set(source, "w_codes", "bipolar")


def code_set(source: Source, name: str, default: CodeSet) -> CodeSet:
    """What the bits of codes stand for, from an option; refuses any other than the two sets."""
    given: CodeSet = source.options.get(name, default)
    if given not in get_args(CodeSet):
        known = " or ".join(get_args(CodeSet))
        refuse(source.place, f"{name} must be {known}", given, "Encode them in one of these.")
    return given


def check_learned(inputs: Sequence[TensorType | None], outputs: Sequence[TensorType]) -> None:
    """Refuse codes whose bits their bases do not have, and outputs that are not float32."""
    x, w, u, v = (present(inputs, i) for i in (X, WEIGHTS, X_BASIS, W_BASIS))
    _check_codes("x", x, u, ((x.bits,),))
    _check_codes("weights", w, v, ((1, w.bits), (w.shape[0], w.bits)))
    bias = optional(inputs, BIAS)
    if bias is not None and bias.shape != w.shape[:1]:
        raise IllegalGraph(f"bias must have shape {w.shape[:1]}; found {bias.shape}")
    if outputs[0].dtype != "float32":
        raise IllegalGraph(f"the output must be float32; found {outputs[0].dtype}")


def _check_codes(
    what: str, codes: TensorType, basis: TensorType, shapes: tuple[tuple[int, ...], ...]
) -> None:
    if codes.dtype not in CODES or not 1 <= codes.bits <= WIDEST:
        raise IllegalGraph(
            f"{what} must be codes of 1 to {WIDEST} bits in uint8; found {codes.dtype} of "
            f"{codes.bits}"
        )
    if basis.dtype not in REALS or basis.shape not in shapes:
        raise IllegalGraph(
            f"the basis of {what} must hold reals of shape {' or '.join(map(str, shapes))}; found "
            f"{basis.dtype} of shape {basis.shape}"
        )


def weighted_work(work: Work, inputs: Sequence[TensorType | None]) -> Work:
    """A product's work with its bases and, an output, a multiplication and an addition a pair.

    The pairs of planes are passes of the multipliers; what weighs them is scalar arithmetic.
    """
    u, v = present(inputs, X_BASIS), present(inputs, W_BASIS)
    pairs = u.elements * v.shape[1] * work.output_elements
    return replace(
        work,
        bias_elements=work.bias_elements + u.elements + v.elements,
        elementwise=2 * pairs,
        real_multiplications=pairs,
        real_additions=pairs,
    )
