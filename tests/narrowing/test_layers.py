"""Datapaths of single layers, as a machine's YAML names them."""

from dataclasses import replace

import pytest

import hwconfigs
import workloads
from simulator.cost import estimate
from simulator.errors import BadConfig, Unsupported
from simulator.graph import Graph
from simulator.layers import datapaths
from simulator.machines.base import Machine
from simulator.narrow import requantized
from simulator.numeric.datapath import Datapath, Requantizer


@pytest.fixture(scope="module")
def graph() -> Graph:
    return workloads.load("zoo:digits")


def machine(**fields: object) -> Machine:
    """The shipped array with fields of its datapath set."""
    return hwconfigs.load("systolic_16x16", [(f"datapath.{n}", v) for n, v in fields.items()])


def test_without_layers_there_is_one_datapath(graph: Graph) -> None:
    assert datapaths(machine().datapath, graph) == Datapath()


def test_classes_and_names(graph: Graph) -> None:
    layers = (
        "[{layer: depthwise, weight_bits: 6}, {layer: first, weight_bits: 8}, "
        "{layer: last, activation_bits: 8, accumulator: {bits: 24, overflow: saturate}}, "
        "{layer: conv_2d_3, requantize: {multiplier_bits: 16}}, {layer: add_4, narrow: false}, "
        "{layer: conv_2d_3, restricted_weights: true, dot_width: 4, zero_point: folded}]"
    )
    config = machine(weight_bits=4, activation_bits=4, narrow="true", layers=layers).datapath
    base = Datapath(weight_bits=4, activation_bits=4, narrow=True)
    found = datapaths(config, graph)
    assert not isinstance(found, Datapath)
    assert found == {
        "conv_2d_0": replace(base, weight_bits=8),
        "depthwise_conv_2d_1": replace(base, weight_bits=6),
        "conv_2d_2": base,
        "conv_2d_3": replace(
            base,
            requantize=Requantizer(16),
            restricted_weights=True,
            dot_width=4,
            zero_point="folded",
        ),
        "add_4": replace(base, narrow=False),
        "average_pool_2d_5": base,
        "reshape_6": base,
        "fully_connected_7": replace(
            base, activation_bits=8, accumulator_bits=24, overflow="saturate"
        ),
        "softmax_8": base,
    }


def test_an_unknown_layer_is_refused(graph: Graph) -> None:
    config = machine(layers="[{layer: conv2d_3, weight_bits: 4}]").datapath
    with pytest.raises(Unsupported) as caught:
        datapaths(config, graph)
    assert str(caught.value) == (
        "digits_cnn.tflite: datapath.layers.0.layer: no node is named 'conv2d_3'; did you mean "
        "'conv_2d_3'?"
    )


def test_entries_that_do_not_fit_together_are_refused(graph: Graph) -> None:
    layers = (
        "[{layer: last, accumulator: {bits: 40}}, "
        "{layer: fully_connected_7, requantize: {rounding: single_round}}]"
    )
    with pytest.raises(Unsupported) as caught:
        datapaths(machine(layers=layers).datapath, graph)
    assert str(caught.value) == (
        "digits_cnn.tflite, fully_connected_7: datapath.layers: single_round takes accumulators of "
        "up to 32 bits; found 40; change one of the entries"
    )


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("requantize", "grap", "datapath.requantize: must be 'graph'; found 'grap'; did you mean"),
        ("requantize", "{multiplier_bits: 1}", "multiplier_bits: must be >= 2; found 1"),
        ("requantize", "{multiplier_bit: 8}", "unknown field; did you mean 'multiplier_bits'?"),
        ("requantize", "{rounding: up}", "datapath.requantize.rounding: must be 'graph', 'double"),
        (
            "requantize",
            "{multiplier_bits: 8, rounding: float32_even}",
            "datapath.requantize: multiplier_bits must be 2..32, and left out for a floating-point "
            "rounding; found 8 with float32_even",
        ),
        ("layers", "[{weight_bits: 4}]", "datapath.layers.0.layer: is missing; add it under"),
        ("layers", "[{layer: first, weight_bits: 17}]", "layers.0.weight_bits: must be <= 16"),
        ("layers", "[{layer: first, weigth_bits: 4}]", "did you mean 'weight_bits'?"),
        ("layers", "first", "datapath.layers: must be a list; found 'first'"),
        ("restricted_weights", "1", "datapath.restricted_weights: must be true or false; found 1"),
    ],
)
def test_faults_are_one_line_with_their_place(field: str, value: str, message: str) -> None:
    with pytest.raises(BadConfig) as caught:
        machine(**{field: value})
    text = str(caught.value)
    assert "\n" not in text
    assert text.startswith(f"--set datapath.{field}={value}: ")
    assert message in text


def test_costs_refuse_what_they_do_not_count(graph: Graph) -> None:
    with pytest.raises(Unsupported) as caught:
        estimate(graph, machine(widen="true"))
    assert str(caught.value) == (
        "systolic_16x16: datapath.widen: costs are counted on one datapath that takes operands as "
        "they are or narrowed; leave it out here (exec, validate and golden follow it)"
    )


def test_a_narrower_multiplier_costs_less(graph: Graph) -> None:
    whole, half, same = (
        estimate(graph, machine(requantize=value)).totals
        for value in ("graph", "{multiplier_bits: 16}", "{rounding: single_round}")
    )
    assert half.energy_fj < whole.energy_fj
    assert half.area_mm2 < whole.area_mm2
    assert (same, half.cycles) == (whole, whole.cycles)


@pytest.mark.parametrize("widths", [(4, 4), (8, 6), (5, 8)])
def test_the_cost_of_narrowing_is_that_of_the_narrowed_graph(
    graph: Graph, widths: tuple[int, int]
) -> None:
    """`estimate` counts the operand bits that execution has."""
    target = machine(weight_bits=widths[0], activation_bits=widths[1], narrow="true")
    made = requantized(graph, target.datapath.datapath()).graph
    on_the_fly, before = estimate(graph, target), estimate(made, target)
    assert on_the_fly.totals == before.totals
    assert on_the_fly.layers == before.layers
