"""What a reader of an estimate must know: how prices were reached, and what does not fit."""

from collections.abc import Iterator, Sequence
from typing import Final

from simulator.machines.base import Machine
from simulator.machines.spatial import Spatial
from simulator.reached import REACHED, priced_by, reached
from simulator.work import Work

_NAMED: Final = 4
OPERAND_TOO_WIDE: Final = (1, 2)
"""What `simulator.machines.counting.refusal` gives where weights or activations are too wide."""
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
    notes += _left_out(machine)
    notes += _COMPOSED[machine.datapath.composition]
    notes += [REACHED[how].format(what=what) for what, how in reached(machine)]
    notes += _narrowed(works, machine)
    notes += _overfull(machine, peak_bytes, constant_bytes)
    started = machine.dispatch.cycles_per_inference
    if started:
        notes.append(f"the first layer carries the {started} cycles that start an inference")
    return tuple(notes)


def _left_out(machine: Machine) -> Iterator[str]:
    """A sentence on joules of the machine's own that the technology has no place for."""
    technology = machine.technology
    if not isinstance(machine, Spatial) or technology.by_parts:
        return
    own = ["mac_pj"] if machine.mac_pj is not None else []
    own += [f"read_pj of {level.name}" for level in machine.memory if level.read_pj is not None]
    if own:
        counts = "whole systems" if technology.physical else technology.unit
        yield f"{technology.name} counts {counts}, without the machine's own {_listed(own)}"


def unpriced_notes(names: Sequence[str], works: Sequence[Work], machine: Machine) -> Iterator[str]:
    """Sentences on what layers do and the machine's technology has no price of, with their names.

    And on what it prices and has no area of.
    """
    technology, energy = machine.technology, machine.technology.energy
    if not technology.physical or technology.whole_system:
        return
    looking = [n for n, work in zip(names, works, strict=True) if work.lookups]
    if looking and energy.lut is None:
        yield (
            f"{technology.name} prices no look-up in a table: {_listed(looking)} "
            "pay none for theirs"
        )
    products = [n for n, work in zip(names, works, strict=True) if work.real_products]
    scalar = [
        n
        for n, work in zip(names, works, strict=True)
        if work.real_multiplications + work.real_additions and n not in products
    ]
    if (products or scalar) and (energy.float_add is None or energy.float_multiply is None):
        yield (
            f"{technology.name} prices no operations on real numbers: {_listed(products + scalar)} "
            "pay those on integers, which cost less"
        )
    elif products:
        yield (
            f"{_listed(products)} multiply real numbers and pay for it; area holds integer "
            "multipliers alone"
        )


def why_refused(machine: Machine, code: int, work: Work) -> str:
    """Why a machine refuses a layer, its numbers still to be filled in.

    Real operands are no matter of widths: no machine of integers is widened to them.
    """
    if work.real_products and code in OPERAND_TOO_WIDE:
        return (
            "it multiplies real numbers of {weight_bits} bits, the datapath integers of "
            "{machine_weight_bits}; quantize the network, or choose a machine with float32 kernels "
            "such as cortex_m4"
        )
    return machine.refusals[code]


def _listed(names: Sequence[str]) -> str:
    """The first few names, and how many there are more."""
    shown = ", ".join(names[:_NAMED])
    return shown if len(names) <= _NAMED else f"{shown} and {len(names) - _NAMED} more"


def _narrowed(works: Sequence[Work], machine: Machine) -> list[str]:
    datapath = machine.datapath
    wider = datapath.narrow and any(
        work.macs
        and not work.real_products
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
