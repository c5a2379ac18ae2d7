"""Shipped technologies against the figures they cite: synthesis, toggles, CACTI, scaling, boards.

The figures lie in the shared folder; what is tested is what a machine's price functions answer.
"""

import csv
import math
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import hwconfigs
from simulator.technology.laws import (
    ADD_AREA,
    CYCLE,
    MAC_AREA,
    REQUANTIZER_AREA,
    ROW,
    SRAM_AREA,
    SRAM_READ,
    SRAM_WRITE,
    add_fj,
    at_widths,
    dram_byte_fj,
    in_grid,
    look_up,
    lookup_fj,
    multiply_fj,
    real_add_fj,
    real_multiply_fj,
    register_byte_fj,
    requantize_fj,
    sram_byte_fj,
    sram_um2,
)
from tests.shared import absence, shared_folder

SYNTHESIZED = hwconfigs.load_technology("synthesized_45nm")
PRICES = SYNTHESIZED.row()
LOW, HIGH = SYNTHESIZED.row("low"), SYNTHESIZED.row("high")
AREA_MODE = "abc map -a"


def shared(path: str) -> Path:
    """A file of the shared folder."""
    folder = shared_folder()
    if folder is None:
        pytest.skip(absence())
    return folder / path


def figures(name: str) -> list[dict[str, str]]:
    with shared(f"reference/energy/{name}.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def synthesis(unit: str, mode: str = AREA_MODE) -> list[dict[str, str]]:
    rows = figures("mac_synthesis")
    found = [r for r in rows if (r["lib"], r["unit"], r["mode"]) == ("nangate45", unit, mode)]
    assert found
    return found


def widths(row: dict[str, str]) -> tuple[int, int, int]:
    return int(row["w_bits"]), int(row["a_bits"]), int(row["acc_bits"])


def cacti(component: str, node: str = "45") -> list[dict[str, str]]:
    rows = figures("component_energy")
    return [
        row
        for row in rows
        if row["component"] == component
        and row["node_nm"] == node
        and row["citation"] == "CACTI 7"
        and "itrs-lstp" in row["notes"]
    ]


def test_mac_area_is_within_6_percent_of_every_row_of_the_area_mode() -> None:
    rows = synthesis("mac")
    assert len(rows) == 64
    for row in rows:
        error = at_widths(PRICES, MAC_AREA, *widths(row)) / float(row["area"]) - 1
        assert abs(error) < 0.06, row


def test_other_mapping_modes_lie_within_the_bounds_of_mac_area() -> None:
    for mode in ("techmap FA cells + abc", "abc &nf + upsize"):
        for row in synthesis("mac", mode):
            low, high = (at_widths(bound, MAC_AREA, *widths(row)) for bound in (LOW, HIGH))
            assert low < float(row["area"]) < high, row


def test_adders_and_requantizers_come_back_as_synthesized() -> None:
    for row in synthesis("add"):
        assert look_up(PRICES, ADD_AREA, widths(row)[2]) == float(row["area"])
    for row in synthesis("requant"):
        assert look_up(PRICES, REQUANTIZER_AREA, widths(row)[0]) == float(row["area"])


def toggled() -> Iterator[tuple[tuple[int, int, int], list[float]]]:
    """Widths of each MAC and its energies in picojoules, over stimuli and glitch models."""
    found: dict[tuple[int, int, int], list[float]] = {}
    for row in figures("mac_gate_energy"):
        if row["kind"] == "mac_abc":
            band = found.setdefault(widths(row), [])
            band += [float(row["E_zero_delay_pJ"]), float(row["E_unit_delay_pJ"])]
    yield from found.items()


def test_mac_energy_is_within_the_band_of_the_toggle_figures() -> None:
    rows = list(toggled())
    assert len(rows) == 17
    for (w, a, bits), band in rows:
        energy = multiply_fj(PRICES, w, a) + add_fj(PRICES, bits)
        energy += bits / 8 * register_byte_fj(PRICES, bits)
        assert min(band) <= energy / 1000 <= max(band), (w, a, bits)


@pytest.mark.parametrize(
    ("component", "grid", "column"),
    [
        ("sram_read", SRAM_READ, "energy_pJ"),
        ("sram_write", SRAM_WRITE, "energy_pJ"),
        ("sram_read", SRAM_AREA, "area_um2"),
    ],
)
def test_points_of_cacti_come_back_exactly(component: str, grid: int, column: str) -> None:
    rows = cacti(component)
    assert len(rows) == 59
    for row in rows:
        size, word = float(row["size_bytes"]), float(row["width_bits"])
        assert in_grid(PRICES, grid, size, word) == float(row[column])
        if column == "energy_pJ":
            byte_fj = sram_byte_fj(PRICES, grid, size, word)
            assert byte_fj == pytest.approx(8000 * float(row[column]) / word, rel=1e-14)
        else:
            assert sram_um2(PRICES, size, word) == float(row[column])


@given(st.floats(512, 2**21), st.floats(32, 128))
def test_between_cells_a_memory_lies_between_its_four_neighbours(size: float, word: float) -> None:
    grid = SYNTHESIZED.energy.sram_read
    assert grid is not None
    assert not grid.extrapolates(size, word)
    row = next(i for i, (_, b) in enumerate(pairwise(grid.bytes)) if size <= b)
    column = next(i for i, (_, b) in enumerate(pairwise(grid.word_bits)) if word <= b)
    near = [grid.values[i][j] for i in (row, row + 1) for j in (column, column + 1)]
    cells = [cell for cell in near if cell is not None]
    value = in_grid(PRICES, SRAM_READ, size, word)
    assert min(cells) * (1 - 1e-12) <= value <= max(cells) * (1 + 1e-12)


def test_outside_and_beside_missing_cells_a_memory_is_known_to_be_extrapolated() -> None:
    grid = SYNTHESIZED.energy.sram_read
    assert grid is not None
    assert [grid.extrapolates(size, 64) for size in (256, 512, 2**21, 2**22)] == [
        *(True, False, False, True)
    ]
    # 16-bit words end at 64 KB, 256-bit words begin at 1 KB.
    assert [grid.extrapolates(size, 16) for size in (65536, 65537, 2**20)] == [False, True, True]
    assert [grid.extrapolates(size, 256) for size in (512, 1000, 1024)] == [True, True, False]


def test_a_word_wider_than_the_table_is_banks_side_by_side() -> None:
    whole = sram_byte_fj(PRICES, SRAM_READ, 65536.0, 1024.0)
    bank = sram_byte_fj(PRICES, SRAM_READ, 16384.0, 256.0)
    assert whole == pytest.approx(bank, rel=1e-14)
    assert sram_um2(PRICES, 65536.0, 1024.0) == pytest.approx(4 * 53741.6, rel=1e-14)
    # A byte from a word narrower than any costs that whole word.
    assert sram_byte_fj(PRICES, SRAM_READ, 512.0, 8.0) == pytest.approx(720, rel=1e-14)


def test_compiled_and_plain_memories_agree() -> None:
    for grid in (SRAM_READ, SRAM_WRITE):
        for size, word in ((512.0, 16.0), (700.0, 48.0), (5e6, 333.0), (100.0, 8.0)):
            plain = sram_byte_fj.py_func(PRICES, grid, size, word)
            assert sram_byte_fj(PRICES, grid, size, word) == plain


def test_dram_is_priced_by_its_type() -> None:
    rows = {
        r["component"]: r for r in figures("component_energy") if "type2energy" in r["provenance"]
    }
    names = ("LPDDR4", "LPDDR", "DDR3", "GDDR5", "HBM2", "HMC")
    for kind, name in enumerate(names, 1):
        bit_pj = float(rows[f"dram_{name}"]["energy_pJ"])
        assert dram_byte_fj(PRICES, kind) == pytest.approx(8000 * bit_pj, rel=1e-14)
    assert dram_byte_fj(PRICES, 0) == 8000 * 1950 / 64


def factor(node: float, column: str) -> float:
    """Of Stillmaker and Baas; straight lines of the logarithms where there is no row."""
    table = {float(r["node_nm"]): float(r[column]) for r in figures("tech_scaling_stillmaker")}
    if node in table:
        return table[node]
    above, below = min(n for n in table if n > node), max(n for n in table if n < node)
    share = math.log(above / node) / math.log(above / below)
    return math.exp((1 - share) * math.log(table[above]) + share * math.log(table[below]))


@pytest.mark.parametrize("node", [28, 16, 7])
def test_scaled_technologies_are_the_synthesized_one_times_the_table(node: int) -> None:
    scaled = hwconfigs.load_technology(f"scaled_{node}nm")
    assert scaled.scaled_from == SYNTHESIZED
    row = scaled.row()
    energy, area = factor(node, "energy_rel_45nm_at_Vnom"), factor(node, "area_rel_45nm")
    read = [sram_byte_fj(prices, SRAM_READ, 8192.0, 64.0) for prices in (row, PRICES)]
    assert read[0] / read[1] == pytest.approx(energy, rel=2e-3)
    multiply = [multiply_fj(prices, 8, 8) for prices in (row, PRICES)]
    assert multiply[0] / multiply[1] == pytest.approx(energy, rel=2e-3)
    mac = [at_widths(prices, MAC_AREA, 8, 8, 32) for prices in (row, PRICES)]
    assert mac[0] / mac[1] == pytest.approx(area, rel=2e-3)
    assert dram_byte_fj(row, 1) == dram_byte_fj(PRICES, 1)
    assert row.size == ROW


def test_a_cycle_of_a_board_is_its_power_over_its_clock() -> None:
    found: dict[tuple[str, ...], list[float]] = {}
    with shared("reference/silicon/mlperf_tiny.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            plain = not row["accelerator"] and row["benchmark"] != "sww" and not row["duplicate_of"]
            if row["power_mW_energy_mode"] and row["clock_MHz"] and plain:
                fields = ("board", "device", "core", "clock_MHz", "supply_V_note")
                power, clock = float(row["power_mW_energy_mode"]), float(row["clock_MHz"])
                found.setdefault(tuple(row[f] for f in fields), []).append(1000 * power / clock)
    middles = sorted(sorted(v)[len(v) // 2] for v in found.values())
    assert (len(found), sum(map(len, found.values()))) == (9, 90)
    boards = hwconfigs.load_technology("mcu_boards")
    low, value, high = (look_up(boards.row(b), CYCLE, 1) for b in ("low", "value", "high"))
    assert value == pytest.approx(middles[4], rel=0.01)
    assert low == pytest.approx(middles[0], rel=0.02)
    assert high == pytest.approx(middles[-1], rel=0.02)


def component(name: str, bits: int, latency_ns: str = "") -> float:
    """The energy of one row of the component table in picojoules."""
    (row,) = [
        row
        for row in figures("component_energy")
        if (row["component"], row["width_bits"]) == (name, str(bits))
        and latency_ns in ("", row["latency_ns"])
        and row["node_nm"] in ("40", "45")
    ]
    return float(row["energy_pJ"])


def test_a_register_file_costs_a_flip_flop_to_the_smallest_memory() -> None:
    smallest = [
        float(row["energy_pJ"]) / 16
        for kind in ("sram_read", "sram_write")
        for row in cacti(kind)
        if (row["size_bytes"], row["width_bits"]) == ("512", "16")
    ]
    assert len(smallest) == 2
    cell = 8000 * sum(smallest) / 2
    assert register_byte_fj(PRICES, 4096) == pytest.approx(cell, rel=1e-3)
    horowitz = hwconfigs.load_technology("horowitz_45nm").row()
    assert register_byte_fj(horowitz, 4096) == register_byte_fj(PRICES, 4096)
    assert register_byte_fj(horowitz, 32) == 8000 * component("aladdin_reg", 1, "1")
    for row in (PRICES, horowitz):
        one = register_byte_fj(row, 1)
        assert one == register_byte_fj(row, 8) == register_byte_fj(row, 32)
        sizes = [register_byte_fj(row, bits) for bits in (32, 64, 512, 3584, 4096)]
        assert sizes == sorted(set(sizes))
    law = SYNTHESIZED.energy.register_bit
    assert law is not None
    assert [law.extrapolates(bits) for bits in (1, 4096, 8192)] == [False, False, True]


def test_look_ups_are_a_read_of_the_smallest_memory_of_cacti() -> None:
    for name in ("synthesized_45nm", "horowitz_45nm"):
        low, value, high = (
            lookup_fj(hwconfigs.load_technology(name).row(bound), 512)
            for bound in ("low", "value", "high")
        )
        reads = {int(row["size_bytes"]): float(row["energy_pJ"]) for row in cacti("sram_read")
                 if row["width_bits"] == "16"}  # fmt: skip
        assert value == 1000 * reads[512]
        # 513 entries of 16 bits lie within the bounds.
        assert low <= 1000 * reads[1024] <= high


def test_real_numbers_cost_what_horowitz_prints_and_at_most_what_aladdin_has() -> None:
    horowitz = hwconfigs.load_technology("horowitz_45nm").row()
    for bits in (16, 32):
        add, multiply = component("fp_add", bits), component("fp_mul", bits)
        for row in (horowitz, PRICES):
            assert real_add_fj(row, bits) == 1000 * add
            assert real_multiply_fj(row, bits) == 1000 * multiply
    assert real_add_fj(HIGH, 32) == 1000 * component("aladdin_fp_sp_adder", 32, "10")
    assert real_multiply_fj(HIGH, 32) == 1000 * component("aladdin_fp_sp_multiplier", 32, "10")


def test_a_derived_requantization_agrees_with_the_synthesized_areas() -> None:
    areas = {widths(row)[0]: float(row["area"]) for row in synthesis("requant")}
    (mac,) = [float(r["area"]) for r in synthesis("mac") if widths(r) == (8, 8, 32)]
    energy = multiply_fj(PRICES, 8, 8) + add_fj(PRICES, 32) + 4 * register_byte_fj(PRICES, 32)
    assert sorted(areas) == [8, 16, 32]
    for bits, area in areas.items():
        by_energy = requantize_fj(PRICES, 32, bits) / energy
        # What the technology's source states: 2.9, 5.6 and 11.1 for 3.5, 6.3 and 12.5.
        assert 0.8 < by_energy / (area / mac) < 0.92, bits
        assert requantize_fj(LOW, 32, bits) < requantize_fj(PRICES, 32, bits)
        assert requantize_fj(PRICES, 32, bits) < requantize_fj(HIGH, 32, bits)
    # A published multiplier of a requantizer is a sixth, below the bounds: the source says so.
    published = 1000 * component("requant_mul_16x8", 16)
    assert multiply_fj(PRICES, 16, 8) / published == pytest.approx(6.2, abs=0.1)
    assert published < multiply_fj(LOW, 16, 8)
