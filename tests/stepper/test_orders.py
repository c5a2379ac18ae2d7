"""Toggles in the order of loop nests and kernels, against a walk product by product."""

import os
import subprocess
import sys
from random import Random
from typing import Any

import numpy as np
import pytest

import hwconfigs
from simulator.machines.base import Machine
from simulator.machines.cpu import Cpu
from simulator.machines.dsp import Dsp
from simulator.machines.registry import machine_from
from simulator.machines.spatial import Spatial
from simulator.mapped import map_work
from simulator.stepper.activity import Activity, activity
from simulator.stepper.layout import operand_widths, products_by_group
from simulator.work import Work
from tests.shared import ROOT
from tests.stepper.test_activity import sparse
from tests.stepper.test_stepper import Layer, layers
from tests.stepper.walk_oracle import Chip, walk_core, walk_dsp, walk_nest

SPATIAL = ("eyeriss_like", "tpu_like", "gemmini_like", "ethos_u55_64", "gemm_l1")
VECTORS = ("cortex_m4", "cortex_m55", "cortex_m0plus", "cortex_a76", "hvx_1024")
SUMS = (
    {"bits": 10, "overflow": "saturate"},
    {"bits": 16, "overflow": "wrap"},
    {"bits": 32, "overflow": "saturate"},
)


def drawn(name: str, rng: Random, work: Work) -> Machine:
    """A shipped machine with some datapath that takes the operands."""
    changes: list[tuple[str, Any]] = [
        # The two bytes of a unit's output registers hold no wider sum.
        ("datapath.accumulator", rng.choice(SUMS[: 2 if name == "tpu_like" else 3])),
        ("datapath.zero_point", rng.choice(["subtracted", "folded"])),
    ]
    if work.activation_bits > 8:
        changes.append(("datapath.activation_bits", 16))
    return machine_from(hwconfigs.document(name), changes)


def by_hand(layer: Layer, target: Machine) -> Chip:
    datapath = target.datapath.datapath()
    folded = datapath.zero_point == "folded"
    found = products_by_group(layer.operator, layer.inputs, folded, layer.work)
    chip = Chip(
        [p.x for p in found],
        [p.w for p in found],
        [p.bias for p in found],
        layer.work,
        (*operand_widths(layer.operator, datapath), datapath.accumulator_bits),
        datapath.overflow == "saturate",
    )
    if isinstance(target, Spatial):
        walk_nest(chip, map_work(layer.work, target).nest, target)
    elif isinstance(target, Cpu):
        walk_core(chip, target)
    else:
        assert isinstance(target, Dsp)
        walk_dsp(chip, target)
    return chip


def measured(layer: Layer, target: Machine, **options: int) -> Activity:
    return activity(layer.operator, layer.inputs, target, layer.work, **options)


def assert_equal(found: Activity, chip: Chip) -> None:
    counts = chip.counts
    assert dict(found.toggles) == {k: counts[k] for k in ("weight", "activation", "accumulator")}
    assert dict(found.writes) == {
        k: counts[f"{k} writes"] for k in ("weight", "activation", "accumulator")
    }
    assert found.product_toggles == counts["product"]
    assert found.gated_product_toggles == counts["gated_product"]
    assert found.gated_accumulator_writes == counts["gated writes"]


@pytest.mark.parametrize("name", SPATIAL + VECTORS)
def test_every_register_as_the_walk_has_it(name: str) -> None:
    rng = Random(name)
    for layer in layers(rng.randrange(1 << 30), 12):
        target = drawn(name, rng, layer.work)
        found, chip = measured(layer, target), by_hand(layer, target)
        assert chip.counts["products"] == found.products == layer.work.macs
        assert_equal(found, chip)
        assert (found.sampled, dict(found.covariance)) == (1, {})


@pytest.mark.parametrize("name", ["eyeriss_like", "cortex_m4", "hvx_1024"])
def test_sparse_operands_as_the_walk_has_them(name: str) -> None:
    layer = sparse(19, 23, 21, 4)
    target = machine_from(hwconfigs.document(name), [("datapath.zero_point", "subtracted")])
    found = measured(layer, target)
    assert_equal(found, by_hand(layer, target))
    assert found.gated_product_toggles < found.product_toggles
    assert found.gated_accumulator_writes <= found.writes["accumulator"]


@pytest.mark.parametrize("name", ["tpu_like", "eyeriss_like", "cortex_m4", "hvx_1024"])
def test_drawn_stretches_agree_within_their_standard_error(name: str) -> None:
    layer = sparse(181, 150, 70, 9)
    rng = np.random.default_rng(8)
    x, w, bias = (np.asarray(a) for a in layer.inputs)
    smooth = np.cumsum(rng.integers(-9, 10, x.shape), axis=0).clip(0, 127).astype(np.int8)
    layer = Layer(
        layer.operator, (np.where(x == 0, 0, smooth).astype(np.int8), w, bias), layer.work
    )
    target = machine_from(hwconfigs.document(name), [])
    whole = measured(layer, target)
    squares: dict[str, list[float]] = {}
    for seed in range(20):
        found = measured(layer, target, seed=seed, most_products=400_000)
        assert found.products == whole.products
        assert 0 < found.sampled < 1
        for kind, error in found.standard_error.items():
            off = abs(found.count(kind) - whole.count(kind))
            assert off <= 4 * error + 1, (kind, seed)
            assert error < 0.1 * whole.count(kind)
            if error:
                squares.setdefault(kind, []).append((off / error) ** 2)
    # Of 20 squares of a normal variable the mean lies within these in 998 cases of 1000.
    assert all(0.27 < np.mean(found) < 2.3 for found in squares.values()), squares
    again = measured(layer, target, seed=1, most_products=400_000)
    assert again == measured(layer, target, seed=1, most_products=400_000)


def test_without_the_compiler() -> None:
    script = (
        "from tests.stepper.test_orders import *\n"
        "for name in ('cortex_m4', 'hvx_1024'):\n"
        "    layer, target = sparse(9, 12, 5, 1), machine_from(hwconfigs.document(name), [])\n"
        "    assert_equal(measured(layer, target), by_hand(layer, target))\n"
    )
    subprocess.run(
        [sys.executable, "-W", "error", "-c", script],
        env={**os.environ, "NUMBA_DISABLE_JIT": "1", "PYTHONPATH": str(ROOT)},
        check=True,
    )
