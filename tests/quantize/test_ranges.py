"""Chosen ranges: squared error never above min-max, bounds that hold, argmax, batch norm, SQNR."""

from functools import partial

import numpy as np
import pytest
from numpy.typing import NDArray

from simulator.errors import BadConfig, IllegalValues
from workloads.quantize import (
    CrossEntropy,
    Form,
    MinMax,
    Mse,
    affine,
    batch_norm_range,
    mse_range,
    per_channel,
    per_group,
    power_of_two,
    sqnr_db,
    sqnr_db_by,
    symmetric,
)
from workloads.quantize.cross_entropy import cross_entropy
from workloads.quantize.histogram_observers import at_least, at_most
from workloads.quantize.range_search import Search

Reals = NDArray[np.float64]
SHAPES = ("normal", "relu", "heavy", "uniform", "two", "constant")
NAMES = ("affine", "symmetric", "power")


def form_of(name: str, bits: int) -> Form:
    forms: dict[str, Form] = {
        "affine": partial(affine, bits=bits),
        "symmetric": partial(symmetric, bits=bits, restricted=True),
        "power": partial(power_of_two, bits=bits),
    }
    return forms[name]


def sample(shape: str, seed: int = 0, size: int = 3000) -> Reals:
    rng = np.random.default_rng(seed)
    x: Reals = {
        "normal": rng.standard_normal(size),
        "relu": np.maximum(rng.standard_normal(size), 0),
        "heavy": rng.standard_t(2, size),
        "uniform": rng.uniform(-1, 3, size),
        "two": rng.choice([-1.0, 0.25], size),
        "constant": np.full(size, -2.5),
    }[shape]
    return x


def squared(x: Reals, form: Form, ends: tuple[Reals, Reals]) -> float:
    """The error through the exact quantizer."""
    return float(np.square(x - form(*ends).fake_quantize(x)).sum())


@pytest.mark.parametrize("search", ["grid", "golden"])
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("shape", SHAPES)
def test_squared_error_is_never_above_min_max(shape: str, name: str, search: Search) -> None:
    """On the values themselves, for the stream of batches as for the tensor at hand."""
    x, whole = sample(shape), MinMax()
    whole.observe(x)
    for bits in (2, 3, 4, 6, 8, 12):
        form = form_of(name, bits)
        observer = Mse(form, search=search)
        for batch in np.split(x, 10):
            observer.observe(batch)
        start = squared(x, form, whole.range())
        assert squared(x, form, observer.range()) <= start
        at_hand = squared(x, form, mse_range(x, form, search=search))
        assert at_hand <= start
        if shape == "normal" and bits <= 4 and name != "power":
            assert at_hand < 0.8 * start
            # The bins see what the values see.
            assert squared(x, form, observer.range()) <= 1.02 * at_hand


def test_squared_error_below_min_max_over_seeds() -> None:
    """Ten draws of each shape; what is gained at 4 bits is printed."""
    form = form_of("symmetric", 4)
    for shape in SHAPES:
        ratios = []
        for seed in range(10):
            x = sample(shape, seed)
            start = squared(x, form, (x.min(keepdims=True), x.max(keepdims=True)))
            found = squared(x, form, mse_range(x, form))
            assert found <= start
            ratios.append(found / start if start else 1.0)
        print(f"{shape}: squared error {min(ratios):.3f} to {max(ratios):.3f} of min-max")


@pytest.mark.parametrize("bins", [4, 16, 64, 256])
@pytest.mark.parametrize("shape", SHAPES)
def test_coarse_bins_break_no_promise(shape: str, bins: int) -> None:
    """Bins wider than a step tell too little to leave min-max by."""
    for seed in range(3):
        x, whole = sample(shape, seed, 200), MinMax()
        whole.observe(x)
        for name, bits in ((n, b) for n in NAMES for b in (2, 4, 6, 8)):
            form = form_of(name, bits)
            observer = Mse(form, bins=bins, search="golden")
            observer.observe(x)
            assert squared(x, form, observer.range()) <= squared(x, form, whole.range())


def test_each_channel_and_group_has_its_own_least_error() -> None:
    w = np.random.default_rng(1).standard_t(3, (6, 40)) * np.arange(1, 7)[:, None]
    form: Form = partial(symmetric, bits=3)
    for layout in (per_channel(0), per_group(0, 1, 16)):
        low, high = mse_range(w, form, layout=layout)
        found = form(low, high, layout=layout).squared_error(w)
        ends = layout.reduce(np.minimum, w), layout.reduce(np.maximum, w)
        assert (found <= form(*ends, layout=layout).squared_error(w)).all()
        blocks = [
            w[c, s : s + (layout.group_size or 40)]
            for c in range(6)
            for s in range(0, 40, layout.group_size or 40)
        ]
        alone = [form(*mse_range(b, form)).squared_error(b)[0] for b in blocks]
        assert found == pytest.approx(alone, rel=1e-12)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("bins", [32, 1024])
def test_the_bounds_of_a_histogram_hold(shape: str, bins: int) -> None:
    x = sample(shape)
    observer = Mse(form_of("affine", 8), bins=bins)
    for batch in np.split(x, 6):
        observer.observe(batch)
    for bits in (2, 4, 8):
        for factor in (0.3, 0.7, 1.0):
            grid = affine(x.min() * factor, x.max() * factor, bits=bits)
            true = float(np.square(x - grid.fake_quantize(x)).sum())
            slack = 1e-12 * float(np.square(x).sum())
            above, below = (float(f(observer.histogram, grid)[0]) for f in (at_most, at_least))
            assert below - slack <= true <= above + slack
            if bins == 1024 and bits == 4:
                assert above - below < 0.2 * true + slack


def test_an_unknown_search_is_refused() -> None:
    with pytest.raises(BadConfig, match="grid, golden; found 'line'"):
        mse_range(np.ones(3), partial(affine, bits=8), search="line")  # type: ignore[arg-type]


def test_cross_entropy_keeps_the_class_where_squared_error_does() -> None:
    """Logits of networks trained on digits, affine grids of 4 bits, images they never saw.

    The last digits of a training differ between processors, and a class with them: the five seeds
    are held to it together.
    """
    datasets = pytest.importorskip("sklearn.datasets")
    images, labels = datasets.load_digits(return_X_y=True)
    found = np.array([kept_classes(images / 16, labels, seed) for seed in range(5)])
    for seed, (entropy, square) in enumerate(found):
        print(f"seed {seed}: class kept {entropy:.4f} by cross-entropy, {square:.4f} by square")
    assert found[:, 0].sum() >= found[:, 1].sum()
    assert found.min() > 0.95


def kept_classes(images: Reals, labels: NDArray[np.int64], seed: int) -> tuple[float, float]:
    """Shares of unseen images that keep their class, by cross-entropy and by squared error."""
    order = np.random.default_rng(seed).permutation(len(images))
    fitted, calibrated, tested = order[:900], order[900:1300], order[1300:]
    weights = train(images[fitted], labels[fitted], seed)
    form: Form = partial(affine, bits=4)
    by_entropy, by_square = CrossEntropy(form, seed=seed), Mse(form)
    for batch in np.split(calibrated, 8):
        for observer in (by_entropy, by_square):
            observer.observe(logits(images[batch], weights))
    seen, held = (logits(images[i], weights) for i in (calibrated, tested))
    first, second = (form(*o.range()) for o in (by_entropy, by_square))
    entropies = [cross_entropy(seen, g.fake_quantize(seen)) for g in (first, second)]
    assert entropies[0] <= entropies[1]
    kept = [
        float(np.mean(g.fake_quantize(held).argmax(axis=1) == held.argmax(axis=1)))
        for g in (first, second)
    ]
    return kept[0], kept[1]


def train(x: Reals, labels: NDArray[np.int64], seed: int, hidden: int = 64) -> list[Reals]:
    """A network of one hidden layer, by gradient descent with momentum on batches of 30."""
    rng = np.random.default_rng(seed)
    weights = [rng.standard_normal((64, hidden)) / 8, rng.standard_normal((hidden, 10)) / 8]
    speed = [np.zeros_like(w) for w in weights]
    wanted = np.eye(10)[labels]
    for batch in (b for _ in range(20) for b in np.split(rng.permutation(len(x)), len(x) // 30)):
        inner = np.maximum(x[batch] @ weights[0], 0)
        out = np.exp(inner @ weights[1])
        error = (out / out.sum(axis=1, keepdims=True) - wanted[batch]) / len(batch)
        back = (error @ weights[1].T) * (inner > 0)
        for k, gradient in enumerate((x[batch].T @ back, inner.T @ error)):
            speed[k] = 0.9 * speed[k] - 0.05 * gradient
            weights[k] = weights[k] + speed[k]
    return weights


def logits(x: Reals, weights: list[Reals]) -> Reals:
    return np.asarray(np.maximum(x @ weights[0], 0) @ weights[1])


def test_cross_entropy_by_hand_and_its_sample() -> None:
    v = np.array([[0.0, np.log(3.0)]])
    assert cross_entropy(v, v) == pytest.approx(-(0.25 * np.log(0.25) + 0.75 * np.log(0.75)))
    assert cross_entropy(v, v * 0) == pytest.approx(np.log(2.0))
    observer = CrossEntropy(partial(affine, bits=2), capacity=100, seed=3)
    rows = np.arange(2000.0).reshape(1000, 2)
    for batch in np.split(rows, 50):
        observer.observe(batch)
    kept = observer._kept[:, 0] / 2
    assert len(set(kept.tolist())) == 100
    assert set(kept.tolist()) <= set(range(1000))
    # A uniform sample of 0..999: 4 standard errors of the mean of 100.
    assert abs(kept.mean() - 499.5) < 4 * 288.7 / 10
    again = CrossEntropy(partial(affine, bits=2), capacity=100, seed=3)
    for batch in np.split(rows, 4):
        again.observe(batch)
    with pytest.raises(IllegalValues, match="found 3 after 2"):
        again.observe(np.ones((5, 3)))


def test_batch_norm_ranges() -> None:
    beta, gamma = np.array([1.0, -2.0, 0.5]), np.array([0.5, 1.0, -3.0])
    low, high = batch_norm_range(beta, gamma)
    assert (low.tolist(), high.tolist()) == ([-17.5], [18.5])
    low, high = batch_norm_range(beta, gamma, per_channel=True, activation="relu6")
    assert (low.tolist(), high.tolist()) == ([0, 0, 0], [4.0, 4.0, 6.0])
    low, high = batch_norm_range(beta, gamma, alpha=1, activation="relu")
    assert (low.tolist(), high.tolist()) == ([0], [3.5])
    # What it stands for: normalized values, scaled and shifted, lie within 6 deviations.
    x = np.random.default_rng(0).standard_normal((100_000, 3)) * gamma + beta
    low, high = batch_norm_range(beta, gamma, per_channel=True)
    assert ((x >= low) & (x <= high)).all()
    with pytest.raises(BadConfig, match="none, relu, relu6; found 'tanh'"):
        batch_norm_range(beta, gamma, activation="tanh")  # type: ignore[arg-type]
    with pytest.raises(IllegalValues, match="one value a channel"):
        batch_norm_range(beta, gamma[:2])


def test_batch_norm_ranges_cover_six_deviations_over_seeds() -> None:
    """Of each channel, and no more than the widest needs; outputs of real batches lie within."""
    for seed in range(5):
        rng = np.random.default_rng(seed)
        beta, gamma = rng.standard_normal(32) * 2, rng.standard_normal(32)
        low, high = batch_norm_range(beta, gamma)
        for end in (beta - 6 * gamma, beta + 6 * gamma):
            assert ((low <= end) & (end <= high)).all()
        assert low.item() in np.minimum(beta - 6 * gamma, beta + 6 * gamma)
        assert high.item() in np.maximum(beta - 6 * gamma, beta + 6 * gamma)
        raw = rng.standard_normal((4000, 32)) * rng.uniform(0.1, 9, 32) + rng.uniform(-5, 5, 32)
        out = gamma * (raw - raw.mean(axis=0)) / raw.std(axis=0) + beta
        ends = batch_norm_range(beta, gamma, per_channel=True)
        used = (out.max(axis=0) - out.min(axis=0)) / (ends[1] - ends[0])
        print(f"seed {seed}: outputs use {used.min():.2f} to {used.max():.2f} of their range")
        assert ((out >= ends[0]) & (out <= ends[1])).all()


def test_sqnr_by_its_formula() -> None:
    x = np.array([[3.0, 4.0], [1.0, 0.0]])
    y = np.array([[3.0, 4.5], [1.0, 0.0]])
    assert sqnr_db(x, y) == pytest.approx(10 * np.log10(26 / 0.25))
    assert sqnr_db_by(x, y, per_channel(0)) == pytest.approx([20.0, 200.0])
    assert sqnr_db_by(x, y, per_channel(1)) == pytest.approx([200, 10 * np.log10(64)])
    # 6.02 dB a bit on a uniform signal.
    wide = np.linspace(-1, 1, 100_001)
    low, high = (sqnr_db(wide, affine(-1, 1, bits=b).fake_quantize(wide)) for b in (6, 10))
    assert (high - low) / 4 == pytest.approx(6.02, abs=0.05)
    with pytest.raises(IllegalValues, match="shapes must agree"):
        sqnr_db(x, y[0])
