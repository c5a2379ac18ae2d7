"""How a network is trained: one frozen record, checked when it is made."""

from dataclasses import dataclass
from math import isfinite
from typing import Any, Final, Literal, TypeAlias, get_args

from simulator.errors import BadConfig

Ranges: TypeAlias = Literal["ema", "one_shot", "learned"]
Norm: TypeAlias = Literal["static", "correction"]
Optimizer: TypeAlias = Literal["sgd", "adam"]
Start: TypeAlias = Literal["float", "scratch"]
Loss: TypeAlias = Literal["cross_entropy", "squared_error"]
Rounding: TypeAlias = Literal["nearest", "stochastic"]

_CHOICES: Final = {
    "ranges": Ranges,
    "batch_norm": Norm,
    "optimizer": Optimizer,
    "start": Start,
    "loss": Loss,
    "rounding": Rounding,
}
_SHARES: Final = ("range_decay", "calibrate_at", "freeze_at", "warm_up", "average", "momentum")


@dataclass(frozen=True)
class Settings:
    """A training run. Two runs with the same settings, data and network give the same bits.

    weights, activations : bits, 2 to 8; 0 leaves them float.
    ends : bits of the weights and activations of the first and last layer; None for the same.
    per_channel : a scale for each output channel of weights, else one a layer.
    ranges : of activations: `ema` averages each batch's ends (Krishnamoorthi 2018 section 3.1.2);
        `one_shot` sets them once, at `calibrate_at` of training, activations being float before
        (arXiv 2105.03536); `learned` trains scale and zero point, of weights too (Nagel et al.
        2021 section 4).
    batch_norm : `static` folds first and trains what is folded (Nagel et al. 2021); `correction`
        trains with batch statistics, corrected so that quantized weights do not depend on them,
        and freezes at `freeze_at` of training (Krishnamoorthi 2018 section 3.2.2).
    rounding : `stochastic` in training alone.
    average : decay of a moving average of weights that is served in their place; 0 for none.
    epochs : 0 calibrates alone: ranges by least and greatest value, weights rounded to nearest.
    learning_rate, warm_up : the peak, and the share of steps that lead up to it; then a cosine.
    """

    weights: int = 8
    activations: int = 8
    ends: int | None = None
    per_channel: bool = True
    ranges: Ranges = "ema"
    range_decay: float = 0.99
    calibrate_at: float = 0.2
    batch_norm: Norm = "static"
    freeze_at: float = 0.7
    rounding: Rounding = "nearest"
    optimizer: Optimizer = "adam"
    learning_rate: float = 1e-3
    quantizer_rate: float = 1e-3
    momentum: float = 0.9
    weight_decay: float = 0.0
    warm_up: float = 0.0
    average: float = 0.0
    loss: Loss = "cross_entropy"
    start: Start = "float"
    epochs: int = 20
    batch: int = 64
    seed: int = 0

    def __post_init__(self) -> None:
        for name, choices in _CHOICES.items():
            if getattr(self, name) not in get_args(choices):
                self._refuse(name, f"one of {', '.join(get_args(choices))}")
        for name in ("weights", "activations", "ends"):
            bits = getattr(self, name)
            if bits is not None and bits != 0 and not 2 <= bits <= 8:
                self._refuse(name, "2 to 8 bits, or 0 for float")
        for name in _SHARES:
            if not 0 <= getattr(self, name) <= 1:
                self._refuse(name, "from 0 to 1")
        for name in ("learning_rate", "quantizer_rate", "weight_decay"):
            value = getattr(self, name)
            if not (isfinite(value) and value >= 0):
                self._refuse(name, "0 or more, and finite")
        for name, least in (("epochs", 0), ("batch", 1)):
            if getattr(self, name) < least:
                self._refuse(name, f"{least} or more")

    def _refuse(self, name: str, rule: str) -> None:
        value: Any = getattr(self, name)
        raise BadConfig(f"training: {name} must be {rule}; found {value!r}")
