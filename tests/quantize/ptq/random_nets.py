"""Random small float64 networks of convolutions, whose channels differ wildly in range."""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from simulator.graph import Graph
from simulator.numeric.bounds import UNBOUNDED, Bounds
from tests.float_builder import RELU, RELU6, FloatNet

CHANNELS: Final = 4
Doubles = NDArray[np.float64]
KINDS: Final = (
    *("conv", "pointwise", "depthwise", "grouped", "max pool", "average pool", "pad"),
    *("leaky", "residual", "clip", "transposes", "wide depthwise"),
)


@dataclass(frozen=True)
class Recipe:
    """The operators of a network, its end, and the seed of its numbers."""

    kinds: tuple[str, ...]
    activations: tuple[str, ...]
    end: str
    seed: int


recipes: st.SearchStrategy[Recipe] = st.builds(
    Recipe,
    st.lists(st.sampled_from(KINDS), min_size=1, max_size=6).map(tuple),
    st.lists(st.sampled_from(("none", "relu", "relu6")), min_size=6, max_size=6).map(tuple),
    st.sampled_from(("flatten", "mean", "conv")),
    st.integers(0, 2**31),
)


def built(recipe: Recipe, *, largest: float = 2.0) -> Graph:
    """The network: input (1, 12, 12, 3); channel k of a layer times 10^u, |u| < `largest`."""
    maker = _Maker(recipe, largest)
    for kind, activation in zip(recipe.kinds, recipe.activations, strict=False):
        maker.add(kind, activation)
    return maker.ended(recipe.end)


def bounds(activation: str) -> Bounds:
    return {"none": UNBOUNDED, "relu": RELU, "relu6": RELU6}[activation]


class _Maker:
    def __init__(self, recipe: Recipe, largest: float) -> None:
        self.net, self.draw = (
            FloatNet((1, 12, 12, 3), "float64"),
            np.random.default_rng(recipe.seed),
        )
        self.largest = largest
        self.x = self.net.conv("x", self.weights(CHANNELS, 3, 3), self.bias(CHANNELS), bounds=RELU)

    def weights(self, filters: int, size: int, inputs: int) -> Doubles:
        wide = 10 ** self.draw.uniform(-self.largest, self.largest, (filters, 1, 1, 1))
        values: Doubles = wide * self.draw.standard_normal((filters, size, size, inputs))
        if self.draw.random() < 0.3:
            values[self.draw.integers(filters)] = 0
        made: Doubles = values / values.std()
        return made

    def bias(self, count: int) -> Doubles | None:
        found: Doubles = self.draw.standard_normal(count)
        return found if self.draw.random() < 0.7 else None

    def layer(self, x: str, size: int, inputs: int, cut: Bounds, filters: int = CHANNELS) -> str:
        stride = 2 if self.draw.random() < 0.2 and self.net.shape(x)[1] > 4 else 1
        weights = self.weights(filters, size, inputs)
        return self.net.conv(x, weights, self.bias(filters), bounds=cut, stride=stride)

    def add(self, kind: str, activation: str) -> None:
        net, x, cut = self.net, self.x, bounds(activation)
        made: dict[str, Any] = {
            "conv": lambda: self.layer(x, 3, CHANNELS, cut),
            "pointwise": lambda: self.layer(x, 1, CHANNELS, cut),
            "depthwise": lambda: self.layer(x, 3, 1, cut),
            "grouped": lambda: self.layer(x, 3, CHANNELS // 2, cut),
            "wide depthwise": lambda: self.layer(
                self.layer(x, 3, 1, cut, 2 * CHANNELS), 1, 2 * CHANNELS, cut
            ),
            "max pool": lambda: net.max_pool(x) if net.shape(x)[1] > 3 else x,
            "average pool": lambda: net.average_pool(x) if net.shape(x)[1] > 3 else x,
            "pad": lambda: net.pad(x, [(0, 0), (1, 0), (0, 2), (0, 0)]),
            "leaky": lambda: net.unary(x, "leaky_relu", 0.25),
            "clip": lambda: net.unary(x, "clip", 0.0, 2.5),
            "transposes": lambda: net.transpose(net.transpose(x, (0, 3, 1, 2)), (0, 2, 3, 1)),
            "residual": lambda: self.residual(cut),
        }
        self.x = made[kind]()

    def residual(self, cut: Bounds) -> str:
        first = self.net.conv(self.x, self.weights(6, 1, CHANNELS), self.bias(6), bounds=cut)
        second = self.net.conv(first, self.weights(6, 3, 1), self.bias(6), bounds=cut)
        third = self.net.conv(second, self.weights(CHANNELS, 1, 6), self.bias(CHANNELS))
        return self.net.arithmetic("add", self.x, third, bounds=cut)

    def ended(self, end: str) -> Graph:
        net = self.net
        if end == "conv":
            return net.graph(net.conv(self.x, self.weights(5, 1, CHANNELS), padding="VALID"))
        rows = net.mean(self.x) if end == "mean" else net.flatten(self.x)
        columns = net.shape(rows)[1]
        weights = self.draw.standard_normal((columns, 5)) / columns**0.5
        return net.graph(net.matmul(rows, weights, self.draw.standard_normal(5)))
