"""Mean and variance of a normal variable behind ReLU, ReLU6 and other bounds."""

from math import inf

import numpy as np

from workloads.quantize.quantizer import Reals


def clipped_moments(
    mean: Reals, deviation: Reals, low: float = 0.0, high: float = inf
) -> tuple[Reals, Reals]:
    """Mean and variance of min(max(x, low), high) for normal x of this mean and deviation.

    Nagel et al. 2021 (arXiv 2106.08295) section 3.3 with beta for the mean and |gamma| for the
    deviation: E[ReLU(x)] = gamma phi(-beta / gamma) + beta (1 - Phi(-beta / gamma)). Nagel et al.
    2019 (arXiv 1906.04721) appendix C has two bounds. A deviation of 0 is a constant.
    """
    with np.errstate(over="ignore"):  # a bound may lie any number of deviations away
        first, second = _moments(mean, np.where(deviation > 0, deviation, 1.0), low, high)
    constant = deviation <= 0
    return (
        np.where(constant, np.clip(mean, low, high), first),
        np.where(constant, 0.0, np.maximum(second, 0.0)),
    )


def _moments(mean: Reals, deviation: Reals, low: float, high: float) -> tuple[Reals, Reals]:
    from scipy.special import ndtr  # 0.2 s, which most do not need

    below, above = (low - mean) / deviation, (high - mean) / deviation
    shares = ndtr(below), ndtr(above) - ndtr(below), ndtr(-above)
    middle = deviation * (_density(below) - _density(above))
    first = _times(low, shares[0]) + mean * shares[1] + middle + _times(high, shares[2])
    # About the mean found, so that no large squares cancel.
    center, floor, ceiling = mean - first, low - first, high - first
    ends = _times(np.square(floor), shares[0]) + _times(np.square(ceiling), shares[2])
    edges = _times(center + floor, _density(below)) - _times(center + ceiling, _density(above))
    spread = (np.square(center) + np.square(deviation)) * shares[1]
    return np.asarray(first), np.asarray(ends + spread + deviation * edges)


def _density(z: Reals) -> Reals:
    """Of the standard normal; 0 at both infinities."""
    return np.asarray(np.exp(-0.5 * np.square(z)) / np.sqrt(2 * np.pi))


def _times(value: Reals | float, share: Reals) -> Reals:
    """The product, and 0 where the share is: nothing lies at an infinite bound."""
    held = np.broadcast_to(value, share.shape)
    return np.asarray(np.multiply(held, share, where=share > 0, out=np.zeros(share.shape)))
