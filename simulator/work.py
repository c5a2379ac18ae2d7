"""What one operator has to do, in counts: loops, operations and elements, never cycles or joules.

An operator knows its work; a machine knows its price. The same record feeds `estimate` (one
machine) and `sweep` (many): `Work.row` is its form for the scalar Numba cost functions.
"""

from dataclasses import astuple, dataclass, fields
from typing import Final

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Work:
    """Counts of one operator on one inference (TOSA's loop names; `oc`, `ic` are per group).

    Not a cost: no field depends on a machine. Bits are those of the graph; a machine that
    narrows its operands prices fewer.

    Fields
    ------
    n, oy, ox, oc, ky, kx, ic, groups : loop bounds; MACs are their product. An operator without
        multiply-accumulates has ``ky = kx = ic = 0``.
    stride_y, stride_x : input step per output step, in elements.
    weight_bits, activation_bits, output_bits, bias_bits : width of each stored element.
    input_elements, weight_elements, bias_elements, output_elements : distinct elements read or
        written, each counted once (the compulsory traffic).
    elementwise : scalar ALU operations outside the MACs (adds, compares, shifts, moves).
    requantizations : results brought from an accumulator onto an output grid.
    depthwise : 1 where every group has one input channel, else 0.
    input_rows, input_columns : of a convolution's input, padding excluded; 0 where it has none.
    kept_inputs, kept_outputs : elements of both that stay on chip between two operators.
    coded_weight_bits : of all weights at the entropy of their values; 0 where it was not asked for.
    kept_weights : 1 where weights and biases are on chip already, from a tile before.
    times, more : how often it is done, and 1 where the next work is a part of the same operator.
    requantizer_scales : multiplier and shift pairs that requantize the accumulators of weighted
        sums: one a channel, or one; 0 for other operators.
    lookups : reads of tables of a function's values, beside the scalar operations.
    real_products : 1 where the multiply-accumulates are of real numbers, else 0.
    real_multiplications, real_additions : of the elementwise operations those on real numbers,
        divisions with the first, comparisons and roundings with the second.
    """

    n: int = 1
    oy: int = 1
    ox: int = 1
    oc: int = 1
    ky: int = 0
    kx: int = 0
    ic: int = 0
    groups: int = 1
    stride_y: int = 1
    stride_x: int = 1
    weight_bits: int = 8
    activation_bits: int = 8
    output_bits: int = 8
    bias_bits: int = 32
    input_elements: int = 0
    weight_elements: int = 0
    bias_elements: int = 0
    output_elements: int = 0
    elementwise: int = 0
    requantizations: int = 0
    depthwise: int = 0
    input_rows: int = 0
    input_columns: int = 0
    kept_inputs: int = 0
    kept_outputs: int = 0
    coded_weight_bits: int = 0
    kept_weights: int = 0
    times: int = 1
    more: int = 0
    requantizer_scales: int = 0
    lookups: int = 0
    real_products: int = 0
    real_multiplications: int = 0
    real_additions: int = 0

    @property
    def macs(self) -> int:
        """Multiply-accumulates, padding included (the count of MLPerf Tiny and of the papers)."""
        pixels = self.n * self.oy * self.ox
        return pixels * self.groups * self.oc * self.ky * self.kx * self.ic

    def row(self) -> NDArray[np.int64]:
        """The counts as one int64 vector, indexed by the ``W_*`` constants of this module.

        What int64 cannot hold is cut to its greatest value; who costs rows refuses such works first
        (`simulator.designs.largest_count`).
        """
        greatest = np.iinfo(np.int64).max
        return np.array([min(count, greatest) for count in astuple(self)], dtype=np.int64)


WORK_FIELDS: Final = tuple(f.name for f in fields(Work))
(
    W_N,
    W_OY,
    W_OX,
    W_OC,
    W_KY,
    W_KX,
    W_IC,
    W_GROUPS,
    W_STRIDE_Y,
    W_STRIDE_X,
    W_WEIGHT_BITS,
    W_ACTIVATION_BITS,
    W_OUTPUT_BITS,
    W_BIAS_BITS,
    W_INPUT_ELEMENTS,
    W_WEIGHT_ELEMENTS,
    W_BIAS_ELEMENTS,
    W_OUTPUT_ELEMENTS,
    W_ELEMENTWISE,
    W_REQUANTIZATIONS,
    W_DEPTHWISE,
    W_INPUT_ROWS,
    W_INPUT_COLUMNS,
    W_KEPT_INPUTS,
    W_KEPT_OUTPUTS,
    W_CODED_WEIGHT_BITS,
    W_KEPT_WEIGHTS,
    W_TIMES,
    W_MORE,
    W_REQUANTIZER_SCALES,
    W_LOOKUPS,
    W_REAL_PRODUCTS,
    W_REAL_MULTIPLICATIONS,
    W_REAL_ADDITIONS,
) = range(len(WORK_FIELDS))
