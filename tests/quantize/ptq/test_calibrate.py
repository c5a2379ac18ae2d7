"""Ranges of activations from a stream: against whole tensors, ties, what is held in memory."""

import gc
import weakref
from collections.abc import Iterator
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from numpy.typing import NDArray

from simulator.errors import IllegalValues
from simulator.graph import Array, Graph
from tests.float_builder import FloatNet
from tests.quantize.ptq.nets import conv_net, inputs
from workloads.quantize import Grid, affine, float32_scales, mse_range, symmetric
from workloads.quantize.ptq import forward, places
from workloads.quantize.ptq.calibrate import (
    Method,
    RangeSettings,
    activation_form,
    calibrate,
    known_grid,
    logits,
)
from workloads.quantize.ptq.samples import Samples

GRAPH = conv_net(1)
DATA = replace(inputs(GRAPH, 40, seed=2), batch=8)
EIGHT = float32_scales(partial(affine, bits=8, signed=True))


def eight_bits(graph: Graph) -> dict[tuple[str, ...], int]:
    return dict.fromkeys(places(graph).groups, 8)


def whole(graph: Graph, data: Samples) -> dict[str, Array]:
    """Every tensor with a quantizer over all samples at once, which the pipeline never holds."""
    names = [n for n in places(graph).tensors if n not in graph.constants]
    (found,) = forward(graph, [next(iter(Samples(data.arrays, data.dtypes, len(data))))], names)
    return found


def test_min_max_is_that_of_the_whole() -> None:
    grids = calibrate(GRAPH, DATA, eight_bits(GRAPH), RangeSettings("minmax"))
    values = whole(GRAPH, DATA)
    assert set(grids) == set(places(GRAPH).tensors)
    for group in places(GRAPH).groups:
        if group[0] not in places(GRAPH).known:
            low = min(float(values[name].min()) for name in group)
            high = max(float(values[name].max()) for name in group)
            assert {grids[name] for name in group} == {EIGHT(low, high)}


@pytest.mark.parametrize("method", ["mse", "percentile", "moving-average"])
def test_other_ranges_lie_within(method: Method) -> None:
    grids = calibrate(GRAPH, DATA, eight_bits(GRAPH), RangeSettings(method, percentile=99.0))
    wide = calibrate(GRAPH, DATA, eight_bits(GRAPH), RangeSettings("minmax"))
    assert all(grids[n].scale[0] <= wide[n].scale[0] * (1 + 1e-6) for n in wide)
    assert any(grids[n].scale[0] < wide[n].scale[0] for n in wide)


def test_least_squared_error_is_no_worse_than_min_max_and_near_the_search_on_the_whole() -> None:
    bits = dict.fromkeys(places(GRAPH).groups, 4)
    form = activation_form(4)
    found = calibrate(GRAPH, DATA, bits, RangeSettings("mse"))
    plain = calibrate(GRAPH, DATA, bits, RangeSettings("minmax"))
    values = whole(GRAPH, DATA)
    for name in values:
        if name not in places(GRAPH).known and len(places(GRAPH).group_of(name)) == 1:
            errors = [float(g[name].squared_error(values[name])[0]) for g in (found, plain)]
            best = float(form(*mse_range(values[name], form)).squared_error(values[name])[0])
            assert errors[0] <= errors[1]
            assert errors[0] <= best * 1.02


def test_known_ranges_need_no_batch() -> None:
    (group,) = (g for g in places(GRAPH).groups if g[0] in places(GRAPH).known)
    grids = calibrate(GRAPH, iter(()), {group: 8})
    assert grids[group[0]] == Grid((2.0**-8,), (-128,), -128, 127)


@pytest.mark.parametrize("bits", [4, 8, 12])
def test_known_grids(bits: int) -> None:
    half = 2 ** (bits - 1)
    unit = known_grid((0.0, 1.0), activation_form(bits), bits)
    assert (unit.scale[0], unit.zero_point[0]) == (2.0**-bits, -half)
    signed = known_grid((-1.0, 1.0), activation_form(bits), bits)
    assert (signed.scale[0], signed.zero_point[0]) == (2.0 ** (1 - bits), 0)


def test_sixteen_bits_are_symmetric() -> None:
    assert activation_form(16)(-1.0, 3.0) == float32_scales(partial(symmetric, bits=16))(-1.0, 3.0)
    assert activation_form(8, symmetric_grids=True)(-1.0, 3.0).zero_point == (0,)
    for ends in ((0.0, 1.0), (-1.0, 1.0)):
        grid = known_grid(ends, activation_form(16), 16)
        assert (grid.scale, grid.zero_point) == ((2.0**-15,), (0,))


def test_tied_tensors_have_one_grid_and_averages_are_of_batches() -> None:
    """Both inputs of a concatenation at once: a range of 2 with one of 200 is one of 200."""
    net = FloatNet((1, 4))
    wide = net.arithmetic("mul", "x", net.constant("hundred", np.full(4, 100.0)))
    joined = net.add_node("concatenation", ["x", wide], {"axis": 1}, (1, 8))
    graph = net.graph(net.arithmetic("add", joined, joined))
    one: NDArray[np.float32] = np.array([[[-1.0, 1.0, 0.5, 0.0]]], np.float32)
    group = places(graph).group_of("x")
    assert set(group) == {"x", wide, joined}
    grids = calibrate(graph, [{"x": one}, {"x": one}], {group: 8}, RangeSettings("moving-average"))
    assert {grids[name] for name in group} == {EIGHT(-100.0, 100.0)}


def test_cross_entropy_looks_at_the_logits_alone() -> None:
    bits = dict.fromkeys(places(GRAPH).groups, 3)
    plain = calibrate(GRAPH, DATA, bits)
    judged = calibrate(GRAPH, DATA, bits, RangeSettings(cross_entropy=True))
    (name,) = logits(GRAPH)
    assert {n for n in plain if plain[n] != judged[n]} <= set(places(GRAPH).group_of(name))
    assert name not in GRAPH.outputs


def test_a_batch_is_let_go_before_the_next_but_one() -> None:
    """A generator is walked once; of its batches two are alive at most, whatever their number."""
    alive = list[weakref.ref[NDArray[np.float32]]]()
    most, made = 0, 0
    draw = np.random.default_rng(3)

    def batches() -> Iterator[dict[str, NDArray[np.float32]]]:
        nonlocal most, made
        for _ in range(50):
            batch = draw.standard_normal((2, 1, 8, 8, 3)).astype(np.float32)
            alive.append(weakref.ref(batch))
            made += 1
            gc.collect()
            most = max(most, sum(ref() is not None for ref in alive))
            yield {"x": batch}

    calibrate(GRAPH, batches(), eight_bits(GRAPH))
    assert made == 50
    assert most <= 2


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_no_number_is_named(bad: float) -> None:
    values = np.zeros((3, 1, 8, 8, 3), np.float32)
    values[1, 0, 2, 2, 1] = bad
    with pytest.raises(IllegalValues, match="net, tensor 'x': a batch to calibrate on holds NaN"):
        calibrate(GRAPH, [{"x": values}], eight_bits(GRAPH))
    with pytest.raises(IllegalValues, match="no batch was observed"):
        calibrate(GRAPH, iter(()), eight_bits(GRAPH))


def test_samples_are_given_a_batch_at_a_time_again_and_again() -> None:
    whole_: NDArray[np.uint8] = np.arange(5 * 192, dtype=np.uint8).reshape(5, 1, 8, 8, 3)
    data = Samples({"x": whole_}, {"x": "float32"}, 2)
    for _ in range(2):
        found = [batch["x"] for batch in data]
        assert [len(b) for b in found] == [2, 2, 1]
        assert {b.dtype for b in found} == {np.dtype(np.float32)}
        np.testing.assert_array_equal(np.concatenate(found), whole_)
    assert len(data.part(1, 4)) == 3
