"""Equalization in the pipeline: taken where the judge hears less noise, left out elsewhere."""

import numpy as np
import pytest

from simulator.graph import Graph
from tests.float_builder import RELU, RELU6, FloatNet
from tests.quantize.ptq.nets import inputs
from workloads.quantize.ptq.calibrate import RangeSettings
from workloads.quantize.ptq.measure import Judge
from workloads.quantize.ptq.pipeline import Quantized, quantize
from workloads.quantize.ptq.settings import Settings


def net(*bounds: tuple[float, float], spread: float, gain: float = 1.0) -> Graph:
    """Products of width 16 with these bounds between; channels out of balance by up to `spread`."""
    draw = np.random.default_rng(4)
    made, x, width = FloatNet((1, 16)), "x", 16
    before = np.ones(16)
    for each in bounds:
        factors = np.exp(draw.uniform(-np.log(spread), np.log(spread), 16))
        weights = gain * draw.standard_normal((16, width)) / 4 / before * factors[:, None]
        x, before = made.dense(x, weights, np.zeros(16), bounds=each), factors
    return made.graph(made.dense(x, draw.standard_normal((4, 16)) / before, np.zeros(4)))


def quantized(graph: Graph, *, equalize: bool | None) -> Quantized:
    settings = Settings(
        per_channel=False,
        equalize=equalize,
        absorb=False,
        weight_ranges="minmax",
        rounding="nearest",
        bias_correction="none",
        activations=RangeSettings("minmax"),
    )
    return quantize(graph, settings, inputs(graph, 60, 5))


def told(made: Quantized) -> str:
    (step,) = (step for step in made.steps if step.name == "equalize")
    return step.detail


def test_taken_where_channels_are_out_of_balance() -> None:
    graph = net(RELU, RELU, spread=30.0)
    off, free, forced = (quantized(graph, equalize=e) for e in (False, None, True))
    assert free.steps[-1].sqnr_db > off.steps[-1].sqnr_db + 10
    assert free.steps[-1].sqnr_db == forced.steps[-1].sqnr_db
    assert free.equalized is not None
    without, with_it = off.steps[0].sqnr_db, free.steps[1].sqnr_db
    assert told(free) == f"2 pairs of layers: {with_it:.1f} dB, {without:.1f} dB without"


def test_left_out_where_it_changes_the_function() -> None:
    """Half the values are above 6: without the bound the network computes something else."""
    graph = net(RELU6, spread=1.0, gain=20.0)
    off, free, forced = (quantized(graph, equalize=e) for e in (False, None, True))
    assert forced.steps[-1].sqnr_db < 10 < off.steps[-1].sqnr_db
    assert free.steps[-1].sqnr_db == off.steps[-1].sqnr_db
    assert free.equalized is None
    assert told(free).startswith("left out: ")
    assert told(forced).startswith("1 pairs of layers, 1 upper bounds dropped: ")


@pytest.mark.parametrize("equalize", [None, True])
def test_layers_behind_upper_bounds_are_left_alone_where_that_is_better(
    equalize: bool | None,
) -> None:
    graph = net(RELU6, RELU, spread=30.0, gain=20.0)
    made = quantized(graph, equalize=equalize)
    assert told(made).startswith("1 pairs of layers, upper bounds kept: ")
    assert Judge(graph, made.judge.held).sqnr_db(made.twin) > 100


def test_nothing_is_joined() -> None:
    graph = net(spread=1.0)
    made = quantized(graph, equalize=None)
    assert told(made) == "0 pairs of layers"
    assert made.equalized is None
