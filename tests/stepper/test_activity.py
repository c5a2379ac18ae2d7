"""Toggles and zeros against the stepper's registers, and drawn stretches against whole layers."""

import os
import subprocess
import sys
from dataclasses import replace
from random import Random

import numpy as np
import pytest

from simulator.graph import Array
from simulator.machines.systolic import Systolic
from simulator.stepper.activity import Activity, activity
from simulator.stepper.step import step
from tests.machines.works import machine
from tests.shared import ROOT
from tests.stepper.test_stepper import FLOWS, Layer, drawn_machine, layers, plain


def measured(layer: Layer, target: Systolic, **options: int) -> Activity:
    return activity(layer.operator, layer.inputs, target, layer.work, **options)


def systolic(flow: str, **fields: object) -> Systolic:
    made = machine("systolic_16x16", array__dataflow=flow, **fields)
    assert isinstance(made, Systolic)
    return made


@pytest.mark.parametrize("seed", range(4))
def test_every_register_as_the_stepper_has_it(seed: int) -> None:
    rng = Random(seed)
    for layer in layers(77 + seed, 30):
        for flow in FLOWS:
            target = drawn_machine(rng, flow, layer.work)
            found = measured(layer, target)
            stepped = step(layer.operator, layer.inputs, target, layer.work)
            assert dict(found.toggles) == dict(stepped.toggles), target
            assert dict(found.writes) == dict(stepped.writes), target
            assert (found.products, found.sampled) == (layer.work.macs, 1)
            assert not found.standard_error


def sparse(rows: int, taps: int, channels: int, seed: int) -> Layer:
    """A product with half of the activations and a fifth of the weights zero."""
    layer = plain(rows, taps, channels, seed)
    x, w, bias = (np.array(a) for a in layer.inputs)
    rng = np.random.default_rng(seed)
    x[rng.random(x.shape) < 0.5] = 0
    w[rng.random(w.shape) < 0.2] = 0
    return Layer(layer.operator, (x, w, bias), layer.work)


def partial_products(before: tuple[int, int], after: tuple[int, int], bits: tuple[int, int]) -> int:
    """The one-bit products that change, one by one."""
    return sum(
        (before[0] >> i & before[1] >> j & 1) != (after[0] >> i & after[1] >> j & 1)
        for i in range(bits[0])
        for j in range(bits[1])
    )


def multipliers_by_hand(x: Array, w: Array, flow: str, rows: int, cols: int) -> tuple[int, int]:
    """Partial products that change, with and without a gate, in the order of the folds."""
    swapped = flow == "input_stationary"
    held, passing = (x, w) if swapped else (w, x)
    bits = (9, 8) if swapped else (8, 9)
    counts = [0, 0]
    kept_by: tuple[dict[tuple[int, int], tuple[int, int]], ...] = ({}, {})

    def put(place: tuple[int, int], pair: tuple[int, int]) -> None:
        for index, kept in enumerate(kept_by):
            if index == 1 and 0 in pair:
                continue
            before = kept.get(place, (0, 0))
            counts[index] += partial_products(before, pair, bits)
            kept[place] = pair

    taps = x.shape[1]
    for c in range(0, len(held), cols):
        if flow == "output_stationary":
            for t in range(0, len(passing), rows):
                for i in range(t, min(t + rows, len(passing))):
                    for j in range(c, min(c + cols, len(held))):
                        for k in range(taps):
                            put((i - t, j - c), (int(held[j, k]), int(passing[i, k])))
            continue
        for k in range(0, taps, rows):
            for i in range(k, min(k + rows, taps)):
                for j in range(c, min(c + cols, len(held))):
                    for t in range(len(passing)):
                        put((i - k, j - c), (int(held[j, i]), int(passing[t, i])))
    return counts[0], counts[1]


@pytest.mark.parametrize("flow", FLOWS)
def test_multipliers_and_zeros_by_hand(flow: str) -> None:
    layer = sparse(11, 9, 7, 3)
    x, w = (np.asarray(a).astype(int) for a in layer.inputs[:2])
    found = measured(layer, systolic(flow, array__rows=4, array__cols=3))
    by_hand = multipliers_by_hand(x, w, flow, 4, 3)
    assert (found.product_toggles, found.gated_product_toggles) == by_hand
    zero_x, zero_w = x[:, None, :] == 0, w[None, :, :] == 0
    assert found.zero_activations == np.broadcast_to(zero_x, (11, 7, 9)).sum()
    assert found.zero_weights == np.broadcast_to(zero_w, (11, 7, 9)).sum()
    assert found.zero_products == (zero_x | zero_w).sum()
    assert found.essential_bits == 7 * sum(abs(v).bit_count() for v in x.ravel().tolist())
    sums = found.writes["accumulator"]
    if flow == "output_stationary":
        # The start and the drain are clocked; of the steps only those with a product.
        assert sums - found.gated_accumulator_writes == found.zero_products
    else:
        assert sums == found.gated_accumulator_writes


def test_zeros_cost_nothing_and_random_operands_toggle() -> None:
    layer = plain(40, 30, 20)
    zeros = replace(layer, inputs=(np.zeros((40, 30), np.int8), *layer.inputs[1:]))
    for flow in FLOWS:
        target = systolic(flow, array__rows=8, array__cols=8)
        none, some = measured(zeros, target), measured(layer, target)
        assert none.toggles["activation"] == 0
        assert none.gated_product_toggles == 0
        assert none.zero_products == none.products == 40 * 30 * 20
        assert none.toggles["accumulator"] < some.toggles["accumulator"]
        assert none.product_toggles < some.product_toggles


def test_the_order_of_channels_moves_toggles_and_no_sum() -> None:
    layer = plain(50, 24, 10, 5)
    x, w, bias = (np.asarray(a) for a in layer.inputs)
    order = np.argsort(x.astype(int).sum(axis=0))
    turned = replace(layer, inputs=(x[:, order], w[:, order], bias))
    target = systolic("output_stationary", array__rows=8, array__cols=8)
    before, after = measured(layer, target), measured(turned, target)
    assert before.toggles["activation"] != after.toggles["activation"]
    assert before.zero_products == after.zero_products
    sums = step(layer.operator, layer.inputs, target, layer.work).accumulators
    again = step(turned.operator, turned.inputs, target, turned.work).accumulators
    assert np.array_equal(sums, again)


@pytest.mark.parametrize("flow", FLOWS)
def test_drawn_stretches_agree_within_their_standard_error(flow: str) -> None:
    rng = np.random.default_rng(8)
    layer = plain(600, 40, 24, 9)
    smooth = np.cumsum(rng.integers(-9, 10, (600, 40)), axis=0).clip(0, 127).astype(np.int8)
    layer = replace(layer, inputs=(smooth, *layer.inputs[1:]))
    target = systolic(flow, array__rows=8, array__cols=8)
    whole = step(layer.operator, layer.inputs, target, layer.work).toggles
    exact = measured(layer, target)
    reference = {
        **whole,
        "product": exact.product_toggles,
        "gated_product": exact.gated_product_toggles,
    }
    within, cases = 0, 0
    for seed in range(20):
        found = measured(layer, target, seed=seed, most_products=120_000)
        assert 0.1 < found.sampled < 0.5
        estimates = {
            **found.toggles,
            "product": found.product_toggles,
            "gated_product": found.gated_product_toggles,
        }
        for kind, error in found.standard_error.items():
            if error == 0:
                assert estimates[kind] == reference[kind]
                continue
            cases += 1
            within += abs(estimates[kind] - reference[kind]) <= 2 * error
            assert abs(estimates[kind] - reference[kind]) <= 5 * error
            assert error < 0.1 * reference[kind]
    assert within >= 0.9 * cases
    assert measured(layer, target, seed=1, most_products=120_000) == measured(
        layer, target, seed=1, most_products=120_000
    )


def test_without_the_compiler() -> None:
    script = (
        "from tests.stepper.test_activity import *\n"
        "for flow in FLOWS:\n"
        "    layer = sparse(5, 6, 4, 1)\n"
        "    found = measured(layer, systolic(flow, array__rows=3, array__cols=2))\n"
        "    print(found)\n"
    )
    printed = [
        subprocess.run(
            [sys.executable, "-W", "error", "-c", script],
            env={**os.environ, "NUMBA_DISABLE_JIT": disabled, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for disabled in ("0", "1")
    ]
    assert printed[0] == printed[1]
