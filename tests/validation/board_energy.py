"""Energy of microcontroller boards as power times time, with what was measured left out."""

import csv
import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from tests.machines.silicon import CORES, generation
from tests.validation.boards import NETWORKS, predictions
from tests.validation.rows import (
    Row,
    Section,
    group_table,
    grouped,
    percent,
    section_of,
    shared_file,
)

FILE = "reference/silicon/mlperf_tiny.csv"
CORE = "µJ, power of the core's other submissions"
SUPPLY = "µJ, power of the core's other submissions at its supply"
OTHERS = "µJ, power of the other cores"
PREDICTED = "µJ, power of the core's other submissions, time predicted"
TITLES = (CORE, SUPPLY, OTHERS, PREDICTED)


@dataclass(frozen=True)
class Measured:
    """One network on one board in energy mode. Power in mW, time in ms, energy in µJ.

    `submission` is who measured it in which round: its boards, softwares and networks are one
    measurement of a power. `supply` is empty where the results do not say.
    """

    core: str
    submission: str
    supply: str
    device: str
    network: str
    clock_mhz: float
    power_mw: float
    time_ms: float
    energy_uj: float

    @property
    def label(self) -> str:
        return f"{self.device}, {NETWORKS[self.network]}"


def measured() -> list[Measured]:
    """Every int8 energy of a core that the processor model has, without an accelerator."""
    found = []
    with shared_file(FILE).open(encoding="utf-8", newline="") as stream:
        for row in csv.DictReader(stream):
            power, network = row["power_mW_energy_mode"], row["benchmark"]
            alone = not row["accelerator"] and not row["duplicate_of"]
            if not power or network not in NETWORKS or row["core"] not in CORES or not alone:
                continue
            if generation(row) is None:
                continue
            supply = row["supply_V_note"]
            found.append(
                Measured(
                    CORES[row["core"]],
                    f"{row['submitter']} {row['round']}",
                    f"{float(supply):g} V" if supply else "",
                    f"{row['board']} {row['submitter']} {row['round']} {row['system_id']}",
                    network,
                    float(row["clock_MHz"]),
                    float(power),
                    float(row["energy_mode_latency_ms"]),
                    float(row["energy_uJ"]),
                )
            )
    return found


def rate(rows: Sequence[Measured]) -> float:
    """mW/MHz: the median over submissions of each one's median; NaN without rows.

    Each submission counts once, however many networks and softwares it measured.
    """
    parts: dict[Hashable, list[float]] = {}
    for row in rows:
        parts.setdefault((row.core, row.submission), []).append(row.power_mw / row.clock_mhz)
    return median(median(part) for part in parts.values()) if parts else math.nan


def rates_left_out(row: Measured, rows: Sequence[Measured]) -> Mapping[str, float]:
    """mW/MHz of a row by what its power is taken from, none of its own submission: by title.

    NaN where nothing is left; a supply that is not stated is like no other.
    """
    apart = [r for r in rows if (r.core, r.submission) != (row.core, row.submission)]
    core = [r for r in apart if r.core == row.core]
    alike = [r for r in core if row.supply and r.supply == row.supply]
    cores = dict.fromkeys(r.core for r in rows if r.core != row.core)
    each = [rate([r for r in rows if r.core == other]) for other in cores]
    others = median(each) if each else math.nan
    return {CORE: rate(core), SUPPLY: rate(alike), OTHERS: others}


def cycles_left_out() -> dict[tuple[str, str], float]:
    """Predicted cycles by device and network, the device left out of the fit."""
    pairs = predictions(shared_file(FILE).parents[2])
    return {(m.device, m.model): cycles for m, cycles in pairs}


def section_rows() -> list[Row]:
    """Energies measured, and predicted with measured and with predicted time."""
    rows, cycles = measured(), cycles_left_out()
    found = []
    for row in rows:
        rates = rates_left_out(row, rows)
        pairs = [(title, mw, row.time_ms) for title, mw in rates.items()]
        predicted = cycles.get((row.device, row.network), math.nan)
        pairs.append((PREDICTED, rates[CORE], predicted / row.clock_mhz / 1e3))
        for title, mw_per_mhz, time_ms in pairs:
            energy_uj = mw_per_mhz * row.clock_mhz * time_ms
            if not math.isnan(energy_uj):
                found.append(Row(title, row.label, row.energy_uj, energy_uj, row.core))
    return sorted(found, key=lambda row: TITLES.index(row.quantity))


def powers(rows: Sequence[Measured]) -> str:
    """mW/MHz that were measured of each core and supply, a Markdown table."""
    lines = ["| core, supply | submissions | least | median | most |", "|---|---:|---:|---:|---:|"]
    kinds = dict.fromkeys((row.core, row.supply) for row in rows)
    for core, supply in sorted(kinds):
        part = [row for row in rows if (row.core, row.supply) == (core, supply)]
        each = [row.power_mw / row.clock_mhz for row in part]
        count = len({row.submission for row in part})
        numbers = " | ".join(f"{x:.3f}" for x in (min(each), rate(part), max(each)))
        lines.append(f"| {core}, {supply or 'not stated'} | {count} | {numbers} |")
    return "\n".join(lines)


def section() -> Section:
    """By core, with measured and with predicted time."""
    rows, figures = section_rows(), measured()
    parts = grouped(rows, lambda row: row.quantity)
    apart = max(abs(m.power_mw * m.time_ms / m.energy_uj - 1) for m in figures)
    tables = [
        f"{title}:\n\n{group_table(sorted(part, key=lambda row: row.group), 'core')}"
        for title, part in parts.items()
    ]
    return section_of(
        title="Energy of MLPerf Tiny boards",
        compares=(
            "Microjoules of an inference as power times time, the power as mW/MHz times the clock: "
            "of the same core as other submissions measured it (a submitter and round, left out "
            "with all its softwares and networks), of those at the same supply alone, and of the "
            "other cores: one figure for all, as the technology `mcu_boards` has it. The time is "
            "the measured one; in the last quantity it is that of the machine, fitted without the "
            "device as in the section of boards."
        ),
        source=(
            "MLPerf Tiny results in energy mode, rounds v0.5 to v1.3 (mlcommons/tiny_results_*); "
            "`reference/silicon/mlperf_tiny.csv`"
        ),
        machine="`cortex_m4`, `cortex_m7`, `cortex_m33`; the law of `mcu_boards`, made again",
        basis="left out: power, and time where it is predicted, from other rows of the same source",
        name="board_energy",
        rows=rows,
        misses=[
            *tables,
            f"mW/MHz as measured:\n\n{powers(figures)}",
            "Each core here is one chip (STM32L4R5, STM32H7A3, STM32U575): its submissions are "
            "boards of that kind, and only the third quantity leaves the chip out.",
            "The stated supply does not say which regulator feeds the core: two submissions of "
            "the Cortex-M4 state 3 V, one of them on a board with an external switching "
            "regulator (NUCLEO-L4R5ZI-P), and are more than 2 times apart with the same core, "
            "clock and networks. No law of clock cycles can tell them apart.",
            f"Measured power times measured time is the measured energy within {percent(apart)}.",
            "Not compared: boards with an accelerator (GAP9, NDP9120, EFR32MG24 with MVP), which "
            "no machine of ours describes, and streaming wake words, whose power is mostly idle.",
        ],
    )
