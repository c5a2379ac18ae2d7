"""The range of a last layer's logits: what keeps the classes' probabilities."""

from typing import Final

import numpy as np

from simulator.errors import BadConfig
from workloads.quantize.forms import Form
from workloads.quantize.observers import Observer
from workloads.quantize.quantizer import Array, Reals
from workloads.quantize.range_search import Search, mse_range, search_range

CAPACITY: Final = 2048
"""Rows of logits that are kept."""


class CrossEntropy(Observer):
    """The range with the least mean cross-entropy H(softmax(v), softmax(v^)), one for the tensor.

    Nagel et al. 2021 (arXiv 2106.08295) section 3.1: for the last layer, where the order of the
    logits matters and the error of small ones does not. Rows of a batch are its last axis. Kept is
    a uniform sample of the rows seen (reservoir sampling, seeded), `capacity` at most; the search
    begins at min-max of all rows and at the range of least squared error, so that on the sample it
    is worse than neither.
    """

    def __init__(
        self, form: Form, *, capacity: int = CAPACITY, seed: int = 0, search: Search = "grid"
    ) -> None:
        super().__init__(axis=-1)
        if capacity < 1:
            raise BadConfig(f"capacity must be 1 or more; found {capacity}")
        self.form = form
        self.search: Search = search
        self._generator = np.random.default_rng(seed)
        self._kept: Reals = np.zeros((0, 0))
        self._capacity = capacity
        self._seen = 0
        self._low, self._high = np.inf, -np.inf

    def range(self) -> tuple[Reals, Reals]:
        """(low, high), each (1,)."""
        self._require_batches()
        kept = self._kept[: min(self._seen, self._capacity)]

        def error(low: Reals, high: Reals) -> Reals:
            return np.array([cross_entropy(kept, self.form(low, high).fake_quantize(kept))])

        ends = np.array([self._low]), np.array([self._high])
        starts = [ends, mse_range(kept, self.form, search=self.search)]
        found = [search_range(error, low, high, self.search) for low, high in starts]
        return min(found, key=lambda ends: float(error(*ends)[0]))

    def _see(self, rows: Array) -> None:
        logits = rows.T
        self._low, self._high = (
            min(self._low, float(rows.min())),
            max(self._high, float(rows.max())),
        )
        if not self._seen:
            self._kept = np.zeros((self._capacity, len(rows)))
        free = min(self._capacity - min(self._seen, self._capacity), len(logits))
        self._kept[self._seen : self._seen + free] = logits[:free]
        # Row number i takes the place of a kept one with probability capacity / (i + 1).
        numbers = self._seen + np.arange(free, len(logits))
        places = self._generator.integers(0, numbers + 1)
        for place, row in zip(places.tolist(), logits[free:], strict=True):
            if place < self._capacity:
                self._kept[place] = row
        self._seen += len(logits)


def cross_entropy(logits: Array, quantized: Array) -> float:
    """Mean over rows of -sum softmax(logits) log softmax(quantized), in nats; (rows, classes)."""
    log_p, log_q = _log_softmax(logits), _log_softmax(quantized)
    return float(-(np.exp(log_p) * log_q).sum(axis=-1).mean())


def _log_softmax(logits: Array) -> Reals:
    shifted = logits - logits.max(axis=-1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True)))
