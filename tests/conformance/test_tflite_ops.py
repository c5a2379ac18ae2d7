"""One-operator TFLite models with recorded outputs: 0 differing values, every case counted.

`opzoo` holds what LiteRT and TFLM computed, with a description; `seanet_int16x8` are tflite-micro's
own integration tests without one, whose goldens carry the dtype in their keys and no shape. Those
are the bits of LiteRT's reference kernels: tflite-micro 0.dev20261023 itself derives the scale of
LEAKY_RELU in double, which moves one value in two of the cases.
"""

from collections import Counter
from collections.abc import Iterator
from typing import Final

import numpy as np
import pytest

import workloads
from simulator.execute import run
from simulator.graph import Array, Graph
from tests.conformance.cases import CaseFile, cases_root, find_cases, is_shared, skip_if_absent

COLLECTIONS: Final = {"opzoo": 66, "seanet_int16x8": 75}
"""How many cases the shared folder holds of each."""

DIALECT_OF: Final = {"REF": "litert-ref", "TFLM": "tflm", "XNN": "litert-xnnpack"}
"""The dialect of each recording runtime. OPT, LiteRT's x86 kernels, is none of ours."""

LEFT_OUT: Final[dict[str, str]] = {}
"""``collection/case runtime`` that are not run, each with its reason."""

Sample = tuple[list[Array], list[Array]]


def runtimes(case: CaseFile) -> list[str]:
    """Who recorded outputs of this case: an equal runtime has no arrays of its own."""
    if not case.described:
        return ["REF"]
    about = case.about()
    return [
        name
        for name in DIALECT_OF
        if about["status"].get(name) == "ok" and (name in about["vs_base"] or name == about["base"])
    ]


def samples(case: CaseFile, runtime: str, graph: Graph) -> Iterator[Sample]:
    """(inputs, outputs) of every sample that `runtime` computed."""
    held = case.arrays()
    if not case.described:
        inputs = [
            next(held[k] for k in held if k.startswith(f"input{i}_")).reshape(
                graph.tensors[name].shape
            )
            for i, name in enumerate(graph.inputs)
        ]
        golden = next(held[k] for k in held if k.startswith("golden_"))
        yield inputs, [golden.reshape(graph.tensors[graph.outputs[0]].shape)]
        return
    own = any(key.startswith(f"{runtime}_") for key in held)
    prefix = runtime if own else case.about()["base"]
    sample = 0
    while f"in{sample}_0" in held:
        yield (
            [held[f"in{sample}_{i}"] for i in range(len(graph.inputs))],
            [held[f"{prefix}_out{sample}_{o}"] for o in range(len(graph.outputs))],
        )
        sample += 1


def differing(case: CaseFile, runtime: str) -> int:
    """How many values differ over all samples and outputs, shapes and dtypes being equal."""
    graph = workloads.load(case.model, DIALECT_OF[runtime])
    total, count = 0, 0
    for inputs, expected in samples(case, runtime, graph):
        outputs, _ = run(graph, dict(zip(graph.inputs, inputs, strict=True)))
        for name, value in zip(graph.outputs, expected, strict=True):
            assert (outputs[name].dtype, outputs[name].shape) == (value.dtype, value.shape)
            total += int(np.count_nonzero(outputs[name] != value))
        count += 1
    assert count > 0
    return total


CASES: Final = find_cases("tflite_ops")
RUNS: Final = [(case, runtime) for case in CASES for runtime in runtimes(case)]


@pytest.fixture(autouse=True)
def _present() -> None:
    skip_if_absent("tflite_ops")


@pytest.mark.parametrize(
    ("case", "runtime"), RUNS, ids=[f"{case.label} {runtime}" for case, runtime in RUNS]
)
def test_case_is_exact(case: CaseFile, runtime: str) -> None:
    label = f"{case.label} {runtime}"
    if label in LEFT_OUT:
        pytest.skip(LEFT_OUT[label])
    assert differing(case, runtime) == 0


def test_every_case_is_counted() -> None:
    """None is missing, each is run as at least one runtime, none is left out without a reason."""
    assert CASES, f"no cases in {cases_root()}/tflite_ops"
    assert {case.label for case, _ in RUNS} == {case.label for case in CASES}
    assert set(LEFT_OUT) <= {f"{case.label} {runtime}" for case, runtime in RUNS}
    assert all(LEFT_OUT.values())
    if is_shared():
        assert Counter(case.group for case in CASES) == COLLECTIONS
