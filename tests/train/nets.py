"""Small float networks on the digits: layers alone, convolutions, and a residual network."""

from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simulator.graph import Array, Graph
from tests.digits_mlp import digits
from tests.float_builder import RELU, RELU6, FloatNet
from workloads.train import Samples, Settings, Trained, samples_of, train

Weights = Callable[..., NDArray[np.float64]]


def drawn(seed: int) -> Weights:
    """He-normal weights, filters first."""
    draw = np.random.default_rng(seed)
    return lambda *shape: draw.standard_normal(shape) * np.sqrt(2 * shape[0] / prod(shape))


def cnn(seed: int) -> Graph:
    """Convolutions, plain and depthwise, ReLU and ReLU6, both pools."""
    w, net = drawn(seed), FloatNet((1, 8, 8, 1))
    x = net.max_pool(net.conv("x", w(8, 3, 3, 1), np.zeros(8), bounds=RELU))
    x = net.conv(x, w(16, 3, 3, 8), np.zeros(16), bounds=RELU)
    x = net.average_pool(net.conv(x, w(16, 3, 3, 1), np.zeros(16), bounds=RELU6))
    return net.graph(net.dense(net.flatten(x), w(10, 64), np.zeros(10)))


def normalized(net: FloatNet, x: str) -> str:
    """A batch normalization that changes nothing yet."""
    ones, zeros = np.ones(net.shape(x)[-1]), np.zeros(net.shape(x)[-1])
    return net.batch_norm(x, (ones, zeros, zeros, ones))


def resnet(seed: int) -> Graph:
    """A stem and two residual blocks with batch normalization, a global average, a classifier."""
    w, net = drawn(seed), FloatNet((1, 8, 8, 1))
    x = net.unary(normalized(net, net.conv("x", w(8, 3, 3, 1))), "relu")
    for channels, stride in ((8, 1), (16, 2)):
        before = net.shape(x)[-1]
        y = normalized(net, net.conv(x, w(channels, 3, 3, before), stride=stride))
        y = normalized(net, net.conv(net.unary(y, "relu"), w(channels, 3, 3, channels)))
        if stride > 1:
            x = normalized(net, net.conv(x, w(channels, 1, 1, before), stride=stride))
        x = net.unary(net.arithmetic("add", x, y), "relu")
    x = net.average_pool(x, 4)
    return net.graph(net.dense(net.flatten(x), w(10, 16), np.zeros(10)))


def halves(graph: Graph) -> tuple[Samples, Samples]:
    """The digits to train on and those held out, in the shape of a graph's input."""
    data, shape = digits(), graph.tensors["x"].shape
    return (
        samples_of(graph, {"x": data.train.reshape(-1, *shape)}, data.train_labels),
        samples_of(graph, {"x": data.test.reshape(-1, *shape)}, data.test_labels),
    )


def fitted(graph: Graph, **settings: Any) -> Trained:
    """A network trained on the digits."""
    return train(graph, halves(graph)[0], Settings(**settings))


def share(logits: Array, labels: Array) -> float:
    """Of right predictions, in percent."""
    return float(100 * np.mean(logits.reshape(len(labels), -1).argmax(axis=1) == labels))
