"""Weights drawn at random for a described network: as training starts, not as it ends.

Filters are He's (He et al. 2015, arXiv 1502.01852, section 2.2): normal with variance 2 / fan-in;
products without a ReLU behind them 1 / fan-in. Batch normalizations have the statistics that such
weights bring about: `Drawn` follows the mean square of each tensor, so that activations neither
vanish nor grow.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Final, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from workloads.zoo.description import Description, Layer, Weight

Floats: TypeAlias = NDArray[np.float32]
EPSILON: Final = 1e-3
"""What a normalization adds to its variance (keras.applications' MobileNets)."""
_CUTS: Final = ("RELU", "RELU6")
_SPREAD: Final = 0.3
"""Deviation of the logarithms of gamma and variance, and of beta and mean in units of theirs."""


class Norm(NamedTuple):
    """y = gamma (x - mean) / sqrt(variance + EPSILON) + beta, one of each a channel."""

    gamma: Floats
    beta: Floats
    mean: Floats
    variance: Floats

    @property
    def gain(self) -> Floats:
        """The factor of x."""
        return np.asarray(self.gamma / np.sqrt(self.variance + np.float32(EPSILON)))

    @property
    def offset(self) -> Floats:
        """What is added to gain x."""
        return np.asarray(self.beta - self.mean * self.gain)


@dataclass(frozen=True)
class Values:
    """The values of a layer: its weights by role, and its normalization where it has one."""

    weights: Mapping[str, Floats]
    norm: Norm | None = None


class Drawn:
    """The values of a network's layers, drawn in their order from one seed."""

    def __init__(self, network: Description, seed: int) -> None:
        self._random = np.random.default_rng(seed)
        self._power = dict.fromkeys(network.inputs, 1.0)
        self._standing: Norm | None = None

    def values(self, layer: Layer) -> Values:
        """Those of the next layer; every operand before it must have been asked for."""
        norm = None
        if layer.norm != "none":
            norm = self._norm(layer.shape[-1], self._sums(layer), scaled=layer.norm != "shift")
        elif layer.statistics:
            norm = self._norm(layer.shape[-1], self._read(layer)[0])
        if layer.statistics and norm is not None:
            weights, self._standing = {"scale": norm.gain}, norm
        elif self._standing is not None:
            # The sum behind a product that stands for a normalization holds its offset.
            weights, self._standing = {"shift": self._standing.offset}, None
        else:
            weights = {w.role: self._weight(layer, w) for w in layer.weights if w.trained}
        self._power[layer.name] = self._after(layer, norm)
        return Values(weights, norm)

    def _weight(self, layer: Layer, weight: Weight) -> Floats:
        if weight.role == "bias":
            return self._normal(weight.shape, 0.05)
        if weight.role == "scale":
            return np.asarray(1 + self._normal(weight.shape, 0.1))
        if weight.role == "shift":
            return self._normal(weight.shape, 0.1)
        if weight.role != "filters":
            return self._normal(weight.shape, 1.0)
        return self._normal(weight.shape, (_gain(layer) / _fan_in(layer, weight)) ** 0.5)

    def _normal(self, shape: tuple[int, ...], deviation: float) -> Floats:
        drawn = self._random.standard_normal(shape, np.float32)
        drawn *= np.float32(deviation)
        return drawn

    def _norm(self, channels: int, power: float, *, scaled: bool = True) -> Norm:
        """Statistics of inputs whose mean square is `power`."""
        gamma, beta, mean, variance = (self._normal((channels,), _SPREAD) for _ in range(4))
        return Norm(
            np.exp(gamma) if scaled else np.ones_like(gamma),
            beta,
            np.asarray(mean * np.float32(power**0.5)),
            np.asarray(np.exp(variance) * np.float32(power)),
        )

    def _read(self, layer: Layer) -> list[float]:
        """The mean squares of the tensors that a layer reads."""
        return [self._power.get(name, 1.0) for name in layer.operands if isinstance(name, str)]

    def _sums(self, layer: Layer) -> float:
        """The mean square of a layer's sums of products."""
        return _gain(layer) * self._read(layer)[0]

    def _after(self, layer: Layer, norm: Norm | None) -> float:
        """The mean square of a layer's output, of tensors that are as good as independent."""
        given = self._read(layer)
        cut = layer.op in _CUTS or layer.options.get("fused_activation_function") in _CUTS
        kept = 0.5 if cut else 1.0
        if norm is not None:
            return kept * float(np.mean(norm.gamma**2 + norm.beta**2))
        if any(weight.role == "filters" for weight in layer.weights):
            return kept * self._sums(layer)
        if layer.op == "ADD":
            # A ReLU behind takes little: the shortcut of a residual block is never negative.
            return sum(given)
        return sum(given) / len(given)


def _gain(layer: Layer) -> float:
    """Fan-in times the variance of weights: 2 where half of the sums are cut off."""
    dense = layer.op == "FULLY_CONNECTED"
    return 1.0 if dense and layer.options.get("fused_activation_function") not in _CUTS else 2.0


def _fan_in(layer: Layer, weight: Weight) -> int:
    """Products that a sum adds up."""
    depthwise = layer.op == "DEPTHWISE_CONV_2D"
    return prod(weight.shape[:-1]) if depthwise else prod(weight.shape[1:])
