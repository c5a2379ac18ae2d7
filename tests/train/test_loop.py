"""Runs: the same bits again, stopped and resumed, refused where they cannot be."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("jax", reason="training is tried where the extra `train` is installed")

import jax

from simulator.errors import BadConfig, BadFile, IllegalValues, RunFolderBusy
from tests.float_builder import mlp
from workloads.train import Epoch, Samples, Settings, Trained, samples_of, train

DRAW = np.random.default_rng(0)
IMAGES = DRAW.normal(0, 1, (96, 1, 6)).astype(np.float32)
LABELS = (IMAGES[:, 0, :3].argmax(axis=1)).astype(np.int64)
LAYERS = [(DRAW.normal(0, 0.5, (8, 6)), np.zeros(8)), (DRAW.normal(0, 0.5, (3, 8)), np.zeros(3))]
GRAPH = mlp(LAYERS)
DATA = samples_of(GRAPH, {"x": IMAGES}, LABELS)
KINDS: list[dict[str, Any]] = [
    {"ranges": "learned", "rounding": "stochastic", "average": 0.5, "weight_decay": 1e-3},
    {"ranges": "one_shot", "optimizer": "sgd", "warm_up": 0.2, "start": "scratch"},
]


def assert_same(a: Trained, b: Trained) -> None:
    """Bit for bit: parameters, state, codes, grids and what was told."""
    for left, right in ((a.parameters, b.parameters), (a.state, b.state)):
        for one, other in zip(jax.tree.leaves(left), jax.tree.leaves(right), strict=True):
            np.testing.assert_array_equal(one, other)
    assert a.plan.activations == b.plan.activations
    for name, held in a.plan.weights.items():
        np.testing.assert_array_equal(held.codes, b.plan.weights[name].codes)
        assert held.grid == b.plan.weights[name].grid
    assert a.history == b.history


@pytest.mark.parametrize("kind", KINDS, ids=lambda k: str(k["ranges"]))
def test_a_stopped_run_goes_on_where_it_was(kind: dict[str, Any], tmp_path: Path) -> None:
    """Ctrl-C in the third of six passes: the checkpoint has two, and the end has the same bits."""
    settings = Settings(weights=4, activations=4, epochs=6, batch=16, seed=3, **kind)
    whole = train(GRAPH, DATA, settings)
    assert_same(whole, train(GRAPH, DATA, settings))
    path = tmp_path / "run.npz"

    def stop(epoch: Epoch) -> None:
        if epoch.number == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(GRAPH, DATA, settings, checkpoint=path, report=stop)
    told: list[int] = []
    resumed = train(GRAPH, DATA, settings, checkpoint=path, report=lambda e: told.append(e.number))
    assert told == [3, 4, 5, 6]
    assert_same(whole, resumed)
    assert [p.name for p in tmp_path.iterdir()] == ["run.npz"]


def test_seeds_differ() -> None:
    given = Settings(weights=4, activations=4, epochs=2, batch=16)
    first, second = (train(GRAPH, DATA, replace(given, seed=seed)) for seed in (0, 1))
    assert first.history != second.history


def test_checkpoints_of_other_runs_and_other_files(tmp_path: Path) -> None:
    path = tmp_path / "run.npz"
    settings = Settings(epochs=1)
    train(GRAPH, DATA, settings, checkpoint=path)
    with pytest.raises(RunFolderBusy, match=r"run\.npz: the checkpoint is of other settings"):
        train(GRAPH, DATA, Settings(epochs=2), checkpoint=path)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(BadFile, match=r"run\.npz: not a checkpoint of training"):
        train(GRAPH, DATA, settings, checkpoint=path)


def test_a_network_learns_what_separates_the_classes() -> None:
    found = train(GRAPH, DATA, Settings(epochs=40, batch=16, learning_rate=1e-2), held=DATA)
    assert found.history[-1].loss < 0.5 * found.history[0].loss
    assert found.history[-1].held is not None
    assert found.history[-1].held > 0.9


def test_squared_errors_fit_values() -> None:
    targets = IMAGES[:, 0, :3] ** 2
    data = samples_of(GRAPH, {"x": IMAGES}, targets)
    given = Settings(epochs=40, batch=16, learning_rate=1e-2, loss="squared_error")
    found = train(GRAPH, data, given)
    assert found.history[-1].loss < 0.5 * found.history[0].loss
    assert found.history[-1].accuracy == 0


def test_widths_of_the_ends() -> None:
    """8 bits for what the first and last layer multiply, 4 between."""
    layers = [(np.eye(6), np.zeros(6))] * 3
    graph = mlp(layers)
    found = train(graph, samples_of(graph, {"x": IMAGES}, LABELS), Settings(4, 4, 8, epochs=0))
    assert [held.grid.high for held in found.plan.weights.values()] == [127, 7, 127]
    assert [grid.high for grid in found.plan.activations.values()] == [255, 15, 255, 255]


@pytest.mark.parametrize(
    ("field", "value", "rule"),
    [
        ("weights", 1, "2 to 8 bits, or 0 for float; found 1"),
        ("ranges", "lsq", "one of ema, one_shot, learned; found 'lsq'"),
        ("calibrate_at", 1.5, "from 0 to 1; found 1.5"),
        ("learning_rate", float("nan"), "0 or more, and finite; found nan"),
        ("batch", 0, "1 or more; found 0"),
    ],
)
def test_settings_that_cannot_be(field: str, value: Any, rule: str) -> None:
    with pytest.raises(BadConfig, match=f"training: {field} must be {rule}"):
        Settings(**{field: value})


def test_data_that_does_not_fit() -> None:
    with pytest.raises(IllegalValues, match=r"samples of 'x' must have shape \(1, 6\)"):
        samples_of(GRAPH, {"x": IMAGES[..., :5]}, LABELS)
    with pytest.raises(IllegalValues, match="training data must hold x; found y"):
        samples_of(GRAPH, {"y": IMAGES}, LABELS)
    with pytest.raises(IllegalValues, match="one number of samples"):
        samples_of(GRAPH, {"x": IMAGES}, LABELS[:5])
    with pytest.raises(IllegalValues, match="labels must be 0 to 2; found 0 to 7"):
        train(GRAPH, Samples({"x": IMAGES}, np.arange(96) % 8), Settings(epochs=1))
