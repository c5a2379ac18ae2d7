"""A plan as a file: QDQ or QONNX in `.onnx`, or `.tflite`; read back and run before it is kept."""

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

import workloads
from analysis.files import replacing
from analysis.labelled import real_values
from simulator.decode import value_range
from simulator.errors import BadFile, BitlaneError, Unsupported
from simulator.execute import run
from simulator.graph import STORAGE, Array, Graph, TensorType
from workloads.quantize.ptq.measure import Noise
from workloads.quantize.ptq.pipeline import Quantized
from workloads.quantize.ptq.plan import Plan
from workloads.quantize.ptq.prepare import prepared
from workloads.quantize.ptq.samples import Samples
from workloads.quantize.ptq.simulate import simulated
from workloads.quantize.ptq.widths import Policy, widths

FORMATS: Final = ("qdq", "qonnx")
SUFFIXES: Final = (".onnx", ".tflite")
TFLITE_WEIGHTS: Final = 8
TFLITE_ACTIVATIONS: Final = (8, 16)
MOST_RUN: Final = 64
"""Samples that a file is run on."""


@dataclass(frozen=True)
class Written:
    """A file, and how it computes what the plan's simulation does.

    `agreeing` of `samples` have the same largest output; None where outputs are single values.
    `outputs_db` is the signal to noise of the outputs, in dB, the simulation being the signal.
    """

    path: Path
    format: str
    bytes: int
    samples: int
    agreeing: int | None
    outputs_db: float


def check_output(path: Path, form: str | None) -> str:
    """The format that a file is written in; raises BadFile for a suffix or format that is none."""
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise BadFile(
            f"-o {path}: quantized models are written as {' or '.join(SUFFIXES)}; found "
            f"'{suffix or 'no suffix'}'"
        )
    if suffix == ".tflite":
        if form is not None:
            raise BadFile(f"--format {form}: is of .onnx files; leave it out for {path}")
        return "tflite"
    if form is not None and form not in FORMATS:
        raise BadFile(f"--format {form}: must be one of {', '.join(FORMATS)}")
    return form or "qdq"


def check_widths(graph: Graph, policy: Policy, form: str, path: Path) -> None:
    """Raise Unsupported for widths that a `.tflite` cannot hold; others hold all."""
    if form != "tflite":
        return
    for name, width in widths(prepared(graph), policy).items():
        if width.weights > TFLITE_WEIGHTS or width.activations not in TFLITE_ACTIVATIONS:
            raise Unsupported(
                f"-o {path}: a full-integer .tflite has weights of 2 to {TFLITE_WEIGHTS} bits and "
                f"activations of {' or '.join(map(str, TFLITE_ACTIVATIONS))}; found {width} for "
                f"'{name}'. Choose such widths, or write .onnx"
            )


def write(made: Quantized, path: Path, form: str) -> Written:
    """Write a plan; what is read back is run first, and a file that cannot be is not kept."""
    data = _bytes(made.plan, form)
    samples = made.judge.held.part(0, MOST_RUN)
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder) / path.name
        scratch.write_bytes(data)
        try:
            graph = workloads.load(scratch)
            agreeing, outputs_db = compared(graph, simulated(made.plan), samples)
        except BitlaneError as error:
            told = str(error).replace(str(scratch), str(path))
            raise type(error)(f"{path}: cannot be read back, and is not written: {told}") from None
    with replacing(path) as place:
        place.write_bytes(data)
    return Written(path, form, len(data), len(samples), agreeing, outputs_db)


def compared(graph: Graph, simulation: Graph, samples: Samples) -> tuple[int | None, float]:
    """(samples with the same largest first output, dB of the worst output) of a graph read back."""
    noise = [Noise() for _ in simulation.outputs]
    agreeing, several = 0, simulation.tensors[simulation.outputs[0]].elements > 1
    for batch in samples:
        for index in range(len(next(iter(batch.values())))):
            values = {name: value[index] for name, value in batch.items()}
            expected = run(simulation, values)[0]
            found = _outputs(graph, values)
            for i, name in enumerate(simulation.outputs):
                noise[i].add(expected[name].reshape(-1), found[i])
            agreeing += int(expected[simulation.outputs[0]].argmax() == found[0].argmax())
    return agreeing if several else None, min(one.decibels for one in noise)


def _outputs(graph: Graph, values: Mapping[str, Array]) -> list[NDArray[np.float64]]:
    """The real outputs of a graph on real inputs, flat, both in the order of the file."""
    given = dict[str, Array]()
    for i, (name, value) in enumerate(values.items()):
        theirs = graph.inputs[i] if name not in graph.inputs else name
        given[theirs] = _as_input(graph.tensors[theirs], value)
    outputs = run(graph, given)[0]
    return [real_values(outputs[n], graph.tensors[n]).reshape(-1) for n in graph.outputs]


def _as_input(kind: TensorType, value: Array) -> Array:
    """A real input on the grid of a graph's, ties to even, or as it is."""
    stored = STORAGE[kind.dtype]
    shaped = value.reshape(kind.shape)
    if kind.quant is None or kind.dtype.startswith("f"):
        return shaped.astype(stored)
    codes = np.rint(shaped.astype(np.float64) / kind.quant.scale[0]) + kind.quant.zero_point[0]
    clamped: Array = np.clip(codes, *value_range(kind)).astype(stored)
    return clamped


def _bytes(plan: Plan, form: str) -> bytes:
    if form == "tflite":
        from workloads.quantize.export.tflite import to_tflite

        return to_tflite(plan)
    if form == "qonnx":
        from workloads.quantize.export.qonnx import to_qonnx

        return bytes(to_qonnx(plan).SerializeToString())
    from workloads.quantize.export.qdq import to_qdq

    return bytes(to_qdq(plan).SerializeToString())
