"""What one choice costs, each law to the byte or the femtojoule, and the figures of the docs."""

import re
import shlex
from collections.abc import Callable, Sequence
from functools import cache
from itertools import pairwise
from typing import Any, Final

import pytest

import simulator
import workloads
from analysis.chosen import machine_of
from analysis.estimate import cost_text
from simulator.cost import Estimate, LayerCost
from simulator.designs import evaluate_designs
from simulator.fusion import fusible
from simulator.graph import Graph
from simulator.machines.actions import ELEMENTWISE, LEVEL_0, REQUANTIZATIONS
from simulator.work import Work
from tests.shared import ROOT

PAGE: Final = ROOT / "docs" / "ablations.md"
ARRAY: Final = "systolic_16x16"
SCALE_BITS: Final = 40
"""A 32-bit multiplier and an 8-bit shift."""
ACCUMULATORS: Final = (12, 16, 20, 24, 28, 32, 40, 48)
SYNTHESIZED: Final = "technology=synthesized_45nm"
UM2_PER_BIT: Final = 8.33
"""Of a synthesized multiply-accumulate: the fit of MACs in reference/energy/ENERGY_MODELS.md."""
CONTROL: Final = 0.1
"""Its assumption of control, as a share of everything but SRAM."""
DECOMPRESS: Final = "datapath.decompress.elements_per_cycle=16"


@cache
def graph_of(model: str) -> Graph:
    return workloads.load(model)


@cache
def estimated(model: str, hw: str, *sets: str) -> Estimate:
    return simulator.estimate(graph_of(model), machine_of(hw, list(sets)))


def moved(found: Estimate, level: str) -> tuple[int, int]:
    """Bytes read from and written to a level by all layers."""
    traffic = [layer.bytes[level] for layer in found.layers]
    return sum(t.read for t in traffic), sum(t.write for t in traffic)


def spent(found: Estimate, component: str) -> int:
    return sum(layer[component] for layer in found.energy_fj)


COLUMNS: Final[dict[str, Callable[[Estimate], str]]] = {
    "DRAM read, B": lambda e: str(moved(e, "dram")[0]),
    "DRAM written, B": lambda e: str(moved(e, "dram")[1]),
    "`weight_sram` written, B": lambda e: str(moved(e, "weight_sram")[1]),
    "cycles": lambda e: str(e.totals.cycles),
    "energy": lambda e: cost_text(e.totals.energy_fj, "pJ"),
    "DRAM energy": lambda e: cost_text(spent(e, "dram"), "pJ"),
    "`elementwise` energy": lambda e: cost_text(spent(e, "elementwise"), "pJ"),
    "`accumulate` energy": lambda e: cost_text(spent(e, "accumulate"), "pJ"),
    "area, mm²": lambda e: f"{e.totals.area_mm2:.3f}",
}
"""What a table of the page may show."""


def sections() -> list[Any]:
    """Of each section of the page its title, base command and table's rows."""
    found = []
    for part in PAGE.read_text(encoding="utf-8").split("\n## ")[1:]:
        block = re.search(r"```sh\n(bitlane .*?)\n```", part, re.DOTALL)
        rows = [
            [cell.strip() for cell in line.strip("|").split("|")]
            for line in part.splitlines()
            if line.startswith("|")
        ]
        if block is not None:
            command = shlex.split(block[1].replace("\\\n", " "))
            found.append(pytest.param(command, rows, id=part.splitlines()[0]))
    return found


@pytest.mark.parametrize(("command", "rows"), sections())
def test_the_figures_of_the_page(command: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Every row is what the section's command prints with the fields in its first cell."""
    assert command[:2] == ["bitlane", "estimate"]
    model, hw = command[2], command[command.index("--hw") + 1]
    base = [value for flag, value in pairwise(command) if flag == "--set"]
    header, _, *lines = rows
    assert len(lines) > 1
    for first, *cells in lines:
        found = estimated(model, hw, *base, *re.findall(r"`([^`]*)`", first))
        assert cells == [COLUMNS[name](found) for name in header[1:]], first


@pytest.mark.parametrize("hw", [ARRAY, "hvx_1024"])
def test_fusion_saves_the_intermediates_written_and_read(hw: str) -> None:
    graph = graph_of("zoo:digits")
    apart, fused = (estimated("zoo:digits", hw, f"fusion={f}") for f in ("none", "elementwise"))
    between = [graph.tensors[pair.tensor] for pair in fusible(graph)]
    saved = sum(kind.elements * kind.bits // 8 for kind in between)
    assert saved == 4 * 4 * 32
    read, written = moved(apart, "dram")
    assert moved(fused, "dram") == (read - saved, written - saved)


def constants(graph: Graph) -> tuple[int, int]:
    """Bytes of weights at 8 bits and of biases, from the tensors of layers that multiply."""
    weights = biases = 0
    for node, work in zip(graph.nodes, graph.work, strict=True):
        if work.macs:
            weights += graph.tensors[node.inputs[1]].elements
            biases += 4 * graph.tensors[node.inputs[2]].elements
    return weights, biases


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_narrow_weights_are_their_share_of_the_bytes(bits: int) -> None:
    weights, biases = constants(graph_of("zoo:digits"))
    wide = estimated("zoo:digits", ARRAY)
    narrow = estimated("zoo:digits", ARRAY, f"datapath.weight_bits={bits}", "datapath.narrow=true")
    assert moved(wide, "weight_sram")[1] == weights + biases
    assert moved(narrow, "weight_sram")[1] == weights * bits // 8 + biases
    read, written = moved(wide, "dram")
    assert moved(narrow, "dram") == (read - weights * (8 - bits) // 8, written)


def test_scales_by_channel_cost_their_bits() -> None:
    graph = graph_of("zoo:digits")
    scales = 0
    for node, work in zip(graph.nodes, graph.work, strict=True):
        if work.macs:
            quant = graph.tensors[node.inputs[1]].quant
            assert quant is not None
            scales += len(quant.scale)
    # Three convolutions and a depthwise one by channel, the last layer with a single scale.
    assert scales == 16 + 16 + 32 + 32 + 1
    plain = estimated("zoo:digits", ARRAY)
    counted = estimated("zoo:digits", ARRAY, f"datapath.scale_bits={SCALE_BITS}")
    read, written = moved(plain, "dram")
    assert moved(counted, "dram") == (read + scales * SCALE_BITS // 8, written)
    assert counted.totals.energy_fj > plain.totals.energy_fj
    assert counted.totals.area_mm2 == plain.totals.area_mm2


@pytest.mark.parametrize("hw", [ARRAY, "hvx_1024", "cortex_m4", "cortex_a53", "eyeriss_like"])
@pytest.mark.parametrize("channels", [1, 64])
def test_every_kind_of_machine_reads_a_scale_once(hw: str, channels: int) -> None:
    """A layer's outermost memory: 5 bytes a scale more, with the biases."""
    layer = Work(
        oy=8, ox=8, oc=64, ky=3, kx=3, ic=32, input_elements=10 * 10 * 32,
        weight_elements=64 * 9 * 32, bias_elements=64, output_elements=8 * 8 * 64,
        requantizations=8 * 8 * 64, requantizer_scales=channels,
    )  # fmt: skip
    machines = [machine_of(hw, [f"datapath.scale_bits={bits}"]) for bits in (0, SCALE_BITS)]
    found = evaluate_designs([layer], machines, per_layer=True)
    plain, counted = found.actions[:, 0]
    read = LEVEL_0 + 2 * (len(machines[0].levels) - 1)
    assert counted[read] - plain[read] == channels * SCALE_BITS // 8
    assert counted[REQUANTIZATIONS] == plain[REQUANTIZATIONS] > 0


def weights_expanded(layer: LayerCost, work: Work) -> int:
    """Weights that leave their SRAM, from the bytes read: each pass takes all, with the biases."""
    bits = work.weight_elements * work.weight_bits + work.bias_elements * work.bias_bits
    passes, rest = divmod(8 * layer.bytes["weight_sram"].read, bits)
    assert rest == 0
    return passes * work.weight_elements


@pytest.mark.parametrize("operations", [0, 1, 3])
def test_decompression_adds_its_operations(operations: int) -> None:
    model = "zoo:resnet50_v1.5,bits=4"
    plain = estimated(model, ARRAY)
    asked = (DECOMPRESS, f"datapath.decompress.operations_per_element={operations}")
    expanded = estimated(model, ARRAY, *asked)
    more = 0
    for work, a, b in zip(graph_of(model).work, plain.layers, expanded.layers, strict=True):
        added = operations * weights_expanded(a, work) if work.macs else 0
        more += added
        assert b.actions[ELEMENTWISE] - a.actions[ELEMENTWISE] == added
        assert (a.bytes, a.macs, a.cycles.compute) == (b.bytes, b.macs, b.cycles.compute)
    # Horowitz: a 32-bit addition is 0.1 pJ.
    assert expanded.totals.energy_fj - plain.totals.energy_fj == more * 100
    # Weights of 8 bits are taken as they are stored.
    assert estimated("zoo:digits", ARRAY, *asked).totals == estimated("zoo:digits", ARRAY).totals


@pytest.mark.parametrize(("hw", "most"), [(ARRAY, 48), ("hvx_1024", 32), ("gemmini_like", 48)])
def test_energy_and_area_grow_with_the_accumulator(hw: str, most: int) -> None:
    swept = [
        estimated("zoo:digits", hw, f"datapath.accumulator.bits={bits}", SYNTHESIZED)
        for bits in ACCUMULATORS
        if bits <= most
    ]
    energies = [found.totals.energy_fj for found in swept]
    areas = [found.totals.area_mm2 for found in swept]
    assert sorted(set(energies)) == energies
    assert sorted(set(areas)) == areas


def test_an_accumulator_bit_has_one_area() -> None:
    """Every element's sum is as much wider; requantizers and lanes are as they were."""
    first, *others = (
        estimated("zoo:digits", ARRAY, f"datapath.accumulator.bits={bits}", SYNTHESIZED).totals
        for bits in ACCUMULATORS
    )
    for bits, totals in zip(ACCUMULATORS[1:], others, strict=True):
        per_bit = (totals.area_mm2 - first.area_mm2) / (bits - ACCUMULATORS[0])
        assert per_bit == pytest.approx(256 * UM2_PER_BIT * 1e-6 * (1 + CONTROL))
