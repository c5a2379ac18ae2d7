"""Arrays in `.npz` files, keyed by tensor name, and the inputs a graph is run on."""

import zipfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import numpy as np

from simulator.errors import BadFile, IllegalValues
from simulator.graph import Array, Graph, TensorType
from simulator.numeric.dialect import dialect

_NOT_ARRAYS: Final = (
    *(OSError, ValueError, EOFError, KeyError, MemoryError, NotImplementedError, RuntimeError),
    *(zipfile.BadZipFile, zlib.error),
)
"""What reading an archive raises where it is damaged, encrypted, or holds objects."""


def load_npz(path: Path) -> dict[str, Array]:
    """Every array of an `.npz` file; raises BadFile with the way out."""
    if not path.exists():
        raise BadFile(f"{path}: no such file; give an .npz keyed by tensor name or input_0, ...")
    try:
        with path.open("rb") as stream:
            loaded = np.load(stream, allow_pickle=False)
            if not isinstance(loaded, np.lib.npyio.NpzFile):
                raise BadFile(f"{path}: this is a single array; save it with numpy.savez")
            with loaded as archive:
                found = {name: archive[name] for name in archive.files}
    except _NOT_ARRAYS:
        raise BadFile(f"{path}: not an .npz of plain arrays; save it with numpy.savez") from None
    for name, value in found.items():
        if not isinstance(value, np.ndarray):
            raise BadFile(f"{path}: '{name}' is no array; save the file with numpy.savez")
    return found


def match_inputs(graph: Graph, arrays: Mapping[str, Array], place: str) -> dict[str, Array]:
    """Arrays under the graph's input names; `input_<i>` and `t<file index>` are accepted too.

    Raises IllegalValues where an input is missing or given twice, or a key means nothing.
    """
    aliases: dict[str, str] = {}
    for i, name in enumerate(graph.inputs):
        aliases |= {name: name, f"input_{i}": name}
        if name in graph.source_index:
            aliases[f"t{graph.source_index[name]}"] = name
    matched: dict[str, Array] = {}
    known = ", ".join(f"'{n}' (or input_{i})" for i, n in enumerate(graph.inputs))
    for key, value in arrays.items():
        if key not in aliases:
            raise IllegalValues(f"{place}: no input is named '{key}'; the inputs are {known}")
        if aliases[key] in matched:
            raise IllegalValues(
                f"{place}: '{key}' gives input '{aliases[key]}' a second time; give each input once"
            )
        matched[aliases[key]] = value
    for name in graph.inputs:
        if name not in matched:
            raise IllegalValues(f"{place}: input '{name}' is missing; the inputs are {known}")
    return matched


def samples(graph: Graph, arrays: Mapping[str, Array], place: str) -> Iterator[dict[str, Array]]:
    """One dict of inputs a sample: arrays may hold many samples along a leading batch of 1."""
    counts = {_count(graph.tensors[n], arrays[n], n, place) for n in graph.inputs}
    if len(counts) > 1:
        raise IllegalValues(f"{place}: inputs hold different numbers of samples: {sorted(counts)}")
    for s in range(counts.pop() if counts else 1):
        yield {
            name: arrays[name][s : s + 1]
            if arrays[name].shape != graph.tensors[name].shape
            else arrays[name]
            for name in graph.inputs
        }


def one_sample(graph: Graph, path: Path) -> dict[str, Array]:
    """The inputs of one inference from an `.npz`; raises IllegalValues where it holds several."""
    found = list(samples(graph, match_inputs(graph, load_npz(path), str(path)), str(path)))
    if len(found) != 1:
        raise IllegalValues(f"{path}: holds {len(found)} samples; give the inputs of one inference")
    return found[0]


def random_inputs(graph: Graph, rng: np.random.Generator) -> dict[str, Array]:
    """Uniform values over each integer input's whole range, standard normal ones for a real input.

    Where real tensors carry integers (RequantShift graphs) a real input takes 8-bit codes: -128 to
    127. Booleans are either with equal chance.
    """
    carried = dialect(graph.dialect).form("carrier", "file") == "integers"
    return {name: _drawn(graph.tensors[name], rng, carried) for name in graph.inputs}


def drawn_from(graph: Graph) -> str:
    """How `random_inputs` draws for a graph, in words."""
    kinds = {np.dtype(graph.tensors[name].dtype).kind for name in graph.inputs}
    if "f" not in kinds:
        return "uniform"
    carried = dialect(graph.dialect).form("carrier", "file") == "integers"
    return "codes -128 to 127" if carried else "standard normal"


def _drawn(kind: TensorType, rng: np.random.Generator, carried: bool) -> Array:
    dtype = np.dtype(kind.dtype)
    if dtype.kind == "b":
        return rng.integers(0, 2, kind.shape).astype(dtype)
    if dtype.kind == "f":
        codes = rng.integers(-128, 128, kind.shape) if carried else None
        return (rng.standard_normal(kind.shape) if codes is None else codes).astype(dtype)
    info = np.iinfo(dtype)
    return rng.integers(info.min, info.max, kind.shape, dtype=dtype, endpoint=True)


def _count(kind: TensorType, value: Array, name: str, place: str) -> int:
    if value.dtype != np.dtype(kind.dtype):
        way_out = "Quantize the values with the input's scale and zero point."
        if kind.dtype.startswith("float"):
            way_out = f"Give real values: array.astype('{kind.dtype}')."
        raise IllegalValues(
            f"{place}: input '{name}' must be {kind.dtype}; found {value.dtype}. {way_out}"
        )
    if value.shape == kind.shape:
        return 1
    if kind.shape[:1] == (1,) and value.shape[1:] == kind.shape[1:] and value.shape[0] > 0:
        return int(value.shape[0])
    raise IllegalValues(
        f"{place}: input '{name}' must have shape {kind.shape}, or many samples of it along the "
        f"first dimension; found {value.shape}"
    )
