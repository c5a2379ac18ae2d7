"""The range of an activation from its batch normalization, without data."""

from typing import Final, Literal, TypeAlias, get_args

import numpy as np

from simulator.errors import BadConfig, IllegalValues
from workloads.quantize.quantizer import Array, Reals

Activation: TypeAlias = Literal["none", "relu", "relu6"]
SPREADS: Final = 6.0
"""Standard deviations to each side (alpha)."""


def batch_norm_range(
    beta: Array,
    gamma: Array,
    *,
    alpha: float = SPREADS,
    activation: Activation = "none",
    per_channel: bool = False,
) -> tuple[Reals, Reals]:
    """(min(beta - alpha |gamma|), max(beta + alpha |gamma|)) over channels, or each channel's.

    Nagel et al. 2021 (arXiv 2106.08295) section 3.1: outputs of a batch normalization with shift
    beta and scale gamma, (channels,) in reals, have mean beta and deviation |gamma| (printed
    without the bars, which a negative gamma needs). ReLU and ReLU6 clip both ends. (1,) or
    (channels,) each.
    """
    if activation not in get_args(Activation):
        known = ", ".join(get_args(Activation))
        raise BadConfig(f"activation must be one of {known}; found {activation!r}")
    if beta.shape != gamma.shape or beta.ndim != 1 or not beta.size:
        raise IllegalValues(f"beta and gamma need one value a channel; found {beta.shape}")
    spread = alpha * np.abs(gamma.astype(np.float64))
    ends = np.array([beta - spread, beta + spread])
    if activation != "none":
        ends = np.clip(ends, 0.0, 6.0 if activation == "relu6" else np.inf)
    if per_channel:
        return ends[0], ends[1]
    return ends[0].min(keepdims=True), ends[1].max(keepdims=True)
