"""How many recorded values were compared, by dialect and operator, and how many differ.

``python -m tests.conformance.count > docs/conformance.json`` runs every recorded case and network
of the shared folder. A value differs where any bit does. The page of dialects shows the counts.
"""

import json
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

import workloads
from simulator.errors import BitlaneError
from simulator.execute import run
from simulator.graph import Array, Graph, Node
from tests.conformance import goldens, onnx_goldens
from tests.conformance.cases import find_cases
from tests.conformance.cmsis_cases import compute
from tests.conformance.test_onnx_node_cases import folder, names, tensor
from tests.conformance.test_tflite_ops import DIALECT_OF, RUNS, samples
from tests.shared import absence, shared_folder

NETWORK = "whole networks"
"""The row of outputs that were recorded at a network's end alone."""
CMSIS_KINDS = {
    "conv2d": "conv_2d",
    "depthwise": "depthwise_conv_2d",
    "avg_pool": "average_pool_2d",
    "max_pool": "max_pool_2d",
    "max_min": "{layer_type}",
    "lstm": "unidirectional_sequence_lstm",
    "network": NETWORK,
}
"""Operators of CMSIS-NN's families, where their names are not those of ours."""


@dataclass
class Count:
    """Cases run, values compared, values that differ in any bit."""

    cases: int = 0
    values: int = 0
    differing: int = 0


@dataclass
class Counts:
    """By dialect, then by operator."""

    found: dict[str, dict[str, Count]] = field(default_factory=dict)

    def case(self, dialect: str, kind: str, got: list[Array], expected: list[Array]) -> None:
        """Add one case: its arrays must agree in shape and dtype."""
        count = self.found.setdefault(dialect, {}).setdefault(kind, Count())
        count.cases += 1
        for ours, theirs in zip(got, expected, strict=True):
            assert (ours.shape, ours.dtype) == (theirs.shape, theirs.dtype)
            unequal = ours != theirs
            if ours.dtype.kind == "f":
                unequal &= ~(np.isnan(ours) & np.isnan(theirs))
            count.values += ours.size
            count.differing += int(np.count_nonzero(unequal))

    def document(self) -> dict[str, Any]:
        """Sorted, plain, one object a dialect."""
        return {
            "made_by": "python -m tests.conformance.count > docs/conformance.json",
            "counts": {
                dialect: {kind: vars(count) for kind, count in sorted(kinds.items())}
                for dialect, kinds in sorted(self.found.items())
            },
        }


def kind_of(graph: Graph) -> str:
    """The operator that a one-operator model is about: the last but what brings in and out."""
    border = {"quantize", "dequantize", "reshape", "transpose"}
    kinds = [node.op.kind for node in graph.nodes]
    inner = [kind for kind in kinds if kind not in border]
    return (inner or kinds or [NETWORK])[-1]


def outputs(graph: Graph, inputs: list[Array], state: Any = None) -> tuple[list[Array], Any]:
    """The outputs in order, and the state after."""
    found, after = run(graph, dict(zip(graph.inputs, inputs, strict=True)), state=state)
    return [found[name] for name in graph.outputs], after


def count_cmsis(counts: Counts) -> None:
    """CMSIS-NN's unit tests."""
    for case in find_cases("cmsis_nn"):
        family = re.sub(r"_(w4|s16|s8_s16)$", "", case.group)
        kind = CMSIS_KINDS.get(family, family)
        if "{" in kind:
            kind = kind.format(**case.about()["params"]).lower()
        expected = case.arrays()["output_ref"].reshape(-1)
        counts.case("cmsis-nn", kind, [compute(case)], [expected])


def count_tflite_ops(counts: Counts) -> None:
    """One-operator models as LiteRT, XNNPACK and TFLM computed them."""
    for case, runtime in RUNS:
        graph = workloads.load(case.model, DIALECT_OF[runtime])
        got: list[Array] = []
        expected: list[Array] = []
        for inputs, theirs in samples(case, runtime, graph):
            got += outputs(graph, inputs)[0]
            expected += theirs
        counts.case(DIALECT_OF[runtime], kind_of(graph), got, expected)


def count_tflite_networks(counts: Counts) -> None:
    """Public networks: their outputs, and each tensor of the first sample that was recorded."""
    dialects = {"REF": "litert-ref", "TFLM": "tflm", "XNN": "litert-xnnpack"}
    for golden in _goldens():
        about = golden.about
        for runtime, dialect in dialects.items():
            if about["resolvers"].get(runtime) != "ok":
                continue
            try:
                graph = workloads.load(golden.model, dialect)
            except BitlaneError:
                break  # an operator that is not supported; no runtime's bits are ours
            got, expected, state = list[Array](), list[Array](), None
            for inputs, theirs in golden.samples(runtime):
                ours, after = outputs(graph, inputs, state)
                state = after if about.get("stateful_sequence") else None
                got, expected = got + ours, expected + theirs
            counts.case(dialect, NETWORK, got, expected)
        else:
            _count_tensors(counts, golden)


def _goldens() -> Iterator[goldens.Golden]:
    shared = shared_folder()
    assert shared is not None
    for name in goldens.names():
        yield goldens.Golden(goldens.folder_of(shared), name)


def _count_tensors(counts: Counts, golden: goldens.Golden) -> None:
    if not (golden.folder / f"{golden.name}.ref_tensors.npz").exists():
        return
    graph = workloads.load(golden.model, "litert-ref")
    inputs, _ = next(iter(golden.samples("REF")))
    recorded = golden.tensors()

    def compare(node: Node, _: Any, results: Any) -> None:
        for name, value in zip(node.outputs, results, strict=True):
            if graph.source_index.get(name) in recorded:
                theirs = recorded[graph.source_index[name]]
                counts.case("litert-ref", node.op.kind, [value], [theirs])

    run(graph, dict(zip(graph.inputs, inputs, strict=True)), tap=compare)


def count_onnx_nodes(counts: Counts) -> None:
    """The quantized node tests of ONNX itself."""
    for name in names():
        graph = workloads.load(folder() / name / "model.onnx")
        for data in sorted((folder() / name).glob("test_data_set_*")):
            inputs = [tensor(data / f"input_{i}.pb") for i in range(len(graph.inputs))]
            expected = [tensor(data / f"output_{i}.pb") for i in range(len(graph.outputs))]
            counts.case(graph.dialect, kind_of(graph), outputs(graph, inputs)[0], expected)


def count_onnx_networks(counts: Counts) -> None:
    """Public ONNX, QONNX and Deeploy networks: outputs, and tensors where they were recorded."""
    for golden in _onnx("onnx"):
        for level, dialect in (("none", "onnxruntime-unfused"), ("all", "onnxruntime")):
            graph = workloads.load(golden.model, dialect)
            got, expected = list[Array](), list[Array]()
            last: Array | None = None
            for last, theirs in golden.samples(level):
                got, expected = got + outputs(graph, [last])[0], expected + theirs
            counts.case(dialect, NETWORK, got, expected)
            if level == "none" and last is not None:
                _count_onnx_tensors(counts, graph, last, golden.tensors("none_tensors"))
    for golden in _onnx("qonnx"):
        held = golden.arrays()
        graph = workloads.load(golden.model)
        inputs = [k for k in held if re.fullmatch(r"in\d+", k)]
        got = [outputs(graph, [held[k]])[0][0] for k in inputs]
        counts.case("qonnx", NETWORK, got, [held[k.replace("in", "out")] for k in inputs])
        clean = workloads.load(golden.folder / f"{golden.name}.clean.onnx")
        last = held[f"in{len(golden.about['samples']) - 1}"]
        _count_onnx_tensors(counts, clean, last, golden.tensors("tensors"))
    for golden in _onnx("deeploy_int"):
        held = golden.arrays()
        graph = workloads.load(golden.model)
        got, _ = outputs(graph, [held["in0_0"].astype(np.float32)])
        counts.case("pulp", NETWORK, got, [held["out0_0"].astype(np.float32)])


def _onnx(kind: str) -> Iterator[onnx_goldens.OnnxGolden]:
    shared = shared_folder()
    assert shared is not None
    for name in onnx_goldens.names(kind):
        yield onnx_goldens.OnnxGolden(shared / "models" / kind, name)


def _count_onnx_tensors(
    counts: Counts, graph: Graph, value: Array, recorded: dict[str, Array]
) -> None:
    def compare(node: Node, _: Any, results: Any) -> None:
        for name, result in zip(node.outputs, results, strict=True):
            source, ours = graph.as_in_file(name, result)
            if source in recorded and source == name.split("@")[0]:
                counts.case(graph.dialect, node.op.kind, [ours], [recorded[source]])

    run(graph, {graph.inputs[0]: value}, tap=compare)


def main() -> int:
    """Print the document; nothing without the shared folder."""
    if shared_folder() is None:
        print(absence(), file=sys.stderr)
        return 2
    counts = Counts()
    for part in (
        count_cmsis,
        count_tflite_ops,
        count_tflite_networks,
        count_onnx_nodes,
        count_onnx_networks,
    ):
        part(counts)
    print(json.dumps(counts.document(), indent=1))
    return 0


def load(path: Path) -> dict[str, dict[str, Count]]:
    """The counts of a document."""
    held = json.loads(path.read_text(encoding="utf-8"))["counts"]
    return {d: {k: Count(**c) for k, c in kinds.items()} for d, kinds in held.items()}


if __name__ == "__main__":
    sys.exit(main())
