"""QDQ files, layer by layer: what the engine computes of them against the simulated network.

ONNX Runtime gives the engine's bits (`test_qdq`), so this holds both to the plan.
"""

from collections.abc import Iterator, Mapping
from typing import Final

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.execute import run_batch
from simulator.graph import Array, Graph, Node
from tests.quantize.export.minmax import Widths, drawn, plan_of
from workloads.float_graph import cut, with_outputs
from workloads.quantize.export.qdq import integer
from workloads.quantize.ptq import Plan, forward, places, simulated
from workloads.quantize.ptq.places import moves

pytest.importorskip("onnxruntime")

WIDTHS: Final = (
    Widths(8, 8),
    Widths(8, 8, by_channel=False, affine_weights=True),
    Widths(8, 8, affine_weights=True),
    Widths(8, 8, centred=True),
    Widths(4, 4),
    Widths(2, 3),
    Widths(8, 16, centred=True),
    Widths(16, 16),
)
SINGLE: Final = 2.0**-23
"""What two values of float32 on one grid are off by, of the greatest."""


@settings(max_examples=60, deadline=None, derandomize=True, database=None)
@given(seed=st.integers(0, 2**31), widths=st.sampled_from(WIDTHS))
def test_operators_are_a_step_apart_at_most(
    seed: int, widths: Widths, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Each exported alone, fed what the simulated network holds there."""
    graph, samples = drawn(seed, tmp_path_factory.mktemp("net"))
    plan = plan_of(graph, {graph.inputs[0]: samples}, widths)
    names = [name for node in graph.nodes for name in node.outputs]
    (held,) = forward(simulated(plan), [{graph.inputs[0]: samples}], (*graph.inputs, *names))
    checked = 0
    for node, part, fed in parts(plan, held):
        made = integer(part)
        got = run_batch(made, dict(zip(made.inputs, fed.values(), strict=True)))[0]
        wanted = run_batch(simulated(part), fed)[0]
        for theirs, name in zip(made.outputs, part.graph.outputs, strict=True):
            assert_near(part, node, name, got[theirs], wanted[name])
            checked += 1
    assert checked > 0


@settings(max_examples=40, deadline=None, derandomize=True, database=None)
@given(seed=st.integers(0, 2**31), widths=st.sampled_from(WIDTHS))
def test_operators_are_joined_as_planned(
    seed: int, widths: Widths, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Every tensor of one file, against what the simulated operator makes of the one before."""
    graph, samples = drawn(seed, tmp_path_factory.mktemp("net"))
    plan = plan_of(graph, {graph.inputs[0]: samples}, widths)
    names = list(dict.fromkeys(name for node in graph.nodes for name in node.outputs))
    whole = Plan(with_outputs(graph, names), plan.weights, plan.activations)
    made = integer(whole)
    got = run_batch(made, {made.inputs[0]: samples})[0]
    held = {graph.inputs[0]: samples, **dict(zip(names, got.values(), strict=True))}
    for node, part, fed in parts(plan, held):
        wanted = run_batch(simulated(part), fed)[0]
        for name in part.graph.outputs:
            assert_near(part, node, name, held[name], wanted[name])


def parts(plan: Plan, held: Mapping[str, Array]) -> Iterator[tuple[Node, Plan, dict[str, Array]]]:
    """Every node that computes, as a plan of its own, and what it reads."""
    for node in plan.graph.nodes:
        if not moves(node):
            yield node, *alone(plan, node, held)


def alone(plan: Plan, node: Node, held: Mapping[str, Array]) -> tuple[Plan, dict[str, Array]]:
    """The plan of one node, and its inputs."""
    given = [n for n in dict.fromkeys(node.inputs) if n and n not in plan.graph.constants]
    part: Graph = cut(plan.graph, given, node.outputs)
    weights = {n: w for n, w in plan.weights.items() if n in node.inputs}
    at = places(part).tensors
    grids = {n: grid for n, grid in plan.activations.items() if n in at}
    assert {*given, *node.outputs} <= grids.keys()
    return Plan(part, weights, grids), {n: held[n] for n in given}


def assert_near(plan: Plan, node: Node, name: str, got: Array, wanted: Array) -> None:
    (step,) = plan.activations[name].scale
    apart = np.abs(got.astype(np.float64) - wanted).max() / step
    codes = float(np.abs(wanted).max()) / step
    assert apart <= 1 + codes * SINGLE, (name, apart, node.op)
