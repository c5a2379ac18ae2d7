"""Ranges from a histogram of the stream: percentiles, and the least mean squared error."""

import numpy as np

from simulator.errors import BadConfig
from workloads.quantize.forms import Form
from workloads.quantize.grid import Grid
from workloads.quantize.histogram import Histogram
from workloads.quantize.observers import Observer
from workloads.quantize.quantizer import Array, Layout, Reals
from workloads.quantize.range_search import Search, search_range


class HistogramObserver(Observer):
    """An observer that keeps a `Histogram`: 24 bytes a bin and channel, whatever it sees."""

    def __init__(self, axis: int | None = None, *, bins: int = 8192) -> None:
        super().__init__(axis)
        if bins < 2:
            raise BadConfig(f"bins must be 2 or more; found {bins}")
        self.histogram = Histogram(bins)

    def _see(self, rows: Array) -> None:
        self.histogram.add(rows)


class Percentile(HistogramObserver):
    """The range that leaves out the share (100 - percentile) % at each end.

    Within the width of a bin of the value at that rank: 2 / (bins - 1) of the whole range at most,
    or 2^-39 of the greatest magnitude. 100 is exactly min-max.
    """

    def __init__(
        self, percentile: float = 99.99, axis: int | None = None, *, bins: int = 8192
    ) -> None:
        super().__init__(axis, bins=bins)
        if not 50 < percentile <= 100:
            raise BadConfig(f"percentile must be above 50 and at most 100; found {percentile}")
        self.percentile = percentile

    def range(self) -> tuple[Reals, Reals]:
        """(low, high)."""
        self._require_batches()
        share = self.percentile / 100
        return self.histogram.quantile(1 - share), self.histogram.quantile(share)


class Mse(HistogramObserver):
    """The range with the least sum (x - x^)^2 on the grids of a form, as far as the bins tell.

    Nagel et al. 2021 (arXiv 2106.08295) section 3.1. The error of a range is known between two
    bounds (`at_most`, `at_least`), for a bin may lie across a threshold of the grid. A range is
    chosen by the upper one, and taken only if that is below the lower one of min-max: the error on
    what was seen is at most that of min-max, always. At 8 bits and above more bins see more; where
    a step is narrower than two bins, min-max stays. For rules that round to nearest.
    """

    def __init__(
        self,
        form: Form,
        axis: int | None = None,
        *,
        bins: int = 8192,
        search: Search = "grid",
    ) -> None:
        super().__init__(axis, bins=bins)
        self.form = form
        self.search: Search = search

    def range(self) -> tuple[Reals, Reals]:
        """(low, high)."""
        self._require_batches()
        seen = self.histogram
        layout = Layout() if len(seen.low) == 1 else Layout(0)

        def error(low: Reals, high: Reals) -> Reals:
            return at_most(seen, self.form(low, high, layout=layout))

        low, high = search_range(error, seen.low, seen.high, self.search)
        sure = error(low, high) <= at_least(seen, self.form(seen.low, seen.high, layout=layout))
        return np.where(sure, low, seen.low), np.where(sure, high, seen.high)


def at_most(seen: Histogram, grid: Grid) -> Reals:
    """An upper bound of each channel's sum (x - x^)^2, exact for bins within one step.

    The error with the whole bin at the code nearest to its mean: each value's own code is nearer.
    """
    mean = seen.sums / np.maximum(seen.counts, 1)
    return np.asarray(_at_one_code(seen, _real(grid, mean)).sum(axis=1))


def at_least(seen: Histogram, grid: Grid) -> Reals:
    """A lower bound of each channel's sum (x - x^)^2, exact for bins within one step.

    A value of a bin across a threshold is within a bin's width of it, half a step from any code.
    """
    below, above = (_real(grid, edge) for edge in seen.edges())
    half_step = np.reshape(grid.scale, (-1, 1)) / 2
    nearest = np.maximum(half_step - seen.width[:, None], 0.0)
    across = seen.counts * np.square(nearest)
    return np.asarray(np.where(below == above, _at_one_code(seen, below), across).sum(axis=1))


def _real(grid: Grid, x: Reals) -> Reals:
    scale, zero = np.reshape(grid.scale, (-1, 1)), np.reshape(grid.zero_point, (-1, 1))
    return np.asarray(np.clip(np.rint(x / scale), grid.low - zero, grid.high - zero) * scale)


def _at_one_code(seen: Histogram, real: Reals) -> Reals:
    """Sum (x - real)^2 of each bin, from its moments."""
    error = seen.squares - 2 * real * seen.sums + seen.counts * np.square(real)
    return np.maximum(error, 0.0)
