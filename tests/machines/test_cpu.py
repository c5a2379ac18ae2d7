"""The processor core: instructions and cycles by hand, for each operand width and memory."""

import numpy as np
import pytest

import hwconfigs
from simulator.designs import evaluate_designs
from simulator.errors import BadConfig
from simulator.machines.actions import TOTAL_CYCLES
from tests.machines.works import OPERATORS, conv, cost, gemm, machine

RATES = "kernels__xcube_ai_7_3__integer"
PLAIN = {
    f"{RATES}__per_multiply__convolution": 3,
    f"{RATES}__per_multiply__pointwise": 2,
    f"{RATES}__per_multiply__depthwise": 5,
    f"{RATES}__per_multiply__fully_connected": 7,
    f"{RATES}__per_multiply__one_channel": 11,
    f"{RATES}__per_output": 10.25,
    f"{RATES}__per_requantize": 14,
    f"{RATES}__per_elementwise": 10,
}


def m4(**changes: object) -> dict[str, int]:
    """A convolution of 5 x 5 pixels, 6 filters, 3 x 3 taps of 4 channels, on plain rates."""
    return cost(machine("cortex_m4", **PLAIN, **changes), conv((5, 5), 6, (3, 3), 4))


def test_a_convolution_by_hand() -> None:
    counted = m4(dispatch__cycles_per_op=7)
    # Two products an instruction: 36 taps are 18 of them, each with two more instructions.
    multiplies, outputs = 25 * 6 * 18, 150
    instructions = -(-(multiplies * 3 * 4 + outputs * 41) // 4)
    assert counted["compute_cycles"] == instructions
    assert counted["instructions"] == instructions + 500
    # Two pixels share a weight: 13 passes of 216 bytes and 24 of biases; lines of 8 bytes.
    flash = 13 * 216 + 6 * 4
    assert counted["flash_read"] == flash
    assert counted["stall_cycles"] == -(-flash // 8) * 5
    # Two filters share an activation.
    assert (counted["sram_read"], counted["sram_write"]) == (25 * 36 * 3, outputs)
    assert counted["overhead_cycles"] == 7


def test_cycles_of_an_instruction_are_the_cores() -> None:
    slow = m4(core__cycles_per_instruction=1.5)
    assert slow["instructions"] == m4()["instructions"]
    assert slow["compute_cycles"] == -(-m4()["compute_cycles"] * 3 // 2)


def test_the_class_comes_from_the_work() -> None:
    target = machine("cortex_m4", **PLAIN)

    def instructions(work: object) -> int:
        return cost(target, work)["instructions"] - 500  # type: ignore[arg-type]

    assert instructions(OPERATORS["conv_2d"]) == 64 * 16 * (36 * 3 + 10.25)
    # Nine taps are five instructions, one of them half empty.
    assert instructions(OPERATORS["depthwise_conv_2d"]) == 64 * 24 * (5 * 5 + 10.25)
    assert instructions(OPERATORS["fully_connected"]) == -(-10 * (32 * 7 * 4 + 41) // 4)
    assert instructions(conv((2, 2), 3, (1, 1), 8)) == 12 * (4 * 2 + 10.25)


def test_elementwise_and_moves() -> None:
    added = cost(machine("cortex_m4", **PLAIN), OPERATORS["add"])
    assert added["compute_cycles"] == 256 * 10 + 768 * 14
    moved = cost(machine("cortex_m4"), OPERATORS["reshape"])
    assert (moved["compute_cycles"], moved["overhead_cycles"]) == (0, 500)
    assert moved["energy_fj"] > 500 * 70_000 - 1


def test_lanes_are_filled_with_filters_and_taps() -> None:
    # 4 lanes of 4 products: 33 filters take 9 vectors, 36 taps 9 instructions each.
    simd = {"core__simd__int8__lanes": 4, "core__simd__int8__dot": 4}
    wide = cost(machine("cortex_m4", **PLAIN, **simd), conv((5, 5), 33, (3, 3), 4))
    assert wide["instructions"] == -(-(25 * 9 * 9 * 3 * 4 + 25 * 33 * 41) // 4) + 500
    # Halfwords have one lane of two products here.
    halves = conv((5, 5), 33, (3, 3), 4, activation_bits=16)
    both = cost(machine("cortex_m4", **PLAIN, **simd), halves)
    assert both["instructions"] == -(-(25 * 33 * 18 * 3 * 4 + 25 * 33 * 41) // 4) + 500


def test_wait_states_follow_from_the_clock() -> None:
    lines = -(-m4()["flash_read"] // 8)
    for mhz, waits in ((16, 0), (20, 0), (21, 1), (80, 3), (120, 5)):
        assert m4(clock_mhz=mhz)["stall_cycles"] == lines * waits
    assert m4(clock_mhz=16, memory__flash__wait_states=5)["stall_cycles"] == lines * 5


def test_an_image_of_one_channel_has_a_rate_of_its_own() -> None:
    target = machine("cortex_m4", **PLAIN)
    # Nine taps are five instructions; with two channels nine, at the rate of a convolution.
    for channels, multiplies, rate in ((1, 5, 11), (2, 9, 3)):
        counted = cost(target, conv((5, 5), 6, (3, 3), channels))
        assert counted["instructions"] - 500 == -(-(150 * multiplies * rate * 4 + 150 * 41) // 4)
    # One tap of one channel is pointwise still.
    assert cost(target, conv((5, 5), 6, (1, 1), 1))["instructions"] - 500 == -(
        -(150 * 2 * 4 + 150 * 41) // 4
    )
    without = machine("cortex_m4", **PLAIN | {f"{RATES}__per_multiply__one_channel": None})
    counted = cost(without, conv((5, 5), 6, (3, 3), 1))
    assert counted["instructions"] - 500 == -(-(150 * 5 * 3 * 4 + 150 * 41) // 4)


def test_cycles_of_a_line_come_beside_its_wait_states() -> None:
    lines = -(-m4()["flash_read"] // 8)
    for mhz, waits in ((20, 0), (120, 5)):
        counted = m4(clock_mhz=mhz, memory__flash__line_cycles=2.5)
        assert counted["stall_cycles"] == lines * waits + -(-lines * 5 // 2)


def test_a_cache_before_flash_reads_weights_once() -> None:
    kept = m4(memory__flash_cache__bytes=432)
    assert kept["flash_read"] == 216 + 24
    assert m4(memory__flash_cache__bytes=431)["flash_read"] == 13 * 216 + 24


def test_the_software_is_chosen_by_name() -> None:
    work = conv((25, 5), 64, (1, 1), 64)
    plain = "kernels__{}__integer__per_multiply__pointwise"
    for name, rate in (("xcube_ai", 2), ("tflm_reference", 50)):
        made = machine("cortex_m4", software=name, **{plain.format(name): rate})
        other = machine("cortex_m4", software=name, **{plain.format(name): rate + 1})
        more = cost(other, work)["compute_cycles"] - cost(made, work)["compute_cycles"]
        assert more == 125 * 64 * 32


FLOATS = {"weight_bits": 32, "activation_bits": 32, "output_bits": 32}


def test_float32_needs_kernels() -> None:
    work = conv((5, 5), 6, (3, 3), 4, **FLOATS)
    assert cost(machine("cortex_m4", software="plumerai_2023"), work)["refusal"] != 0


def test_float32_takes_a_multiplication_a_product() -> None:
    rates = "kernels__hale_2024__float32"
    plain = {f"{rates}__per_multiply__convolution": 4, f"{rates}__per_output": 9}
    target = machine("cortex_m4", software="hale_2024", **plain)
    counted = cost(target, conv((5, 5), 6, (3, 3), 4, **FLOATS))
    assert counted["compute_cycles"] == 150 * (36 * 4 + 9)
    assert counted["flash_read"] == 4 * (13 * 216 + 6)


CORES = ("cortex_m0plus", "cortex_m4", "cortex_m33", "cortex_m7", "cortex_m55", "cortex_m85")
NETWORK = (
    conv((48, 48), 8, (3, 3), 3),
    conv((24, 24), 1, (3, 3), 1, groups=16),
    conv((24, 24), 32, (1, 1), 16),
    gemm(1, 10, 256),
)
SOFTWARE = tuple(sorted(hwconfigs.document("cortex_m4").root.plain()["kernels"]))


@pytest.mark.parametrize("software", [*SOFTWARE, "hale", "plumerai", "tflm_cmsis_nn"])
def test_every_software_is_on_every_core(software: str) -> None:
    made = {name: hwconfigs.load(name, [("software", software)]) for name in CORES}
    cycles = {
        name: int(evaluate_designs(NETWORK, [core]).totals[0, TOTAL_CYCLES])
        for name, core in made.items()
    }
    # Without SIMD slower, with two issues faster.
    assert cycles["cortex_m4"] < cycles["cortex_m0plus"] or software.startswith("tflm_ref")
    assert cycles["cortex_m7"] < cycles["cortex_m33"] < cycles["cortex_m4"]
    macs = sum(work.macs for work in NETWORK)
    assert all(macs / 8 < count < 100 * macs for count in cycles.values())


@pytest.mark.parametrize("name", CORES)
def test_a_faster_clock_takes_less_time_in_no_fewer_cycles(name: str) -> None:
    clocks = (16, 64, 100, 128, 150, 216, 480, 550)
    made = [hwconfigs.load(name, [("clock_mhz", mhz)]) for mhz in clocks]
    result = evaluate_designs(NETWORK, made)
    assert (np.diff(result.latency_s) < 0).all()
    assert (np.diff(result.totals[:, TOTAL_CYCLES]) >= 0).all()
    # Waiting for flash costs some cycles, not most of them.
    assert result.totals[-1, TOTAL_CYCLES] < 1.6 * result.totals[0, TOTAL_CYCLES]


def test_a_name_for_a_generation() -> None:
    alias = machine("cortex_m4", software="hale")
    named = machine("cortex_m4", software="hale_2024")
    assert alias.row().tolist() == named.row().tolist()
    assert list(alias.model_dump()["kernels"]) == ["hale_2024"]
    assert alias.model_dump()["aliases"] == {"hale": "hale_2024"}
    assert named.model_dump()["aliases"] == {}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"software": "xcube_ai_6"},
            "--set software=xcube_ai_6: software: 'xcube_ai_6' has no kernels; known: cmsis_nn, "
            "hale, hale_2023, hale_2024, microtvm, microtvm_cmsis_nn, plumerai, plumerai_2022, "
            "plumerai_2023, tflm_2_3, tflm_cmsis_nn, tflm_reference, xcube_ai, xcube_ai_10_2, "
            "xcube_ai_7_1, xcube_ai_7_3, xcube_ai_8_0, xcube_ai_8_1, xcube_ai_9_0",
        ),
        (
            {"aliases": "{mine: yours}"},
            "aliases: mine: yours must lead from a name without kernels to one with kernels",
        ),
        (
            {"core__cycles_per_instruction": 0.5},
            "core.cycles_per_instruction must be >= 1, with core.issue_width instructions a cycle; "
            "found 0.5",
        ),
        (
            {f"{RATES}__per_multiply__depthwise": 0.5},
            f"{RATES.replace('__', '.')}.per_multiply.depthwise: must be >= 1; found 0.5",
        ),
        (
            {"memory": "{sram: {bytes: 1, line_bytes: 4, wait_states: 0}}"},
            "memory: give sram and flash (a microcontroller, flash_cache with it if it has one), "
            "or cache and dram (an application core)",
        ),
        (
            {"memory__sram": "{bytes: 1, line_bytes: 4}"},
            "memory.sram: needs wait_states, or access_ns to have them follow from the clock",
        ),
    ],
)
def test_what_is_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(BadConfig) as caught:
        machine("cortex_m4", **changes)
    assert str(caught.value).endswith(message)
