"""Golden vectors for RTL: what goes into each layer, what every stage holds, what comes out.

A pack is a folder with one subfolder a layer and a manifest; `docs/golden.md` describes it. The
same inputs give the same bytes.
"""

import dataclasses
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from analysis.accumulators import all_results, codes
from analysis.files import make_folder, write_json
from analysis.golden_files import PACKING, Pack
from analysis.golden_sums import DEFAULTS, Options, Range, taps_at_once, write_sums
from simulator.errors import BadFile, IllegalValues, Unsupported
from simulator.execute import run
from simulator.graph import Array, Graph, Node
from simulator.mac import AccumulatingOperator, Sums
from simulator.narrow import Datapaths, datapath_of, requantized
from simulator.numeric.datapath import Datapath

if TYPE_CHECKING:
    from simulator.machines.base import Machine

ORDER = (
    "row: output positions n, oy, ox (time, batch for an LSTM); channel: output channels; tap: "
    "products in the order ky, kx, ic; fold: the sum after each fold_taps of them; block: groups, "
    "each with channels of its own"
)


def golden(
    graph: Graph,
    inputs: Mapping[str, Array],
    folder: Path,
    options: Options = DEFAULTS,
    datapath: Datapaths = None,
) -> dict[str, Any]:
    """Write the pack of one inference into `folder` (made, and empty before); returns the manifest.

    Raises Unsupported where `options` do not fit the graph or the datapath, BadFile where the
    folder holds files.
    """
    _check(graph, folder, options, datapath)
    own = requantized(graph, datapath).graph
    pack = Pack(folder, options.lanes)
    layers: list[dict[str, Any]] = []

    def write(node: Node, operands: Sequence[Array | None], results: Sequence[Array]) -> None:
        if options.layer in (None, node.name):
            arithmetic = datapath_of(node, datapath)
            given = all_results(node, operands, results, arithmetic)
            layers.append(_write_layer(own, node, operands, given, pack, options, arithmetic))

    run(graph, inputs, datapath=datapath, tap=write)
    manifest = {
        "schema": "bitlane.golden/1",
        "model": graph.name,
        "dialect": graph.dialect,
        "datapath": _described(datapath),
        "packing": PACKING,
        "order": ORDER,
        "layers": layers,
        "files": dict(sorted(pack.files.items())),
    }
    make_folder(folder)
    write_json(folder / "manifest.json", manifest)
    return manifest


def _described(datapath: Datapaths) -> Any:
    """A datapath as the manifest has it: by node name where layers differ."""
    if isinstance(datapath, Mapping):
        return {name: dataclasses.asdict(layer) for name, layer in datapath.items()}
    return "graph" if datapath is None else dataclasses.asdict(datapath)


def taps_per_fold(machine: "Machine") -> int | None:
    """Products that one pass over a systolic array adds to a sum; None where it adds all of them.

    Output stationary keeps a sum in its element to the end; other machines have no folds, and those
    of a composed multiplier have no number of products that holds for every width.
    """
    from simulator.machines.systolic import Systolic

    if not isinstance(machine, Systolic) or machine.array.dataflow == "output_stationary":
        return None
    if machine.datapath.composition != "fixed":
        return None
    # A staged accumulator takes a whole group at a time, as the tree of one element does.
    return machine.array.rows * taps_at_once(machine.datapath.datapath())


def _check(graph: Graph, folder: Path, options: Options, datapath: Datapaths) -> None:
    names = [node.name for node in graph.nodes]
    if options.layer is not None and options.layer not in names:
        raise Unsupported(f"--layer {options.layer}: no such layer; there are {', '.join(names)}")
    for name in names:
        if not re.fullmatch(r"\w[\w.-]*", name):
            raise Unsupported(f"{graph.name}: '{name}' cannot name a folder; rename the layer")
    if folder.is_dir() and any(folder.iterdir()):
        raise BadFile(f"{folder}: is not empty; choose another --out")
    chosen = [node for node in graph.nodes if options.layer in (None, node.name)]
    group = math.lcm(*(taps_at_once(datapath_of(node, datapath)) for node in chosen))
    if options.fold_taps is not None and options.fold_taps % group:
        raise Unsupported(
            f"--fold-taps {options.fold_taps}: must be a multiple of {group}, the products that "
            "the datapath sums at once"
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
    entry: dict[str, Any] = {
        "name": node.name,
        "op": node.op.kind,
        "reference": node.op.reference,
        "tensors": _write_tensors(graph, node, operands, results, pack),
        "parameters": _parameters(node.op),
    }
    if not isinstance(node.op, AccumulatingOperator):
        return entry
    folded = datapath.zero_point == "folded" and not datapath.graph
    try:
        both = [node.op.sums(operands, results, folded=f) for f in (False, True)]
    except IllegalValues as error:
        # Reals whose codes are too wide for a product: the graph runs, in float32.
        return entry | {"sums_left_out": str(error)}
    for subtracted, raw in zip(*both, strict=True):
        sums = raw if folded else subtracted
        prefix = f"{node.name}/{sums.name}" if sums.name else node.name
        zero = _zero_point(subtracted, raw)
        ranges = _operand_ranges(graph, node, sums, 0 if folded else zero)
        written = {
            "input_zero_point": zero,
            **write_sums(prefix, sums, ranges, pack, options, datapath),
        }
        if sums.name:
            entry.setdefault("sums", []).append({"name": sums.name, **written})
        else:
            entry |= written
    return entry


def _write_tensors(
    graph: Graph,
    node: Node,
    operands: Sequence[Array | None],
    results: Sequence[Array],
    pack: Pack,
) -> list[dict[str, str]]:
    """Inputs, outputs and the new state of a node; returns their entries."""
    roles = _roles(node)
    named = [
        *((roles[i], name, operands[i]) for i, name in enumerate(node.inputs)),
        *zip(_output_roles(node), node.outputs, results, strict=False),
        *(
            (f"{roles[i]}_after", node.inputs[i], value)
            for i, value in zip(node.op.updates, results[len(node.outputs) :], strict=True)
        ),
    ]
    return [
        {
            "role": role,
            "tensor": name,
            "file": pack.add(f"{node.name}/{role}", value, graph.tensors[name].bits),
        }
        for role, name, value in named
        if value is not None
    ]


def _roles(node: Node) -> list[str]:
    """What each input is: as the operator says, else `input_<position>`."""
    said = node.op.roles if isinstance(node.op, AccumulatingOperator) else ()
    return [said[i] if i < len(said) else f"input_{i}" for i in range(len(node.inputs))]


def _output_roles(node: Node) -> list[str]:
    if len(node.outputs) == 1:
        return ["output"]
    return [f"output_{i}" for i in range(len(node.outputs))]


def _zero_point(subtracted: Sums, raw: Sums) -> int:
    """Of the activations, be it a parameter or a tensor: what tells the two views apart."""
    x = subtracted.products[0].x
    return int(raw.products[0].x.flat[0]) - int(x.flat[0]) if x.size else 0


def _operand_ranges(graph: Graph, node: Node, sums: Sums, zero: int) -> tuple[Range, Range]:
    """What activations less `zero` and weights can be as they enter the multiplier."""
    x, w = (graph.tensors[node.inputs[i]] for i in sums.operands)
    low, high = codes(x)
    least, most = codes(w)
    reached = [v for p in sums.products for v in (int(p.w.min()), int(p.w.max()))]
    if min(reached) < least or max(reached) > most:
        # Less a zero point: one bit wider.
        least, most = least - most, most - least
    return (low - zero, high - zero), (least, most)


def _parameters(value: Any) -> Any:
    """An operator's parameters, or one of them, as JSON has them; reals that it has not as text."""
    if dataclasses.is_dataclass(value):
        shown = [f for f in dataclasses.fields(value) if f.init and f.name != "weighted"]
        return {f.name: _parameters(getattr(value, f.name)) for f in shown}
    if isinstance(value, Mapping):
        return {str(k): _parameters(v) for k, v in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        return _parameters(value.tolist())
    if isinstance(value, tuple | list):
        return [_parameters(v) for v in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value if isinstance(value, bool | int | float | str | None) else str(value)
