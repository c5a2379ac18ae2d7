"""Machines priced in technologies of tables: closed forms by hand for prices and areas."""

import pytest

import analysis
import hwconfigs
import workloads
from analysis.spec import SweepSpec
from analysis.technology_table import to_text
from simulator.cost import Estimate, estimate, price
from simulator.errors import BadConfig
from simulator.technology.laws import MAC_AREA, SRAM_READ, SRAM_WRITE, at_widths, in_grid

TECHNOLOGIES = ("horowitz_45nm", "synthesized_45nm", "scaled_28nm", "scaled_16nm", "scaled_7nm")
KINDS = ("systolic_16x16", "eyeriss_like", "hvx_1024", "cortex_m4", "cortex_a73", "systolic_and_m4")
PRICES = hwconfigs.load_technology("synthesized_45nm").row()


def made(machine: str = "systolic_16x16", /, **changes: object) -> Estimate:
    pairs = [(path.replace("__", "."), value) for path, value in changes.items()]
    return estimate(workloads.load("zoo:digits"), hwconfigs.load(machine, pairs))


def synthesized(**changes: object) -> Estimate:
    return made(technology="synthesized_45nm", **changes)


def total(found: Estimate, component: str) -> int:
    return sum(energy[component] for energy in found.energy_fj)


def moved(found: Estimate, level: str) -> int:
    return sum(layer.bytes[level].read + layer.bytes[level].write for layer in found.layers)


def test_reads_and_writes_of_a_memory_are_priced_apart() -> None:
    found = synthesized()
    # 65536 bytes by 128 bits: CACTI 7 at 45 nm, 39.332 pJ a read and 36.0435 pJ a write.
    assert in_grid(PRICES, SRAM_READ, 65536.0, 128.0) == 39.332
    assert in_grid(PRICES, SRAM_WRITE, 65536.0, 128.0) == 36.0435
    for layer, energy in zip(found.layers, found.energy_fj, strict=True):
        traffic = layer.bytes["ifmap_sram"]
        expected = (traffic.read * 39_332 + traffic.write * 36_043.5) / 16
        assert energy["ifmap_sram"] == pytest.approx(expected, abs=0.51)


def test_dram_costs_what_its_type_does() -> None:
    found = synthesized(memory__dram__type="lpddr4")
    assert total(found, "dram") == moved(found, "dram") * 64_000
    assert total(synthesized(), "dram") == moved(found, "dram") * 243_750


def test_wires_cost_by_their_length_between_on_chip_memories_and_the_datapath() -> None:
    plain, wired = synthesized(), synthesized(wire_mm=0.5)
    for level in ("ifmap_sram", "weight_sram", "ofmap_sram"):
        longer = total(wired, level) - total(plain, level)
        # 240 fJ a bit and millimetre.
        assert longer == pytest.approx(moved(plain, level) * 8 * 0.5 * 240, abs=len(plain.layers))
    assert total(wired, "dram") == total(plain, "dram")


def test_area_by_part_adds_up_and_holds_control() -> None:
    found = synthesized().totals
    parts = found.area_parts_mm2
    assert sum(parts.values()) == pytest.approx(found.area_mm2, rel=1e-12)
    logic = sum(value for name, value in parts.items() if name not in ("sram", "control"))
    assert parts["control"] == pytest.approx(0.1 * logic, rel=1e-12)
    # An activation less its zero point is one bit wider; operands' registers come on top.
    mac = at_widths(PRICES, MAC_AREA, 8, 9, 32)
    expected = 256 * (mac + 16 * 4.522) / 1e6
    assert parts["mac"] + parts["register"] == pytest.approx(expected, rel=1e-12)
    assert parts["requantizer"] == pytest.approx(16 * 9396.45 / 1e6, rel=1e-12)
    # 64 KB by 128 bits twice; the sums' 1024 bits are four banks of 16 KB by 256 bits.
    sram = 2 * 187_952.8 + 4 * 53_741.6
    assert parts["sram"] == pytest.approx(sram / 1e6, rel=1e-12)


def test_leakage_costs_area_by_time() -> None:
    found = synthesized()
    parts, cycles = found.totals.area_parts_mm2, found.totals.cycles
    logic = sum(value for name, value in parts.items() if name != "sram")
    microwatts = 21_841 * logic + 5.67 * parts["sram"]
    seconds = cycles / hwconfigs.load("systolic_16x16").clock_mhz / 1e6
    assert total(found, "time") == pytest.approx(microwatts * seconds * 1e9, rel=1e-9, abs=8)
    assert "time" not in made().energy_fj[0]


@pytest.mark.parametrize("technology", TECHNOLOGIES)
@pytest.mark.parametrize("name", KINDS)
def test_energy_and_area_lie_within_their_bounds(name: str, technology: str) -> None:
    paths = ["technology"]
    if name == "systolic_and_m4":
        paths = ["host__technology", "units__npu__technology"]
    changes: dict[str, object] = dict.fromkeys(paths, technology)
    totals = made(name, **changes).totals
    assert 0 < totals.energy_fj_low < totals.energy_fj < totals.energy_fj_high
    assert 0 < totals.area_mm2_low < totals.area_mm2 < totals.area_mm2_high


@pytest.mark.parametrize("bound", ["low", "high"])
def test_bounds_are_the_same_counts_at_other_prices(bound: str) -> None:
    found, machine = made(), hwconfigs.load("systolic_16x16")
    priced = price(found.layers, machine, bound=bound)  # type: ignore[arg-type]
    expected = sum(sum(energy.values()) for energy in priced)
    assert getattr(found.totals, f"energy_fj_{bound}") == expected


def test_notes_flag_what_lies_outside_the_table() -> None:
    notes = " ".join(synthesized(memory__ifmap_sram__bytes=256).notes)
    assert (
        "the price of an access to ifmap_sram of 256 bytes by 128 bits is extrapolated beyond its "
        "cited points"
    ) in notes
    wide = " ".join(synthesized(memory__ifmap_sram__bytes_per_cycle=128).notes)
    assert "by 1024 bits is wider than any cited word: it is priced as banks side by side" in wide
    assert "scaled from synthesized_45nm" in " ".join(made(technology="scaled_7nm").notes)


def sweep(**fields: object) -> SweepSpec:
    axes = {"technology": ["horowitz_45nm", "scaled_7nm"], "memory.ifmap_sram.bytes": [256, 65536]}
    known = {"name": "s", "base": "systolic_16x16", "workload": "zoo:digits", "axes": axes}
    return SweepSpec.model_validate({**known, **fields})


def test_a_sweep_over_technologies_is_the_estimate_of_each() -> None:
    table = analysis.sweep(sweep(constraints=["area_mm2 <= 0.1"]))
    for row in table.iter_rows(named=True):
        size = row["memory.ifmap_sram.bytes"]
        totals = made(technology=row["technology"], memory__ifmap_sram__bytes=size).totals
        assert (row["energy_fj"], row["area_mm2"]) == (totals.energy_fj, totals.area_mm2)
        # CACTI's table begins at 512 bytes and Horowitz's at 8192; the synthesized multipliers that
        # a requantization of 32 by 32 bits is derived from end at 16 bits, Horowitz prints 32.
        derived = row["technology"] == "scaled_7nm"
        assert row["extrapolated_prices"] == (size == 256) + derived
        over = f"area_mm2 must be <= 0.1; found {row['area_mm2']}"
        assert row["outside"] == (over if row["area_mm2"] > 0.1 else None)
    assert table["outside"].null_count() == 2


def test_a_sweep_counts_a_cost_where_there_are_no_joules() -> None:
    law = {"technology": ["pareto_linear"], "array.rows": [8, 16]}
    table = analysis.sweep(sweep(axes=law, objectives=("latency_s", "cost")))
    assert table["energy_j"].null_count() == len(table)
    assert table["cost"].to_list() == [16 * m for m in table["macs"]]
    with pytest.raises(BadConfig, match="counts multiplication bits and has no 'energy_j'"):
        analysis.sweep(sweep(axes=law))
    with pytest.raises(
        BadConfig, match="horowitz_45nm counts pJ and has no 'cost'; name 'energy_j"
    ):
        analysis.sweep(sweep(objectives=("latency_s", "cost")))


def test_no_area_is_no_area_of_nothing() -> None:
    """A technology without areas would lie on every front, and within every bound."""
    mixed = {"technology": ["horowitz_45nm", "mcu_boards"], "array.rows": [8, 16]}
    told = "mcu_boards gives no area to compare with that of horowitz_45nm; leave 'area_mm2' out"
    with pytest.raises(BadConfig, match=told):
        analysis.sweep(sweep(axes=mixed))
    assert len(analysis.sweep(sweep(axes=mixed, objectives=("latency_s", "energy_j")))) == 4
    boards = mixed | {"technology": ["mcu_boards"]}
    assert len(analysis.sweep(sweep(axes=boards))) == 2
    with pytest.raises(BadConfig, match="constraints: mcu_boards gives no area to hold to a bound"):
        analysis.sweep(sweep(axes=boards, constraints=["area_mm2 <= 2"]))


@pytest.mark.parametrize("name", hwconfigs.names("technologies"))
def test_a_technology_is_shown_with_every_citation(name: str) -> None:
    technology = hwconfigs.load_technology(name)
    text = to_text(technology)
    assert technology.source in text
    for group in (technology.energy, technology.area):
        for law in group.given().values() if group else ():
            assert law.source in text


def test_shown_values_are_those_that_are_priced() -> None:
    text = to_text(hwconfigs.load_technology("horowitz_45nm"))
    row = ["multiply", "1024", "product", "bits", "(power)", "2.17", "3.1", "12.68"]
    assert row in [line.split() for line in text.splitlines()]
    scaled = to_text(hwconfigs.load_technology("scaled_16nm"))
    assert f"{39.332 * 0.1398:.6g}" in scaled
    assert "scaled from synthesized_45nm" in scaled
