"""Golden vectors for RTL: what goes into each layer, what every stage holds, what comes out.

Each array is written as `.npy` and as hex for `$readmemh`: one word a line, two's complement,
elements in C order, `lanes` of them packed into a word with the first in the low bits. A JSON
manifest names shape, bits and sha256 of every file. The same inputs give the same bytes.
"""

import hashlib
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.files import make_folder, replacing, write_json, write_text
from simulator.errors import BadFile, Unsupported
from simulator.execute import run
from simulator.graph import Array, Graph, Node
from simulator.mac import MacOperator
from simulator.narrow import Datapaths, datapath_of, prepare
from simulator.numeric.datapath import Datapath
from simulator.numeric.requantize import Requantize


@dataclass(frozen=True)
class Options:
    """What a pack holds besides inputs, weights, bias, accumulators and outputs.

    `fold_taps` writes the partial sum after every so many taps; `lanes` packs hex words;
    `corners` adds vectors at every extreme, tie and clamp of the requantizer.
    """

    layer: str | None = None
    fold_taps: int | None = None
    lanes: int = 1
    corners: bool = True


class Pack:
    """A folder being filled; remembers what it wrote for the manifest."""

    def __init__(self, folder: Path, lanes: int) -> None:
        self.folder = folder
        self.lanes = lanes
        self.files: dict[str, dict[str, Any]] = {}

    def add(self, name: str, values: Array, bits: int) -> None:
        """Write one array as `name.npy` and `name.hex`."""
        values = np.ascontiguousarray(values)
        npy, text = self.folder / f"{name}.npy", self.folder / f"{name}.hex"
        make_folder(npy.parent)
        with replacing(npy) as scratch, scratch.open("wb") as stream:
            np.save(stream, values, allow_pickle=False)
        write_text(text, to_hex(values, bits, self.lanes))
        self.files[name] = {
            "shape": list(values.shape),
            "dtype": str(values.dtype),
            "bits": bits,
            "lanes": self.lanes,
            "sha256": {"npy": _sha256(npy), "hex": _sha256(text)},
        }


def to_hex(values: Array, bits: int, lanes: int = 1) -> str:
    """Elements in C order as hex words of `lanes * bits` bits, the first element lowest.

    Real numbers are written as the bits of their IEEE 754 format, `bits` wide. A last word that is
    not full is filled with zeros. Raises ValueError where a value needs more than `bits`.
    """
    if np.issubdtype(values.dtype, np.floating):
        values = np.ascontiguousarray(values).view(f"uint{8 * values.dtype.itemsize}")
    flat = values.astype(object).ravel()
    low, high = -(1 << (bits - 1)), (1 << bits) - 1
    for value in flat:
        if not low <= value <= high:
            raise ValueError(f"{value} does not fit {bits} bits")
    digits = -(-bits * lanes // 4)
    mask = (1 << bits) - 1
    lines = []
    for start in range(0, len(flat), lanes):
        word = 0
        for lane, value in enumerate(flat[start : start + lanes]):
            word |= (int(value) & mask) << (lane * bits)
        lines.append(f"{word:0{digits}x}")
    return "\n".join(lines) + "\n"


def golden(
    graph: Graph,
    inputs: Mapping[str, Array],
    folder: Path,
    options: Options = Options(),
    datapath: Datapaths = None,
) -> dict[str, Any]:
    """Write the pack of one inference into `folder` (made, and empty before); returns the manifest.

    Raises Unsupported where `options` do not fit the graph or the datapath, BadFile where the
    folder holds files.
    """
    names = [node.name for node in graph.nodes]
    if options.layer is not None and options.layer not in names:
        raise Unsupported(f"--layer {options.layer}: no such layer; there are {', '.join(names)}")
    if folder.is_dir() and any(folder.iterdir()):
        raise BadFile(f"{folder}: is not empty; choose another --out")
    own = prepare(graph, datapath).graph
    chosen = [n for n in own.nodes if options.layer in (None, n.name)]
    group = math.lcm(*(_taps_at_once(datapath_of(n, datapath)) for n in chosen))
    if options.fold_taps is not None and options.fold_taps % group:
        raise Unsupported(
            f"--fold-taps {options.fold_taps}: must be a multiple of {group}, the products that "
            "the datapath sums at once"
        )
    pack = Pack(folder, options.lanes)
    layers: list[dict[str, Any]] = []

    def write(node: Node, operands: Sequence[Array | None], results: Sequence[Array]) -> None:
        if options.layer in (None, node.name):
            arithmetic = datapath_of(node, datapath)
            layers.append(_write_layer(own, node, operands, results, pack, options, arithmetic))

    run(graph, inputs, datapath=datapath, tap=write)
    manifest = {
        "schema": "bitlane.golden/1",
        "model": graph.name,
        "dialect": graph.dialect,
        "packing": "C order, two's complement, lane 0 in the low bits of a word",
        "layers": layers,
        "files": dict(sorted(pack.files.items())),
    }
    make_folder(folder)
    write_json(folder / "manifest.json", manifest)
    return manifest


def _taps_at_once(datapath: Datapath) -> int:
    """Products that enter the accumulator together."""
    if datapath.graph:
        return 1
    return math.prod(stage.fan_in for stage in datapath.stages) * (
        1 if datapath.stages else datapath.dot_width
    )


def _write_layer(
    graph: Graph,
    node: Node,
    operands: Sequence[Array | None],
    results: Sequence[Array],
    pack: Pack,
    options: Options,
    datapath: Datapath,
) -> dict[str, Any]:
    roles = ("input", "weights", "bias")
    weighted = isinstance(node.op, MacOperator)
    for i, (name, value) in enumerate(zip(node.inputs, operands, strict=True)):
        if value is not None:
            role = roles[i] if weighted and i < len(roles) else f"input_{i}"
            pack.add(f"{node.name}/{role}", value, graph.tensors[name].bits)
    for i, (name, value) in enumerate(zip(node.outputs, results, strict=True)):
        role = "output" if len(results) == 1 else f"output_{i}"
        pack.add(f"{node.name}/{role}", value, graph.tensors[name].bits)
    entry: dict[str, Any] = {"name": node.name, "op": node.op.kind, "reference": node.op.reference}
    if isinstance(node.op, MacOperator):
        entry |= _write_sums(node, node.op, operands, pack, options, datapath)
    return entry


def _write_sums(
    node: Node,
    op: MacOperator,
    operands: Sequence[Array | None],
    pack: Pack,
    options: Options,
    datapath: Datapath,
) -> dict[str, Any]:
    bits = op.weighted.accumulator_bits if datapath.graph else datapath.accumulator_bits
    pack.add(f"{node.name}/accumulator", op.accumulate(operands, datapath), bits)
    if options.fold_taps:
        for fold, sums in _partial_sums(op, operands, datapath, options.fold_taps):
            pack.add(f"{node.name}/partial_{fold:04d}", sums, bits)
    requantize = op.weighted.requantize
    if requantize.rounding in ("double_round", "single_round", "double_round_up"):
        pack.add(f"{node.name}/multiplier", np.array(requantize.multiplier, dtype=np.int64), 32)
        pack.add(f"{node.name}/shift", np.array(requantize.shift, dtype=np.int64), 8)
    if options.corners:
        accumulators = corner_accumulators(requantize, bits)
        pack.add(f"{node.name}/corner_accumulator", accumulators, bits)
        outputs = corner_outputs(requantize, accumulators)
        pack.add(f"{node.name}/corner_output", outputs, 8 * np.dtype(op.weighted.dtype).itemsize)
    return {
        "input_zero_point": op.weighted.input_zero_point,
        "accumulator_bits": bits,
        "overflow": "wrap" if datapath.graph else datapath.overflow,
        "requantize": {
            "rounding": requantize.rounding,
            "scale": list(requantize.scale),
            "multiplier": list(requantize.multiplier),
            "shift": list(requantize.shift),
            "zero_point": requantize.zero_point,
            "clamp": [requantize.low, requantize.high],
        },
    }


def _partial_sums(
    op: MacOperator, operands: Sequence[Array | None], datapath: Datapath, taps: int
) -> Iterator[tuple[int, Array]]:
    """(fold, accumulators) after every `taps` taps, as the array holds them between folds."""
    from simulator.numeric.matmul import matmul

    folded = datapath.zero_point == "folded" and not datapath.graph
    blocks = list(op.products(operands, folded=folded))
    bits = op.weighted.accumulator_bits
    total = max(b.w.shape[1] for b in blocks)
    for fold, end in enumerate(range(taps, total + taps, taps)):
        parts = [
            matmul(
                np.ascontiguousarray(b.x[:, :end]),
                np.ascontiguousarray(b.w[:, :end]),
                b.bias,
                datapath,
                bits,
                b.first_channel,
            )
            for b in blocks
        ]
        yield fold, np.concatenate(parts, axis=1)


def corner_accumulators(requantize: Requantize, bits: int) -> NDArray[np.int64]:
    """Accumulators (cases, channels) at every extreme, sign, clamp and rounding tie nearby.

    For each channel: 0, +-1, both ends of the accumulator, and around each output clamp, zero and
    one step either side of it, the accumulators whose real result is a half-integer or next to one.
    """
    high = (1 << (min(bits, 48) - 1)) - 1
    columns = []
    for scale in requantize.scale:
        values = {0, 1, -1, high, -high - 1}
        steps = (requantize.low, requantize.high, requantize.zero_point)
        for step in steps:
            for half in (-1.5, -0.5, 0.5, 1.5):
                real = (step - requantize.zero_point + half) / scale if scale else 0.0
                if abs(real) < high:
                    values |= {int(real) + d for d in (-1, 0, 1)}
        columns.append(sorted(v for v in values if -high - 1 <= v <= high))
    length = max(len(c) for c in columns)
    padded = [c + [0] * (length - len(c)) for c in columns]
    return np.array(padded, dtype=np.int64).T


def corner_outputs(requantize: Requantize, accumulators: NDArray[np.int64]) -> Array:
    """What the requantizer makes of them, on an int64 carrier."""
    from simulator.numeric.requantize import requantize_array

    return requantize_array(accumulators, requantize, "int64")


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
