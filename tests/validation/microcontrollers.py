"""Networks and boards that no core was fitted to: ST's model zoo and TinyEngine's table."""

import hwconfigs
import workloads
from simulator.machines.base import Machine
from tests.validation.networks import macs
from tests.validation.rows import (
    Row,
    Section,
    group_table,
    level_and_shape,
    percent,
    section_of,
    shared_file,
    summarise,
)
from tests.validation.silicon import figures, fitted_to, left_out, milliseconds, mobilenet

FLOWER_CLASSES = 5
ZOO = "STM32H747 ms, X-CUBE-AI 10.0"
ENGINE = "STM32H743 ms"
SOFTWARES = {"X-CUBE-AI 7.3.0": "xcube_ai_7_3", "CMSIS-NN": "cmsis_nn"}
INTERNAL = 1_048_576
"""SRAM of an STM32H747 in bytes (DS12930): above it images and weights lie outside."""


CHOICES = (("xcube_ai", 400), *((software, 480) for software in SOFTWARES.values()))
"""Software and clock of the rows."""


def machine(software: str, clock_mhz: int, *more: tuple[str, int]) -> Machine:
    """The core with a software at a clock."""
    return hwconfigs.load("cortex_m7", [("software", software), ("clock_mhz", clock_mhz), *more])


def zoo_rows() -> list[Row]:
    """MobileNets on the Cortex-M7 at 400 MHz."""
    made = machine("xcube_ai", 400, ("memory.flash.bytes", 1 << 27))
    found = []
    for row in figures("STM32 model zoo", "STM32H747I"):
        works = mobilenet(row, FLOWER_CLASSES)
        assert works is not None
        known = int(row["MACs"])
        # The source counts v1's exactly; v2's it gives as the literature does.
        if abs(macs(works) / known - 1) > (0 if "V1" in row["workload"] else 0.06):
            raise ValueError(f"{row['workload']}: {macs(works)} MACs are not {known}")
        peak = max(work.input_elements + work.output_elements for work in works)
        version = row["workload"].partition("_")[0]
        kind = f"{version}, images {'within' if peak < INTERNAL else 'beyond'} 1 MiB"
        ours = milliseconds(works, made)
        found.append(Row(ZOO, row["workload"], float(row["latency_ms"]), ours, kind))
    return found


def engine_rows() -> list[Row]:
    """MCUNet on the Cortex-M7 at 480 MHz with the softwares that its one row did not fit."""
    path = shared_file("models/tflite/tinyengine_vww_mcunet_int8.tflite")
    works = workloads.load(path).work
    found = []
    for row in figures("TinyEngine"):
        software = row["notes"].partition(";")[0].removeprefix("software=")
        if row["workload"] == "mcunet-vww1" and software in SOFTWARES:
            ours = milliseconds(works, machine(SOFTWARES[software], 480))
            name = f"{row['workload']}, {software}"
            found.append(Row(ENGINE, name, float(row["latency_ms"]), ours, software))
    return found


def section() -> Section:
    """Chips and networks that are in no fit."""
    zoo = zoo_rows()
    rows = [*zoo, *engine_rows()]
    small = summarise([row for row in zoo if "within" in row.group])
    return section_of(
        title="Cortex-M7 boards outside the fit",
        compares=(
            "Latency of MobileNets of several widths and sides on an STM32H747 and of MCUNet on an "
            "STM32H743. Neither chips nor networks are among those that the core was fitted to."
        ),
        source=(
            "STM32 AI model zoo, X-CUBE-AI 10.0; TinyEngine's README, latency table; "
            "`reference/silicon/silicon.csv`"
        ),
        machine=(
            "`cortex_m7` with `--set software=xcube_ai clock_mhz=400 memory.flash.bytes=134217728` "
            "(the larger networks lie in external flash), and `software=xcube_ai_7_3, cmsis_nn "
            "clock_mhz=480`"
        ),
        basis=(
            "some: a device of these is in the calibration"
            if any(fitted_to(machine(*pair), pair[0], "STM32H7") for pair in CHOICES)
            else "transferred: instructions and CPI come from MLPerf Tiny boards, clocks are set"
        ),
        name="microcontrollers",
        rows=rows,
        misses=[
            f"By network and place, and by software:\n\n{group_table(rows, 'group')}",
            f"{level_and_shape(zoo)}: the networks are ranked, and the level of this chip "
            "with this "
            "version is not that of the H7A3 boards at 280 MHz which gave the rates.",
            f"Images within internal SRAM: MAPE {percent(small.mape)}. The machine has one SRAM "
            "without wait states; images beyond it lie in external SDRAM on that board.",
            left_out("TinyEngine", "", rows, "no model file at hand, or fitted to"),
            f"{len(zoo)} networks; those of MobileNet v1 have the source's MACs exactly.",
        ],
    )
