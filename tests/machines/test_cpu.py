"""The processor core: instructions and cycles by hand, for each operand width and memory."""

import pytest

from simulator.errors import BadConfig
from tests.machines.works import OPERATORS, conv, cost, machine

RATES = "kernels__xcube_ai_7_3__integer"
PLAIN = {
    f"{RATES}__per_multiply__convolution": 3,
    f"{RATES}__per_multiply__pointwise": 2,
    f"{RATES}__per_multiply__depthwise": 5,
    f"{RATES}__per_multiply__fully_connected": 7,
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


def test_float32_needs_kernels() -> None:
    work = conv((5, 5), 6, (3, 3), 4, weight_bits=32, activation_bits=32, output_bits=32)
    assert cost(machine("cortex_m4"), work)["refusal"] != 0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"software": "xcube_ai_6"},
            "--set software=xcube_ai_6: software: 'xcube_ai_6' has no kernels; known: cmsis_nn, "
            "hale_2023, hale_2024, microtvm, microtvm_cmsis_nn, plumerai_2022, plumerai_2023, "
            "tflm_2_3, tflm_reference, xcube_ai, xcube_ai_7_1, xcube_ai_7_3, xcube_ai_8_1",
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
