"""What a reader of an estimate must know: how prices were reached, and what does not fit."""

from collections.abc import Sequence
from typing import Final

from simulator.machines.base import Machine
from simulator.machines.composition import unit_widths
from simulator.technology.model import Law
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
    technology = machine.technology
    notes = [
        f"energy is priced in {technology.name} ({technology.node_nm:g} nm, "
        f"{technology.voltage_v:g} V)",
        "area is a proxy: multipliers, adders, registers and SRAM, without control and wires",
    ]
    datapath = machine.datapath
    energy = technology.energy_pj
    if datapath.composition in ("fixed", "fused", "linear"):
        weight, activation = unit_widths(machine.row())
        activation += datapath.zero_point == "subtracted"
        widths = f"{weight} x {activation} bits"
        notes += _reached(energy.multiply, weight * activation, f"a multiply of {widths}")
    notes += _COMPOSED[datapath.composition]
    bits = datapath.accumulator.bits
    notes += _reached(energy.add, bits, f"an accumulation of {bits} bits")
    for level, size in machine.srams().items():
        notes += _reached(energy.sram_64_bit, size, f"an access to {level} of {size} bytes")
    notes += _narrowed(works, machine)
    notes += _overfull(machine, peak_bytes, constant_bytes)
    started = machine.dispatch.cycles_per_inference
    if started:
        notes.append(f"the first layer carries the {started} cycles that start an inference")
    return tuple(notes)


def _reached(law: Law, size: float, what: str) -> list[str]:
    if law.extrapolates(size):
        return [f"the price of {what} is extrapolated beyond its cited points"]
    if law.law == "constant" or any(point.at == size for point in law.points):
        return []
    return [f"the price of {what} is interpolated between its cited points"]


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
