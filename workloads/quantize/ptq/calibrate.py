"""The grids of activations from a stream of batches: one observer a place, bounded memory.

Nagel et al. 2021 (arXiv 2106.08295) section 3.1; asymmetric grids, as its section 2.4.1 advises for
activations. Held at a time: one batch of the tensors that are looked at, and what the observers
keep of those before, which does not grow with their number.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final, Literal, TypeAlias, get_args

import numpy as np

from simulator.errors import BadConfig, IllegalValues
from simulator.graph import Array, Graph
from workloads.float_graph.edit import producer
from workloads.quantize import (
    CrossEntropy,
    Form,
    Grid,
    MinMax,
    MovingAverage,
    Mse,
    Observer,
    Percentile,
    affine,
    float32_scales,
    symmetric,
)
from workloads.quantize.ptq.places import Places, places
from workloads.quantize.ptq.simulate import forward

Method: TypeAlias = Literal["mse", "minmax", "moving-average", "percentile"]
Group: TypeAlias = tuple[str, ...]
Batches: TypeAlias = Iterable[Mapping[str, Array]]
"""Every graph input as [samples, *shape], a batch at a time."""
WIDE: Final = 16
"""Bits of activations whose zero point is 0: runtimes with 16-bit activations have no other."""


@dataclass(frozen=True)
class RangeSettings:
    """How the ranges of activations are found.

    `percentile` and `decay` are of the methods with these names. `cross_entropy` judges the logits
    by their probabilities in place of `method`. `symmetric_grids` keeps zero points at 0.
    """

    method: Method = "mse"
    percentile: float = 99.99
    decay: float = 0.9
    cross_entropy: bool = False
    symmetric_grids: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        if self.method not in get_args(Method):
            known = ", ".join(get_args(Method))
            raise BadConfig(f"ranges of activations are by {known}; found {self.method!r}")


def activation_form(bits: int, *, symmetric_grids: bool = False) -> Form:
    """Signed grids with scales of float32: affine, or symmetric where asked for and at 16 bits."""
    if symmetric_grids or bits == WIDE:
        return float32_scales(partial(symmetric, bits=bits))
    return float32_scales(partial(affine, bits=bits, signed=True))


def known_grid(ends: tuple[float, float], form: Form, bits: int) -> Grid:
    """The grid of a half-open range [low, high) that needs no data: softmax, logistic, tanh.

    The code above the greatest is at `high`: steps of 2^-8 for [0, 1) in 8 bits, as TFLite has it.
    """
    low, high = ends
    if form(0.0, 1.0).zero_point[0]:
        return form(low, high - (high - low) / 2**bits)
    reach = max(abs(low), abs(high)) * (1 - 2.0 ** (1 - bits))
    return form(-reach, reach)


def calibrate(
    graph: Graph,
    batches: Batches,
    bits: Mapping[Group, int],
    settings: RangeSettings | None = None,
) -> dict[str, Grid]:
    """The grid of every tensor of the groups in `bits`, from one pass over the batches.

    A group has one observer, which sees all its tensors of a batch at once. Raises IllegalValues
    for NaN and infinity with the tensor that holds it, and where there is no batch.
    """
    chosen, found = settings or RangeSettings(), places(graph)
    observers = _observers(graph, found, bits, chosen)
    seen = [n for group in observers for n in group if n not in graph.constants]
    for values in forward(graph, batches, seen) if seen else ():
        for group, observer in observers.items():
            _observe(graph, group, observer, values)
    grids = dict[str, Grid]()
    for group, width in bits.items():
        form = activation_form(width, symmetric_grids=chosen.symmetric_grids)
        if group in observers:
            grid = form(*observers[group].range())
        else:
            grid = known_grid(found.known[group[0]], form, width)
        grids |= dict.fromkeys(group, grid)
    return grids


def _observers(
    graph: Graph, found: Places, bits: Mapping[Group, int], settings: RangeSettings
) -> dict[Group, Observer]:
    """An observer for each group whose range is not known; constants are seen here."""
    last = set(logits(graph)) if settings.cross_entropy else set()
    made = dict[Group, Observer]()
    for group, width in bits.items():
        if group[0] in found.known:
            continue
        form = activation_form(width, symmetric_grids=settings.symmetric_grids)
        if last.intersection(group):
            made[group] = CrossEntropy(form, seed=settings.seed)
        else:
            made[group] = _observer(form, settings)
        if all(name in graph.constants for name in group):
            _observe(graph, group, made[group], graph.constants)
    return made


def _observer(form: Form, settings: RangeSettings) -> Observer:
    if settings.method == "mse":
        return Mse(form)
    if settings.method == "percentile":
        return Percentile(settings.percentile)
    return MovingAverage(settings.decay) if settings.method == "moving-average" else MinMax()


def _observe(graph: Graph, group: Group, observer: Observer, values: Mapping[str, Array]) -> None:
    """Show an observer a batch of a group, all tensors at once: averages are of batches."""
    names = [name for name in group if name in values]
    if isinstance(observer, CrossEntropy):
        names = names[-1:]
    if not names:
        return
    parts = [values[name] for name in names]
    whole = parts[0] if len(parts) == 1 else np.concatenate([p.reshape(-1) for p in parts])
    try:
        observer.observe(whole)
    except IllegalValues as error:
        raise IllegalValues(f"{graph.name}, tensor '{names[0]}': {error}") from None


def logits(graph: Graph) -> Sequence[str]:
    """For each output the tensor that classes are chosen by: before a softmax, if there is one."""
    found = []
    for name in graph.outputs:
        node = producer(graph, name)
        soft = node is not None and node.op.kind in ("softmax", "float_softmax")
        found.append(node.inputs[0] if node is not None and soft else name)
    return found
