"""The files of a golden pack: an array as `.npy` and as hex for `$readmemh`, with their hashes."""

import hashlib
from pathlib import Path
from typing import Any, Final

import numpy as np

from analysis.files import make_folder, replacing, write_text
from simulator.graph import Array

PACKING: Final = (
    "elements in C order (last axis fastest), `lanes` of them in a hex word, the first in the low "
    "bits, `bits` wide each: two's complement where `encoding` is signed, IEEE 754 where it is "
    "float; one word a line; the last word is filled up with zeros"
)


class Pack:
    """A folder being filled; remembers what it wrote for the manifest."""

    def __init__(self, folder: Path, lanes: int) -> None:
        self.folder = folder
        self.lanes = lanes
        self.files: dict[str, dict[str, Any]] = {}

    def add(self, name: str, values: Array, bits: int, axes: str = "") -> str:
        """Write one array as `name.npy` and `name.hex`; `axes` names its axes. Returns `name`.

        A real number is as wide as its format, also where it lies on a grid of fewer bits.
        """
        values = np.ascontiguousarray(values)
        if np.issubdtype(values.dtype, np.floating):
            bits = 8 * values.dtype.itemsize
        npy, text = self.folder / f"{name}.npy", self.folder / f"{name}.hex"
        make_folder(npy.parent)
        with replacing(npy) as scratch, scratch.open("wb") as stream:
            np.save(stream, values, allow_pickle=False)
        write_text(text, to_hex(values, bits, self.lanes))
        about: dict[str, Any] = {"shape": list(values.shape)}
        if axes:
            about["axes"] = axes.split()
        self.files[name] = about | {
            "dtype": str(values.dtype),
            "bits": bits,
            "encoding": _encoding(values),
            "lanes": self.lanes,
            "words": -(-values.size // self.lanes),
            "sha256": {"npy": _sha256(npy), "hex": _sha256(text)},
        }
        return name


def to_hex(values: Array, bits: int, lanes: int = 1) -> str:
    """Elements in C order as hex words of `lanes * bits` bits, the first element lowest.

    Real numbers are written as the bits of their IEEE 754 format, `bits` wide. A last word that is
    not full is filled with zeros. Raises ValueError where a value needs more than `bits`.
    """
    if np.issubdtype(values.dtype, np.floating):
        values = np.ascontiguousarray(values).view(f"uint{8 * values.dtype.itemsize}")
    flat = values.ravel()
    low, high = -(1 << (bits - 1)), (1 << bits) - 1
    for value in (flat.min(), flat.max()) if flat.size else ():
        if not low <= int(value) <= high:
            raise ValueError(f"{value} does not fit {bits} bits")
    mask = (1 << bits) - 1
    elements = [value & mask for value in flat.astype(object)]
    elements += [0] * (-len(elements) % lanes)
    words = elements[::lanes]
    for lane in range(1, lanes):
        shift = lane * bits
        words = [w | e << shift for w, e in zip(words, elements[lane::lanes], strict=True)]
    digits = -(-bits * lanes // 4)
    return "".join(f"{word:0{digits}x}\n" for word in words)


def _encoding(values: Array) -> str:
    if np.issubdtype(values.dtype, np.floating):
        return "float"
    return "signed" if np.issubdtype(values.dtype, np.signedinteger) else "unsigned"


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
