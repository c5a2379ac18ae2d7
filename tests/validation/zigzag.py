"""ZigZag's mappings on ZigZag's hardware: each cost term, every memory's words, and energy."""

from simulator.machines.spatial import Spatial
from simulator.mapped import MappedLayer, cost_mapping
from tests.machines.zigzag_rows import (
    MACHINES,
    MEMORIES,
    OPERANDS,
    WAYS,
    machine_of,
    nest_of,
    rows,
    word_accesses,
    work_of,
)
from tests.machines.zigzag_rows import (
    Row as Figures,
)
from tests.validation.rows import Row, Section, percent, section_of, shared_file, signed

SOURCE = (
    "ZigZag 3.9.1 runs (Mei et al., IEEE TC 2021) on its own hardware files; "
    "`reference/peers/zigzag_public.csv`"
)
MACHINE = (
    "`tpu_like`, `meta_prototype`, `eyeriss_like`, `gemm_l1`, transcribed from ZigZag's "
    "files, with "
    "`--set timing=zigzag` and the first unrolling alone"
)


def label(figures: Figures) -> str:
    """Machine, network, layer and objective of a row."""
    hardware = MACHINES[figures["hardware"]]
    return f"{hardware}, {figures['network']} {figures['layer']}, {figures['objective']}"


def section_rows() -> list[Row]:
    """Ideal cycles, words moved, latency and energy of each row, its own mapping costed."""
    shared_file("reference/peers/zigzag_public.csv")
    found = []
    for figures in rows():
        hardware = MACHINES[figures["hardware"]]
        machine = machine_of(hardware)
        ours = cost_mapping(work_of(figures), machine, nest_of(figures, machine))
        name = label(figures)
        pairs = [
            ("ideal temporal cycles", figures["ideal_temporal_cycles"], ours.cycles["ideal"]),
            ("latency, cycles", figures["latency_total_cycles"], ours.latency),
            ("energy, pJ", figures["energy_total_pJ"], ours.energy_fj / 1000),
        ]
        found += [Row(what, name, float(a), float(b), hardware) for what, a, b in pairs]
        found += _words(figures, machine, ours, name)
    return found


def _words(figures: Figures, machine: Spatial, ours: MappedLayer, name: str) -> list[Row]:
    """Accesses by memory, operand and direction, where either side has any."""
    hardware = MACHINES[figures["hardware"]]
    theirs = word_accesses(figures)
    names = dict(zip(machine.levels, MEMORIES[hardware], strict=True))
    found = []
    for level in machine.memory:
        share = level.bits_per_cycle // (level.word_bits or level.bits_per_cycle)
        for operand in level.holds:
            for way, peer in WAYS.items():
                words = ours.words[level.name, operand, way] // share
                other = theirs.get((names[level.name], OPERANDS[operand], peer), 0)
                if words or other:
                    where = f"{name}: {level.name} {operand} {way}"
                    found.append(
                        Row("words accessed", where, float(other), float(words), level.name)
                    )
    return found


def below_its_port() -> str:
    """ZigZag's latencies beside its own DRAM accesses, of which the one port does one a cycle."""
    shares = []
    for figures in rows():
        words = sum(n for place, n in word_accesses(figures).items() if place[0] == "dram")
        if words:
            shares.append(float(figures["latency_total_cycles"]) / words - 1)
    below = sum(share < 0 for share in shares)
    return (
        f"In {below} of {len(shares)} rows with DRAM the latency, ZigZag's and so ours, is below "
        "ZigZag's own DRAM accesses, of which its only port does one a cycle: by up to "
        f"{percent(-min(shares))}. Its formula counts too few stalls where operands share a port."
    )


def section() -> Section:
    """Term by term, each row with its own mapping."""
    found = section_rows()
    energies = [row.error for row in found if row.quantity == "energy, pJ"]
    return section_of(
        title="ZigZag, its own mappings",
        compares=(
            "Each of ZigZag's mappings costed by us: cycles without stalls, latency with stalls, "
            "loading and drain, words accessed by memory, operand and direction, and energy."
        ),
        source=SOURCE,
        machine=MACHINE,
        basis="no: prices and sizes are the hardware files', nothing is fitted",
        name="zigzag",
        rows=found,
        misses=[
            "Energy alone differs, by "
            f"{signed(min(energies))} to {signed(max(energies))}: ZigZag drops the fraction of an "
            "access at each memory before it prices; we price the words, which are equal. The "
            f"largest difference is {percent(max(map(abs, energies)))}.",
            below_its_port(),
        ],
    )
