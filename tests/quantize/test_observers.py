"""Streaming observers: exact ends, averages, histograms that no cut of the stream changes."""

import tracemalloc
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.errors import BadConfig, IllegalValues
from workloads.quantize import CrossEntropy, MinMax, MovingAverage, Mse, Observer, Percentile
from workloads.quantize import affine as affine_form
from workloads.quantize.forms import Ends
from workloads.quantize.grid import Grid
from workloads.quantize.histogram import Histogram
from workloads.quantize.quantizer import PER_TENSOR, Layout


def affine(low: Ends, high: Ends, *, layout: Layout = PER_TENSOR) -> Grid:
    return affine_form(low, high, bits=4, layout=layout)


OBSERVERS: dict[str, Callable[[int | None], Observer]] = {
    "min-max": MinMax,
    "moving average": lambda axis: MovingAverage(0.9, axis),
    "percentile": lambda axis: Percentile(99.9, axis, bins=512),
    "mse": lambda axis: Mse(affine, axis, bins=512),
}


def test_min_max_is_exact() -> None:
    x = np.random.default_rng(0).standard_normal((10, 4, 6)).astype(np.float32)
    whole, each = MinMax(), MinMax(axis=1)
    for batch in np.split(x, 5):
        whole.observe(batch)
        each.observe(batch)
    assert [v.tolist() for v in whole.range()] == [[x.min()], [x.max()]]
    assert [v.tolist() for v in each.range()] == [
        x.min(axis=(0, 2)).tolist(),
        x.max(axis=(0, 2)).tolist(),
    ]


def test_the_moving_average_by_its_recursion() -> None:
    x = np.random.default_rng(1).standard_normal((30, 3, 5))
    observer = MovingAverage(0.8, axis=0)
    low, high = x[0].min(axis=1), x[0].max(axis=1)
    for i, batch in enumerate(x):
        observer.observe(batch)
        if i:
            low = low * 0.8 + batch.min(axis=1) * 0.2
            high = high * 0.8 + batch.max(axis=1) * 0.2
    found = observer.range()
    assert found[0] == pytest.approx(low, rel=1e-12)
    assert found[1] == pytest.approx(high, rel=1e-12)


def test_an_average_without_zeros() -> None:
    """AQT's bounds: zeros are not looked at; a channel starts with its first other value."""
    observer = MovingAverage(0.9, axis=1, exclude_zeros=True)
    for batch in ([[0, 0], [2, 0]], [[0, 0], [0, 0]], [[4, 3], [0, 1]]):
        observer.observe(np.array(batch, dtype=np.float64))
    low, high = observer.range()
    assert low == pytest.approx([0.9 * 2 + 0.1 * 4, 1])
    assert high == pytest.approx([0.9 * 2 + 0.1 * 4, 3])


@pytest.mark.parametrize("name", OBSERVERS)
def test_what_an_observer_refuses(name: str) -> None:
    observer = OBSERVERS[name](0)
    with pytest.raises(IllegalValues, match="no batch was observed"):
        observer.range()
    observer.observe(np.zeros((2, 0)))
    observer.observe(np.ones((2, 5)))
    with pytest.raises(IllegalValues, match="NaN or infinity"):
        observer.observe(np.array([[1.0], [np.nan]]))
    with pytest.raises(IllegalValues, match="found 3 after 2"):
        observer.observe(np.ones((3, 5)))
    assert [v.shape for v in observer.range()] == [(2,), (2,)]


@pytest.mark.parametrize("name", OBSERVERS)
def test_channels_are_observed_apart(name: str) -> None:
    x = np.random.default_rng(2).standard_normal((3, 400)) * np.array([[1.0], [100.0], [1e-3]])
    together = OBSERVERS[name](0)
    apart = [OBSERVERS[name](None) for _ in x]
    for part in np.split(x, 4, axis=1):
        together.observe(part)
        for observer, channel in zip(apart, part, strict=True):
            observer.observe(channel)
    for end in (0, 1):
        alone = [observer.range()[end][0] for observer in apart]
        assert together.range()[end] == pytest.approx(alone, rel=1e-12)


@settings(deadline=None, max_examples=60)
@given(
    st.lists(
        st.lists(st.floats(-1e6, 1e6) | st.floats(-1e-6, 1e-6), min_size=1, max_size=8),
        min_size=1,
        max_size=8,
    ),
    st.integers(0, 2**32 - 1),
)
def test_no_cut_or_order_of_the_stream_changes_the_bins(
    batches: list[list[float]], seed: int
) -> None:
    whole, parts = Histogram(64), Histogram(64)
    values = np.array([v for b in batches for v in b])
    whole.add(values[None])
    for i in np.random.default_rng(seed).permutation(len(batches)):
        parts.add(np.array([batches[i]]))
    assert parts.counts.tolist() == whole.counts.tolist()
    assert (parts.first, parts.exponent) == (whole.first, whole.exponent)
    assert parts.sums == pytest.approx(whole.sums, rel=1e-9, abs=1e-9)
    assert parts.counts.sum() == values.size
    below, above = parts.edges()
    for v in values:
        inside = (below <= v) & (v <= above) & (parts.counts > 0)
        assert inside.any()


@pytest.mark.parametrize("shape", ["normal", "relu", "heavy", "shifted", "constant"])
@pytest.mark.parametrize("percentile", [90, 99, 99.9, 100])
def test_a_percentile_is_within_a_bin_of_the_sorted_values(shape: str, percentile: float) -> None:
    rng = np.random.default_rng(3)
    x = {
        "normal": rng.standard_normal(5000),
        "relu": np.maximum(rng.standard_normal(5000), 0),
        "heavy": rng.standard_cauchy(5000),
        "shifted": rng.standard_normal(5000) + 1000,
        "constant": np.full(5000, 3.7),
    }[shape]
    observer = Percentile(percentile, bins=1024)
    for batch in np.split(x, 20):
        observer.observe(batch)
    low, high = (v[0] for v in observer.range())
    width = observer.histogram.width[0]
    assert width <= max(2 * (x.max() - x.min()) / 1023, 2.0**-39 * np.abs(x).max())
    wanted = np.percentile(x, [100 - percentile, percentile], method="inverted_cdf")
    assert low == pytest.approx(wanted[0], abs=width)
    assert high == pytest.approx(wanted[1], abs=width)
    if percentile == 100:
        assert (low, high) == (x.min(), x.max())


@pytest.mark.parametrize(
    "make",
    [
        lambda: MovingAverage(0.9, 1),
        lambda: Percentile(99.9, 1),
        lambda: Mse(affine, 1),
        lambda: CrossEntropy(affine, capacity=500),
    ],
)
def test_memory_does_not_grow_with_the_batches(make: Callable[[], Observer]) -> None:
    """What is held after 200 batches is what is held after 5, and so is the peak."""
    rng = np.random.default_rng(4)

    def held(batches: int) -> tuple[int, int]:
        observer = make()
        observer.observe(rng.standard_normal((200, 10)))
        tracemalloc.start()
        for k in range(batches):
            observer.observe(rng.standard_normal((200, 10)) * (1 + k % 7))
        found = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return found

    few, many = held(5), held(200)
    assert abs(many[0] - few[0]) < 20_000
    assert many[1] < few[1] + 20_000


def test_options_are_checked() -> None:
    with pytest.raises(BadConfig, match="decay must be in"):
        MovingAverage(1.0)
    with pytest.raises(BadConfig, match="percentile must be above 50"):
        Percentile(50)
    with pytest.raises(BadConfig, match="bins must be 2 or more"):
        Percentile(99, bins=1)
    with pytest.raises(BadConfig, match="capacity must be 1"):
        CrossEntropy(affine, capacity=0)
    with pytest.raises(IllegalValues, match="cannot be binned"):
        Percentile(99).observe(np.array([1e200]))
