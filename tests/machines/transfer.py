"""Kernels of software that was not measured on a core, carried over from cores where it was.

Each rule is a ratio or a sum of counts, stated in the record that the YAML carries. Nothing here
is fitted: a core's own measurements, where there are any, stand as they are.
"""

from collections.abc import Mapping
from math import prod
from typing import Any, Final

from simulator.document import Document

Kernels = dict[str, dict[str, Any]]
Records = dict[str, dict[str, Any]]

CLASSES: Final = ("convolution", "pointwise", "depthwise", "fully_connected", "one_channel")
REFERENCE: Final = "tflm_reference"
HALE: Final = ("hale_2023", "hale_2024")
SCALAR: Final = (REFERENCE, "microtvm")
"""Software that compiles no vector instructions of the M-profile extension."""
INTEGER_ONLY: Final = ("plumerai_2022", "plumerai_2023")
LOOPS: Final = (REFERENCE, "cmsis_nn", "tflm_cmsis_nn", "tflm_2_3")
"""Software that computes float32 in the reference loops: CMSIS-NN has no kernels of that width."""
MEASURED_FLOAT: Final = ("cortex_m7", "hale_2024")
SOFT_FLOAT: Final = 140.0
"""Assumption: a product and a sum in software are two calls of some 70 cycles each."""
MULTIPLY_THEN_ADD: Final = 1.0
"""VMUL and VADD, 1 cycle each, are what a Cortex-M4 does for a VFMA, which takes it 3 (Arm DDI
0439, table of FPU instructions); a Cortex-M33 is taken to be the same, an assumption."""
ALIASES: Final = {
    "hale": "hale_2024",
    "plumerai": "plumerai_2023",
    "xcube_ai_8_0": "xcube_ai_7_3",
    "xcube_ai_9_0": "xcube_ai",
    "xcube_ai_10_2": "xcube_ai",
}


def without_dsp(small: Document, m4: Document, scalar: Document) -> tuple[Kernels, Records]:
    """The Cortex-M0+'s kernels of every software of the Cortex-M4: HALE's were measured on both.

    Another software's are the Cortex-M4's times what HALE's are more on the Cortex-M0+, the
    geometric mean of its two versions. Reference loops are those of a RISC-V core without SIMD.
    """
    own, theirs = _kernels(small), _kernels(m4)
    made = dict(own)
    records: Records = {}
    for software, kernels in theirs.items():
        if software in HALE:
            continue
        rates = kernels["integer"]
        if software == REFERENCE:
            integer = dict(_kernels(scalar)[REFERENCE]["integer"])
            key = "carried, reference loops"
            note = "not measured: cycles of these loops on riscv_rv32imac, which has no SIMD either"
        else:
            integer = {
                **own[HALE[0]]["integer"],
                "per_multiply": {
                    name: _digits(max(1, rates["per_multiply"][name] * _more(own, theirs, name)))
                    for name in CLASSES
                },
                "per_output": _digits(rates["per_output"] * _more(own, theirs, "per_output")),
            }
            key = "carried from the Cortex-M4"
            note = "not measured: the Cortex-M4's, times what HALE's are more on this core"
        made[software] = {**_blocks(kernels), "integer": integer}
        _keep(records, key, software, "integer", note)
    return made, records


def _more(own: Kernels, theirs: Kernels, name: str) -> float:
    """How many more instructions HALE takes on one core than on another, for a class or output."""
    return prod(
        _rate(own[version]["integer"], name) / _rate(theirs[version]["integer"], name)
        for version in HALE
    ) ** (1 / len(HALE))


def _rate(rates: Mapping[str, Any], name: str) -> float:
    return float(rates["per_multiply"][name] if name in CLASSES else rates[name])


def with_vectors(core: Document, m4: Document) -> tuple[Kernels, Records]:
    """Kernels of every software of the Cortex-M4 on a core with vectors, from its CMSIS-NN.

    Software takes as many times CMSIS-NN's instructions as on the Cortex-M4. What compiles no
    vector instructions takes as many cycles as there.
    """
    made = {"cmsis_nn": _kernels(core)["cmsis_nn"]}
    records: Records = {}
    base, theirs = made["cmsis_nn"]["integer"], _kernels(m4)
    here, there = core.root.plain()["core"], m4.root.plain()["core"]
    slower = there["cycles_per_instruction"] / here["cycles_per_instruction"]
    for software, kernels in theirs.items():
        if software == "cmsis_nn":
            continue
        rates, other = kernels["integer"], theirs["cmsis_nn"]["integer"]
        integer = dict(base)
        for name in (*CLASSES, "per_output"):
            if software in SCALAR:
                value = _rate(rates, name) * slower * _wider(here, there, name)
            else:
                value = _rate(base, name) * _rate(rates, name) / _rate(other, name)
            integer = _with(integer, name, value)
        if software in SCALAR:
            key = "carried, without vectors"
            note = "not measured: as many cycles as on the Cortex-M4"
        else:
            key = "carried, with vectors"
            note = "not measured: this core's CMSIS-NN, times what it is more on the Cortex-M4"
        blocks = kernels if software in SCALAR else made["cmsis_nn"]
        made[software] = {**_blocks(blocks), "integer": integer}
        _keep(records, key, software, "integer", note)
    return made, records


def _wider(here: Mapping[str, Any], there: Mapping[str, Any], name: str) -> float:
    """Products of one instruction here for each of one there, in a class; 1 for outputs."""
    if name not in CLASSES:
        return 1.0
    width = "int16" if name == "depthwise" else "int8"
    return float(here["simd"][width]["dot"] / there["simd"][width]["dot"])


def _with(rates: dict[str, Any], name: str, value: float) -> dict[str, Any]:
    if name not in CLASSES:
        return {**rates, name: _digits(value)}
    return {**rates, "per_multiply": {**rates["per_multiply"], name: _digits(max(1, value))}}


def float_kernels(
    name: str, kernels: Kernels, tuned: Mapping[str, Any], lanes: int
) -> tuple[Kernels, Records]:
    """Float32 rates of each software on a core: measured on a Cortex-M7, or counted.

    `tuned` are HALE's, fitted to a Cortex-M7, which other tuned kernels are taken to share;
    `lanes` are the float32 products of one instruction of this core. Reference loops spend their
    time on offsets: they take on a product what they take on half a pair of integers.
    """
    made: Kernels = {}
    records: Records = {}
    for software, rates in kernels.items():
        made[software] = rates
        if software in INTEGER_ONLY:
            continue
        if name == "cortex_m0plus":
            integer = rates["integer"]
            one = {c: integer["per_multiply"][c] + SOFT_FLOAT for c in CLASSES}
            found = _float(one, integer["per_output"], SOFT_FLOAT / 2, SOFT_FLOAT / 2)
            key = "float32 in software"
            note = "not measured: the integers' instructions, product and sum in software"
        elif lanes > 1 and software not in LOOPS and software not in SCALAR:
            integer = kernels["cmsis_nn"]["integer"]
            found = _float(integer["per_multiply"], integer["per_output"], 2.0, 3.0)
            key = "float32 vectors"
            note = "not measured: a vector of float32 as one of 8 bits"
        elif software in LOOPS:
            pair = kernels[REFERENCE]["integer"]
            pairs = 2 if lanes == 1 else 16 / lanes
            one = {c: pair["per_multiply"][c] / pairs for c in CLASSES}
            found = _float(one, pair["per_output"], 6.0, 12.0)
            key = "float32, reference loops"
            note = "not measured: on a product what they take on half a pair of bytes"
        else:
            extra = 0.0 if name == "cortex_m7" else MULTIPLY_THEN_ADD
            one = {c: (tuned["per_multiply"][c] + extra) * lanes for c in CLASSES}
            found = _float(one, tuned["per_output"], 4.0, 6.0)
            key = "float32, tuned kernels"
            note = "not measured: HALE's instructions on a Cortex-M7, which was"
        made[software] = {**rates, "float32": found}
        if (name, software) != MEASURED_FLOAT:
            _keep(records, key, software, "float32", note)
    return made, records


def _float(
    per_multiply: Mapping[str, float], output: float, requantize: float, element: float
) -> dict[str, Any]:
    return {
        "per_multiply": {c: _digits(max(1, per_multiply[c])) for c in CLASSES},
        "per_output": _digits(output),
        "per_requantize": requantize,
        "per_elementwise": element,
    }


def _kernels(document: Document) -> Kernels:
    found: Kernels = document.root.plain()["kernels"]
    for kernels in found.values():
        rates = kernels["integer"]["per_multiply"]
        rates.setdefault("one_channel", rates["convolution"])
    return found


def _blocks(kernels: Mapping[str, Any]) -> dict[str, Any]:
    return {name: kernels[name] for name in ("pixel_block", "channel_block")}


def _keep(records: Records, key: str, software: str, width: str, note: str) -> None:
    """One record for all software that a rule carries."""
    record = records.setdefault(key, {"fields": [], "transferred": True, "note": note})
    record["fields"].append(f"kernels.{software}.{width}")


def _digits(value: float) -> float:
    return float(f"{value:.4g}")
