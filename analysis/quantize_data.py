"""Calibration samples and labelled ones from an `.npz`, for a float network."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from analysis.arrays import load_npz
from simulator.errors import IllegalValues
from simulator.graph import Array, Graph
from workloads.quantize.ptq.calibrate import logits
from workloads.quantize.ptq.measure import Labelled
from workloads.quantize.ptq.samples import Samples, samples_of

_CALIBRATION: Final = "calibration"
_LABELS: Final = ("labels", "y")
_CHECKED: Final = 1 << 22
"""Elements that are looked at together."""


def load_calibration(graph: Graph, path: Path) -> Samples:
    """The samples in a file, [N, *shape of the input without its batch of 1], any real dtype.

    Keys are input names, `input_0`, ..., for a network of one input also `calibration`, or the only
    array that fits. Integers are taken as the numbers they are. Raises BadFile for what is no
    `.npz`, IllegalValues for a missing input, a shape, a dtype, NaN or infinity.
    """
    arrays = load_npz(path)
    if not arrays:
        raise IllegalValues(f"{path}: holds no array; save samples of the inputs as {_keys(graph)}")
    return _samples(graph, _matched(graph, arrays, path, _CALIBRATION), path)


def load_labels(graph: Graph, path: Path) -> Labelled:
    """Samples as `x` or by input name, their classes as `y` or `labels`; raises as above."""
    arrays = load_npz(path)
    found = next((arrays[key] for key in _LABELS if key in arrays), None)
    if found is None:
        raise IllegalValues(f"{path}: holds no labels; save one integer a sample as y or labels")
    samples = _samples(graph, _matched(graph, arrays, path, "x"), path)
    several = graph.tensors[logits(graph)[0]].elements
    return Labelled(samples, _classes(found, len(samples), several, path))


def has_labels(graph: Graph, path: Path) -> bool:
    """Whether a calibration file holds a labelled set too: `x` and its classes, `y`."""
    with np.load(path, allow_pickle=False) as archive:
        return {"x", "y"} <= set(archive.files) and "y" not in graph.inputs


def _keys(graph: Graph) -> str:
    return ", ".join(f"'{name}' (or input_{i})" for i, name in enumerate(graph.inputs))


def _matched(
    graph: Graph, arrays: Mapping[str, Array], path: Path, favourite: str
) -> dict[str, Array]:
    """The arrays of the inputs; the way out of a file without them names what it holds."""
    found = dict[str, Array]()
    for i, name in enumerate(graph.inputs):
        keys = (name, f"input_{i}", f"t{graph.source_index.get(name, '')}")
        held = next((arrays[key] for key in keys if key in arrays), None)
        if held is not None:
            found[name] = held
    if len(graph.inputs) == 1 and not found:
        (name,) = graph.inputs
        shape = graph.tensors[name].shape
        fitting = [k for k, v in arrays.items() if _shaped(v, shape) is not None]
        if favourite in arrays:
            found[name] = arrays[favourite]
        elif len(fitting) == 1:
            found[name] = arrays[fitting[0]]
        elif len(arrays) == 1:
            (found[name],) = arrays.values()
    missing = next((name for name in graph.inputs if name not in found), None)
    if missing is not None:
        there = ", ".join(f"{key} {list(value.shape)}" for key, value in arrays.items())
        raise IllegalValues(
            f"{path}: input '{missing}' is missing; the file holds {there}; save it as "
            f"{_keys(graph)}"
        )
    return found


def _samples(graph: Graph, arrays: Mapping[str, Array], path: Path) -> Samples:
    found = dict[str, Array]()
    for name, value in arrays.items():
        shape = graph.tensors[name].shape
        if value.dtype.kind not in "biuf":
            raise IllegalValues(
                f"{path}: input '{name}' takes real numbers; found {value.dtype}. Save it as "
                "float32"
            )
        shaped = _shaped(value, shape)
        if shaped is None:
            wanted = ", ".join(map(str, ("N", *(shape[1:] if shape[:1] == (1,) else shape))))
            raise IllegalValues(
                f"{path}: input '{name}' must have shape ({wanted}); found {value.shape}"
            )
        _check_finite(shaped, graph.tensors[name].dtype, name, path)
        found[name] = shaped
    counts = {len(value) for value in found.values()}
    if len(counts) != 1 or 0 in counts:
        raise IllegalValues(
            f"{path}: every input needs the same number of samples, 1 or more; found "
            f"{sorted(counts)}"
        )
    return samples_of(graph, found)


def _shaped(value: Array, shape: tuple[int, ...]) -> Array | None:
    """[N, *shape] of an array with samples along its first axis; None where it does not fit."""
    if value.shape[1:] == shape and value.ndim == len(shape) + 1:
        return value
    if shape[:1] == (1,) and value.ndim == len(shape) and value.shape[1:] == shape[1:]:
        return value[:, None]
    return None


def _check_finite(value: Array, dtype: str, name: str, path: Path) -> None:
    """Raise IllegalValues for what is no number, or beyond the numbers that the network takes."""
    if value.dtype.kind != "f":
        return
    most = np.finfo(np.result_type(dtype, np.float32)).max
    step = max(1, _CHECKED // max(1, value[0].size if len(value) else 1))
    for first in range(0, len(value), step):
        part = value[first : first + step]
        good = np.abs(part) <= most  # not so for NaN
        if not good.all():
            place = np.argwhere(~good)[0]
            bad = float(part[tuple(place)])
            found = "NaN or infinity" if not np.isfinite(bad) else f"{bad:.4g}, beyond {dtype},"
            raise IllegalValues(
                f"{path}: input '{name}' holds {found} in sample {first + int(place[0])}; leave it "
                "out"
            )


def _classes(labels: Array, count: int, several: int, path: Path) -> NDArray[np.int64]:
    if labels.dtype.kind not in "iu" or labels.reshape(-1).shape != (count,):
        raise IllegalValues(
            f"{path}: labels must be {count} integers, one a sample; found {labels.dtype} of shape "
            f"{labels.shape}"
        )
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high >= several:
        raise IllegalValues(
            f"{path}: labels must be classes 0 to {several - 1}, one an output; found {low} to "
            f"{high}. Count classes from 0"
        )
    return labels.reshape(-1).astype(np.int64)
