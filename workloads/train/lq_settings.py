"""How a network is trained on learned bases: one frozen record, checked when it is made."""

from dataclasses import dataclass
from math import isfinite
from typing import Any, Final, Literal, TypeAlias, get_args

from simulator.errors import BadConfig
from workloads.quantize.lq import DECAY, RIDGE
from workloads.train.settings import Loss, Optimizer, Settings

Bases: TypeAlias = Literal["uniform", "published"]

WIDEST: Final = 8
"""Bits of a code."""


@dataclass(frozen=True)
class LqSettings:
    """A training run of LQ-Nets (arXiv 1807.10029); the same settings give the same bits.

    weights, activations : bits, 1 to 8: the reals of a basis.
    ends : bits of the first and last layer, learned likewise; 0 leaves them float, as published.
    bases : the first ones: of the best `uniform` grid of weights and of activations of the first
        batches, or those of the `published` program, which suit unit variance.
    decay : of the moving average of bases; 1 keeps the first ones.
    ridge : what holds the bases of weights to the old ones.
    learning_rate, warm_up : the peak, and the share of steps that lead up to it; then a cosine.
    """

    weights: int = 2
    activations: int = 2
    ends: int = 0
    bases: Bases = "uniform"
    decay: float = DECAY
    ridge: float = RIDGE
    optimizer: Optimizer = "adam"
    learning_rate: float = 1e-3
    momentum: float = 0.9
    weight_decay: float = 0.0
    warm_up: float = 0.0
    loss: Loss = "cross_entropy"
    epochs: int = 20
    batch: int = 64
    seed: int = 0

    def __post_init__(self) -> None:
        for name, least in (("weights", 1), ("activations", 1), ("ends", 0)):
            if not least <= getattr(self, name) <= WIDEST:
                self._refuse(name, f"{least} to {WIDEST} bits")
        if self.bases not in get_args(Bases):
            self._refuse("bases", f"one of {', '.join(get_args(Bases))}")
        if not 0 <= self.decay <= 1:
            self._refuse("decay", "from 0 to 1")
        if not (isfinite(self.ridge) and self.ridge >= 0):
            self._refuse("ridge", "0 or more, and finite")
        _ = self.optimization

    @property
    def optimization(self) -> Settings:
        """What the optimizer and the loss take; checks those settings."""
        return Settings(
            optimizer=self.optimizer,
            learning_rate=self.learning_rate,
            momentum=self.momentum,
            weight_decay=self.weight_decay,
            warm_up=self.warm_up,
            loss=self.loss,
            epochs=self.epochs,
            batch=self.batch,
            seed=self.seed,
        )

    def _refuse(self, name: str, rule: str) -> None:
        value: Any = getattr(self, name)
        raise BadConfig(f"training: {name} must be {rule}; found {value!r}")
