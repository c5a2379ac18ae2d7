"""The cocotb tests: mac.v against every layer of a golden pack, bit by bit.

`GOLDEN_PACK` names the pack, `GOLDEN_SUMS` how many sums of each layer are driven tap by tap.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cocotb
from cocotb.triggers import Timer
from pack import Pack

PACK = Pack(Path(os.environ["GOLDEN_PACK"]))
SUMS = int(os.environ["GOLDEN_SUMS"])
STAGES = {"stage_0_shifted": "shifted", "stage_2_high": "upper", "stage_3_rounded": "rounded"}


async def clock(dut: Any, **values: int) -> None:
    """Drive inputs, then one rising edge."""
    for name, value in values.items():
        getattr(dut, name).value = value
    dut.clk.value = 0
    await Timer(1, "ns")
    dut.clk.value = 1
    await Timer(1, "ns")


def expect(dut: Any, port: str, value: int, where: str) -> None:
    """Compare a port with the pack."""
    found = getattr(dut, port).value.to_signed()
    assert found == value, f"{where}: {port} is {found}, the pack has {value}"


def of_channel(values: list[int], channel: int) -> int:
    """A parameter for each channel, or one for all."""
    return values[channel if len(values) > 1 else 0]


class Layer:
    """One layer's arrays."""

    def __init__(self, entry: dict[str, Any]) -> None:
        self.name = entry["name"]
        self.rows, self.channels = PACK.shape(f"{self.name}/accumulator")
        self.blocks = PACK.shape(f"{self.name}/operand_x")[0]
        self.requantize = entry["requantize"]
        self.fold_taps = entry.get("fold_taps", 0)
        self.folds = self.table("partial_sum") if self.fold_taps else []
        self.bias = self.read("bias") if f"{self.name}/bias" in PACK else [0] * self.channels
        if f"{self.name}/folded_bias" in PACK:
            self.bias = self.read("folded_bias")

    def read(self, name: str) -> list[int]:
        """An array of this layer, flat."""
        return PACK.read(f"{self.name}/{name}")

    def table(self, name: str) -> list[list[int]]:
        """An array of this layer in rows."""
        return PACK.table(f"{self.name}/{name}")

    def set_requantizer(self, dut: Any, channel: int) -> None:
        """Put a channel's parameters on the ports."""
        by = self.requantize
        dut.multiplier.value = of_channel(by["multiplier"], channel)
        dut.shift.value = of_channel(by["shift"], channel)
        dut.zero_point.value = by["zero_point"]
        dut.low.value, dut.high.value = by["clamp"]

    def chosen(self) -> Iterator[tuple[int, int]]:
        """(row, channel) of `SUMS` sums, spread over the layer."""
        total = self.rows * self.channels
        for k in range(min(SUMS, total)):
            yield divmod(k * total // min(SUMS, total), self.channels)


def layers() -> list[Layer]:
    """The layers that mac.v computes."""
    return [Layer(entry) for entry in PACK.layers()[0]]


@cocotb.test()
async def real_sums(dut: Any) -> None:
    """Bias, then every tap in order; partial sums, accumulator, stages and output."""
    checked = 0
    for layer in layers():
        x, w = layer.table("operand_x"), layer.table("operand_w")
        accumulators, outputs = layer.table("accumulator"), layer.table("stage_5_clamped")
        stages = {port: layer.table(name) for name, port in STAGES.items()}
        for row, channel in layer.chosen():
            block = channel * layer.blocks // layer.channels
            layer.set_requantizer(dut, channel)
            await clock(dut, load=1, step=0, bias=layer.bias[channel], x=0, w=0)
            where = f"{layer.name}, row {row}, channel {channel}"
            taps = zip(x[block * layer.rows + row], w[channel], strict=True)
            for tap, (a, b) in enumerate(taps, 1):
                await clock(dut, load=0, step=1, x=a, w=b)
                if layer.folds and tap % layer.fold_taps == 0:
                    at = (tap // layer.fold_taps - 1) * layer.rows + row
                    expect(dut, "acc", layer.folds[at][channel], f"{where}, tap {tap}")
            expect(dut, "acc", accumulators[row][channel], where)
            for port, values in stages.items():
                expect(dut, port, values[row][channel], where)
            expect(dut, "y", outputs[row][channel], where)
            checked += 1
    cocotb.log.info("%d sums, tap by tap", checked)


@cocotb.test()
async def requantizer_corners(dut: Any) -> None:
    """Every extreme, tie and clamp of each channel: the corner case is loaded as a bias."""
    checked = 0
    for layer in layers():
        corners, outputs = layer.table("corner_accumulator"), layer.table("corner_output")
        # One scale for all channels has one column of cases.
        for channel in range(len(corners[0])):
            layer.set_requantizer(dut, channel)
            for case, line in enumerate(corners):
                await clock(dut, load=1, step=0, bias=line[channel], x=0, w=0)
                where = f"{layer.name}, corner {case}, channel {channel}"
                expect(dut, "y", outputs[case][channel], where)
                checked += 1
    cocotb.log.info("%d corners of requantizers", checked)


@cocotb.test()
async def accumulator_corners(dut: Any) -> None:
    """One step from each end of the accumulator with operands at their ends: wrap or saturate."""
    checked = 0
    for layer in layers():
        names = ("accumulator", "x", "w", "sum")
        steps = zip(*(layer.read(f"corner_step_{name}") for name in names), strict=True)
        for before, x, w, after in steps:
            await clock(dut, load=1, step=0, bias=before, x=0, w=0)
            await clock(dut, load=0, step=1, x=x, w=w)
            expect(dut, "acc", after, f"{layer.name}: {before} + {x} * {w}")
            checked += 1
    cocotb.log.info("%d corners of accumulators", checked)
