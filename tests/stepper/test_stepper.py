"""The stepper against the analytic cycles and the engine's bits, on seeded random layers."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from random import Random
from typing import Any

import numpy as np
import pytest

from simulator.designs import evaluate_designs
from simulator.errors import IllegalValues, Unsupported
from simulator.graph import Array, Source
from simulator.mac import MacOperator
from simulator.machines.actions import COMPUTE_CYCLES, REGISTER_BYTES
from simulator.machines.systolic import Systolic
from simulator.numeric.datapath import Datapath
from simulator.numeric.dialect import DIALECTS
from simulator.ops.fully_connected import FullyConnected
from simulator.stepper.step import Stepped, step
from simulator.work import Work
from tests.machines.works import machine
from tests.ops import weighted
from tests.ops.build import tensor
from tests.shared import ROOT

FLOWS = ("weight_stationary", "output_stationary", "input_stationary")
SHAPES = (
    *((1, 1), (1, 5), (5, 1), (2, 3), (3, 2), (4, 4), (7, 5), (8, 8), (5, 12), (16, 16)),
    *((9, 17), (17, 9), (13, 33), (17, 33)),
)
LAYERS = 500
PARTS = 10
STAGES: tuple[list[dict[str, Any]], ...] = (
    [],
    [],
    [{"fan_in": 2, "bits": 16, "overflow": "saturate"}],
    [
        {"fan_in": 2, "bits": 15, "overflow": "wrap"},
        {"fan_in": 3, "bits": 17, "overflow": "saturate"},
    ],
)


@dataclass(frozen=True)
class Layer:
    operator: MacOperator
    inputs: tuple[Array | None, ...]
    work: Work


def layers(seed: int, count: int) -> Iterator[Layer]:
    """Small convolutions, grouped and depthwise ones, and fully connected layers."""
    rng = Random(seed)
    made = [
        kind(rng, pair, 6)
        for pair in weighted.PAIRS
        for kind in (weighted.convolutions, weighted.depthwise, weighted.fully_connected)
    ]
    for _ in range(count):
        node = next(rng.choice(made))
        operator = node.operator(DIALECTS["litert-ref"])
        assert isinstance(operator, MacOperator)
        yield Layer(operator, node.values, operator.work(node.inputs, node.outputs))


def drawn_machine(rng: Random, dataflow: str, work: Work) -> Systolic:
    """A small array of any shape, timing and datapath that takes these operands."""
    rows, cols = rng.choice(SHAPES)
    fields: dict[str, Any] = {
        "array__rows": rows,
        "array__cols": cols,
        "array__dataflow": dataflow,
        "timing": rng.choice(["physical", "physical", "scalesim"]),
        "datapath__activation_bits": work.activation_bits,
        "datapath__dot_width": rng.choice([1, 1, 2, 3, 4]),
        "datapath__zero_point": rng.choice(["subtracted", "folded"]),
        "datapath__accumulator": {
            "bits": rng.choice([10, 12, 16, 18, 24, 32, 40]),
            "overflow": rng.choice(["wrap", "saturate", "saturate"]),
            "stages": rng.choice(STAGES),
        },
        "memory__ofmap_sram__bytes": rng.choice([10, 40, 200, 65536]),
        "memory__ifmap_sram__bytes": rng.choice([100, 1000, 65536]),
        "memory__weight_sram__bytes": rng.choice([100, 1000, 65536]),
    }
    made = machine("systolic_16x16", **fields)
    assert isinstance(made, Systolic)
    return made


def analytic(work: Work, target: Systolic) -> dict[str, int]:
    row = evaluate_designs([work], [target], per_layer=True).actions[0, 0]
    return {"cycles": int(row[COMPUTE_CYCLES]), "register_bytes": int(row[REGISTER_BYTES])}


def register_bytes(found: Stepped, work: Work, datapath: Datapath) -> int:
    """What was clocked, at the widths that the analytic model gives each register."""
    words = datapath.dot_width
    bits = found.writes["weight"] * words * work.weight_bits
    bits += found.writes["activation"] * words * work.activation_bits
    bits += found.writes["accumulator"] * datapath.accumulator_bits
    return -(-bits // 8)


def assert_equal(layer: Layer, target: Systolic) -> Stepped:
    datapath = target.datapath.datapath()
    found = step(layer.operator, layer.inputs, target, layer.work)
    expected = layer.operator.accumulate(layer.inputs, datapath)
    assert found.accumulators.tolist() == expected.tolist()
    counted = analytic(layer.work, target)
    assert found.cycles == counted["cycles"]
    if target.timing == "physical":
        assert register_bytes(found, layer.work, datapath) == counted["register_bytes"]
    steps = -(-layer.work.macs // max(layer.work.ky * layer.work.kx * layer.work.ic, 1))
    taps = layer.work.ky * layer.work.kx * layer.work.ic
    assert found.active.sum() == steps * -(-taps // datapath.dot_width)
    assert 0 < found.utilization <= 1
    return found


def every(seed: int, count: int) -> int:
    """Each layer on each dataflow, on a machine of its own."""
    rng = Random(seed + 1)
    cases = 0
    for layer in layers(seed, count):
        for dataflow in FLOWS:
            assert_equal(layer, drawn_machine(rng, dataflow, layer.work))
            cases += 1
    return cases


@pytest.mark.parametrize("part", range(PARTS))
def test_bits_and_cycles(part: int) -> None:
    assert every(1000 * part, LAYERS // PARTS) == 3 * LAYERS // PARTS


SMALL = {"array__rows": 3, "array__cols": 2}


def plain(rows: int, taps: int, channels: int, seed: int = 0) -> Layer:
    """A fully connected layer without zero points, int8 all through."""
    rng = np.random.default_rng(seed)
    x = rng.integers(-128, 128, (rows, taps), dtype=np.int8)
    w = rng.integers(-128, 128, (channels, taps), dtype=np.int8)
    bias = rng.integers(-99, 99, channels, dtype=np.int32)
    kinds = [tensor(a.shape, 0.5, dtype=str(a.dtype)) for a in (x, w, bias)]
    out = tensor((rows, channels), 9.0)
    options = {"fused_activation_function": "NONE", "keep_num_dims": False}
    constants = (None, w, bias)
    source = Source("here", options, tuple(kinds), (out,), constants, DIALECTS["litert-ref"])
    operator = FullyConnected.decode(source)
    return Layer(operator, (x, w, bias), operator.work(kinds, [out]))


def popcount(before: int, after: int, bits: int) -> int:
    return int((before ^ after) & (2**bits - 1)).bit_count()


def registers_by_hand(x: list[int], w: list[int], bias: int) -> dict[str, int]:
    """Bits toggled in a column of three elements: weights from below up, then one vector."""
    held, passed, sums = [0, 0, 0], [0, 0, 0], [0, 0, 0]
    toggles = {"weight": 0, "activation": 0, "accumulator": 0}
    for cycle in range(3):
        entering = [w[2 - cycle], *held[:-1]]
        for i in range(cycle + 1):
            toggles["weight"] += popcount(held[i], entering[i], 8)
            held[i] = entering[i]
    total = bias
    for i in range(3):
        toggles["activation"] += popcount(passed[i], x[i], 9)
        total += x[i] * held[i]
        toggles["accumulator"] += popcount(sums[i], total, 32)
    return toggles


def test_toggles_by_hand() -> None:
    layer = plain(1, 3, 1)
    x, w, bias = (np.asarray(a).ravel().tolist() for a in layer.inputs)
    found = step(layer.operator, layer.inputs, machine("systolic_16x16", **SMALL), layer.work)
    assert dict(found.toggles) == registers_by_hand(x, w, bias[0])
    assert dict(found.writes) == {"weight": 1 + 2 + 3, "activation": 3, "accumulator": 3}
    assert found.cycles == 3 + 1 + 3 + 1 - 2
    assert found.active.tolist() == [[1, 0], [1, 0], [1, 0]]
    assert found.utilization == 3 / (6 * 6)


def test_every_shape_and_flow_is_drawn() -> None:
    rng, seen = Random(1), set()
    for layer in layers(0, 60):
        for dataflow in FLOWS:
            made = drawn_machine(rng, dataflow, layer.work)
            seen.add((made.array.rows, made.array.cols, dataflow, made.timing))
    assert {shape[:2] for shape in seen} == set(SHAPES)
    assert {layer.work.groups > 1 for layer in layers(0, 60)} == {True, False}
    assert len({layer.operator.kind for layer in layers(0, 60)}) == 3


@pytest.mark.parametrize("dataflow", FLOWS)
@pytest.mark.parametrize("bits", [10, 12, 14])
@pytest.mark.parametrize("stages", [STAGES[0], STAGES[2]])
def test_a_trap_names_the_same_first_overflow(dataflow: str, bits: int, stages: Any) -> None:
    fields: dict[str, Any] = {
        "array__dataflow": dataflow,
        "datapath__dot_width": 2,
        "datapath__accumulator": {"bits": bits, "overflow": "trap", "stages": stages},
    }
    target = machine("systolic_16x16", **SMALL, **fields)
    for seed in range(5):
        layer = plain(4, 11, 5, seed)
        datapath = target.datapath.datapath()
        with pytest.raises(IllegalValues) as engine:
            layer.operator.accumulate(layer.inputs, datapath)
        with pytest.raises(IllegalValues) as stepped:
            step(layer.operator, layer.inputs, target, layer.work)
        assert str(stepped.value) == str(engine.value)


@pytest.mark.parametrize("dataflow", FLOWS)
def test_the_trace_holds_every_cycle(dataflow: str) -> None:
    layer = plain(2, 7, 3)
    target = machine("systolic_16x16", **SMALL, array__dataflow=dataflow)
    whole = step(layer.operator, layer.inputs, target, layer.work)
    found = step(layer.operator, layer.inputs, target, layer.work, traced_cycles=whole.cycles)
    assert whole.trace.shape == (0, 3, 2, 5)
    assert found.trace.shape == (whole.cycles, 3, 2, 5)
    assert ((found.trace[..., 3] >= 0).sum(axis=0) == found.active).all()
    weights = set(np.asarray(layer.inputs[1]).ravel().tolist()) | {0}
    assert set(found.trace[..., 0].ravel().tolist()) <= weights
    # The last sums to leave are among the accumulators.
    assert set(found.trace[-1, :, :, 2].ravel().tolist()) & set(found.accumulators.ravel().tolist())


_PROGRAM = """
from tests.stepper.test_stepper import without_compilation
import json
print(json.dumps(without_compilation()))
"""


def without_compilation() -> list[Any]:
    """Every count of a small layer on each dataflow and timing, a stage and a wide step in it."""
    found: list[Any] = []
    for dataflow in FLOWS:
        for timing in ("physical", "scalesim"):
            target = machine(
                "systolic_16x16",
                **SMALL,
                array__dataflow=dataflow,
                timing=timing,
                datapath__dot_width=2,
                datapath__accumulator={"bits": 64, "overflow": "wrap", "stages": STAGES[3]},
            )
            layer = plain(3, 9, 4)
            made = step(layer.operator, layer.inputs, target, layer.work, traced_cycles=99)
            arrays = (made.accumulators, made.active, made.trace)
            found.append([made.cycles, dict(made.toggles), dict(made.writes)])
            found += [array.tolist() for array in arrays]
    return found


def test_the_same_without_compilation() -> None:
    environment = {**os.environ, "NUMBA_DISABLE_JIT": "1"}
    command = [sys.executable, "-W", "error", "-c", _PROGRAM]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, check=True)
    assert json.loads(done.stdout) == without_compilation()


def test_refusals() -> None:
    layer = plain(2, 7, 3)
    with pytest.raises(Unsupported, match="only model: systolic has an array to step through"):
        step(layer.operator, layer.inputs, machine("cortex_m4"), layer.work)
    with pytest.raises(Unsupported, match="the stepper takes convolutions and products"):
        step(layer.operator, layer.inputs, machine("systolic_16x16"), replace(layer.work, n=3))
    tiny = machine("systolic_16x16", **SMALL, memory__ofmap_sram__bytes=4)
    with pytest.raises(Unsupported, match="half the ofmap SRAM cannot hold one partial sum"):
        step(layer.operator, layer.inputs, tiny, layer.work)
    huge = machine("systolic_16x16", array__rows=65536, array__cols=1)
    with pytest.raises(Unsupported, match="take a smaller layer or array"):
        step(layer.operator, layer.inputs, huge, layer.work)
