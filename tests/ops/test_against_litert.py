"""One-op models in LiteRT's BUILTIN_REF and in bitlane: 0 differing values."""

from itertools import islice
from pathlib import Path
from random import Random

import numpy as np
import pytest

import workloads
from simulator.execute import run
from simulator.graph import Array
from simulator.registry import operators
from tests.ops.build import OneOp, codes, tensor
from tests.ops.litert import requires_litert, run_reference
from tests.ops.oracles import oracle_of

pytestmark = requires_litert
CASES = 250


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


@pytest.mark.parametrize("kind", sorted(operators()))
def test_random_models_equal_litert(kind: str, tmp_path: Path) -> None:
    rng = Random(f"{kind} litert")
    for one in islice(oracle_of(kind).one_ops(rng, 20), CASES):
        assert_equal_to_litert(one, tmp_path)
