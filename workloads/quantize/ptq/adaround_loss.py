"""AdaRound's loss for one layer and its gradient, derived by hand.

Nagel et al. 2020 (arXiv 2004.10568) section 3, Nagel et al. 2021 (arXiv 2106.08295) section 3.4.
Arrays have the shapes (groups, outputs, taps) for weights and V, (groups, rows, taps) for inputs
and (groups, rows, outputs) for targets; one group but in grouped convolutions.
"""

from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from simulator.numeric.bounds import Bounds

Floats: TypeAlias = NDArray[np.floating[Any]]

STRETCH: Final = 1.2
"""The sigmoid is stretched to (-0.1, 1.1) and cut: zeta and gamma of Louizos et al. 2018."""
OFFSET: Final = -0.1


@dataclass(frozen=True)
class SoftWeights:
    """Real weights between two neighbours on the grid: w = floor + step h, and what h is fitted to.

    `floor` are the real values of the codes below, `step` the distance to those above, 0 for a
    weight without choice. The layer is y = cut(w x + bias) to `bounds`. The squared error counts
    `gain` times, against regularizer terms that count one by one.
    """

    floor: Floats
    step: Floats
    bias: Floats
    bounds: Bounds
    gain: float


def rectified_sigmoid(v: Floats) -> tuple[Floats, Floats]:
    """h(V) = clip(1.2 sigmoid(V) - 0.1, 0, 1) and its derivative, 0 where h is cut."""
    sigmoid = 1 / (1 + np.exp(-v))
    h = STRETCH * sigmoid + OFFSET
    slope = STRETCH * sigmoid * (1 - sigmoid) * ((h > 0) & (h < 1))
    return np.clip(h, 0, 1), slope


def inverse_sigmoid(h: Floats) -> Floats:
    """The V whose h(V) is given, for h in [0, 1]."""
    return np.asarray(-np.log(STRETCH / (h - OFFSET) - 1))


def regularizer(h: Floats, beta: float) -> tuple[Floats, Floats]:
    """1 - |2h - 1|^beta, which is 0 for h of 0 and 1 alone, and its derivative by h."""
    away = 2 * h - 1
    size = np.abs(away)
    # The logarithm of 0 would warn; any power of the least number is 0 as well.
    power = np.exp((beta - 1) * np.log(np.maximum(size, np.finfo(h.dtype).tiny)))
    return 1 - power * size, -2 * beta * np.copysign(power, away)


def loss_and_gradient(
    v: Floats, soft: SoftWeights, x: Floats, target: Floats, weight: float, beta: float
) -> tuple[float, float, Floats]:
    """(gain times mean squared error, `weight` times regularizer, gradient of their sum by V).

    The squared error is summed over outputs and averaged over rows; the regularizer is summed over
    weights, and left out where `weight` is 0.
    """
    h, slope = rectified_sigmoid(v)
    y = np.matmul(x, (soft.floor + soft.step * h).transpose(0, 2, 1))
    y += soft.bias
    low, high = soft.bounds
    error = np.clip(y, low, high) - target
    inside = (y > low) & (y < high)
    squared = float(np.vdot(error, error)) * soft.gain / x.shape[1]
    error *= inside
    gradient = np.matmul(error.transpose(0, 2, 1), x)
    gradient *= soft.step * (2 * soft.gain / x.shape[1])
    penalty = 0.0
    if weight:
        terms, by_h = regularizer(h, beta)
        penalty = weight * float(terms.sum())
        gradient += weight * by_h
    gradient *= slope
    return squared, penalty, gradient
