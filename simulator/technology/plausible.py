"""What a cost can be at a node: a range so wide that only a slip of the unit leaves it.

Each action has a rough law at 45 nm. A value may lie a factor of 30 on either side of it, so that
whatever is plausible is not so any more when it is multiplied or divided by 1000: nanojoules or
femtojoules written as picojoules, square millimetres as square micrometres.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Final, TypeAlias

from simulator.technology.costs import BOUNDS, Access, AnyLaw, Curve, Derived, Fit, Grid, Operands

SPREAD: Final = 30.0
BOUND_SPREAD: Final = 100.0
"""A bound further than this from its value is in another unit; the widest shipped ones are 10."""
REFERENCE_NM: Final = 45.0
Rough: TypeAlias = Callable[[float], float]
Path: TypeAlias = tuple[str | int, ...]
Cited: TypeAlias = tuple[Path, float, float]
"""A value, where it stands, and what it may roughly be at 45 nm."""

# Rough laws at 45 nm, in picojoules: Horowitz, ISSCC 2014, but for the register (Aladdin), wires
# (Keckler, IEEE Micro 2011) and a whole controller's cycle (boards of MLPerf Tiny).
_ENERGY: Final[Mapping[str, Rough]] = {
    "multiply": lambda product_bits: 0.2 * product_bits / 64,
    "add": lambda bits: 0.1 * bits / 32,
    "register_bit": lambda _: 0.009,
    "requantize": lambda bits: 3.3 * bits / 32,
    "lut": lambda _: 0.5,
    "float_add": lambda bits: 0.9 * bits / 32,
    "float_multiply": lambda bits: 3.7 * bits / 32,
    "instruction": lambda _: 70.0,
    "cycle": lambda _: 250.0,
    "wire_bit_mm": lambda _: 0.15,
    "flash": lambda bits: 1.5 * bits,
    "dram": lambda bits: 12.0 * bits,
}
_AREA: Final[Mapping[str, Rough]] = {
    "multiply": lambda product_bits: 282 * product_bits / 64,
    "add": lambda bits: 137 * bits / 32,
    "register_bit": lambda _: 4.5,
    "requantizer": lambda bits: 9400 * bits / 32,
    "float_add": lambda bits: 4184 * bits / 32,
    "float_multiply": lambda bits: 7700 * bits / 32,
    "mac": lambda product_bits: 7.5 * product_bits + 270,
    "sram_byte": lambda _: 3.3,
}
NODE_INDEPENDENT: Final = ("cycle", "wire_bit_mm", "flash", "dram")
"""Of boards, of wires by length, and of other chips."""


def first_implausible(
    group: str, laws: Mapping[str, AnyLaw], node_nm: float
) -> tuple[Path, str] | None:
    """Where a value stands that cannot be at a node, and the rule; None where there is none.

    A gate's energy falls by about the node to the power of 1.5 (Stillmaker and Baas, Integration
    58, 2017: 16 times from 45 to 7 nm), area as its square.
    """
    unit = "pJ" if group == "energy_pj" else "um2"
    for action, law in laws.items():
        name = action.split(".")[0]
        scale = (node_nm / REFERENCE_NM) ** (1.5 if unit == "pJ" else 2.0)
        if name in NODE_INDEPENDENT:
            scale = 1.0
        for path, value, rough in _cited(group, action, law):
            least, most = rough * scale / SPREAD, rough * scale * SPREAD
            if not least <= value <= most:
                return path, (
                    f"must be {least:.3g} to {most:.3g} {unit}, what this can be at {node_nm:g} "
                    f"nm; found {value:g}: is it in another unit?"
                )
    return None


def first_slipped_bound(group: str, laws: Mapping[str, AnyLaw]) -> tuple[Path, str] | None:
    """Where a bound stands that cannot be in the unit of its value, and the rule; None without."""
    for action, law in laws.items():
        for path, low, value, high in _bounded(_path(group, action), law):
            if high > BOUND_SPREAD * value or value > BOUND_SPREAD * low:
                return path, (
                    f"must have low and high within {BOUND_SPREAD:g} times of the value; found "
                    f"{low:g}, {value:g}, {high:g}: is one in another unit?"
                )
    return None


def _bounded(path: Path, law: AnyLaw) -> Iterator[tuple[Path, float, float, float]]:
    """Every value of a law with its bounds."""
    if isinstance(law, Grid):
        for i, cells in enumerate(zip(*map(law.cells, BOUNDS), strict=True)):
            for j, (low, value, high) in enumerate(zip(*cells, strict=True)):
                if low is not None and value is not None and high is not None:
                    yield (*path, "values", i, j), low, value, high
    elif isinstance(law, Fit):
        for bits in law.operand_bits:
            most = law.accumulator_bits[1]
            low, value, high = (getattr(law, b).at(bits, bits, most) for b in BOUNDS)
            yield path, low, value, high
    elif isinstance(law, Curve):
        for i, point in enumerate(law.points):
            yield (*path, "points", i), point.low, point.value, point.high


def _path(group: str, action: str) -> Path:
    names = ("dram", "unnamed") if action == "dram" else tuple(action.split("."))
    return (group, *names)


def _cited(group: str, action: str, law: AnyLaw) -> Iterator[Cited]:
    """Every cited value of a law."""
    path = _path(group, action)
    if isinstance(law, Grid):
        for i, row in enumerate(law.values):
            for j, value in enumerate(row):
                if value is not None:
                    yield (
                        (*path, "values", i, j),
                        value,
                        _sram(group, law.bytes[i], law.word_bits[j]),
                    )
        return
    rough = (_ENERGY if group == "energy_pj" else _AREA).get(action.split(".")[0])
    if rough is None or isinstance(law, Derived):
        return
    if isinstance(law, Fit):
        bits = law.operand_bits[1]
        yield (
            (*path, "value"),
            law.value.at(bits, bits, law.accumulator_bits[1]),
            rough(bits * bits),
        )
        return
    for i, point in enumerate(law.points):
        size = law.access_bits if isinstance(law, Access) else point.at
        if isinstance(law, Operands) and law.at_is == "widest_bits":
            size = point.at**2
        yield (*path, "points", i, "value"), point.value, rough(size)


def _sram(group: str, size_bytes: float, word_bits: float) -> float:
    """An access to an SRAM, on a power law through CACTI 7 at 45 nm; or its area."""
    if group == "energy_pj":
        return 0.00655 * float(size_bytes**0.557) * float(word_bits**0.479)
    return 3.3 * size_bytes
