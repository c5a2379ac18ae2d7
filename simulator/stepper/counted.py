"""What a layer's operands did on a machine, counted in full or from drawn stretches.

A `Stream` knows in which order the multipliers of one kind of machine see their operands; what is
counted, and how a sample becomes an estimate with a standard error, is the same for all of them.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from types import MappingProxyType
from typing import ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from simulator.mac import Product
from simulator.stepper.activity_kernels import (
    GATED_PRODUCT_TOGGLES,
    GATED_SUM_WRITES,
    HELD_TOGGLES,
    HELD_WRITES,
    PRODUCT_TOGGLES,
    SUM_TOGGLES,
)
from simulator.stepper.layout import Ints

Reals = NDArray[np.float64]
MOST_PRODUCTS: Final = 1 << 24
"""Products visited before stretches are drawn instead: some tenths of a second."""
LEAST_STRETCHES: Final = 30
"""Drawn at least, so that a standard error means something."""
TOGGLES: Final = ("weight", "activation", "accumulator", "product", "gated_product")
"""Toggles by kind: those of registers, then those of multipliers."""


@dataclass(frozen=True)
class Activity:
    """What one layer's operands did on an array.

    toggles, writes : bits that changed and words clocked, by register kind; empty where the order
        of the operands was not looked at.
    product_toggles : partial products, of a bit of each operand, that changed in multipliers at
        work; `gated_product_toggles` where one keeps its operands while one of the two is zero.
    gated_accumulator_writes : accumulator clocks left where one is not clocked for zero products.
    zero_activations, zero_weights, zero_products : products with such an operand, of `products`.
    essential_bits : ones in the magnitudes of the activations, over all products (Albericio et
        al., MICRO 2017): the passes of a bit-serial multiplier that skips zeros.
    covariance : of the estimates of each two toggle counts; empty where every product was visited.
    sampled : the share of the products that was visited.
    """

    products: int
    zero_activations: int
    zero_weights: int
    zero_products: int
    essential_bits: int
    toggles: Mapping[str, int]
    writes: Mapping[str, int]
    product_toggles: int
    gated_product_toggles: int
    gated_accumulator_writes: int
    covariance: Mapping[tuple[str, str], float]
    sampled: float

    @property
    def standard_error(self) -> Mapping[str, float]:
        """Of each toggle count; empty where every product was visited."""
        kinds = TOGGLES if self.covariance else ()
        return {kind: float(np.sqrt(self.covariance[kind, kind])) for kind in kinds}

    def count(self, kind: str) -> int:
        """One of the `TOGGLES`."""
        products = {"product": self.product_toggles, "gated_product": self.gated_product_toggles}
        return {**self.toggles, **products}[kind]

    def error_of(self, weights: Mapping[str, float]) -> float:
        """The standard error of a weighted sum of toggle counts."""
        if not self.covariance:
            return 0.0
        pairs = ((a, b) for a in weights for b in weights)
        variance = sum(weights[a] * weights[b] * self.covariance[a, b] for a, b in pairs)
        return float(np.sqrt(max(variance, 0.0)))


class Stream(ABC):
    """One layer's operands in the order in which a machine takes them, cut into stretches."""

    least_stretches: ClassVar[int] = LEAST_STRETCHES
    held_is_activation: bool = False
    """Whether what the counts call held are activations."""

    @abstractmethod
    def whole(self) -> Ints:
        """The int64 [COUNTS] of the whole layer."""

    @property
    @abstractmethod
    def stretches(self) -> int:
        """How many stretches there are."""

    @abstractmethod
    def visit(self, index: int) -> tuple[Ints, int]:
        """The int64 [COUNTS] of one stretch and its products; visited in ascending order."""

    @abstractmethod
    def exactly(self, most_products: int) -> Mapping[int, int]:
        """Counts of the whole layer for which no more than so many products are looked at."""

    def effort(self) -> float:
        """Products that must be looked at for one that is counted, on average."""
        return 1.0


def counted(
    stream: Stream | None, products: Sequence[Product], seed: int, most_products: int
) -> Activity:
    """Everything that is counted of a layer; without a stream what no order changes.

    Beyond `most_products` stretches are drawn with `seed`.
    """
    total = sum(p.x.shape[0] * p.w.size for p in products)
    x_zero, w_zero, both, bits = np.sum([_zeros(product) for product in products], axis=0).tolist()
    if stream is None:
        none: Mapping[str, int] = MappingProxyType({})
        free = MappingProxyType[tuple[str, str], float]({})
        return Activity(total, x_zero, w_zero, both, bits, none, none, 0, 0, 0, free, 1.0)
    if total <= most_products:
        counts, covariance, visited = stream.whole(), None, total
    else:
        counts, covariance, visited = _drawn(stream, total, seed, most_products)
    held, passing = (1, 0) if stream.held_is_activation else (0, 1)
    places = (HELD_TOGGLES + held, HELD_TOGGLES + passing, SUM_TOGGLES)
    every = (*places, PRODUCT_TOGGLES, GATED_PRODUCT_TOGGLES)
    shift = HELD_WRITES - HELD_TOGGLES
    of = dict(zip(TOGGLES, every, strict=True))
    spread = {}
    if covariance is not None:
        spread = {(a, b): float(covariance[of[a], of[b]]) for a in TOGGLES for b in TOGGLES}
    named = list(zip(TOGGLES, places, strict=False))
    return Activity(
        products=total,
        zero_activations=x_zero,
        zero_weights=w_zero,
        zero_products=both,
        essential_bits=bits,
        toggles=MappingProxyType({kind: int(counts[i]) for kind, i in named}),
        writes=MappingProxyType({kind: int(counts[i + shift]) for kind, i in named}),
        product_toggles=int(counts[PRODUCT_TOGGLES]),
        gated_product_toggles=int(counts[GATED_PRODUCT_TOGGLES]),
        gated_accumulator_writes=int(counts[GATED_SUM_WRITES]),
        covariance=MappingProxyType(spread),
        sampled=visited / max(total, 1),
    )


def uniform_products(
    products: Sequence[Product], codes: tuple[int, int], weight_bits: int, seed: int
) -> list[Product]:
    """Products as large of operands of which every code is as likely, and no bias.

    `codes` are the least and the greatest an activation may have, less its zero point where the
    machine subtracts it; weights have all codes of `weight_bits`.
    """
    rng, half = np.random.default_rng(seed), 1 << (weight_bits - 1)
    return [
        Product(
            _codes(rng, codes, p.x),
            _codes(rng, (-half, half - 1), p.w),
            np.zeros_like(p.bias),
            p.first_channel,
        )
        for p in products
    ]


def _codes(
    rng: np.random.Generator, codes: tuple[int, int], like: NDArray[np.int16]
) -> NDArray[np.int16]:
    return rng.integers(codes[0], codes[1] + 1, like.shape).astype(np.int16)


def _drawn(stream: Stream, total: int, seed: int, most: int) -> tuple[Ints, Reals, int]:
    """Counts scaled up from drawn stretches, their covariance [COUNTS, COUNTS], products visited.

    Two are drawn without replacement from each of so many parts of the layer, so that its ragged
    end is in every sample: the combined ratio estimator on products (Cochran, Sampling Techniques,
    3rd ed., section 6.11; the covariance in the manner of the variance).
    """
    wanted = int(most * stream.stretches / (total * stream.effort()))
    parts = max(stream.least_stretches, min(wanted, stream.stretches)) // 2
    drawn = _from_parts(stream.stretches, parts, np.random.default_rng(seed))
    visited = [[stream.visit(index) for index in part] for _, part in drawn]
    weights = [np.full(len(part), size / len(part)) for size, part in drawn]
    found = [np.array([counts for counts, _ in part], dtype=np.float64) for part in visited]
    m = [np.array([products for _, products in part], dtype=np.float64) for part in visited]
    ratio: Reals = np.sum([w @ y for w, y in zip(weights, found, strict=True)], axis=0)
    ratio /= sum(float(w @ n) for w, n in zip(weights, m, strict=True))
    covariance = np.zeros((len(ratio), len(ratio)))
    for (size, part), y, n in zip(drawn, found, m, strict=True):
        if len(part) < size:
            left = y - ratio * n[:, None]
            left -= left.mean(axis=0)
            scale = (1 - len(part) / size) * size**2 / len(part)
            covariance += scale * (left.T @ left) / (len(part) - 1)
    totals: Reals = ratio * total
    for kind, exact in stream.exactly(most).items():
        totals[kind] = exact
        covariance[kind], covariance[:, kind] = 0.0, 0.0
    return np.rint(totals).astype(np.int64), covariance, int(sum(n.sum() for n in m))


def _from_parts(
    stretches: int, parts: int, rng: np.random.Generator
) -> list[tuple[int, list[int]]]:
    """How many stretches each part of the layer has, and those drawn of it, ascending."""
    edges = np.linspace(0, stretches, min(parts, stretches) + 1).astype(int).tolist()
    drawn = []
    for first, end in pairwise(edges):
        some = rng.permutation(end - first)[:2]
        drawn.append((end - first, sorted((first + some).tolist())))
    return drawn


def _zeros(product: Product) -> tuple[int, int, int, int]:
    """Products with a zero activation, a zero weight, either; ones in activations' magnitudes."""
    x, w = product.x, product.w
    rows, channels = len(x), len(w)
    x_open = np.count_nonzero(x, axis=0).astype(np.int64)
    w_open = np.count_nonzero(w, axis=0).astype(np.int64)
    total = rows * w.size
    bits = np.bitwise_count(np.abs(x.astype(np.int32))).sum(dtype=np.int64)
    return (
        total - channels * int(x_open.sum()),
        total - rows * int(w_open.sum()),
        total - int(x_open @ w_open),
        channels * int(bits),
    )
