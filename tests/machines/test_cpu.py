"""The microcontroller: cycles by hand, and the measured rows its parameters come from."""

import csv
from math import prod
from pathlib import Path

import pytest

from simulator.designs import evaluate_designs
from simulator.errors import BadConfig
from simulator.work import Work
from tests.machines.works import OPERATORS, conv, cost, machine

# MLPerf Tiny v1.1, closed, Krai, NUCLEO-L4R5ZI, X-CUBE-AI 7.3: the rows the fit used; and 8.0.
FITTED_MS = {"ad": 7.578672, "vww": 224.9018, "ic": 226.92688, "kws": 74.733973}
UNSEEN_MS = {"ad": 7.578623, "vww": 221.157489, "ic": 221.95848, "kws": 72.680867}


def test_a_convolution_by_hand() -> None:
    changes = {
        "core__cycles_per_mac__convolution": 1.5,
        "core__cycles_per_output": 10.25,
        "dispatch__cycles_per_op": 7,
    }
    counted = cost(machine("cortex_m4", **changes), conv((5, 5), 6, (3, 3), 4))
    macs, outputs = 25 * 6 * 36, 150
    assert counted["compute_cycles"] == -(-(macs * 6 + outputs * 41) // 4)
    # Two pixels share a weight: 13 passes of 216; five wait states for each line of 8 bytes.
    flash = 13 * 216 + 6 * 4
    assert counted["flash_read"] == flash
    assert counted["stall_cycles"] == -(-flash // 8) * 5
    # Two filters share an activation.
    assert (counted["sram_read"], counted["sram_write"]) == (25 * 36 * 3, outputs)
    assert counted["overhead_cycles"] == 7
    assert counted["instructions"] == counted["compute_cycles"] + 500


def test_the_class_comes_from_the_work() -> None:
    changes = {
        "core__cycles_per_mac__convolution": 2,
        "core__cycles_per_mac__depthwise": 3,
        "core__cycles_per_mac__fully_connected": 5,
        "core__cycles_per_output": 1,
    }
    target = machine("cortex_m4", **changes)
    assert cost(target, OPERATORS["conv_2d"])["compute_cycles"] == 64 * 16 * (72 * 2 + 1)
    assert cost(target, OPERATORS["depthwise_conv_2d"])["compute_cycles"] == 64 * 24 * (9 * 3 + 1)
    assert cost(target, OPERATORS["fully_connected"])["compute_cycles"] == 10 * (64 * 5 + 1)
    # A convolution of one tap on several pixels is no fully connected layer.
    assert cost(target, conv((2, 2), 3, (1, 1), 8))["compute_cycles"] == 12 * (8 * 2 + 1)


def test_elementwise_and_moves() -> None:
    added = cost(machine("cortex_m4"), OPERATORS["add"])
    assert added["compute_cycles"] == 256 * 4 + 768 * 10
    moved = cost(machine("cortex_m4"), OPERATORS["reshape"])
    assert (moved["compute_cycles"], moved["overhead_cycles"]) == (0, 500)
    assert moved["energy_fj"] > 500 * 70_000 - 1


def test_no_faster_than_its_instructions() -> None:
    with pytest.raises(BadConfig) as caught:
        machine("cortex_m4", core__cycles_per_mac__depthwise=0.25)
    assert str(caught.value).endswith(
        "core.cycles_per_mac.depthwise must be >= 0.5, one instruction a cycle of "
        "core.macs_per_instruction; found 0.25"
    )


def test_the_fit_gives_back_its_rows(shared: Path) -> None:
    target = machine("cortex_m4")
    for name, measured in FITTED_MS.items():
        seconds = evaluate_designs(_network(shared, name), [target]).latency_s[0]
        assert seconds == pytest.approx(measured / 1e3, rel=0.003)
        assert seconds == pytest.approx(UNSEEN_MS[name] / 1e3, rel=0.031)


def _network(shared: Path, name: str) -> list[Work]:
    text = (shared / "reference/silicon/mlperf_tiny_layers.csv").read_text()
    rows = [row for row in csv.DictReader(text.splitlines()) if row["model"] == name]
    return [_layer(row) for row in rows]


def _layer(row: dict[str, str]) -> Work:
    inputs, outputs = (_dims(row[f"{end}_shape"]) for end in ("in", "out"))
    moved = {"input_elements": prod(inputs), "output_elements": prod(outputs)}
    count = prod(outputs)
    if row["op"] == "ADD":
        moved["input_elements"] = 2 * count
        return Work(**moved, elementwise=count, requantizations=3 * count)
    if row["op"] == "AVERAGE_POOL_2D":
        return Work(**moved, elementwise=prod(inputs), requantizations=count)
    if row["op"] == "SOFTMAX":
        return Work(**moved, elementwise=60 * count, requantizations=count)
    if row["op"] == "RESHAPE":
        return Work(**moved)
    weights = _dims(row["w_shape"])
    constants = {"weight_elements": prod(weights), "requantizations": count}
    if row["op"] == "FULLY_CONNECTED":
        return Work(
            oc=weights[0], ky=1, kx=1, ic=weights[1], bias_elements=weights[0], **moved, **constants
        )
    loops = {"oy": outputs[1], "ox": outputs[2], "ky": weights[1], "kx": weights[2]}
    if row["op"] == "DEPTHWISE_CONV_2D":
        channels = {"groups": weights[3], "ic": 1, "depthwise": 1, "bias_elements": weights[3]}
    else:
        channels = {"oc": weights[0], "ic": weights[3], "bias_elements": weights[0]}
    return Work(**loops, **channels, **moved, **constants)


def _dims(text: str) -> list[int]:
    return [int(part) for part in text.split("x")]
