"""Energy by what the operands do: laws, gates, and the command line."""

import numpy as np
import pytest

import hwconfigs
import workloads
from simulator.activity import GraphEnergy, energy_of
from simulator.cost import estimate
from simulator.errors import BadConfig, Unsupported
from simulator.graph import Array

FLOWS = ("weight_stationary", "output_stationary", "input_stationary")


def inputs(kind: str) -> dict[str, Array]:
    """An image for the digits network: every pixel zero, or every code as likely."""
    graph = workloads.load("zoo:digits")
    (name,) = graph.inputs
    tensor = graph.tensors[name]
    assert tensor.quant is not None
    if kind == "zero":
        return {name: np.full(tensor.shape, tensor.quant.zero_point[0], tensor.dtype)}
    return {name: np.random.default_rng(3).integers(-128, 128, tensor.shape).astype(tensor.dtype)}


def energy(kind: str, flow: str = "weight_stationary", *changes: tuple[str, object]) -> GraphEnergy:
    target = hwconfigs.load("systolic_16x16", [("array.dataflow", flow), *changes])
    return energy_of(workloads.load("zoo:digits"), target, inputs(kind))


@pytest.mark.parametrize("flow", FLOWS)
def test_zeros_cost_less_than_random_operands_which_stay_within_the_bound(flow: str) -> None:
    none, some = energy("zero", flow), energy("random", flow)
    first_none, first_some = none.layers[0], some.layers[0]
    assert sum(first_none.energy_fj.values()) < sum(first_some.energy_fj.values())
    assert first_none.real.zero_activations == first_none.real.products
    assert first_none.energy_fj["multiply"] == 0
    target = hwconfigs.load("systolic_16x16", [("array.dataflow", flow)])
    found = estimate(workloads.load("zoo:digits"), target)
    assert some.blind_fj == none.blind_fj == found.totals.energy_fj
    assert some.energy_fj <= found.totals.energy_fj_high
    for layer, blind in zip(some.layers, found.energy_fj, strict=False):
        for component in ("dram", "ifmap_sram", "requantize"):
            assert layer.energy_fj[component] == layer.blind_fj[component]
        assert set(layer.energy_fj) == set(blind)
    uniform = first_some.energy_fj["multiply"] / first_some.blind_fj["multiply"]
    assert 0.8 < uniform < 1.1


@pytest.mark.parametrize("flow", FLOWS)
def test_gates_save_and_never_cost(flow: str) -> None:
    plain = energy("random", flow)
    zero = energy("random", flow, ("datapath.gating.zero", True))
    clock = energy("random", flow, ("datapath.gating.clock", True))
    for bare, gated, clocked in zip(plain.layers, zero.layers, clock.layers, strict=True):
        assert gated.energy_fj["multiply"] <= bare.energy_fj["multiply"]
        assert gated.energy_fj["register"] == bare.energy_fj["register"]
        assert clocked.energy_fj["multiply"] == bare.energy_fj["multiply"]
        # Only sums that stay where they are need no clock for a product of zero.
        if flow == "output_stationary" and bare.real.zero_products:
            assert clocked.energy_fj["register"] < bare.energy_fj["register"]
        else:
            assert clocked.energy_fj["register"] == bare.energy_fj["register"]
    assert zero.energy_fj < plain.energy_fj


def test_bit_serial_multipliers_skip_zero_bits() -> None:
    serial = [("datapath.composition", "serial"), ("datapath.serial_operand", "activation")]
    plain = energy("random", "weight_stationary", *serial)
    skipping = energy("random", "weight_stationary", *serial, ("datapath.gating.bits", True))
    assert plain.energy_fj == plain.blind_fj
    for layer in skipping.layers:
        bits = layer.real.products * 8
        expected = layer.blind_fj["multiply"] * layer.real.essential_bits / bits
        assert layer.energy_fj["multiply"] == int(expected + 0.5)
    with pytest.raises(BadConfig, match="it needs composition: serial, found 'fixed'"):
        hwconfigs.load("systolic_16x16", [("datapath.gating.bits", True)])


def test_other_machines_are_refused() -> None:
    with pytest.raises(Unsupported, match="found model: spatial; leave out --inputs"):
        energy_of(workloads.load("zoo:digits"), hwconfigs.load("tpu_like"), inputs("zero"))
