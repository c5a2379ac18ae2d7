"""Our cost of ZigZag's own mappings on its own hardware, term by term, and the search beside it."""

import pytest

from simulator.mapped import cost_mapping, map_work
from simulator.mapping.loopnest import from_plain
from tests.machines.zigzag_rows import (
    MACHINES,
    MEMORIES,
    OPERANDS,
    WAYS,
    Row,
    machine_of,
    nest_of,
    rows,
    word_accesses,
    work_of,
)

TERMS = {
    "ideal": "ideal_temporal_cycles",
    "stall": "stall_cycles",
    "onload": "onload_cycles",
    "offload": "offload_cycles",
    "drain": "systolic_drain_cycles",
}


def label(row: Row) -> str:
    return f"{row['hardware'][:14]} {row['network']} {row['layer']} {row['objective']}"


def test_every_term_of_every_row() -> None:
    """101 rows: cycles by term and words by memory equal, energy within 2e-5.

    ZigZag drops the fraction of an access at each memory before it prices; we price the words.
    """
    faults = []
    for row in rows():
        name = MACHINES[row["hardware"]]
        machine = machine_of(name)
        found = cost_mapping(work_of(row), machine, nest_of(row, machine))
        for term, column in TERMS.items():
            if found.cycles[term] != float(row[column]):
                faults.append(f"{label(row)}: {term} {found.cycles[term]}, {row[column]}")
        if found.latency != float(row["latency_total_cycles"]):
            faults.append(f"{label(row)}: latency {found.latency}")
        energy = found.energy_fj / 1000
        if abs(energy / float(row["energy_total_pJ"]) - 1) > 2e-5:
            faults.append(f"{label(row)}: energy {energy}, {row['energy_total_pJ']}")
        theirs = word_accesses(row)
        names = dict(zip(machine.levels, MEMORIES[name], strict=True))
        for level in machine.memory:
            share = level.bits_per_cycle // (level.word_bits or level.bits_per_cycle)
            for operand in level.holds:
                for way, peer in WAYS.items():
                    ours = found.words[level.name, operand, way] // share
                    other = theirs.get((names[level.name], OPERANDS[operand], peer), 0)
                    if ours != other:
                        faults.append(f"{label(row)}: {level.name} {operand} {way} {ours}, {other}")
    assert not faults, "\n".join(faults)
    assert len(rows()) == 101


def test_the_search_is_never_worse_than_zigzags_best_by_two_percent() -> None:
    worst = []
    for row in rows():
        if row["dup_of"]:
            continue
        machine = machine_of(MACHINES[row["hardware"]], row["objective"])
        found = map_work(work_of(row), machine)
        if row["objective"] == "latency":
            ratio = found.latency / float(row["latency_total_cycles"])
        else:
            ratio = found.energy_fj / 1000 / float(row["energy_total_pJ"])
        if ratio < 0.98:
            print(f"\n{label(row)}: {ratio:.3f} of ZigZag's\n{found.nest.to_text()}")
        worst.append((ratio, label(row)))
    assert max(worst)[0] <= 1.02, max(worst)
    assert sum(ratio < 0.999 for ratio, _ in worst) > 5


@pytest.mark.parametrize("name", sorted(MACHINES.values()))
def test_a_searched_nest_reads_back_and_costs_the_same(name: str) -> None:
    row = next(row for row in rows() if MACHINES[row["hardware"]] == name)
    machine, work = machine_of(name), work_of(row)
    found = map_work(work, machine)
    again = cost_mapping(work, machine, from_plain(found.nest.to_plain(), machine.chains()))
    assert again.cycles == found.cycles
    assert again.words == found.words
    assert again.energy_fj == found.energy_fj
    assert found.nest.to_text().count("\n") >= len(found.nest.loops)
