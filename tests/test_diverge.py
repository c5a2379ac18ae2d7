"""Where two arithmetics part: the layer, the element, and the rounding rule behind it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import workloads
from analysis.arrays import random_inputs
from analysis.diverge import Divergence, diverge, first_difference
from simulator.execute import run
from simulator.graph import Array, Graph
from simulator.numeric.dialect import DIALECTS, dialect
from tests.ops.build import OneOp, tensor
from workloads.tflite.reader import read

DENSE = {
    "fused_activation_function": "NONE",
    "keep_num_dims": False,
    "weights_format": "DEFAULT",
}


def every_tensor(graph: Graph, inputs: dict[str, Array]) -> dict[str, Array]:
    found: dict[str, Array] = {}
    run(graph, inputs, tap=lambda n, _, results: found.update(zip(n.outputs, results, strict=True)))
    return found


def first_by_hand(
    ours: Graph, other: Graph, inputs: dict[str, Array]
) -> tuple[str, tuple[int, ...], int, int] | None:
    """(node, index, ours, other) of the first differing element, node by node."""
    a, b = every_tensor(ours, inputs), every_tensor(other, inputs)
    for node in ours.nodes:
        for name in node.outputs:
            for index in np.ndindex(*a[name].shape):
                if a[name][index] != b[name][index]:
                    return node.name, index, int(a[name][index]), int(b[name][index])
    return None


def divergences(other: str, samples: int) -> Iterator[Divergence]:
    """What `diverge` finds between the reference and a dialect, checked against the definition."""
    ours, theirs = workloads.load("zoo:digits"), workloads.load("zoo:digits", other)
    rng = np.random.default_rng(2)
    for _ in range(samples):
        inputs = random_inputs(ours, rng)
        found, expected = diverge(ours, theirs, inputs), first_by_hand(ours, theirs, inputs)
        assert (found is None) == (expected is None)
        if found is not None:
            assert (found.node, found.index, found.ours, found.other) == expected
            yield found


def rules(found: Divergence) -> set[str]:
    """The roundings that explain the other side's value, without their scale derivations."""
    return {rule.split(" ")[0] for rule in found.explained_by}


def test_a_dialect_does_not_part_from_itself() -> None:
    graph = workloads.load("zoo:digits")
    inputs = random_inputs(graph, np.random.default_rng(1))
    assert diverge(graph, workloads.load("zoo:digits"), inputs) is None


def test_single_rounding_is_named_where_cmsis_nn_rounds_once() -> None:
    found = [d for d in divergences("cmsis-nn-single", 40) if d.accumulator is not None]
    assert len(found) >= 5
    for divergence in found:
        assert divergence.op in ("conv_2d", "depthwise_conv_2d", "fully_connected")
        ours = "float64_away" if divergence.op == "fully_connected" else "double_round"
        assert "single_round" in rules(divergence)
        assert ours not in rules(divergence)
        assert abs(divergence.ours - divergence.other) == 1


def dense(zero_point: int, sums: list[int], scale: float, folder: Path) -> dict[str, Graph]:
    """One fully connected layer whose accumulators are `sums`, in every dialect."""
    taps, outputs = 1, len(sums)
    kinds = (
        tensor((1, taps), 1.0),
        tensor((outputs, taps), 0.5),
        tensor((outputs,), 0.5, dtype="int32"),
    )
    values = (None, np.zeros((outputs, taps), np.int8), np.array(sums, np.int32))
    y = tensor((1, outputs), 0.5 / scale, zero_point)
    model = OneOp("FULLY_CONNECTED", DENSE, kinds, y, values, frozenset({1, 2})).model()
    (folder / "dense.tflite").write_bytes(model)
    return {name: read(folder / "dense.tflite", dialect(name)) for name in DIALECTS}


@pytest.mark.parametrize("other", ["tflm", "cmsis-nn"])
def test_double_rounding_is_named_where_tflm_parts_from_litert(tmp_path: Path, other: str) -> None:
    """At scale 1/2 a negative odd sum is a tie: LiteRT rounds it away, TFLM's first step up."""
    graphs = dense(3, [2, 4, -4, 5, -7, 6], 0.5, tmp_path)
    inputs = {"x0": np.zeros((1, 1), np.int8)}
    found = diverge(graphs["litert-ref"], graphs[other], inputs)
    assert found is not None
    assert (found.node, found.op, found.tensor, found.index) == (
        *("fully_connected_0", "fully_connected", "y"),
        (0, 4),
    )
    assert (found.accumulator, found.real) == (-7, -3.5)
    assert (found.ours, found.other) == (-4 + 3, -3 + 3)
    assert (found.multiplier, found.shift) == (2**30, 0)
    assert "double_round" in rules(found)
    assert "float64_away" not in rules(found)
    back = diverge(graphs[other], graphs["litert-ref"], inputs)
    assert back is not None
    assert "float64_away" in rules(back)
    assert not {"double_round", "single_round"} & rules(back)


def test_tflm_parts_from_litert_only_where_it_must() -> None:
    """The digits network: every operator but FULLY_CONNECTED rounds alike in both."""
    for found in divergences("tflm", 40):
        assert found.op == "fully_connected"
        assert "double_round" in rules(found)


def test_the_text_names_element_and_rule(tmp_path: Path) -> None:
    graphs = dense(0, [2, -7], 0.5, tmp_path)
    found = diverge(graphs["litert-ref"], graphs["tflm"], {"x0": np.zeros((1, 1), np.int8)})
    assert found is not None
    first, second = found.to_text().split("\n")
    assert first == "first difference: fully_connected_0, tensor 'y', element [0, 1]: -4, other -3"
    assert second.startswith(
        "accumulator -7, multiplier 1073741824, shift 0, real -3.5; the other value follows from "
    )
    assert "double_round" in second


def test_a_value_that_no_rule_gives(tmp_path: Path) -> None:
    graph = dense(0, [2, -7], 0.5, tmp_path)["litert-ref"]
    theirs = {"y": np.array([[1, 99]], np.int8)}
    found = first_difference(graph, {"x0": np.zeros((1, 1), np.int8)}, theirs)
    assert found is not None
    assert found.explained_by == ()
    assert found.to_text().endswith("follows from no rounding rule known here")


def test_an_operator_without_products_is_only_named() -> None:
    graph = workloads.load("zoo:digits")
    inputs = random_inputs(graph, np.random.default_rng(1))
    theirs: dict[str, Any] = every_tensor(graph, inputs)
    (name,) = next(n.outputs for n in graph.nodes if n.op.kind == "add")
    changed = theirs[name].copy()
    changed[0, 1, 2, 3] ^= 1
    found = first_difference(graph, inputs, {**theirs, name: changed})
    assert found is not None
    assert (found.op, found.tensor, found.index) == ("add", name, (0, 1, 2, 3))
    assert (found.accumulator, found.reason) == (None, None)
    assert "\n" not in found.to_text()


def test_tensors_the_other_side_hides_are_passed_over() -> None:
    graph = workloads.load("zoo:digits")
    inputs = random_inputs(graph, np.random.default_rng(1))
    assert first_difference(graph, inputs, {}) is None
