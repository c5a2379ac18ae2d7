"""AdaRound of one layer, arrays in and choices out: which neighbour on its grid each weight takes.

Nagel et al. 2020 (arXiv 2004.10568) section 3, Nagel et al. 2021 (arXiv 2106.08295) section 3.4.
Shapes are those of `adaround_loss`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import cos, pi
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from simulator.errors import BadConfig
from simulator.numeric.bounds import Bounds
from workloads.quantize.grid import Grid
from workloads.quantize.ptq.adaround_loss import (
    Floats,
    SoftWeights,
    inverse_sigmoid,
    loss_and_gradient,
    rectified_sigmoid,
)
from workloads.quantize.ptq.adaround_rows import Rows
from workloads.quantize.quantizer import Array, Codes, Reals
from workloads.quantize.rounding import round_quotient

Flags: TypeAlias = NDArray[np.bool_]

DECAYS: Final = (0.9, 0.999)
"""Of Adam's averages of gradients and of their squares (arXiv 1412.6980, section 2)."""
_TINY: Final = 1e-8
_SETTLED: Final = -10.0
"""The V of a weight without choice: h is 0 there, and so is its slope."""
_CHUNK: Final = 1024


@dataclass(frozen=True)
class AdaRoundSettings:
    """How AdaRound is fitted; a layer sees `iterations` batches of `batch` of its `rows`.

    `weight` is lambda; the first `warm_up` of the iterations go without the regularizer, then beta
    falls from `beta[0]` to `beta[1]` along a cosine. `rate` is Adam's. `rows` are sampled once a
    layer, as many as `memory` bytes hold; a share `held_out` of the samples only judges. Raises
    BadConfig.

    The papers have 10 000 iterations (AIMET 15 000 below 8 bits) at Adam's rate 0.001, and lambda
    0.01 on squared errors in the units of the outputs. Here errors count in variances of an output,
    and the larger rate gives the same errors on samples held out in 4 000; lambda 0.01 leaves a
    sixth of the weights of 2-bit min-max grids undecided, 0.1 none, and at 4 and 8 bits all of
    0.01 to 3 are alike.
    """

    iterations: int = 4000
    rate: float = 0.03
    weight: float = 0.1
    warm_up: float = 0.2
    beta: tuple[float, float] = (20.0, 2.0)
    batch: int = 256
    rows: int = 16_384
    memory: int = 1 << 28
    held_out: float = 0.1
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("iterations", "batch", "rows", "memory"):
            _require(name, getattr(self, name), "1 or more", getattr(self, name) >= 1)
        for name in ("warm_up", "held_out"):
            _require(name, getattr(self, name), "in [0, 1)", 0 <= getattr(self, name) < 1)
        _require("rate", self.rate, "above 0", self.rate > 0)
        _require("weight", self.weight, "0 or more", self.weight >= 0)
        # Below 1 the regularizer's slope is infinite at h = 1/2.
        _require("beta", self.beta, "1 or more at both ends", min(self.beta) >= 1)


def _require(name: str, value: Any, rule: str, holds: bool) -> None:
    if not holds:
        raise BadConfig(f"adaround: {name} must be {rule}; found {value}")


@dataclass(frozen=True)
class Neighbours:
    """The two codes that a weight lies between, cut to the grid's; one where it has no choice.

    Code `below` or, where `free`, `below` + 1. `fraction` is how far the weight lies above `below`,
    in steps. real = scale (code - zero).
    """

    below: Codes
    free: Flags
    fraction: Reals
    scale: Reals
    zero: Reals

    @classmethod
    def of(cls, weights: Array, grid: Grid) -> "Neighbours":
        """Those of real weights, each array in their shape; floor and ceiling are exact."""
        w = weights.astype(np.float64)
        scale, zero = (
            np.broadcast_to(grid.layout.spread(np.array(v, np.float64), w.shape), w.shape)
            for v in (grid.scale, grid.zero_point)
        )
        floor = round_quotient(w, scale, "floor") + zero
        ceiling = zero - round_quotient(-w, scale, "floor")
        free = (ceiling > floor) & (floor >= grid.low) & (ceiling <= grid.high)
        fraction = np.where(free, np.clip(w / scale + zero - floor, 0, 1), 0)
        below = np.clip(floor, grid.low, grid.high).astype(np.int32)
        return cls(below, free, fraction, scale, zero)

    def mapped(self, change: Callable[[Array], Array]) -> "Neighbours":
        """The same in another shape."""
        parts = (self.below, self.free, self.fraction, self.scale, self.zero)
        return Neighbours(*(change(part) for part in parts))

    def real(self, up: Array | int) -> Reals:
        """The real weights of the codes `below` + `up`, float64."""
        return np.asarray((self.below + up - self.zero) * self.scale)


@dataclass(frozen=True)
class Fit:
    """What was chosen: code `below` + `up`; `undecided` is the share of free weights with 0<h<1."""

    up: Flags
    undecided: float


def fit(
    weights: Neighbours,
    bias: Array,
    bounds: Bounds,
    rows: Rows,
    settings: AdaRoundSettings,
    tick: Callable[[int], None] = lambda done: None,
) -> Fit:
    """Choose for each weight the neighbour that h(V) >= 1/2 names after the fit.

    `bias` is (groups, outputs). The squared error is measured in variances of the targets, so that
    `weight` means the same for a layer in any unit. `tick` is told the iterations done.
    """
    single = rows.inputs.dtype
    soft = SoftWeights(
        floor=weights.real(0).astype(single),
        step=(weights.scale * weights.free).astype(single),
        bias=bias.astype(single)[:, None, :],
        bounds=bounds,
        gain=_gain(rows),
    )
    start = np.where(weights.free, inverse_sigmoid(weights.fraction), _SETTLED)
    v = _minimised(start.astype(single), soft, rows, settings, tick)
    h, _ = rectified_sigmoid(v)
    between = (h > 0) & (h < 1) & weights.free
    return Fit((h >= 0.5) & weights.free, float(between.sum() / max(weights.free.sum(), 1)))


def mean_squared_error(weights: Reals, bias: Array, bounds: Bounds, rows: Rows) -> float:
    """Mean over rows and outputs of (cut(w x + bias) - target)^2, in float64."""
    total = 0.0
    turned, addend = weights.transpose(0, 2, 1), bias.astype(np.float64)[:, None, :]
    for start in range(0, rows.count, _CHUNK):
        part = np.s_[:, start : start + _CHUNK]
        y = np.matmul(rows.inputs[part].astype(np.float64), turned) + addend
        total += float(np.square(np.clip(y, *bounds) - rows.targets[part]).sum())
    return total / rows.targets.size if rows.targets.size else float("nan")


def schedule(iteration: int, settings: AdaRoundSettings) -> tuple[float, float]:
    """(weight, beta) of the regularizer in one iteration."""
    begin, (high, low) = settings.warm_up * settings.iterations, settings.beta
    if iteration < begin:
        return 0.0, high
    along = (iteration - begin) / (settings.iterations - begin)
    return settings.weight, low + (high - low) * (1 + cos(pi * along)) / 2


def _gain(rows: Rows) -> float:
    """One by the mean variance of an output; 1 where the targets do not vary."""
    variance = float(rows.targets.var(axis=1, dtype=np.float64).mean())
    return 1 / variance if variance > 0 else 1.0


def _minimised(
    v: Floats,
    soft: SoftWeights,
    rows: Rows,
    settings: AdaRoundSettings,
    tick: Callable[[int], None],
) -> Floats:
    """V after Adam's iterations, each on consecutive rows: they lie in random order."""
    size = min(settings.batch, rows.count)
    rng = np.random.default_rng(settings.seed)
    starts = rng.integers(0, rows.count, settings.iterations)
    mean, square = np.zeros_like(v), np.zeros_like(v)
    (slow, slower), one = DECAYS, v.dtype.type(1)
    for done, start in enumerate(starts.tolist()):
        x, target = (_following(part, start, size) for part in (rows.inputs, rows.targets))
        _, _, gradient = loss_and_gradient(v, soft, x, target, *schedule(done, settings))
        mean += (one - v.dtype.type(slow)) * (gradient - mean)
        gradient *= gradient
        square += (one - v.dtype.type(slower)) * (gradient - square)
        step = settings.rate * (1 - slower ** (done + 1)) ** 0.5 / (1 - slow ** (done + 1))
        v -= step * mean / (np.sqrt(square) + _TINY)
        tick(done + 1)
    return v


def _following(rows: Floats, start: int, size: int) -> Floats:
    """`size` rows from `start` on, the first ones behind the last."""
    over = start + size - rows.shape[1]
    if over <= 0:
        return rows[:, start : start + size]
    return np.concatenate([rows[:, start:], rows[:, :over]], axis=1)
