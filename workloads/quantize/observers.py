"""Observers: the range of a stream of batches, in memory that does not grow with their number."""

from abc import ABC, abstractmethod

import numpy as np

from simulator.errors import BadConfig, IllegalValues
from workloads.quantize.quantizer import Array, Reals


class Observer(ABC):
    """Sees batches one at a time, then says a range.

    Ranges are (low, high), each (1,) for the tensor or (channels,) where `axis` names channels, as
    the forms of `workloads.quantize.forms` take them. They need not hold 0; the forms see to that.
    """

    def __init__(self, axis: int | None = None) -> None:
        self.axis = axis
        self._channels = 0

    @abstractmethod
    def range(self) -> tuple[Reals, Reals]:
        """(low, high) of what was seen; raises IllegalValues before the first batch."""

    @abstractmethod
    def _see(self, rows: Array) -> None:
        """Take in a batch as (channels, values), finite, of the batch's own dtype."""

    def observe(self, batch: Array) -> None:
        """Take in a batch of any shape; raises IllegalValues for NaN, infinity or other channels.

        An empty batch changes nothing.
        """
        if batch.size == 0:
            return
        rows = np.moveaxis(batch, self.axis, 0) if self.axis is not None else batch
        rows = rows.reshape(batch.shape[self.axis] if self.axis is not None else 1, -1)
        # NaN passes through both.
        if not (np.isfinite(rows.min()) and np.isfinite(rows.max())):
            raise IllegalValues(
                "a batch to calibrate on holds NaN or infinity; no range holds it. Leave it out"
            )
        if self._channels not in (0, len(rows)):
            raise IllegalValues(
                f"every batch needs the same channels; found {len(rows)} after {self._channels}"
            )
        self._channels = len(rows)
        self._see(rows)

    def _require_batches(self) -> None:
        if not self._channels:
            raise IllegalValues("no batch was observed; give calibration data first")


class MinMax(Observer):
    """The least and greatest value seen (Krishnamoorthi 2018 section 2.5: weights)."""

    def __init__(self, axis: int | None = None) -> None:
        super().__init__(axis)
        self._low: Reals = np.array([np.inf])
        self._high: Reals = np.array([-np.inf])

    def range(self) -> tuple[Reals, Reals]:
        """(low, high), exact."""
        self._require_batches()
        return self._low, self._high

    def _see(self, rows: Array) -> None:
        self._low = np.minimum(self._low, rows.min(axis=1))
        self._high = np.maximum(self._high, rows.max(axis=1))


class MovingAverage(Observer):
    """An average of each batch's least and greatest value: m <- decay m + (1 - decay) batch.

    Krishnamoorthi 2018 section 3.1.2: activations, about 100 batches. The first batch starts the
    average. With `exclude_zeros` zeros are not looked at, nor a channel of zeros alone: with decay
    0.9 and bound max(|low|, |high|) these are the bounds of arXiv 2105.03536.
    """

    def __init__(
        self, decay: float = 0.9, axis: int | None = None, *, exclude_zeros: bool = False
    ) -> None:
        super().__init__(axis)
        if not 0 <= decay < 1:
            raise BadConfig(f"decay must be in [0, 1); found {decay}")
        self.decay = decay
        self.exclude_zeros = exclude_zeros
        self._ends: Reals = np.zeros((2, 0))
        self._started = np.zeros(0, dtype=bool)

    def range(self) -> tuple[Reals, Reals]:
        """(low, high); 0 for a channel in which nothing was looked at."""
        self._require_batches()
        return self._ends[0], self._ends[1]

    def _see(self, rows: Array) -> None:
        if not self._started.size:
            self._ends = np.zeros((2, len(rows)))
            self._started = np.zeros(len(rows), dtype=bool)
        seen = rows != 0 if self.exclude_zeros else np.ones(rows.shape, dtype=bool)
        low = np.where(seen, rows, np.inf).min(axis=1)
        high = np.where(seen, rows, -np.inf).max(axis=1)
        any_seen = seen.any(axis=1)
        fresh = np.where(any_seen, [low, high], 0.0)
        averaged = self.decay * self._ends + (1 - self.decay) * fresh
        moved = np.where(self._started, averaged, fresh)
        self._ends = np.where(any_seen, moved, self._ends)
        self._started |= any_seen
