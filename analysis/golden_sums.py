"""The sums of one layer in a golden pack: operands, partial sums, requantizer, corner cases."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np

from analysis.golden_corners import (
    corner_accumulators,
    corner_operands,
    corner_outputs,
    corner_steps,
)
from analysis.golden_files import Pack
from analysis.golden_stages import stages
from simulator.graph import Array
from simulator.mac import Product, Sums
from simulator.numeric.audit import signed_bits
from simulator.numeric.datapath import Datapath
from simulator.numeric.matmul import matmul
from simulator.numeric.requantize import Requantize, requantize_array

Range: TypeAlias = tuple[int, int]


@dataclass(frozen=True)
class Options:
    """What a pack holds besides inputs, weights, bias, accumulators and outputs.

    `fold_taps` writes the partial sum after every so many taps; `lanes` packs hex words;
    `corners` adds vectors at every extreme, tie and clamp; `intermediates` the operands as they
    enter the multipliers and every stage of the requantizer.
    """

    layer: str | None = None
    fold_taps: int | None = None
    lanes: int = 1
    corners: bool = True
    intermediates: bool = False


DEFAULTS: Final = Options()


def taps_at_once(datapath: Datapath) -> int:
    """Products that enter the accumulator together."""
    if datapath.graph:
        return 1
    if datapath.stages:
        return math.prod(stage.fan_in for stage in datapath.stages)
    return datapath.dot_width


def write_sums(
    prefix: str,
    sums: Sums,
    ranges: tuple[Range, Range],
    pack: Pack,
    options: Options,
    datapath: Datapath,
) -> dict[str, Any]:
    """Write the arrays of one set of sums as `prefix/...`; returns its entry of the manifest.

    `ranges` are those of activations and weights as they enter the multiplier.
    """
    bits = sums.bits if datapath.graph else datapath.accumulator_bits
    accumulators = sums.accumulate(datapath)
    pack.add(f"{prefix}/accumulator", accumulators, bits, "row channel")
    if datapath.zero_point == "folded" and not datapath.graph:
        start = np.concatenate([p.bias for p in sums.products])
        pack.add(f"{prefix}/folded_bias", start, 64, "channel")
    entry: dict[str, Any] = {
        "accumulator_bits": bits,
        "overflow": "wrap" if datapath.graph else datapath.overflow,
        "taps_at_once": taps_at_once(datapath),
        "taps": sums.products[0].w.shape[1],
        "requantize": _write_requantizer(prefix, sums.requantize, pack),
    }
    if options.fold_taps:
        entry["fold_taps"] = options.fold_taps
        partial = _partial_sums(sums, datapath, options.fold_taps)
        pack.add(f"{prefix}/partial_sum", partial, bits, "fold row channel")
    output_bits = 8 * np.dtype(sums.dtype).itemsize
    if options.intermediates:
        _write_operands(prefix, sums, ranges, pack)
        entry["stages"] = _write_stages(prefix, "stage", accumulators, sums, pack)
    if options.corners:
        corners = corner_accumulators(sums.requantize, bits)
        pack.add(f"{prefix}/corner_accumulator", corners, bits, "case channel")
        outputs = corner_outputs(sums.requantize, corners)
        pack.add(f"{prefix}/corner_output", outputs, output_bits, "case channel")
        if options.intermediates:
            _write_stages(prefix, "corner_stage", corners, sums, pack)
        entry["corner_sums"] = _write_corner_sums(prefix, sums, ranges, pack, datapath, bits)
    return entry


def _write_requantizer(prefix: str, by: Requantize, pack: Pack) -> dict[str, Any]:
    """The parameters as arrays in the form that the rounding uses; returns the manifest's."""
    if by.rounding in ("float64_away", "float32_even"):
        dtype = "float64" if by.rounding == "float64_away" else "float32"
        bits = 8 * np.dtype(dtype).itemsize
        pack.add(f"{prefix}/scale", by.scale_array.astype(dtype), bits, "channel")
    elif by.rounding != "none":
        multiplier, shift = by.fixed_point
        pack.add(f"{prefix}/multiplier", multiplier, 32, "channel")
        pack.add(f"{prefix}/shift", shift, 8, "channel")
    return {
        "rounding": by.rounding,
        "scale": list(by.scale),
        "multiplier": list(by.multiplier),
        "shift": list(by.shift),
        "zero_point": by.zero_point,
        "clamp": [by.low, by.high],
    }


def _partial_sums(sums: Sums, datapath: Datapath, taps: int) -> Array:
    """Accumulators (folds, rows, channels) after every `taps` taps, as held between folds."""
    total = sums.products[0].w.shape[1]
    folds = []
    for end in range(taps, total + taps, taps):
        parts = [
            matmul(
                np.ascontiguousarray(p.x[:, :end]),
                np.ascontiguousarray(p.w[:, :end]),
                p.bias,
                datapath,
                sums.bits,
                p.first_channel,
            )
            for p in sums.products
        ]
        folds.append(np.concatenate(parts, axis=1))
    return np.stack(folds)


def _write_operands(prefix: str, sums: Sums, ranges: tuple[Range, Range], pack: Pack) -> None:
    """What enters the multipliers, one block after another."""
    x = np.stack([p.x for p in sums.products])
    w = np.stack([p.w for p in sums.products])
    pack.add(f"{prefix}/operand_x", x, signed_bits(*ranges[0]), "block row tap")
    pack.add(f"{prefix}/operand_w", w, signed_bits(*ranges[1]), "block channel tap")


def _write_stages(
    prefix: str, name: str, accumulators: Array, sums: Sums, pack: Pack
) -> list[Mapping[str, Any]]:
    """Every stage of the requantizer; raises AssertionError where the last is not the engine's."""
    by, bits = sums.requantize, 8 * np.dtype(sums.dtype).itemsize
    found = stages(accumulators, by, bits)
    if found:
        engine = requantize_array(accumulators, by, "int64")
        assert np.array_equal(found[-1].values, engine), f"{prefix}: {by.rounding} differs"
    axes = "case channel" if name.startswith("corner") else "row channel"
    return [
        {
            "file": pack.add(f"{prefix}/{name}_{i}_{s.name}", s.values, s.bits, axes),
            "meaning": s.meaning,
        }
        for i, s in enumerate(found)
    ]


def _write_corner_sums(
    prefix: str,
    sums: Sums,
    ranges: tuple[Range, Range],
    pack: Pack,
    datapath: Datapath,
    bits: int,
) -> str:
    """Sums and single steps at the ends of what the operands can be."""
    if not datapath.graph and datapath.overflow == "trap":
        return "left out: they would trap"
    widths = [signed_bits(*r) for r in ranges]
    operands = [corner_operands(p, *ranges[0]) for p in sums.products]
    corner = Sums(
        sums.name,
        sums.operands,
        tuple(
            Product(x, p.w, p.bias, p.first_channel)
            for x, p in zip(operands, sums.products, strict=True)
        ),
        sums.requantize,
        sums.bits,
        sums.dtype,
    )
    pack.add(f"{prefix}/corner_operand_x", np.stack(operands), widths[0], "block case tap")
    totals = corner.accumulate(datapath)
    pack.add(f"{prefix}/corner_sum", totals, bits, "case channel")
    outputs = requantize_array(totals, sums.requantize, sums.dtype)
    pack.add(f"{prefix}/corner_sum_output", outputs, 8 * outputs.dtype.itemsize, "case channel")
    steps = corner_steps(*ranges, taps_at_once(datapath), datapath, sums.bits)
    names = ("accumulator", "x", "w", "sum")
    for name, values, width in zip(names, steps, (bits, *widths, bits), strict=True):
        axes = "case lane" if name in ("x", "w") else "case"
        pack.add(f"{prefix}/corner_step_{name}", values, width, axes)
    return "operands at the ends of what they can be"
