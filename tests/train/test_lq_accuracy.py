"""What learned bases are worth on the digits: five seeds, spread printed (`pytest -s`).

Against float, against the same uniform grids kept as they started, and against training on the
uniform grids of `workloads.train` at the same widths; first and last layers float in all of them.
"""

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest

pytest.importorskip("jax", reason="training is tried where the extra `train` is installed")
pytest.importorskip("sklearn", reason="scikit-learn has the digits")

from simulator.graph import Graph
from tests.digits_mlp import SEEDS, digits, digits_graph
from tests.train.nets import cnn, halves, share
from workloads.train import Settings, predictions, train
from workloads.train.lq import accuracy, train_lq
from workloads.train.lq_settings import LqSettings

WIDTHS = ((1, 2), (2, 2), (3, 3))
Nets = Callable[[int], Graph]


@cache
def cnn_trained(seed: int) -> Graph:
    """The convolutional network, trained in float."""
    graph = cnn(seed)
    given = Settings(0, 0, start="scratch", epochs=15, learning_rate=1e-2, seed=seed)
    return train(graph, halves(graph)[0], given).plan.graph


def told(name: str, found: list[float]) -> float:
    """The mean over the seeds, in percent; printed with the spread."""
    print(f"\n{name}: {np.mean(found):.2f} % ({min(found):.2f} to {max(found):.2f})")
    return float(np.mean(found))


def learned(nets: Nets, name: str, rate: float, **settings: Any) -> float:
    """The accuracy of networks on learned bases."""
    found = []
    for seed in SEEDS:
        data, held = halves(nets(seed))
        given = LqSettings(epochs=10, learning_rate=rate, seed=seed, **settings)
        found.append(100 * accuracy(train_lq(nets(seed), data, given).network, held))
    return told(name, found)


def uniform(nets: Nets, name: str, rate: float, bits: tuple[int, int], epochs: int = 10) -> float:
    """The accuracy of networks on the grids of the integer network; (0, 0) and 0 for float."""
    found = []
    for seed in SEEDS:
        data, held = halves(nets(seed))
        given = Settings(*bits, ends=0, epochs=epochs, learning_rate=rate, seed=seed)
        (logits,) = predictions(train(nets(seed), data, given).plan, held.inputs).values()
        found.append(share(logits, digits().test_labels))
    return told(name, found)


def test_learned_bases_on_a_network_of_layers() -> None:
    """64-64-64-10: two points of float at one-bit weights, no worse than uniform training."""
    real = uniform(digits_graph, "float", 2e-3, (0, 0), 0)
    for weights, activations in WIDTHS:
        name = f"W{weights}A{activations}"
        made = learned(digits_graph, name, 2e-3, weights=weights, activations=activations)
        assert made >= real - 2
        if weights > 1:
            plain = uniform(digits_graph, f"{name} uniform", 2e-3, (weights, activations))
            assert made >= plain - 0.5


@pytest.mark.slow
def test_learned_bases_on_a_convolutional_network() -> None:
    """The gain over training on symmetric grids of 2 bits, and how much of it is the grid's."""
    real = uniform(cnn_trained, "CNN float", 5e-3, (0, 0), 0)
    for weights, activations in WIDTHS:
        name = f"CNN W{weights}A{activations}"
        given = {"weights": weights, "activations": activations}
        made = learned(cnn_trained, name, 5e-3, **given)
        kept = learned(cnn_trained, f"{name} bases kept", 5e-3, decay=1.0, **given)
        first = learned(cnn_trained, f"{name} published start", 5e-3, bases="published", **given)
        assert min(made, first) >= kept - 2
        if weights > 1:
            plain = uniform(cnn_trained, f"{name} uniform", 5e-3, (weights, activations))
            assert made >= plain - 0.5
    assert made >= real - 2
