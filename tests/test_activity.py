"""Energy by what the operands do: laws, gates, and the command line."""

import numpy as np
import pytest

import hwconfigs
import workloads
from simulator.activity import GraphEnergy, energy_of
from simulator.cost import estimate
from simulator.errors import BadConfig, Unsupported
from simulator.graph import Array
from simulator.stepper.activity import activity
from tests.stepper.test_stepper import plain

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


KINDS = ("systolic_16x16", "gemmini_like", "eyeriss_like", "cortex_m4", "hvx_1024")


def on(name: str, kind: str, *changes: tuple[str, object]) -> GraphEnergy:
    return energy_of(workloads.load("zoo:digits"), hwconfigs.load(name, changes), inputs(kind))


@pytest.mark.parametrize("name", [*KINDS, "systolic_and_m4"])
def test_every_kind_prices_zeros_below_random_operands(name: str) -> None:
    none, some = on(name, "zero"), on(name, "random")
    found = estimate(workloads.load("zoo:digits"), hwconfigs.load(name))
    assert none.blind_fj == some.blind_fj == found.totals.energy_fj
    assert none.energy_fj < some.energy_fj <= found.totals.energy_fj_high
    assert sum(none.layers[0].energy_fj.values()) < sum(some.layers[0].energy_fj.values())
    blind = {
        layer.name: energy for layer, energy in zip(found.layers, found.energy_fj, strict=True)
    }
    for layer in some.layers:
        assert layer.blind_fj == blind[layer.name]
        moved = {name for name, fj in layer.energy_fj.items() if fj != layer.blind_fj[name]}
        assert moved <= {"multiply", "accumulate", "register", *REGISTERS.get(name, ())}
    assert not some.notes


REGISTERS = {
    "gemmini_like": ("weight_register",),
    "eyeriss_like": ("input_rf", "weight_rf", "output_rf"),
}
"""Memories of registers that an operand comes from."""


@pytest.mark.parametrize("name", KINDS[1:])
def test_gates_on_every_kind(name: str) -> None:
    plain = on(name, "random", ("datapath.zero_point", "subtracted"))
    zero, clock = (
        on(name, "random", ("datapath.zero_point", "subtracted"), (f"datapath.gating.{gate}", True))
        for gate in ("zero", "clock")
    )
    for bare, gated, clocked in zip(plain.layers, zero.layers, clock.layers, strict=True):
        assert gated.energy_fj["multiply"] <= bare.energy_fj["multiply"]
        assert sum(clocked.energy_fj.values()) <= sum(bare.energy_fj.values())
        assert clocked.energy_fj["multiply"] == bare.energy_fj["multiply"]
    assert zero.energy_fj < plain.energy_fj


@pytest.mark.parametrize("name", KINDS)
def test_the_order_of_channels_moves_toggles_and_no_output(name: str) -> None:
    layer = plain(50, 24, 10, 5)
    x, w, bias = (np.asarray(a) for a in layer.inputs)
    order = np.argsort(x.astype(int).sum(axis=0))
    target = hwconfigs.load(name)
    before = activity(layer.operator, layer.inputs, target, layer.work)
    turned = (x[:, order], w[:, order], bias)
    after = activity(layer.operator, turned, target, layer.work)
    assert before.product_toggles != after.product_toggles
    assert before.zero_products == after.zero_products
    datapath = target.datapath.datapath()
    sums = layer.operator.accumulate(layer.inputs, datapath)
    assert np.array_equal(sums, layer.operator.accumulate(turned, datapath))


def test_boards_count_zeros_and_keep_the_price_that_sees_no_data() -> None:
    found = on("cortex_m4", "zero", ("technology", "mcu_boards"))
    assert found.energy_fj == found.blind_fj
    assert found.layers[0].real.zero_activations == found.layers[0].real.products
    assert not found.layers[0].real.toggles
    assert any("power times time" in note for note in found.notes)


def test_composed_multipliers_count_zeros_and_essential_bits() -> None:
    serial = (("datapath.composition", "serial"), ("datapath.serial_operand", "activation"))
    found = on("gemmini_like", "random", *serial, ("datapath.gating.bits", True))
    assert found.energy_fj < found.blind_fj
    for layer in found.layers:
        expected = layer.blind_fj["multiply"] * layer.real.essential_bits / layer.real.products / 8
        assert layer.energy_fj["multiply"] == int(expected + 0.5)
    assert any("composed (serial)" in note for note in found.notes)


def test_each_unit_of_a_platform_prices_its_own_layers() -> None:
    whole, alone = on("systolic_and_m4", "random"), on("systolic_16x16", "random")
    assert {layer.unit for layer in whole.layers} == {"npu"}
    for layer, other in zip(whole.layers, alone.layers, strict=True):
        assert layer.real == other.real
    attached = [("attach.npu.operators", ["depthwise_conv_2d"])]
    mixed = on("systolic_and_m4", "random", *attached)
    host = on("cortex_m4", "random")
    for layer, core, array in zip(mixed.layers, host.layers, alone.layers, strict=True):
        own = array if layer.name.startswith("depthwise") else core
        assert layer.unit == ("npu" if own is array else "host")
        assert layer.real == own.real


def test_a_cost_law_is_refused() -> None:
    with pytest.raises(Unsupported, match="pareto_linear counts multiplication bits; leave out"):
        on("systolic_16x16", "zero", ("technology", "pareto_linear"))


def test_narrowed_operands_are_those_of_the_run() -> None:
    narrow = [(f"datapath.{name}", 4) for name in ("weight_bits", "activation_bits")]
    found = on("systolic_16x16", "random", ("datapath.narrow", True), *narrow)
    # Uniform codes of four bits: one in sixteen is the zero point, and padding.
    plain_zeros = on("systolic_16x16", "random").layers[0].real
    first = found.layers[0].real
    extra = (first.zero_activations - plain_zeros.zero_activations) / first.products
    assert extra == pytest.approx(1 / 16 - 1 / 256, abs=0.05)
    assert (
        found.blind_fj
        == estimate(
            workloads.load("zoo:digits"),
            hwconfigs.load("systolic_16x16", [("datapath.narrow", True), *narrow]),
        ).totals.energy_fj
    )


@pytest.mark.parametrize("name", ["systolic_16x16", "cortex_m4", "gemmini_like"])
def test_layers_of_their_own_widths_are_looked_at_as_any(name: str) -> None:
    """One that keeps the machine's widths does what it does without; a narrow one toggles less."""
    own = {"layer": "first", "weight_bits": 4}
    bare = on(name, "random")
    wide = {"layer": "first", "weight_bits": hwconfigs.load(name).datapath.weight_bits}
    same = on(name, "random", ("datapath.layers", [wide]))
    assert same.layers == bare.layers
    narrow = on(name, "random", ("datapath.layers", [own]), ("datapath.narrow", True))
    assert not narrow.notes
    (first, *rest), (before, *_) = narrow.layers, bare.layers
    assert len(rest) == len(bare.layers) - 1
    assert first.uniform == before.uniform
    assert first.real.product_toggles < before.real.product_toggles
    assert first.energy_fj["multiply"] < before.energy_fj["multiply"]
    blind = estimate(
        workloads.load("zoo:digits"),
        hwconfigs.load(name, [("datapath.layers", [own]), ("datapath.narrow", True)]),
    )
    assert narrow.blind_fj == blind.totals.energy_fj
