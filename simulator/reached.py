"""How the prices of a machine were reached: as cited, between cited points, or beyond them."""

from collections.abc import Iterator, Mapping
from typing import Final

from simulator.machines.base import Machine
from simulator.machines.composition import datapath_row, unit_widths
from simulator.machines.datapath_schema import multiplier_bits
from simulator.machines.platform import Platform
from simulator.machines.spatial import Spatial
from simulator.technology.costs import Curve, Fit, Grid
from simulator.technology.model import Technology

REACHED: Final[Mapping[str, str]] = {
    "interpolated": "the price of {what} is interpolated between its cited points",
    "fitted": "the price of {what} is that of a law fitted to its cited rows",
    "extrapolated": "the price of {what} is extrapolated beyond its cited points",
    "derived": "the price of {what} is derived: a multiplication and two additions",
    "banked": "{what} is wider than any cited word: it is priced as banks side by side",
}


def priced_by(technology: Technology) -> Iterator[str]:
    """Sentences on a technology: what it is, and what its area holds."""
    if technology.physical:
        origin = technology.scaled_from
        about = "figures of whole systems"
        if technology.node_nm is not None and technology.voltage_v is not None:
            about = f"{technology.node_nm:g} nm, {technology.voltage_v:g} V"
        scaled = "" if origin is None else f", scaled from {origin.name}"
        yield f"energy is priced in {technology.name} ({about}{scaled})"
    else:
        yield f"cost is counted by {technology.name} in {technology.unit}: it is no energy"
    area = technology.area
    if area is None:
        yield f"area is not given: {technology.name} has none"
    elif area.control is not None:
        share = area.control.points[0].value
        yield (
            "area is a proxy: multipliers, adders, registers and SRAM, without wires; control is "
            f"{share:.0%} of all but SRAM"
        )
    else:
        yield "area is a proxy: multipliers, adders, registers and SRAM, without control and wires"


def reached(machine: Machine) -> Iterator[tuple[str, str]]:
    """What a machine is priced for that is not cited as it stands, and how its price is reached."""
    if machine.technology.physical:
        yield from _of_datapath(machine)
        for level in machine.srams():
            yield from _of_sram(machine, level)


def _of_datapath(machine: Machine) -> Iterator[tuple[str, str]]:
    energy, datapath = machine.technology.energy, machine.datapath
    law = energy.multiply
    if law is not None and datapath.composition in ("fixed", "fused", "linear"):
        w, a = unit_widths(datapath_row(machine))
        a += datapath.zero_point == "subtracted"
        what = f"a multiply of {w} x {a} bits"
        if isinstance(law, Fit):
            yield what, "extrapolated" if law.extrapolates(w, a) else "fitted"
        else:
            yield from _of_points(law, law.size(w, a), what)
    bits = datapath.accumulator.bits
    if energy.add is not None:
        yield from _of_points(energy.add, bits, f"an accumulation of {bits} bits")
    yield from _of_requantizer(machine, bits)
    if energy.register_bit is not None and isinstance(machine, Spatial):
        for level, size in machine.registers().items():
            what = f"an access to {level}, registers of {size} bits,"
            yield from _of_points(energy.register_bit, size, what)


def _of_sram(machine: Machine, level: str) -> Iterator[tuple[str, str]]:
    law = machine.technology.energy.sram_read
    if law is not None:
        yield from _of_memory(law, level, machine.srams()[level], machine.words()[level])


def _of_requantizer(machine: Machine, bits: int) -> Iterator[tuple[str, str]]:
    """A requantization, where the technology makes it of its multiplication and additions."""
    energy = machine.technology.energy
    multiplier = multiplier_bits(machine.datapath.requantize)
    what = f"a requantization of {bits} by {multiplier} bits"
    if isinstance(energy.requantize, Curve):
        yield from _of_points(energy.requantize, multiplier, what)
    elif "requantize" not in energy.left_out and energy.multiply is not None:
        yield what, "derived"
        law = energy.multiply
        beyond = (
            law.extrapolates(bits, multiplier)
            if isinstance(law, Fit)
            else law.extrapolates(law.size(bits, multiplier))
        )
        if beyond:
            yield what, "extrapolated"


def _of_points(law: Curve, size: float, what: str) -> Iterator[tuple[str, str]]:
    if law.extrapolates(size):
        yield what, "extrapolated"
    elif law.interpolates(size):
        yield what, "interpolated"


def _of_memory(law: Grid, level: str, size: int, word: float) -> Iterator[tuple[str, str]]:
    what = f"an access to {level} of {size} bytes"
    if len(law.word_bits) > 1:
        what += f" by {word:g} bits"
        if law.accesses(size, word)[2] > 1:
            yield what, "banked"
    if law.extrapolates(size, word):
        yield what, "extrapolated"
    elif law.interpolates(size, word):
        yield what, "interpolated"


def extrapolated(machine: Machine) -> int:
    """How many of a machine's prices lie beyond their cited points; of a platform's machines."""
    if isinstance(machine, Platform):
        return sum(extrapolated(each) for each in machine.machines.values())
    return sum(how == "extrapolated" for _, how in reached(machine))


def priced_parts(machine: Machine) -> int:
    """How many parts `extrapolated` looks at one by one: datapaths, and SRAMs priced by size."""
    each = machine.machines.values() if isinstance(machine, Platform) else (machine,)
    return sum(1 + len(own.srams()) for own in each)


def extrapolated_part(machine: Machine, part: int) -> int:
    """What one part adds to `extrapolated`; 0 behind the last."""
    each = machine.machines.values() if isinstance(machine, Platform) else (machine,)
    for own in each:
        levels = tuple(own.srams())
        if part <= len(levels):
            if not own.technology.physical:
                return 0
            found = _of_sram(own, levels[part - 1]) if part else _of_datapath(own)
            return sum(how == "extrapolated" for _, how in found)
        part -= 1 + len(levels)
    return 0
