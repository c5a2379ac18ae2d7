"""Our mapping search beside the best that ZigZag found for the same layer and hardware."""

from simulator.mapped import MappedLayer, map_work
from tests.machines.zigzag_rows import MACHINES, machine_of, rows, work_of
from tests.validation.rows import Row, Section, grouped, section_of, shared_file
from tests.validation.zigzag import MACHINE, SOURCE, label

SAME = 1e-3
"""A ratio this near 1 is as good: energy carries ZigZag's dropped fractions."""


def section_rows() -> tuple[list[Row], list[MappedLayer]]:
    """The objective of each distinct row, and the mappings that our search found."""
    shared_file("reference/peers/zigzag_public.csv")
    found, layers = [], []
    for figures in rows():
        if figures["dup_of"]:
            continue
        hardware, objective = MACHINES[figures["hardware"]], figures["objective"]
        layer = map_work(work_of(figures), machine_of(hardware, objective))
        layers.append(layer)
        if objective == "latency":
            theirs, ours = figures["latency_total_cycles"], float(layer.latency)
        else:
            theirs, ours = figures["energy_total_pJ"], layer.energy_fj / 1000
        unit = "cycles" if objective == "latency" else "pJ"
        quantity = f"best {objective}, {unit}"
        found.append(Row(quantity, label(figures), float(theirs), ours, hardware))
    return found, layers


def section() -> Section:
    """How often the search is better, as good and worse, and its best nest beside ZigZag's."""
    found, layers = section_rows()
    better = [row for row in found if row.error < -SAME]
    worse = [row for row in found if row.error > SAME]
    best = min(range(len(found)), key=lambda k: found[k].error)
    nest = "\n".join(["```text", *layers[best].nest.to_text().splitlines(), "```"])
    by_machine = grouped(found, lambda row: row.group).items()
    ratios = ", ".join(
        f"{name} {1 + min(r.error for r in part):.3f} to {1 + max(r.error for r in part):.3f}"
        for name, part in by_machine
    )
    return section_of(
        title="ZigZag, the best mapping",
        compares=(
            "The objective (latency or energy) of the mapping that our search finds against "
            "that of "
            "ZigZag's best. Below 0 ours is better; this is a comparison of searches, not an error."
        ),
        source=f"{SOURCE}, rows that repeat a layer left out",
        machine=f"{MACHINE}, `mapping.orders=720` as ZigZag's search",
        basis="no: the cost of a given mapping is the one of the section above",
        name="zigzag_search",
        rows=found,
        misses=[
            f"Ours is better in {len(better)} of {len(found)} rows, within 0.1 % in "
            f"{len(found) - len(better) - len(worse)}, worse in {len(worse)}. Ratios ours / "
            f"ZigZag's by machine: {ratios}.",
            f"Where it is furthest below, {found[best].name}, our loop nest costs "
            f"{found[best].ours:,.0f} where ZigZag's best costs "
            f"{found[best].theirs:,.0f}:\n\n{nest}",
        ],
    )
