"""Plans by the plainest means: grids from the least and greatest value that the data gives."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import numpy as np

import workloads
from analysis.validate import Validation, validate
from simulator.graph import Array, Graph
from workloads.float_graph import layers
from workloads.quantize import (
    PER_TENSOR,
    Form,
    Grid,
    affine,
    float32_scales,
    per_channel,
    symmetric,
)
from workloads.quantize.ptq import Plan, Weights, forward, places

INT8: Form = float32_scales(partial(affine, bits=8, signed=True))
UINT8: Form = float32_scales(partial(affine, bits=8))
INT16: Form = float32_scales(partial(symmetric, bits=16))


def known_grid(form: Form, ends: tuple[float, float]) -> Grid:
    """Of a half-open range [0, 1) or [-1, 1): steps of a power of two, the codes of `form`."""
    like = form(*ends)
    codes = like.high - like.low + 1
    if like.zero_point == (0,) and like.low < 0:
        return Grid((2.0 / codes,), (0,), like.low, like.high)
    low, high = ends
    step = (high - low) / codes
    return Grid((step,), (like.low - round(low / step),), like.low, like.high)


def min_max_plan(
    graph: Graph,
    batch: Mapping[str, Array],
    form: Form = INT8,
    *,
    weight_bits: int | Callable[[str], int] = 8,
    channels: bool = True,
) -> Plan:
    """Activations by `form`, symmetric restricted weights, a scale a filter with `channels`."""
    found = places(graph)
    (values,) = forward(graph, [batch], found.tensors)
    grids = dict[str, Grid]()
    for group in found.groups:
        low, high = (
            np.array([end([pick(values[name]) for name in group])])
            for end, pick in ((min, np.min), (max, np.max))
        )
        known = found.known.get(group[0])
        grids |= dict.fromkeys(group, known_grid(form, known) if known else form(low, high))
    weights = {}
    for layer in layers(graph):
        w = graph.constants[layer.weights]
        bits = weight_bits if isinstance(weight_bits, int) else weight_bits(layer.weights)
        layout = per_channel(layer.filter_axis) if channels else PER_TENSOR
        ends = (layout.reduce(ufunc, w) for ufunc in (np.minimum, np.maximum))
        restricted = float32_scales(partial(symmetric, bits=bits, restricted=True))
        grid = restricted(*ends, layout=layout)
        weights[layer.weights] = Weights(grid.quantize(w), grid)
    return Plan(graph, weights, grids)


def against_litert(data: bytes, folder: Path, samples: int = 3, seed: int = 0) -> Validation:
    """Every tensor of a `.tflite`, read back, against LiteRT's reference kernels."""
    path = folder / "exported.tflite"
    path.write_bytes(data)
    graph = workloads.load(path)
    return validate(graph, path, "litert-ref", count=samples, seed=seed)
