"""MobileNet v2 of every width and side on a Pixel 1, by the core that was fitted to a Pixel 2."""

import hwconfigs
from tests.validation.rows import Row, Section, by_group, level_and_shape, section_of
from tests.validation.silicon import figures, left_out, milliseconds, mobilenet

CLOCK_MHZ = 2150
FLOAT = "Pixel 1 ms, float32"


def section_rows() -> list[Row]:
    """The rows that name a MobileNet, by width."""
    machine = hwconfigs.load("cortex_a73", [("clock_mhz", CLOCK_MHZ)])
    rows = []
    for row in figures("TF-slim MobileNet README", "Pixel1"):
        works = mobilenet(row)
        if works is not None:
            width = row["workload"].split("_")[1]
            ours = milliseconds(works, machine)
            rows.append(
                Row(FLOAT, row["workload"], float(row["latency_ms"]), ours, f"width {width}")
            )
    return rows


def section() -> Section:
    """Another phone, another core."""
    rows = section_rows()
    return section_of(
        title="Pixel 1, one large core",
        compares="Latency of float32 MobileNet v2 at 6 widths and 5 sides on one large core.",
        source="TF-Slim's MobileNet README, MobileNet v2 checkpoints; `silicon.csv`",
        machine=(
            f"`cortex_a73` with `--set clock_mhz={CLOCK_MHZ}` and 32-bit works; the phone's "
            "core is "
            "a Kryo of a Snapdragon 821, for which no machine ships"
        ),
        basis="transferred: rates of a Pixel 2 (table 7), the clock alone is set",
        name="phones",
        rows=rows,
        misses=[
            f"By width: {by_group(rows)}.",
            f"{level_and_shape(rows)}: at this clock the Kryo takes fewer cycles than the core "
            "that the rates were fitted to.",
            left_out("TF-slim MobileNet README", "Pixel1", rows, "the zoo has no MobileNet v3"),
        ],
    )
