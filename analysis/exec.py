"""Run a model on the arrays of an `.npz` and write what it computes."""

import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from analysis.arrays import load_npz, match_inputs, samples
from analysis.files import replacing
from simulator.execute import run
from simulator.graph import Array, Graph, Node
from simulator.narrow import Datapaths, requantized


def execute(
    graph: Graph,
    arrays: Mapping[str, Array],
    place: str,
    *,
    every_tensor: bool,
    datapath: Datapaths,
) -> dict[str, Array]:
    """Outputs (or every computed tensor) by name, samples stacked along the first dimension.

    Names, values and layouts are those of the file. The variables of a network with state go on
    from one sample to the next. `place` names the arrays' file in messages.
    """
    found: dict[str, list[Array]] = {}
    sample: dict[str, Array] = {}

    def keep(node: Node, _: Sequence[Array | None], results: Sequence[Array]) -> None:
        for name, value in zip(node.outputs, results, strict=True):
            if every_tensor and name not in graph.outputs:
                # A tensor that exists in two layouts is the same in the file's.
                sample.update([graph.as_in_file(name, value)])

    state: dict[str, Array] | None = None
    for values in samples(graph, arrays, place):
        sample.clear()
        tap = keep if every_tensor else None
        outputs, state = run(graph, values, datapath=datapath, state=state, tap=tap)
        sample.update(graph.as_in_file(name, value) for name, value in outputs.items())
        for name, value in sample.items():
            found.setdefault(name, []).append(value)
    return {
        name: parts[0] if len(parts) == 1 else np.concatenate([np.atleast_1d(p) for p in parts])
        for name, parts in found.items()
    }


def describe(graph: Graph, results: Mapping[str, Array], datapath: Datapaths) -> list[str]:
    """What changed, then a line an array, with its grid where that is not the file's."""
    prepared = requantized(graph, datapath)
    kinds = {
        prepared.graph.as_in_file(name, np.empty(kind.shape, np.int8))[0]: kind
        for name, kind in prepared.graph.tensors.items()
        if kind != graph.tensors.get(name)
    }
    lines = [prepared.summary] if prepared.summary else []
    for name, value in results.items():
        line = f"{name}: {value.dtype}{list(value.shape)}"
        kind = kinds.get(name)
        if kind is not None and kind.quant is not None:
            scale, zero = kind.quant.scale[0], kind.quant.zero_point[0]
            line += f", {kind.bits} bits, scale {scale:g}, zero point {zero}"
        lines.append(line)
    return lines


def exec_file(
    graph: Graph,
    inputs: Path,
    out: Path,
    *,
    every_tensor: bool = False,
    datapath: Datapaths = None,
) -> dict[str, Array]:
    """`execute` from one `.npz` to another; returns what was written."""
    arrays = match_inputs(graph, load_npz(inputs), str(inputs))
    results = execute(graph, arrays, str(inputs), every_tensor=every_tensor, datapath=datapath)
    with replacing(out) as scratch, zipfile.ZipFile(scratch, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, value in results.items():
            # Not numpy.savez: there a tensor named 'file' would be taken for an argument.
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, value, allow_pickle=False)
    return results
