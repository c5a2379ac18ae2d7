"""Per-layer mixed precision: cost and bits of a design, and the baseline that search must match."""

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

import hwconfigs
import workloads
from analysis.front import kept
from analysis.hypervolume import hypervolume
from analysis.mixed_precision import MixedPrecision, greedy, greedy_choices
from analysis.search_scores import losses, violations
from analysis.search_spec import Search
from analysis.searches import SearchRun, problem_of, run, search
from analysis.spec import SweepSpec
from analysis.store import open_store
from simulator.cost import estimate
from simulator.errors import BadConfig
from simulator.execute import run_batch
from simulator.layers import datapaths
from simulator.machines.registry import machine_from
from workloads.zoo import digits

LAYERS = ("conv_2d_0", "depthwise_conv_2d_1", "conv_2d_2", "conv_2d_3", "fully_connected_7")
BOUNDS = {
    "accuracy": (("energy_j", "accuracy"), ["accuracy >= 0.95"]),
    "energy": (("latency_s", "sqnr_db"), ["energy_j <= 3.5uJ"]),
    "latency": (("energy_j", "accuracy"), ["latency_s <= 7us"]),
}


def spec(bound: str = "accuracy", **changes: Any) -> SweepSpec:
    objectives, constraints = BOUNDS[bound]
    settings: dict[str, Any] = {
        "evaluations": 60,
        "population": 12,
        "stall": None,
        "bits": (2, 4, 8),
    }
    settings |= {"problem": "mixed_precision"}
    fields: dict[str, Any] = {
        "name": "mixed",
        "base": "bitfusion_16x16",
        "workload": "zoo:digits",
        "data": "zoo:digits",
        "objectives": objectives,
        "constraints": constraints,
    }
    own = {k: changes.pop(k) for k in list(changes) if k in Search.model_fields}
    return SweepSpec(**{**fields, **changes}, search=Search(**{**settings, **own}))


def mixed(bound: str = "accuracy", **changes: Any) -> MixedPrecision:
    problem = problem_of(Path(), spec(bound, **changes))
    assert isinstance(problem, MixedPrecision)
    return problem


def test_all_layers_at_the_graphs_width_are_the_estimate() -> None:
    problem = mixed()
    assert problem.layers == LAYERS
    points, layers = problem.tables(np.full((1, 5), 2))
    found = estimate(workloads.load("zoo:digits"), hwconfigs.load("bitfusion_16x16"))
    row = points.row(0, named=True)
    for name in ("cycles", "energy_fj", "latency_s", "area_mm2", "macs"):
        assert row[name] == getattr(found.totals, name), name
    assert layers["compute"].to_list() == [layer.cycles.compute for layer in found.layers]
    assert row["sqnr_db"] == 200.0


def test_one_width_for_all_is_the_narrowed_machine() -> None:
    """The same network on a machine whose whole datapath is narrow: the same accuracy."""
    row = mixed().evaluate((4,) * 5)
    narrow = hwconfigs.load(
        "bitfusion_16x16",
        [("datapath.weight_bits", 4), ("datapath.activation_bits", 4), ("datapath.narrow", True)],
    )
    images, labels = digits.heldout()
    graph = workloads.load("zoo:digits")
    quant = graph.tensors[graph.inputs[0]].quant
    assert quant is not None
    codes = digits.quantize_input(images, quant.scale[0], quant.zero_point[0])[:, None]
    made, _ = run_batch(graph, {graph.inputs[0]: codes}, narrow.datapath.datapath())
    scores = made[graph.outputs[0]].reshape(len(labels), -1)
    assert row["accuracy"] == (scores.argmax(axis=1) == labels).mean()


def test_a_design_computes_and_costs_what_its_yaml_says() -> None:
    """`datapath.layers` of a machine, as `exec` and `estimate` take it, from a point's columns."""
    widths = (8, 4, 4, 2, 8)
    document = hwconfigs.document("bitfusion_16x16")
    layers = [
        {"layer": name, "weight_bits": bits, "activation_bits": bits}
        for name, bits in zip(LAYERS, widths, strict=True)
    ]
    problem = mixed()
    base = machine_from(document)
    config = type(base.datapath).model_validate(
        base.datapath.model_dump() | {"narrow": True, "layers": tuple(layers)}
    )
    assert problem.datapaths(widths) == datapaths(config, problem.graph)
    found = estimate(problem.graph, base.model_copy(update={"datapath": config})).totals
    row = problem.evaluate(widths)
    assert (row["cycles"], row["energy_fj"]) == (found.cycles, found.energy_fj)


def test_a_layer_costs_what_it_costs_where_all_have_its_widths() -> None:
    """Layers do not share cycles: each layer's are those of a network narrowed as a whole.

    Of a layer whose inputs and outputs have its own width in both; the rest differs in storage.
    """
    problem = mixed()
    every = problem.evaluate((4,) * 5)["estimate"]
    some = problem.evaluate((4, 4, 4, 4, 8))["estimate"]
    names = [layer.name for layer in every.layers]
    for name in LAYERS[:3]:
        at = names.index(name)
        assert some.layers[at].cycles == every.layers[at].cycles
        assert some.layers[at].actions == every.layers[at].actions
    last = names.index(LAYERS[-1])
    assert some.layers[last].cycles.compute > every.layers[last].cycles.compute


@pytest.mark.parametrize("bound", list(BOUNDS))
def test_search_beats_the_baseline_and_nears_the_front(bound: str) -> None:
    """A quarter of the 243 designs; the Bayesian method nears the whole front with them."""
    problem = mixed(bound)
    choices = np.array(list(itertools.product(range(3), repeat=5)))
    every = problem.tables(choices)[0]
    baseline = problem.tables(greedy_choices(problem))[0]
    for method, least in (("nsga2", 0.0), ("tpe", 0.95)):
        for seed in (0, 1):
            found = search(spec(bound, seed=seed, method=method))
            assert len(found) == 60
            true, reached, greedy_alone = volumes_of(problem.spec, every, found, baseline)
            assert reached >= greedy_alone
            assert reached > greedy_alone or greedy_alone == true
            assert reached >= least * true
            assert (violations(kept(found), problem.spec.limits) == 0).all()


def volumes_of(known: SweepSpec, *tables: pl.DataFrame) -> list[float]:
    """Volume of the allowed designs of each table, on the scale of the first one's."""
    sets = [losses(kept(table), known.objectives) for table in tables]
    low, high = sets[0].min(axis=0), sets[0].max(axis=0)
    return [hypervolume((own - low) / (high - low), np.full(len(low), 1.1)) for own in sets]


def test_the_baseline_narrows_the_least_sensitive_layer_first() -> None:
    problem = mixed(bits=(4, 8))
    tried = greedy(problem)
    widest = (8,) * 5
    alone = {k: (*widest[:k], 4, *widest[k + 1 :]) for k in range(5)}
    assert tried[0] == widest
    assert set(alone.values()) <= set(tried)
    order = sorted(alone, key=lambda k: -problem.evaluate(alone[k])["accuracy"])
    assert problem.evaluate(alone[order[0]])["accuracy"] >= 0.95
    assert (alone[order[0]][order[1]], 8) == (8, 8)
    both = list(alone[order[0]])
    both[order[1]] = 4
    assert tuple(both) in tried
    assert len(tried) == len(set(tried)) <= 1 + 5 + 5


def test_a_stopped_search_resumes_to_the_same_table(tmp_path: Path) -> None:
    steps = run(SearchRun(problem_of(Path(), spec())), tmp_path / "out", resume=False)
    next(steps)
    del steps
    list(run(SearchRun(problem_of(Path(), spec())), tmp_path / "out", resume=True))
    assert_frame_equal(open_store(tmp_path / "out").points(), search(spec()))


def test_widths_that_the_machine_cannot_have_are_refused_designs() -> None:
    """A plain 8-bit multiplier takes 4-bit operands, and a graph of 8 bits has none of 16."""
    points = mixed(base="systolic_16x16", bits=(4, 16)).tables(np.array([[0] * 5, [1] * 5]))[0]
    assert points["refused"].is_null().all()
    assert points["sqnr_db"].to_list()[1] == 200.0
    assert points["energy_j"][0] < points["energy_j"][1]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"axes": {"array.rows": [8, 16]}}, "axes: problem: mixed_precision"),
        ({"base": ["bitfusion_16x16", "systolic_16x16"]}, "base: .* takes one; found 2"),
        ({"base": "systolic_and_m4"}, "base: mixed precision needs a machine of one unit"),
        ({"data": None}, "data: is missing"),
    ],
)
def test_what_the_problem_cannot_have(changes: dict[str, Any], told: str) -> None:
    with pytest.raises(BadConfig, match=told):
        mixed(**changes)
