"""A labelled set: inputs with the class of each, or with reference outputs, from an `.npz`.

Keys are the graph's: inputs by tensor name or `input_0`, reference outputs by tensor name or
`output_0`, and `labels`. Read `LabelledSet`, then `load_labelled`.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from analysis.arrays import load_npz
from simulator.decode import value_range
from simulator.errors import IllegalValues
from simulator.graph import STORAGE, Array, Graph, TensorType
from workloads.zoo import digits

DIGITS: Final = "zoo:digits"
"""Names the held-back images of the shipped network, in place of a file."""
_ALIASES: Final = {"x": "input_0", "y": "labels"}
_OTHERS: Final = ("calibration", "classes")
"""What a data set may hold beside: images for a quantizer, the names of the classes."""


@dataclass(frozen=True)
class LabelledSet:
    """N samples of a graph's inputs, as the engine takes them.

    inputs : by tensor name, [N, *shape of the tensor] in its storage dtype.
    labels : int64 [N], the class of each sample; None for a set without.
    references : by output name, float64 [N, elements], real values; empty without.
    digest : SHA-256 of all these.
    place : what the messages call it.
    """

    inputs: Mapping[str, Array]
    labels: NDArray[np.int64] | None
    references: Mapping[str, NDArray[np.float64]]
    digest: str
    place: str

    @property
    def count(self) -> int:
        """Number of samples."""
        return len(next(iter(self.inputs.values())))


def load_labelled(graph: Graph, name: str | Path) -> LabelledSet:
    """The set in an `.npz`, or of `zoo:digits`, checked against a graph.

    Arrays in an input's storage dtype are its codes; others are real values and go onto its grid,
    ties to even: floats are clamped, integers must lie within. `x` and `y` are read as `input_0`
    and `labels`. Raises BadFile for what is no `.npz`, IllegalValues for a key that means nothing,
    a missing input, a shape, a dtype, or a label that do not fit.
    """
    place = str(name)
    if place == DIGITS:
        images, found = digits.heldout()
        arrays: dict[str, Array] = {"input_0": images, "labels": found}
    else:
        arrays = load_npz(Path(name))
    arrays = {_ALIASES.get(k, k): v for k, v in arrays.items() if k not in _OTHERS}
    labels = arrays.pop("labels", None)
    matched = _matched(graph, arrays, place)
    for tensor in graph.inputs:
        if tensor not in matched:
            known = ", ".join(f"'{n}' (or input_{i})" for i, n in enumerate(graph.inputs))
            raise IllegalValues(f"{place}: input '{tensor}' is missing; the inputs are {known}")
    inputs = {n: _stacked(graph.tensors[n], n, matched[n], place) for n in graph.inputs}
    counts = {len(value) for value in inputs.values()}
    if len(counts) != 1 or 0 in counts:
        raise IllegalValues(
            f"{place}: every input needs the same number of samples, 1 or more; found "
            f"{sorted(counts)}"
        )
    (count,) = counts
    classes = None if labels is None else _classes(graph, labels, count, place)
    references = {
        n: _reference(graph.tensors[n], n, matched[n], count, place)
        for n in graph.outputs
        if n in matched
    }
    digest = _digest([*inputs.items(), *references.items(), ("labels", classes)])
    return LabelledSet(inputs, classes, references, digest, place)


def _matched(graph: Graph, arrays: Mapping[str, Array], place: str) -> dict[str, Array]:
    """Arrays under the names of the graph's inputs and outputs."""
    aliases: dict[str, str] = {}
    for what, names in (("input", graph.inputs), ("output", graph.outputs)):
        for i, name in enumerate(names):
            aliases |= {name: name, f"{what}_{i}": name}
    matched: dict[str, Array] = {}
    for key, value in arrays.items():
        if key not in aliases:
            raise IllegalValues(
                f"{place}: '{key}' is no input or output of {graph.name}; give "
                f"{', '.join(k for k in aliases if '_' in k)} and labels"
            )
        if aliases[key] in matched:
            raise IllegalValues(
                f"{place}: '{key}' gives '{aliases[key]}' a second time; give each tensor once"
            )
        matched[aliases[key]] = value
    return matched


def _stacked(kind: TensorType, name: str, value: Array, place: str) -> Array:
    """Samples of an input as [N, *shape] on its grid."""
    shape = kind.shape
    if value.ndim == len(shape) and shape[:1] == (1,) and value.shape[1:] == shape[1:]:
        value = value[:, None]
    if value.ndim != len(shape) + 1 or value.shape[1:] != shape:
        short = ("N", *shape[1:]) if shape[:1] == (1,) else ("N", *shape)
        wanted = f"({', '.join(map(str, short))})"
        raise IllegalValues(
            f"{place}: input '{name}' must have shape {wanted}; found {value.shape}"
        )
    stored = np.dtype(STORAGE[kind.dtype])
    if value.dtype == stored:
        return value
    if value.dtype.kind not in "fiu" or (kind.quant is None and stored.kind != "f"):
        raise IllegalValues(
            f"{place}: input '{name}' takes {kind.dtype}; found {value.dtype}. Give it in that type"
        )
    if kind.quant is None or stored.kind == "f":
        return value.astype(stored)
    return _on_grid(kind, name, value, place).astype(stored)


def _on_grid(kind: TensorType, name: str, value: Array, place: str) -> NDArray[np.float64]:
    """Real values as codes, ties to even; floats beyond the grid are clamped, integers refused."""
    assert kind.quant is not None
    scale, zero = kind.quant.scale[0], kind.quant.zero_point[0]
    low, high = value_range(kind)
    codes = np.rint(value.astype(np.float64) / scale) + zero
    least, most = ((end - zero) * scale for end in (low, high))
    outside = bool(codes.size) and not low <= codes.min() <= codes.max() <= high
    if not np.isfinite(codes).all() or (outside and value.dtype.kind != "f"):
        raise IllegalValues(
            f"{place}: input '{name}' holds {value.min()} to {value.max()}, its grid goes from "
            f"{least:g} to {most:g}; give real values on that range, or codes as {kind.dtype}"
        )
    clamped: NDArray[np.float64] = np.clip(codes, low, high)
    return clamped


def _classes(graph: Graph, labels: Array, count: int, place: str) -> NDArray[np.int64]:
    """The labels, one a sample, each a class of the first output."""
    kind = graph.tensors[graph.outputs[0]]
    if labels.dtype.kind not in "iu" or labels.reshape(-1).shape != (count,):
        raise IllegalValues(
            f"{place}: labels must be {count} integers, one a sample; found {labels.dtype} of "
            f"shape {labels.shape}"
        )
    found = labels.reshape(-1).astype(np.int64)
    if is_index(kind):
        return found
    if kind.elements < 2:
        raise IllegalValues(
            f"{place}: labels need an output with a value a class; {graph.outputs[0]} has one "
            "value. Give its real values as output_0 instead"
        )
    if found.min() < 0 or found.max() >= kind.elements:
        raise IllegalValues(
            f"{place}: labels must be 0 to {kind.elements - 1}, as {graph.outputs[0]} has "
            f"{kind.elements} values; found {found.min()} to {found.max()}"
        )
    return found


def is_index(kind: TensorType) -> bool:
    """Whether an output is the class itself, as an argmax in the graph gives it."""
    return kind.elements == 1 and kind.quant is None and kind.dtype in ("int32", "int64")


def _reference(
    kind: TensorType, name: str, value: Array, count: int, place: str
) -> NDArray[np.float64]:
    """Reference outputs as real values [N, elements]; codes are those of the graph's grid."""
    if value.dtype.kind not in "fiu" or value.size != count * kind.elements:
        raise IllegalValues(
            f"{place}: output '{name}' must have {count} samples of {kind.elements} values; found "
            f"{value.dtype} of shape {value.shape}"
        )
    if not np.isfinite(value).all():
        raise IllegalValues(f"{place}: output '{name}' must be finite; found an infinity or NaN")
    codes = value.reshape(count, -1)
    return codes.astype(np.float64) if value.dtype.kind == "f" else real_values(codes, kind)


def real_values(codes: Array, kind: TensorType) -> NDArray[np.float64]:
    """What the codes of a tensor stand for, as float64; plain numbers and reals as they are."""
    real = codes.astype(np.float64)
    if kind.quant is None or kind.dtype.startswith("f"):
        return real
    return np.asarray((real - kind.quant.zero_point[0]) * kind.quant.scale[0])


def _digest(arrays: "list[tuple[str, Any]]") -> str:
    digest = hashlib.sha256()
    for name, value in arrays:
        if value is not None:
            digest.update(f"{name} {value.dtype} {value.shape};".encode())
            digest.update(np.ascontiguousarray(value).tobytes())
    return digest.hexdigest()
