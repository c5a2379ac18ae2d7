"""What training on grids is worth: 64-64-64-10 networks on the digits, five seeds, spread printed.

Rows 11, 18 and 23 of the reference's checklist. Show the numbers by `pytest -s`.
"""

from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

pytest.importorskip("jax", reason="training is tried where the extra `train` is installed")
pytest.importorskip("sklearn", reason="scikit-learn has the digits")

from tests.digits_mlp import SEEDS, accuracy, digits, digits_graph
from tests.train.nets import halves, share
from workloads.train import Epoch, Settings, predictions, train

RATE = 2e-3
POINT = 1.0


@cache
def served(seed: int, **settings: Any) -> tuple[float, tuple[Epoch, ...]]:
    """The accuracy of a seed's network as it is served, in percent, and what was told."""
    graph = digits_graph(seed)
    data, held = halves(graph)
    told = train(graph, data, Settings(seed=seed, learning_rate=RATE, **settings))
    (logits,) = predictions(told.plan, held.inputs).values()
    return share(logits, digits().test_labels), told.history


def every(**settings: Any) -> Any:
    """The accuracies of all seeds."""
    found = np.array([served(seed, **settings)[0] for seed in SEEDS])
    name = ", ".join(f"{key} {value}" for key, value in settings.items())
    print(f"\n{name}: {found.mean():.2f} % ({found.min():.2f} to {found.max():.2f})")
    return found


@cache
def floats() -> Any:
    """The accuracies of the float networks."""
    found = np.array([accuracy(digits_graph(seed)) for seed in SEEDS])
    print(f"\nfloat: {found.mean():.2f} % ({found.min():.2f} to {found.max():.2f})")
    return found


def test_eight_bits_keep_the_float_networks_accuracy() -> None:
    """Row 11: within a point."""
    assert floats().mean() - every(weights=8, activations=8, epochs=5).mean() <= POINT


def test_two_bit_weights_are_recovered() -> None:
    """Row 11: 30 points and more over rounding to nearest."""
    before = every(weights=2, activations=8, epochs=0)
    after = every(weights=2, activations=8, epochs=10)
    assert (after - before).mean() >= 30
    assert after.mean() >= floats().mean() - 3 * POINT


def test_learned_scales_are_as_good_as_fixed_ranges() -> None:
    """Row 18: W4A4 with learned scale and zero point, half a point at most behind."""
    fixed = every(weights=4, activations=4, epochs=10, ranges="one_shot", calibrate_at=0.0)
    learned = every(weights=4, activations=4, epochs=10, ranges="learned")
    assert learned.mean() >= fixed.mean() - 0.5


def test_one_calibration_sets_the_bounds_once() -> None:
    """Row 23: off before 20 % of training, set there, never again; when hardly matters."""
    kinds: dict[str, Any] = {"ranges": "one_shot", "range_decay": 0.9, "epochs": 10}
    means = []
    for at in (0.1, 0.2, 0.4):
        means.append(every(weights=4, activations=4, calibrate_at=at, **kinds).mean())
        for seed in SEEDS:
            history = served(seed, weights=4, activations=4, calibrate_at=at, **kinds)[1]
            bounds = [epoch.bounds for epoch in history]
            changes = [k for k in range(1, len(bounds)) if bounds[k] != bounds[k - 1]]
            # Set by the first step of the epoch behind.
            assert changes == [round(10 * at)]
            assert all(ends == (0, 0) for ends in bounds[0].values())
            assert all(high > low for low, high in bounds[-1].values())
    assert max(means) - min(means) <= POINT


def test_moving_averages_of_ranges_move() -> None:
    _, history = served(0, weights=8, activations=8, epochs=5)
    bounds = [epoch.bounds for epoch in history]
    assert all(a != b for a, b in pairwise(bounds))


@pytest.mark.parametrize(
    "settings",
    [{"rounding": "stochastic"}, {"average": 0.9}, {"per_channel": False}, {"optimizer": "sgd"}],
    ids=str,
)
def test_options_train_too(settings: dict[str, Any]) -> None:
    """W4A8 within two points of float; SGD with momentum at a rate of its own."""
    rate = 0.02 if "optimizer" in settings else RATE
    graph = digits_graph(0)
    data, held = halves(graph)
    given = Settings(weights=4, activations=8, epochs=5, learning_rate=rate, **settings)
    found = train(graph, data, given)
    (logits,) = predictions(found.plan, held.inputs).values()
    print(f"\n{settings}: {share(logits, digits().test_labels):.2f} %")
    assert share(logits, digits().test_labels) >= accuracy(graph) - 2 * POINT
