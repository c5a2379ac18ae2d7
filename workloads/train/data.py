"""Labelled samples as training takes them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from simulator.errors import IllegalValues
from simulator.graph import Array, Graph


@dataclass(frozen=True, eq=False)
class Samples:
    """Inputs by name, float32 [samples, *shape of the tensor], and targets.

    targets : classes, int [samples], or values [samples, ..] for squared errors.
    """

    inputs: Mapping[str, Array]
    targets: Array

    @property
    def count(self) -> int:
        """Number of samples."""
        return len(self.targets)

    def batch(self, rows: Array) -> tuple[dict[str, Array], Array]:
        """The samples of these rows."""
        return {name: value[rows] for name, value in self.inputs.items()}, self.targets[rows]


def samples_of(graph: Graph, inputs: Mapping[str, Array], targets: Array) -> Samples:
    """Samples checked against a graph; integers become float32 as they are.

    An input of batch 1 may leave out that axis. Raises IllegalValues for names, shapes, counts and
    values that do not fit.
    """
    if set(inputs) != set(graph.inputs):
        raise IllegalValues(
            f"{graph.name}: training data must hold {', '.join(graph.inputs)}; found "
            f"{', '.join(sorted(inputs)) or 'nothing'}"
        )
    made = {}
    for name, value in inputs.items():
        shape = graph.tensors[name].shape
        if shape[:1] == (1,) and value.shape[1:] == shape[1:]:
            value = value[:, None]
        if value.shape[1:] != shape:
            raise IllegalValues(
                f"{graph.name}: samples of '{name}' must have shape {shape}; "
                f"found {value.shape[1:]}"
            )
        made[name] = value.astype(np.float32)
        if not np.isfinite(made[name]).all():
            raise IllegalValues(f"{graph.name}: samples of '{name}' hold NaN or infinity")
    counts = {len(value) for value in made.values()} | {len(targets)}
    if len(counts) != 1 or 0 in counts:
        raise IllegalValues(
            f"{graph.name}: inputs and targets need one number of samples, 1 or more; found "
            f"{sorted(counts)}"
        )
    return Samples(made, np.asarray(targets))


def check_labels(name: str, classes: int, labels: Array) -> None:
    """Raise IllegalValues for labels that are no class of the network of that name."""
    if labels.ndim != 1 or labels.dtype.kind not in "iu":
        raise IllegalValues(
            f"{name}: labels must be integers, one a sample; found {labels.dtype} of shape "
            f"{labels.shape}"
        )
    if labels.min() < 0 or labels.max() >= classes:
        raise IllegalValues(
            f"{name}: labels must be 0 to {classes - 1}; found {labels.min()} to {labels.max()}"
        )


def order_of(count: int, batch: int, seed: int, epoch: int) -> Iterator[Array]:
    """The rows of each batch of an epoch, shuffled anew; what does not fill a batch is left out."""
    rows = np.random.default_rng((seed, 2, epoch)).permutation(count)
    size = min(batch, count)
    for start in range(0, count - size + 1, size):
        yield rows[start : start + size]
