"""One-op models in LiteRT's BUILTIN_REF and in bitlane: 0 differing values."""

from dataclasses import replace
from itertools import islice
from pathlib import Path
from random import Random

import numpy as np
import pytest

import workloads
from simulator.execute import run
from simulator.graph import Array
from tests.ops.build import OneOp, codes, single, tensor, zero_point
from tests.ops.litert import requires_litert, run_reference
from tests.ops.oracles import one_op_kinds, oracle_of

pytestmark = requires_litert
CASES = 250
NO_ACTIVATION = {"fused_activation_function": "NONE"}


def ours(one: OneOp, folder: Path) -> Array:
    """The model written, read back through `workloads.load` and run."""
    path = folder / "one.tflite"
    path.write_bytes(one.model())
    graph = workloads.load(path)
    fed = [one.values[i] for i in one.feeds()]
    values = {name: v for name, v in zip(graph.inputs, fed, strict=True) if v is not None}
    outputs, _ = run(graph, values)
    return outputs["y"]


def assert_equal_to_litert(one: OneOp, folder: Path) -> None:
    fed = [v for i in one.feeds() if (v := one.values[i]) is not None]
    if one.refused:
        with pytest.raises(RuntimeError, match="failed to prepare"):
            run_reference(one.model(), fed)
        return
    reference = run_reference(one.model(), fed)
    got = ours(one, folder)
    assert got.dtype == reference.dtype
    assert got.shape == reference.shape
    assert int(np.count_nonzero(got != reference)) == 0, one


@pytest.mark.parametrize("kind", one_op_kinds())
def test_random_models_equal_litert(kind: str, tmp_path: Path) -> None:
    rng = Random(f"{kind} litert")
    for one in islice(oracle_of(kind).one_ops(rng, 20), CASES):
        assert_equal_to_litert(one, tmp_path)


@pytest.mark.parametrize("length", [2, 3, 17, 100, 300, 511])
@pytest.mark.parametrize("scale", [0.0009765625, 0.01, 0.1, 3.7])
def test_softmax_lengths_and_scales(length: int, scale: float, tmp_path: Path) -> None:
    rng = Random(f"{length} {scale}")
    for beta in (0.1, 1.0, 2.5, 40.0):
        shape = (3, length)
        one = OneOp(
            "SOFTMAX",
            {"beta": single(beta)},
            (tensor(shape, single(scale), zero_point(rng)),),
            tensor(shape, 1 / 256, -128),
            (codes(rng, shape),),
        )
        assert_equal_to_litert(one, tmp_path)


@pytest.mark.parametrize("octaves", [-60, -40, -33, -32, -31, -30, -20, 0, 20, 31, 40])
def test_addition_of_very_unequal_scales(octaves: int, tmp_path: Path) -> None:
    rng = Random(octaves)
    shape = (64,)
    for coarse in (0.5, 0.7, 1.0):
        fine = single(0.5 * 2.0**octaves)
        one = OneOp(
            "ADD",
            {"fused_activation_function": "NONE"},
            (tensor(shape, single(coarse), zero_point(rng)), tensor(shape, fine, zero_point(rng))),
            tensor(shape, single(max(coarse, fine) * 1.5), zero_point(rng)),
            (codes(rng, shape), codes(rng, shape)),
        )
        assert_equal_to_litert(one, tmp_path)


def strange_scales(rng: Random, one: OneOp) -> OneOp:
    """The same node with an output scale up to 2^30 away, so that shifts of both signs occur."""
    assert one.output.quant is not None
    scale = single(one.output.quant.scale[0] * 2.0 ** rng.randint(-30, 24))
    output = tensor(one.output.shape, scale, one.output.quant.zero_point[0])
    return replace(one, output=output, options={**one.options, **NO_ACTIVATION})


@pytest.mark.parametrize("kind", ["conv_2d", "depthwise_conv_2d"])
def test_strange_output_scales(kind: str, tmp_path: Path) -> None:
    """Left shifts up to 31 wrap the accumulator at 32 bits, right shifts reach 0."""
    rng = Random(f"{kind} strange")
    for one in islice(oracle_of(kind).one_ops(rng, 6), 150):
        assert_equal_to_litert(strange_scales(rng, one), tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("kind", one_op_kinds())
def test_many_random_models_equal_litert(kind: str, tmp_path: Path) -> None:
    for one in islice(oracle_of(kind).one_ops(Random(f"{kind} many"), 24), 4000):
        assert_equal_to_litert(one, tmp_path)
