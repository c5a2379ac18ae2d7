"""AlexNet's convolutions on the Eyeriss chip, layer by layer."""

import hwconfigs
from simulator.machines.spatial import Spatial
from simulator.mapped import MappedLayer, map_work
from simulator.work import Work
from tests.validation.rows import Row, Section, grouped, percent, section_of, summarise
from tests.validation.silicon import figures

LAYERS = {
    "CONV1": (1, 96, 3, 227, 55, 11, 4),
    "CONV2": (2, 128, 48, 27, 27, 5, 1),
    "CONV3": (1, 384, 256, 13, 13, 3, 1),
    "CONV4": (2, 192, 192, 13, 13, 3, 1),
    "CONV5": (2, 128, 192, 13, 13, 3, 1),
}
"""Groups, filters and channels of a group, input and output side, taps, stride: table V."""
BATCH = 4
CLOCK_MHZ = 200
PROCESSING, TOTAL, ACTIVE = "processing ms", "latency with loading, ms", "active units"
BUFFER, DRAM = "global buffer, MB", "DRAM, MB"


def work_of(name: str) -> Work:
    """A layer of AlexNet on four images of 16 bits."""
    groups, filters, channels, side, out, taps, stride = LAYERS[name]
    return Work(
        n=BATCH,
        groups=groups,
        oc=filters,
        ic=channels,
        oy=out,
        ox=out,
        ky=taps,
        kx=taps,
        stride_y=stride,
        stride_x=stride,
        weight_bits=16,
        activation_bits=16,
        output_bits=16,
        input_elements=BATCH * groups * channels * side * side,
        weight_elements=groups * filters * channels * taps * taps,
        output_elements=BATCH * groups * filters * out * out,
        input_rows=side,
        input_columns=side,
    )


def megabytes(found: MappedLayer, machine: Spatial, memory: str) -> float:
    """What a memory moved in all directions, to a tenth as the paper has it."""
    level = machine.memory[machine.levels.index(memory)]
    words = sum(count for (name, _, _), count in found.words.items() if name == memory)
    return round(words * (level.word_bits or level.bits_per_cycle) / 8e6, 1)


def section_rows(objective: str = "latency") -> list[Row]:
    """Time in the array, time with loading, units at work and traffic of each layer."""
    machine = hwconfigs.load("eyeriss_chip", [("mapping.objective", objective)])
    assert isinstance(machine, Spatial)
    rows = []
    for row in figures("Eyeriss v1"):
        name = row["layer"]
        notes = dict(part.strip().partition("=")[::2] for part in row["notes"].split(";"))
        work = work_of(name)
        found = map_work(work, machine)
        processing = found.cycles["ideal"] + found.cycles["stall"]
        per_ms = 1e3 * CLOCK_MHZ
        active = round(work.macs / found.cycles["ideal"], 1)
        pairs = [
            (PROCESSING, float(notes["processing_ms"]), processing / per_ms),
            (TOTAL, float(row["latency_ms"]), found.latency / per_ms),
            (ACTIVE, float(notes["active_PEs"]), active),
            (BUFFER, float(notes["global_buffer_MB"]), megabytes(found, machine, "global_buffer")),
            (DRAM, float(notes["DRAM_MB"]), megabytes(found, machine, "dram")),
        ]
        rows += [Row(what, f"AlexNet {name}", a, b, what) for what, a, b in pairs]
    return rows


def section() -> Section:
    """Each layer mapped by our search."""
    rows = section_rows()
    parts = grouped(rows, lambda row: row.quantity)
    units, busy = parts[ACTIVE], parts[PROCESSING]
    theirs = ", ".join(
        f"{row.name.split()[1]} {percent(_share(row, used.theirs, row.theirs))}"
        for row, used in zip(busy, units, strict=True)
    )
    ours = [_share(row, used.ours, row.ours) for row, used in zip(busy, units, strict=True)]
    mean = sum(ours) / len(ours)
    either = grouped(section_rows("edp"), lambda row: row.quantity)
    both = ", ".join(
        f"{what} {percent(summarise(parts[what]).mape)} and {percent(summarise(either[what]).mape)}"
        for what in (PROCESSING, BUFFER, DRAM)
    )
    gap = sum(r.theirs for r in parts[TOTAL]) / sum(r.theirs for r in busy) - 1
    return section_of(
        title="Eyeriss chip",
        compares=(
            "Milliseconds, units at work and traffic of AlexNet's convolutions, batch 4, on the "
            "65 nm chip at 200 MHz."
        ),
        source=(
            "Chen et al., IEEE JSSC 52(1), 2017, tables V and VI; `silicon.csv`, where they are "
            "checked against the paper's totals and marked not verified otherwise"
        ),
        machine="`eyeriss_chip`, its numbers from the paper, its mappings from our search",
        basis="no: uncalibrated; the widths of the global buffer's ports are assumptions",
        name="eyeriss",
        rows=rows,
        misses=[
            "Share of the active units' multiply-accumulate slots that the chip fills while it "
            f"processes: {theirs}. Ours waits for memory alone and fills "
            f"{percent(mean)} of them on average: "
            "what fills and drains a unit's pipeline and its scratchpads between passes is not in "
            "the model.",
            f"The chip's latency is {percent(gap)} above its processing time over the five layers: "
            "it loads from DRAM before it starts, where our search overlaps all but the "
            "first tile.",
            "The chip's mappings are chosen for energy and it writes images to DRAM as run "
            "lengths of zeros, 39 to 79 % of the elements from CONV2 on; ours are chosen for "
            "latency and written plain. MAPE with the objective latency and with the product of "
            f"energy and delay: {both}.",
        ],
    )


def _share(row: Row, units: float, milliseconds: float) -> float:
    """Multiply-accumulates over the slots of so many units in so many milliseconds."""
    return work_of(row.name.split()[1]).macs / (units * milliseconds * 1e3 * CLOCK_MHZ)
