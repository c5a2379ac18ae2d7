"""What is done with one damaged file: read, described, priced, and run where it is small.

The program of a child process: it takes paths from standard input, a line each, and answers each
with a line of JSON. Whatever is no BitlaneError is a finding.
"""

import faulthandler
import json
import os
import resource
import sys
import traceback
import warnings
from pathlib import Path
from time import perf_counter
from typing import Any, Final

import numpy as np

import hwconfigs
import workloads
from analysis.inspect import describe, to_text
from simulator.cost import estimate
from simulator.errors import BitlaneError
from simulator.execute import run
from simulator.graph import Array, Graph, TensorType

LIMIT_BYTES: Final = 4 << 30
"""Address space of the child; a reader that wants more is a finding."""
GROWTH_BYTES: Final = 1 << 30
"""Resident memory that one small file may add."""
ELEMENTS: Final = 1 << 21
MACS: Final = 1 << 27
"""Graphs above these are priced and not run."""
LONGEST_MESSAGE: Final = 4000


def probe(path: Path, machines: Any) -> tuple[str, str]:
    """(how it ended, what was said): refused | priced | ran, or raises what nobody foresaw."""
    try:
        graph = workloads.load(path)
    except BitlaneError as error:
        return "refused", _one_line(error)
    to_text(graph)
    json.dumps(describe(graph), allow_nan=False)
    small = _is_small(graph)
    for machine in machines:
        try:
            found = estimate(graph, machine)
            json.dumps(found.to_json_dict(), allow_nan=False)
            _assert_sound(found)
        except BitlaneError as error:
            _one_line(error)
    if not small:
        return "priced", ""
    rng = np.random.default_rng(0)
    try:
        inputs = {name: _drawn(graph.tensors[name], rng) for name in graph.inputs}
        # Overflow to infinity is what damaged scales of real numbers mean.
        with np.errstate(all="ignore"):
            outputs, _ = run(graph, inputs)
    except BitlaneError as error:
        return "ran", _one_line(error)
    for name, value in outputs.items():
        assert value.shape == graph.tensors[name].shape, f"output '{name}': shape {value.shape}"
    return "ran", ""


def _one_line(error: BitlaneError) -> str:
    text = str(error)
    assert "\n" not in text, f"a message of several lines: {text!r}"
    assert text.isprintable(), f"a message with control characters: {text!r}"
    assert len(text) < LONGEST_MESSAGE, f"a message of {len(text)} characters: {text[:200]}"
    return text


def _assert_sound(found: Any) -> None:
    for layer in found.layers:
        assert min(layer.actions) >= 0, f"negative counts in layer {layer.name}: {layer.actions}"
    for energies in found.energy_fj:
        assert min(energies.values()) >= 0, f"negative energies: {dict(energies)}"
    assert found.totals.cycles >= 0
    assert found.totals.energy_fj >= 0


def _is_small(graph: Graph) -> bool:
    elements = sum(kind.elements for kind in graph.tensors.values())
    scalars = sum(work.elementwise + work.macs for work in graph.work)
    return 0 <= elements <= ELEMENTS and 0 <= scalars <= MACS


def _drawn(kind: TensorType, rng: np.random.Generator) -> Array:
    dtype = np.dtype(kind.dtype)
    if dtype.kind == "f":
        return rng.standard_normal(kind.shape).astype(dtype)
    if dtype.kind == "b":
        return rng.integers(0, 2, kind.shape).astype(dtype)
    info = np.iinfo(dtype)
    return rng.integers(info.min, info.max, kind.shape, dtype, endpoint=True)


def _resident() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def answer(path: Path, machines: Any) -> dict[str, Any]:
    """One file's outcome as a JSON object."""
    before, start = _resident(), perf_counter()
    try:
        outcome, text = probe(path, machines)
    except MemoryError:
        outcome, text = "memory", traceback.format_exc()
    except BaseException:
        outcome, text = "exception", traceback.format_exc()
    seconds = perf_counter() - start
    if outcome in ("refused", "priced", "ran") and _resident() - before > GROWTH_BYTES:
        text = f"resident memory grew by {(_resident() - before) >> 20} MiB"
        outcome = "memory"
    return {"outcome": outcome, "text": text, "seconds": seconds}


def main() -> None:
    """Answer until standard input ends."""
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    faulthandler.enable()
    warnings.simplefilter("error")
    machines = [hwconfigs.load(name) for name in hwconfigs.names()]
    resource.setrlimit(resource.RLIMIT_AS, (LIMIT_BYTES, LIMIT_BYTES))
    print("ready", file=replies, flush=True)
    for line in sys.stdin:
        print(json.dumps(answer(Path(line.rstrip("\n")), machines)), file=replies, flush=True)


if __name__ == "__main__":
    main()
