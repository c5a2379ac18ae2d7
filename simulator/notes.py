"""What a reader of an estimate must know: how prices were reached, and what does not fit."""

from collections.abc import Sequence
from typing import Final

from simulator.machines.base import Machine
from simulator.reached import REACHED, priced_by, reached
from simulator.work import Work

_COMPOSED: Final = {
    "fixed": [],
    "fused": [
        "composition fused: area and energy grow as one published synthesis of Bit Fusion at 45 nm "
        "does, without bounds"
    ],
    "linear": [
        "composition linear: what splitting a multiplier into sub-words adds, 10 % of its area and "
        "energy, is an assumption"
    ],
    "serial": [
        "composition serial: bit-serial lanes are priced as adders and registers of the "
        "technology, not from a synthesis"
    ],
    "bitplane": [
        "composition bitplane: logic and popcount are priced as adders and registers of the "
        "technology, not from a synthesis"
    ],
}


def notes_of(
    works: Sequence[Work], machine: Machine, peak_bytes: int, constant_bytes: int
) -> tuple[str, ...]:
    """Sentences on the technology, each price outside its cited points, and each limit passed."""
    notes = list(priced_by(machine.technology))
    notes += _COMPOSED[machine.datapath.composition]
    notes += [REACHED[how].format(what=what) for what, how in reached(machine)]
    notes += _narrowed(works, machine)
    notes += _overfull(machine, peak_bytes, constant_bytes)
    started = machine.dispatch.cycles_per_inference
    if started:
        notes.append(f"the first layer carries the {started} cycles that start an inference")
    return tuple(notes)


def _narrowed(works: Sequence[Work], machine: Machine) -> list[str]:
    datapath = machine.datapath
    wider = any(
        work.macs
        and (
            work.weight_bits > datapath.weight_bits
            or work.activation_bits > datapath.activation_bits
        )
        for work in works
    )
    if not wider:
        return []
    return [
        f"the graph is narrowed to {datapath.weight_bits}-bit weights and "
        f"{datapath.activation_bits}-bit activations"
    ]


def _overfull(machine: Machine, peak_bytes: int, constant_bytes: int) -> list[str]:
    notes = []
    for what, need, room in zip(
        ("activations", "constants"), (peak_bytes, constant_bytes), machine.storage(), strict=True
    ):
        if room is not None and need > room:
            notes.append(f"{what} need {need} bytes and {machine.name} has {room}: does not fit")
    return notes
