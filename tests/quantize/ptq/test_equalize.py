"""Cross-layer equalization: the function stays, ranges become equal, eight bits are enough again.

SEEDS of the thresholds: function to 1e-9 in float64, ranges to 1e-6, W8A8 with one scale a tensor
from below 20 % to within a point of float.
"""

import numpy as np
import pytest
from hypothesis import given, settings

import workloads
from tests.digits_mlp import SEEDS, accuracy, digits, digits_graph, logits
from tests.quantize.ptq.equal_ranges import difference, normal, unequal
from tests.quantize.ptq.plans import min_max_plan
from tests.quantize.ptq.random_nets import Recipe, built, recipes
from tests.shared import absence, shared_folder
from workloads.float_graph import as_double, layers, with_outputs
from workloads.quantize.ptq import prepared, simulated
from workloads.quantize.ptq.equalize import equalization, equalize

FLOATS = {"mlperf_ad_autoencoder": 9, "mlperf_ic_resnet8": 3, "mlperf_vww_mobilenetv1_025_96": 27}
"""Pairs: a chain of ten, one in each of three residual blocks, a chain of 28."""


def test_digits_are_rescued() -> None:
    rows = len(digits().test)
    calibration = {"x": digits().train[None, :rows]}
    found_by_seed = []
    for seed in SEEDS:
        wide = equalization(digits_graph(seed, scaled=True, dtype="float64"))
        x = digits().test[:64]
        before = digits_graph(seed, scaled=True, dtype="float64")
        assert np.abs(logits(before, x) - logits(wide.graph, x)).max() <= 1e-9
        assert len(wide.pairs) == 2
        assert all(np.count_nonzero(pair.scale == 1) <= 2 for pair in wide.pairs)
        assert unequal(wide) <= 1e-6
        scaled = digits_graph(seed, scaled=True, rows=rows)
        networks = (scaled, equalize(scaled))
        found = [accuracy(simulated(min_max_plan(g, calibration))) for g in networks]
        channels = accuracy(simulated(min_max_plan(scaled, calibration, channels=True)))
        found_by_seed.append((accuracy(scaled), channels, *found))
    table = np.array(found_by_seed)
    print("\nfloat, W8A8 per channel, W8A8 per tensor, the same equalized:")
    print(np.round(table, 1), "mean", table.mean(axis=0).round(1), "sd", table.std(axis=0).round(1))
    assert (table[:, 2] < 20).all()
    assert (table[:, 0] - table[:, 3] <= 1).all()


@settings(max_examples=40, deadline=None)
@given(recipes)
def test_random_networks_keep_their_function(recipe: Recipe) -> None:
    graph = built(recipe)
    x = normal((1, 12, 12, 3), recipe.seed)
    for upper in ("per_channel", "keep"):
        made = equalization(graph, upper)
        assert made.function_changed == ()
        assert difference(graph, made.graph, x) <= 1e-9
        assert unequal(made) <= 1e-6
        assert max((pair.after for pair in made.pairs), default=1) <= 1 + 1e-6


@settings(max_examples=25, deadline=None)
@given(recipes)
def test_without_upper_bounds_nothing_changes_below_them(recipe: Recipe) -> None:
    """The network that `replace` makes is the one whose equalized tensors have no upper bound."""
    graph = built(recipe)
    made = equalization(graph, "replace")
    exact = equalization(graph, "per_channel")
    assert {p.first for p in exact.pairs} <= {p.first for p in made.pairs}
    x = normal((1, 12, 12, 3), recipe.seed)
    if not made.function_changed:
        assert difference(graph, made.graph, x) <= 1e-9
    again = equalization(made.graph, "keep")
    assert difference(made.graph, again.graph, x) <= 1e-9


@pytest.mark.parametrize("name", FLOATS)
def test_trained_networks(name: str) -> None:
    folder = shared_folder()
    if folder is None:
        pytest.skip(absence())
    graph = as_double(prepared(workloads.load(folder / f"models/float/{name}_float.tflite")))
    made = equalization(graph)
    kind = graph.tensors[graph.inputs[0]]
    x = np.random.default_rng(0).uniform(0, 1, kind.shape)
    last = layers(graph)[-1].output  # before a softmax, which would hide much
    found = difference(with_outputs(graph, [last]), with_outputs(made.graph, [last]), x)
    worst = max(pair.before for pair in made.pairs)
    print(
        f"\n{name}: {len(made.pairs)} pairs, {made.sweeps} sweeps, ranges {worst:.0f}:1 to "
        f"{max(p.after for p in made.pairs) - 1:.1g}, function to {found:.1g}"
    )
    assert len(made.pairs) == FLOATS[name]
    assert found <= 1e-9
    assert unequal(made) <= 1e-6
