"""Networks 64-64-64-10 trained on scikit-learn's digits, one a seed, as float graphs.

`digits` gives the images in halves of one split; `trained` the layers of a seed's network, `mlp`
of `tests.float_builder` makes the graph; `rescaled` moves factors between layers: the function
stays, the ranges of channels drift apart.
"""

import warnings
from functools import cache
from itertools import pairwise
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from simulator.execute import run
from simulator.graph import Graph
from tests.float_builder import mlp

SEEDS: Final = range(5)
LARGEST: Final = 64.0
Doubles = NDArray[np.float64]
Layers = tuple[tuple[Doubles, Doubles], ...]


class Digits(NamedTuple):
    """Images (samples, 64) from 0 to 1, float32, and their labels."""

    train: NDArray[np.float32]
    train_labels: NDArray[np.int64]
    test: NDArray[np.float32]
    test_labels: NDArray[np.int64]


@cache
def digits() -> Digits:
    """1 078 images to train and calibrate on, 719 to test: the same split for every seed."""
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(images))
    x, y = (images[order] / 16).astype(np.float32), labels[order].astype(np.int64)
    at = len(x) * 3 // 5
    return Digits(x[:at], y[:at], x[at:], y[at:])


@cache
def trained(seed: int) -> Layers:
    """(weights (outputs, inputs), bias) of each layer, ReLU between, logits last."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.neural_network import MLPClassifier

    data = digits()
    made = MLPClassifier((64, 64), random_state=seed, max_iter=200)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # 200 passes are enough
        made.fit(data.train.astype(np.float64), data.train_labels)
    return tuple((w.T.copy(), b) for w, b in zip(made.coefs_, made.intercepts_, strict=True))


def rescaled(layers: Layers, seed: int, largest: float = LARGEST) -> Layers:
    """Hidden unit k times s_k, the weights that read it divided by s_k; s in [1/largest, largest].

    log s is uniform. Nagel et al. 2021 (arXiv 2106.08295) section 3.2 backwards.
    """
    draw = np.random.default_rng(seed)
    made = [(w.copy(), b.copy()) for w, b in layers]
    for first, second in pairwise(made):
        s = largest ** draw.uniform(-1, 1, len(first[1]))
        first[0][:] *= s[:, None]
        first[1][:] *= s
        second[0][:] /= s
    return tuple(made)


def digits_graph(seed: int, *, scaled: bool = False, dtype: str = "float32") -> Graph:
    """The network of a seed, rescaled or not: input `x` (1, 64), logits (1, 10)."""
    layers = trained(seed)
    return mlp(rescaled(layers, seed) if scaled else layers, dtype=dtype)


def logits(graph: Graph, images: NDArray[Any]) -> NDArray[Any]:
    """(samples, 10), image by image."""
    (name,), (end,) = graph.inputs, graph.outputs
    shape, dtype = graph.tensors[name].shape, graph.tensors[name].dtype
    wide = images.astype(dtype)
    return np.array([run(graph, {name: x.reshape(shape)})[0][end].reshape(-1) for x in wide])


def accuracy(graph: Graph) -> float:
    """Of the test images, in percent."""
    data = digits()
    found = logits(graph, data.test).argmax(axis=1)
    return float(100 * np.mean(found == data.test_labels))
