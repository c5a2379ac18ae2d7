"""Operators made ready for their types and constants: the bits of `Operator.run`, sooner.

`Operator.prepare` gives one; `simulator.plan` binds it to buffers. What depends only on the graph
(weights laid out for vector lanes, window offsets, tables) is made once and kept.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simulator.numeric.bounds import UNBOUNDED, Bounds, cut
from simulator.numeric.direct import Direct
from simulator.numeric.float_direct import FloatDirect
from simulator.numeric.float_lanes import fused_sums
from simulator.numeric.float_sums import PACKED_BLOCK
from simulator.numeric.grid_rounding import round_onto_grid
from simulator.numeric.pairs import look_up_pairs
from simulator.numeric.requantize import Requantize, requantize_into


@dataclass(frozen=True)
class ScratchSizes:
    """Elements of each scratch buffer."""

    centred: int = 0
    starts: int = 0
    sums: int = 0
    reals: int = 0

    def union(self, other: "ScratchSizes") -> "ScratchSizes":
        """Room for the one or the other."""
        return ScratchSizes(
            max(self.centred, other.centred),
            max(self.starts, other.starts),
            max(self.sums, other.sums),
            max(self.reals, other.reals),
        )

    @property
    def bytes(self) -> int:
        """Bytes of all buffers."""
        return 2 * self.centred + 8 * self.starts + 4 * (self.sums + self.reals)


@dataclass(frozen=True)
class Scratch:
    """Buffers that hold nothing from one operator to the next."""

    centred: NDArray[np.int16]
    starts: NDArray[np.int64]
    sums: NDArray[np.int32]
    reals: NDArray[np.float32]

    @classmethod
    def of(cls, sizes: ScratchSizes) -> "Scratch":
        """Buffers of these sizes."""
        return cls(
            np.empty(sizes.centred, dtype=np.int16),
            np.empty(sizes.starts, dtype=np.int64),
            np.empty(sizes.sums, dtype=np.int32),
            np.empty(sizes.reals, dtype=np.float32),
        )


class Prepared(ABC):
    """One operator with one output, ready to run."""

    scratch: ScratchSizes
    kept_bytes: int = 0
    """Bytes of weights, offsets and tables that it holds."""

    @abstractmethod
    def run(self, inputs: Sequence[Any], out: NDArray[Any], scratch: Scratch) -> None:
        """Fill `out`, which is C-contiguous, from the node's inputs."""


def _contiguous(x: NDArray[Any]) -> NDArray[Any]:
    return x if x.flags.c_contiguous else np.ascontiguousarray(x)


@dataclass(frozen=True)
class PreparedSums(Prepared):
    """Direct sums of input `operand`, requantized some rows at a time."""

    direct: Direct
    requantize: Requantize
    operand: int = 0

    @property
    def kept_bytes(self) -> int:  # type: ignore[override]
        """Weights, bias and offsets."""
        return sum(a.nbytes for a in (self.direct.weights, self.direct.bias, self.direct.offsets))

    @property
    def scratch(self) -> ScratchSizes:  # type: ignore[override]
        """The centred input and one call's sums."""
        direct = self.direct
        return ScratchSizes(direct.padded_elements, direct.at_once, direct.sums_elements)

    def run(self, inputs: Sequence[Any], out: NDArray[Any], scratch: Scratch) -> None:
        """Sum and requantize chunk by chunk."""
        direct, channels = self.direct, self.direct.channels
        flat, x = out.reshape(-1), _contiguous(inputs[self.operand])
        for rows in direct.chunks:
            direct.sums(x, rows, scratch.centred, scratch.starts, scratch.sums)
            begin, end = rows[0] * channels, rows[1] * channels
            requantize_into(scratch.sums[: end - begin], self.requantize, flat[begin:end])


@dataclass(frozen=True)
class PreparedPairs(Prepared):
    """Two 8-bit operands of equal shape, looked up together: 65 536 answers made once."""

    table: NDArray[Any]
    scratch: ScratchSizes = field(default_factory=ScratchSizes)

    @property
    def kept_bytes(self) -> int:  # type: ignore[override]
        """The table."""
        return self.table.nbytes

    def run(self, inputs: Sequence[Any], out: NDArray[Any], scratch: Scratch) -> None:
        """Look every pair up."""
        first, second = (_contiguous(x).reshape(-1).view(np.uint8) for x in inputs[:2])
        look_up_pairs(self.table, first, second, out.reshape(-1))


@dataclass(frozen=True)
class PreparedReals(Prepared):
    """A float32 convolution of input 0, and a bias if there is one."""

    direct: FloatDirect
    bias: NDArray[np.float32] | None
    bounds: Bounds = UNBOUNDED

    @property
    def kept_bytes(self) -> int:  # type: ignore[override]
        """Weights and offsets."""
        return sum(a.nbytes for a in (self.direct.weights, self.direct.starts, self.direct.offsets))

    @property
    def scratch(self) -> ScratchSizes:  # type: ignore[override]
        """The padded input."""
        return ScratchSizes(reals=self.direct.padded_elements)

    def run(self, inputs: Sequence[Any], out: NDArray[Any], scratch: Scratch) -> None:
        """Sum, then add, then cut."""
        rows = out.reshape(-1, out.shape[-1])
        self.direct.sums(_contiguous(inputs[0]), scratch.reals, rows)
        if self.bias is not None:
            rows += self.bias
        cut(rows, self.bounds)


@dataclass(frozen=True)
class PreparedRows(Prepared):
    """Rows of input 0 times a float32 matrix in its lane layout, from `start` on if there is one.

    Every block of `PACKED_BLOCK` taps is scaled by alpha, as MLAS adds packed weights.
    """

    starts: NDArray[np.int64]
    offsets: NDArray[np.int64]
    weights: NDArray[np.float32]
    columns: int
    start: NDArray[np.float32] | None
    alpha: np.float32
    bounds: Bounds
    scratch: ScratchSizes = field(default_factory=ScratchSizes)

    @property
    def kept_bytes(self) -> int:  # type: ignore[override]
        """Weights and offsets."""
        return self.weights.nbytes + self.starts.nbytes + self.offsets.nbytes

    def run(self, inputs: Sequence[Any], out: NDArray[Any], scratch: Scratch) -> None:
        """Start, add the blocks, then cut."""
        rows = out.reshape(-1, self.columns)
        rows[...] = 0 if self.start is None else self.start
        x = _contiguous(inputs[0]).reshape(-1)
        fused_sums(x, self.starts, self.offsets, self.weights, PACKED_BLOCK, self.alpha, rows)
        cut(rows, self.bounds)


@dataclass(frozen=True)
class PreparedGrid(Prepared):
    """Real values rounded onto a grid of one scale and zero point, codes from least to greatest."""

    scale: np.float32
    zero: np.float32
    least: np.float32
    greatest: np.float32
    scratch: ScratchSizes = field(default_factory=ScratchSizes)

    def run(self, inputs: Sequence[Any], out: NDArray[Any], scratch: Scratch) -> None:
        """Round every element."""
        x = _contiguous(inputs[0]).reshape(-1)
        limits = (self.least, self.greatest)
        round_onto_grid(x, self.scale, self.zero, *limits, out.reshape(-1))
