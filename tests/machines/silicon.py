"""Measured boards: MLPerf Tiny's public results as measurements, by core and software generation.

A family is a core with one generation of software. A board with one software is one device,
however many submitters measured it: all its rows are left out together.
"""

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np

import hwconfigs
import workloads
from analysis.calibrate import Fit, error_percent, fit, left_out, mape
from analysis.measurements import Measurement
from analysis.parameters import Parameter, parameter
from analysis.problems import Floats
from simulator.config import override
from simulator.document import Document

MODELS: Final = {
    "ad": "mlperf_ad_autoencoder_int8",
    "ic": "mlperf_ic_resnet8_int8",
    "kws": "mlperf_kws_dscnn_int8",
    "vww": "mlperf_vww_mobilenetv1_025_96_int8",
}
CORES: Final = {
    "Cortex-M0+": "cortex_m0plus",
    "Cortex-M4": "cortex_m4",
    "Cortex-M7": "cortex_m7",
    "Cortex-M33": "cortex_m33",
    "RV32IMAC": "riscv_rv32imac",
    "Andes D25F (RVP, FPGA proto)": "andes_d25f",
}
GROUPS: Final = (
    ("cortex_m4", "cortex_m7", "cortex_m33"),
    ("cortex_m0plus",),
    ("riscv_rv32imac",),
    ("andes_d25f",),
)
"""Cores with one instruction set: their kernels are fitted together."""
GENERATIONS: Final = {
    "X-CUBE-AI (v0.7 round; ~7.1)": "xcube_ai_7_1",
    "X-CUBE-AI (v1.0 round; ~7.3)": "xcube_ai_7_3",
    "X-CUBE-AI-7.3": "xcube_ai_7_3",
    "X-CUBE-AI-8.0": "xcube_ai_7_3",
    "X-CUBE-AI v8.1.0": "xcube_ai_8_1",
    "X-CUBE-AI v9.0": "xcube_ai",
    "X-CUBE-AI v9.0.0": "xcube_ai",
    "X-CUBE-AI v10.2": "xcube_ai",
    "Plumerai Inference Engine": "plumerai_2022",
    "Plumerai Inference Engine 2023.05": "plumerai_2023",
    "ONNC + CMSIS-NN": "cmsis_nn",
    "microTVM+CMSIS-NN": "microtvm_cmsis_nn",
    "microTVM native": "microtvm",
    "TFLM 2.3.1 mbed (kernel lib not stated)": "tflm_2_3",
    "Tensorflow Lite Micro 2.3.1": "tflm_reference",
    "TFLM + Andes NN": "andes_nn",
}
"""MLPerf's wording of a software by generation. Bosch's HALE names no version: by round instead."""

RATES: Final = (
    "per_multiply.convolution",
    "per_multiply.depthwise",
    "per_multiply.fully_connected",
    "per_output",
    "per_multiply.one_channel",
)
STARTS: Final = {
    "dsp": (2.6, 4.0, 3.0, 25.0, 4.0),
    "cortex_m0plus": (8.0, 14.0, 8.0, 60.0, 10.0),
    "tflm_reference": (66.0, 76.0, 34.0, 100.0, 66.0),
    "riscv_rv32imac": (20.0, 20.0, 10.0, 100.0, 20.0),
    "andes_d25f": (4.0, 8.0, 6.0, 25.0, 6.0),
}
"""Where fits start: instructions an M4 or M0+ needs with its operands loaded once each; for
reference loops the cycles a product of PCL Scepu02 (RV32IMAC) in MLPerf Tiny v0.5, for two, and on
that core itself twenty instructions to compute the offsets of a product's operands."""
CPI: Final = {"cortex_m7": 0.6, "cortex_m33": 0.85}
"""Where the cycles of an instruction start on cores that may issue two."""
LINE: Final = 4.0
"""Where the cycles of a line of flash start, beside its wait states: four beats of 32 bits."""
TIES: Final = {"per_multiply.convolution": ("per_multiply.pointwise",)}
UNSEEN: Final = {"per_multiply.convolution": (*TIES["per_multiply.convolution"], RATES[-1])}
"""The four networks do not tell a convolution of one tap from others: one rate for both. Where no
network has a first layer of one channel, for that too."""


def board_rows(shared: Path) -> tuple[Measurement, ...]:
    """Every int8 latency of a Cortex-M without accelerator, published and not a duplicate."""
    works = {
        name: workloads.load(shared / "models/tflite" / f"{file}.tflite").work
        for name, file in MODELS.items()
    }
    found = []
    with (shared / "reference/silicon/mlperf_tiny.csv").open(encoding="utf-8") as stream:
        for row in csv.DictReader(stream):
            software = generation(row)
            latency, name = row["latency_ms"], row["benchmark"]
            if software is None or not latency or name not in works or row["duplicate_of"]:
                continue
            clock = float(row["clock_MHz"])
            found.append(
                Measurement(
                    model=name,
                    works=works[name],
                    cycles=float(latency) * clock * 1e3,
                    device=f"{row['board']} {row['submitter']} {row['round']} {row['system_id']}",
                    overrides=(("software", software), ("clock_mhz", f"{clock:g}")),
                    machine=CORES[row["core"]],
                    source=f"{latency} ms, {row['source_path']}",
                )
            )
    return (*found, *tinyengine_rows(shared, {"TFLM ref kernels": "tflm_reference"}))


def float_rows(shared: Path) -> tuple[Measurement, ...]:
    """Every float32 latency of a Cortex-M: Bosch's HALE of 2024 on one Cortex-M7.

    The networks are the int8 ones with every element 32 bits wide and nothing requantized.
    """
    found = []
    with (shared / "reference/silicon/mlperf_tiny.csv").open(encoding="utf-8") as stream:
        for row in csv.DictReader(stream):
            if row["precision"] != "fp32" or row["core"] not in CORES:
                continue
            name = f"{MODELS[row['benchmark']]}.tflite"
            clock, latency = float(row["clock_MHz"]), row["latency_ms"]
            found.append(
                Measurement(
                    model=f"{row['benchmark']}, float32",
                    works=tuple(
                        replace(
                            work,
                            weight_bits=32,
                            activation_bits=32,
                            output_bits=32,
                            requantizations=0,
                        )
                        for work in workloads.load(shared / "models/tflite" / name).work
                    ),
                    cycles=float(latency) * clock * 1e3,
                    device=f"{row['board']} {row['submitter']} {row['round']} {row['system_id']}",
                    overrides=(("software", "hale_2024"), ("clock_mhz", f"{clock:g}")),
                    machine=CORES[row["core"]],
                    source=f"{latency} ms, {row['source_path']}",
                )
            )
    return tuple(found)


def tinyengine_rows(shared: Path, softwares: Mapping[str, str]) -> tuple[Measurement, ...]:
    """TinyEngine's table on a STM32H743 at 480 MHz, of the one network whose file is at hand."""
    works = workloads.load(shared / "models/tflite/tinyengine_vww_mcunet_int8.tflite").work
    found = []
    with (shared / "reference/silicon/silicon.csv").open(encoding="utf-8") as stream:
        for row in csv.DictReader(stream):
            named = row["notes"].partition(";")[0].removeprefix("software=")
            if row["workload"] == "mcunet-vww1" and named in softwares:
                latency = row["latency_ms"]
                found.append(
                    Measurement(
                        model="mcunet-vww1",
                        works=works,
                        cycles=float(latency) * 480e3,
                        device="STM32H743 TinyEngine",
                        overrides=(("software", softwares[named]), ("clock_mhz", "480")),
                        machine="cortex_m7",
                        source=f"{latency} ms, TinyEngine README, latency table",
                    )
                )
    return tuple(found)


def generation(row: Mapping[str, str]) -> str | None:
    """The software of a row of int8 latencies on a core alone; None for any other row."""
    if row["core"] not in CORES or row["accelerator"] or "float" in row["system_id"]:
        return None
    software = row["software"].strip()
    if software == "Bosch HALE":
        return {"v1.1": "hale_2023", "v1.2": "hale_2024"}[row["round"]]
    return GENERATIONS.get(software)


def software_of(measurement: Measurement) -> str:
    """The software generation that a measurement selects."""
    return dict(measurement.overrides)["software"]


def family_of(measurement: Measurement) -> str:
    """Core and software generation."""
    return f"{measurement.machine} {software_of(measurement)}"


def starts(machine: str, softwares: Sequence[str]) -> Document:
    """A shipped machine with the kernels of these generations, and its core, at their starts."""
    pairs: list[tuple[str, float]] = []
    for software in softwares:
        first = STARTS.get(machine, STARTS.get(software, STARTS["dsp"]))
        pairs += (
            (f"kernels.{software}.integer.{rate}", value)
            for name, value in zip(RATES, first, strict=True)
            for rate in (name, *TIES.get(name, ()))
        )
    if machine in CPI:
        pairs.append(("core.cycles_per_instruction", CPI[machine]))
        pairs.append(("memory.flash.line_cycles", LINE))
    return override(hwconfigs.document(machine), pairs)


def problem(
    rows: Sequence[Measurement],
) -> tuple[dict[str, Document], list[Parameter]]:
    """Starts and parameters: rates common to the cores of a software, two numbers for each core.

    Those two are the cycles of an instruction and of a line of flash. The Cortex-M4 has 1 and 0:
    its cycles are the unit in which instructions are counted.
    """
    machines = list(dict.fromkeys(m.machine for m in rows))
    softwares = {name: _softwares(rows, name) for name in machines}
    bases = {name: starts(name, softwares[name]) for name in machines}
    parameters = []
    for software in dict.fromkeys(software_of(m) for m in rows):
        common = [name for name in machines if software in softwares[name]]
        ties_of = TIES if _with_one_channel(rows, software) else UNSEEN
        for rate in RATES:
            if rate in ties_of["per_multiply.convolution"]:
                continue
            path, *ties = (
                f"kernels.{software}.integer.{name}" for name in (rate, *ties_of.get(rate, ()))
            )
            parameters.append(parameter(bases, path, machines=common, ties=ties))
    for name in machines:
        if name in CPI:
            path = "core.cycles_per_instruction"
            parameters.append(parameter(bases, path, machines=[name]))
            path = "memory.flash.line_cycles"
            parameters.append(parameter(bases, path, machines=[name]))
    return bases, parameters


def _with_one_channel(rows: Sequence[Measurement], software: str) -> bool:
    """Whether a software was measured on a convolution of several taps of one channel."""
    return any(
        work.ky * work.kx > 1 and work.ic == 1 and not work.depthwise
        for m in rows
        if software_of(m) == software
        for work in m.works
    )


def _softwares(rows: Sequence[Measurement], machine: str) -> list[str]:
    return list(dict.fromkeys(software_of(m) for m in rows if m.machine == machine))


def split(rows: Sequence[Measurement]) -> tuple[tuple[Measurement, ...], ...]:
    """Rows by the group of their core, in the order of `GROUPS`."""
    return tuple(tuple(m for m in rows if m.machine in group) for group in GROUPS)


def devices_left_out(rows: Sequence[Measurement]) -> Floats:
    """Errors in percent, each board with its software predicted by a fit without it: float64 [M].

    Instructions come from the same software on other cores, cycles an instruction from other
    software on the same core. A software on one core only has no other device: NaN.
    """
    bases, parameters = problem(rows)
    predicted = left_out(bases, rows, parameters, [family_of(m) for m in rows])
    return error_percent(predicted, rows)


def submissions_left_out(rows: Sequence[Measurement]) -> Floats:
    """As `devices_left_out`, a submission (submitter and round) at a time: float64 [M]."""
    bases, parameters = problem(rows)
    groups = [f"{family_of(m)} {m.device}" for m in rows]
    return error_percent(left_out(bases, rows, parameters, groups), rows)


def rows_left_out(rows: Sequence[Measurement], part: Sequence[Measurement]) -> Floats:
    """As `devices_left_out`, a network of `part` at a time, for a software of one board."""
    bases, parameters = problem(rows)
    groups = [f"{i}" if m in part else "others" for i, m in enumerate(rows)]
    errors = error_percent(left_out(bases, rows, parameters, groups), rows)
    return np.asarray(errors[np.array([m in part for m in rows])], np.float64)


def fitted(rows: Sequence[Measurement]) -> tuple[dict[str, Document], Fit]:
    """The common fit of all rows, and the documents that it started from."""
    bases, parameters = problem(rows)
    return bases, fit(bases, rows, parameters)


def by_family(rows: Sequence[Measurement], errors: Floats) -> dict[str, tuple[int, float, float]]:
    """For each family: how many rows are known, their mean absolute error, and the worst."""
    found = {}
    for family in dict.fromkeys(map(family_of, rows)):
        part = errors[np.array([family_of(m) == family for m in rows])]
        worst = float(np.nanmax(np.abs(part))) if not np.isnan(part).all() else math.nan
        found[family] = (int((~np.isnan(part)).sum()), mape(part), worst)
    return found


def at_machine(measurement: Measurement, machine: str) -> Measurement:
    """The same measurement for the only base of a fit."""
    return replace(measurement, machine=machine)
