"""The whitepaper's table 7: a large core's held-out half, the vector unit, and the speed-ups."""

import numpy as np

import hwconfigs
from simulator.designs import evaluate_designs
from simulator.machines.base import Machine
from tests.machines import table7
from tests.validation.rows import Row, Section, by_group, grouped, percent, section_of

HELD, FITTED = "held out", "fitted"


def section_rows() -> list[Row]:
    """Milliseconds on CPU and HVX, and ratios of float32 to int8 and to HVX."""
    core, vector = hwconfigs.load("cortex_a73"), hwconfigs.load("hvx_1024")
    rows: list[Row] = []
    ours: dict[tuple[str, int], float] = {}
    for name, measured in table7.CPU_MS.items():
        half = FITTED if name in table7.CALIBRATED else HELD
        for bits, whole in zip((32, 8), measured, strict=True):
            ours[name, bits] = _milliseconds(name, bits, core)
            width = "float32" if bits == 32 else "int8"
            row = Row(f"CPU ms, {half}", f"{name}, {width}", whole, ours[name, bits], width)
            rows.append(row)
        ratio = ours[name, 32] / ours[name, 8]
        rows.append(Row("speed-up of int8, CPU", name, measured[0] / measured[1], ratio, half))
    for name, theirs in table7.HVX_MS.items():
        found = _milliseconds(name, 8, vector)
        rows.append(Row("HVX ms", name, theirs, found, "HVX"))
        measured_ratio = table7.CPU_MS[name][0] / theirs
        ratio = ours[name, 32] / found
        rows.append(Row("speed-up of HVX over float32", name, measured_ratio, ratio, "HVX"))
    return sorted(rows, key=lambda row: row.quantity)


def _milliseconds(network: str, bits: int, machine: Machine) -> float:
    return 1e3 * float(evaluate_designs(table7.works(network, bits), [machine]).latency_s[0])


def section() -> Section:
    """Half of the table fitted, the other half held out."""
    rows = section_rows()
    held = [row for row in rows if row.quantity.endswith(HELD)]
    versions = grouped(held, lambda row: row.name.partition(",")[0])
    networks = ", ".join(
        f"{name} {percent(float(np.mean([abs(row.error) for row in part])))}"
        for name, part in versions.items()
    )
    return section_of(
        title="Pixel 2, one large core and HVX",
        compares=(
            "Latency of eight networks in float32 and int8 on one large core, of two on the vector "
            "unit, and the speed-ups that follow."
        ),
        source="Krishnamoorthi, arXiv 1806.08342, table 7",
        machine="`cortex_a73` with 32- and 8-bit works; `hvx_1024`",
        basis=(
            "half: four networks of eight on the CPU; on HVX MobileNet v1 alone (its time to start)"
        ),
        name="pixel",
        rows=rows,
        misses=[
            f"Held out, by width: {by_group(held)}. By network: {networks}.",
            "The paper gives whole milliseconds of one phone and not its clock; 2,350 MHz is that "
            "of the part. Every half of the eight networks, fitted, predicts the other within 25 % "
            "(`tests/machines/test_silicon.py::test_half_of_table_7_predicts_the_other`).",
        ],
    )
