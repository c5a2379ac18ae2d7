"""Small networks of convolutions and residual sums, made at random for the tests of chains."""

from dataclasses import replace
from random import Random

import numpy as np

from simulator.graph import Graph, Node
from simulator.ops.conv_2d import Conv2D
from tests.machines.depth_first_oracle import Reader, Step
from tests.ops.build import OneOp, tensor

CHANNELS = 16
_OPTIONS = {"stride_h": 1, "stride_w": 1, "dilation_h_factor": 1, "dilation_w_factor": 1}


def convolution(kernel: tuple[int, int]) -> Conv2D:
    """An int8 convolution of `CHANNELS` channels; geometry is set with `replace`."""
    kind = tensor((1, 9, 9, CHANNELS), 0.5, 3)
    filters = tensor((CHANNELS, *kernel, CHANNELS), 0.25)
    options = {**_OPTIONS, "padding": "VALID", "fused_activation_function": "NONE"}
    values = (None, np.zeros(filters.shape, np.int8), None)
    op = OneOp("CONV_2D", options, (kind, filters, None), kind, values, frozenset({1})).operator()
    assert isinstance(op, Conv2D)
    return op


def network(seed: int, layers: int = 4) -> tuple[Graph, list[Step]]:
    """A run of convolutions, some with the sum of an earlier tensor, and the same for the oracle.

    Kernels of 1 to 3, strides and dilations of 1 or 2, explicit padding on every side.
    """
    rng = Random(seed)
    size = rng.randint(5, 14), rng.randint(5, 14)
    kinds = {"t0": tensor((1, *size, CHANNELS), 0.5, 3)}
    constants, nodes, steps = {}, [], []
    sizes = {"t0": size}
    last = "t0"
    for place in range(layers):
        name = f"t{len(kinds)}"
        same = [t for t in sizes if sizes[t] == sizes[last] and t != last]
        if same and rng.random() < 0.5:
            kind = kinds[last]
            options = {"fused_activation_function": "NONE"}
            op = OneOp("ADD", options, (kind, kind), kind, (None, None)).operator()
            other = rng.choice(same)
            nodes.append(Node(name, op, (last, other), (name,)))
            axes = [(1, 1, 1, 0, length) for length in sizes[last]]
            readers = [Reader(t, (axes[0], axes[1])) for t in (last, other)]
            made = sizes[last]
        else:
            kernel, stride, dilation, pad, made = _geometry(rng, sizes[last])
            op = replace(convolution(kernel), stride=stride, dilation=dilation, padding=pad)
            w = f"w{place}"
            kinds_w = tensor((CHANNELS, *kernel, CHANNELS), 0.25)
            constants[w] = (kinds_w, np.zeros(kinds_w.shape, np.int8))
            nodes.append(Node(name, op, (last, w), (name,)))
            axes = [(kernel[k], stride[k], dilation[k], pad[k], sizes[last][k]) for k in range(2)]
            readers = [Reader(last, (axes[0], axes[1]))]
        sizes[name], kinds[name] = made, tensor((1, *made, CHANNELS), 0.5, 3)
        steps.append(Step(name, made, readers))
        last = name
    kinds |= {name: kind for name, (kind, _) in constants.items()}
    held = {name: value for name, (_, value) in constants.items()}
    return Graph(f"net{seed}", tuple(nodes), kinds, held, ("t0",), (last,)), steps


Pair = tuple[int, int]


def _geometry(rng: Random, size: Pair) -> tuple[Pair, Pair, Pair, tuple[int, int, int, int], Pair]:
    """Kernel, stride, dilation, padding (top, left, bottom, right) and the output's size."""
    while True:
        kernel, stride, dilation = (
            (rng.randint(1, most), rng.randint(1, most)) for most in (3, 2, 2)
        )
        pad = rng.randint(0, 1), rng.randint(0, 1), rng.randint(0, 1), rng.randint(0, 1)
        made = []
        for k in range(2):
            room = size[k] + pad[k] + pad[2 + k] - (kernel[k] - 1) * dilation[k] - 1
            made.append(room // stride[k] + 1)
        if min(made) >= 1:
            return kernel, stride, dilation, pad, (made[0], made[1])
