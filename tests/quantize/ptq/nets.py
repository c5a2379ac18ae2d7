"""Small float networks in memory for tests of the pipeline, seeded."""

import numpy as np

from simulator.graph import Graph
from tests.float_builder import RELU, FloatNet
from workloads.quantize.ptq.samples import Samples, samples_of


def conv_net(seed: int, depth: int = 4, channels: int = 8) -> Graph:
    """Convolutions with ReLU, a residual sum, a pool, a product, a softmax; input `x` 8 x 8 x 3."""
    draw = np.random.default_rng(seed)
    net = FloatNet((1, 8, 8, 3))
    x, width = "x", 3
    for _ in range(depth):
        weights = draw.standard_normal((channels, 3, 3, width)) * np.sqrt(2 / (9 * width))
        made = net.conv(x, weights, draw.standard_normal(channels) / 8, bounds=RELU)
        x = net.arithmetic("add", x, made) if width == channels else made
        width = channels
    flat = net.flatten(net.max_pool(x))
    matrix = draw.standard_normal((10, net.shape(flat)[1])) / np.sqrt(net.shape(flat)[1])
    logits = net.dense(flat, matrix, draw.standard_normal(10) / 8)
    options = {"logarithm": False, "axes": (1,)}
    return net.graph(net.add_node("float_softmax", [logits], options))


def inputs(graph: Graph, count: int, seed: int = 0) -> Samples:
    """Standard normal samples of every input."""
    draw = np.random.default_rng(seed)
    shapes = {name: graph.tensors[name].shape for name in graph.inputs}
    arrays = {n: draw.standard_normal((count, *s)).astype(np.float32) for n, s in shapes.items()}
    return samples_of(graph, arrays)
