"""A technology as text: each action with its value, bounds and citation, and its memories' tables.

Values are those that prices are made of: a scaled technology's are scaled, and bounds with them.
"""

from collections.abc import Iterator, Mapping
from typing import Final

from analysis.text import table
from simulator.technology.costs import (
    Access,
    AnyLaw,
    Bound,
    Cells,
    Curve,
    Derived,
    Fit,
    Grid,
    Operands,
)
from simulator.technology.laws import requantize_fj
from simulator.technology.model import Technology

_SIZES: Final = {
    "multiply": "product bits",
    "add": "bits",
    "float_add": "bits",
    "float_multiply": "bits",
    "register_bit": "bits of the file",
    "requantize": "multiplier bits",
    "requantizer": "multiplier bits",
    "lut": "bytes",
}
_BOUNDS: Final[tuple[Bound, ...]] = ("low", "value", "high")
Row = tuple[str, str, str, str, str]


def to_text(technology: Technology) -> str:
    """The whole technology: head, one table a group, the tables of its memories, the citations."""
    parts = [_head(technology)]
    unit = technology.unit
    parts += _group(technology, f"energy, {unit}" if technology.physical else f"cost, {unit}")
    return "\n".join(parts)


def _head(technology: Technology) -> str:
    about = technology.name
    if technology.node_nm is not None:
        about += f": {technology.node_nm:g} nm, {technology.voltage_v:g} V"
    lines = [about, f"source: {technology.source}"]
    if technology.scaled_from is not None and technology.scale is not None:
        lines.append(f"scaled from {technology.scaled_from.name}: {technology.scale.source}")
    return "\n".join(lines)


def _group(technology: Technology, title: str) -> Iterator[str]:
    energy, area = technology.energy, technology.area
    yield from _laws(title, energy.given(), technology, True)
    if energy.left_out and energy.unpriced is not None:
        yield f"not priced: {', '.join(energy.left_out)} ({energy.unpriced.why})"
    if area is not None:
        yield from _laws("area, um2", area.given(), technology, False)
    if technology.leakage_uw_per_mm2 is not None:
        leakage = technology.leakage_uw_per_mm2.given()
        yield from _laws("leakage, uW per mm2", leakage, technology, False)


def _laws(
    title: str, laws: Mapping[str, AnyLaw], technology: Technology, energy: bool
) -> Iterator[str]:
    rows = [
        row
        for name, law in laws.items()
        if not isinstance(law, Grid | Derived)
        for row in _rows(name, law, _factors(technology, name, energy))
    ]
    rows += [
        row
        for name, law in laws.items()
        if isinstance(law, Derived)
        for row in _derived(name, technology)
    ]
    yield ""
    yield table((title, "at", "low", "value", "high"), rows)
    for name, law in laws.items():
        if isinstance(law, Grid):
            yield from _grid(name, law, _factors(technology, name, energy))
    yield ""
    for name, law in laws.items():
        yield f"{name}: {law.source}"


def _factors(technology: Technology, name: str, energy: bool) -> Mapping[Bound, float]:
    scale = technology.scale
    if scale is None or name.startswith("dram") or name == "control":
        return dict.fromkeys(_BOUNDS, 1.0)
    part = scale.energy if energy else scale.area
    part = scale.wire if name == "wire_bit_mm" else part
    return {bound: getattr(part, bound) for bound in _BOUNDS}


def _rows(name: str, law: AnyLaw, factors: Mapping[Bound, float]) -> Iterator[Row]:
    if isinstance(law, Fit):
        for bits in law.operand_bits:
            most = law.accumulator_bits[1]
            at = f"{bits} x {bits} bits" + (f" + {most}" if law.value.accumulator else "")
            values = (getattr(law, b).at(bits, bits, most) * factors[b] for b in _BOUNDS)
            low, value, high = (f"{v:.6g}" for v in values)
            yield name, f"{at} (fit)", low, value, high
    elif isinstance(law, Curve):
        for point in law.points:
            values = (getattr(point, b) * factors[b] for b in _BOUNDS)
            low, value, high = (f"{v:.6g}" for v in values)
            yield name, _size(name, law, point.at), low, value, high


def _derived(name: str, technology: Technology) -> Iterator[Row]:
    """A requantization of 32 bits, which a technology makes of its multiply and add."""
    for bits in (8, 16, 32):
        low, value, high = (
            f"{requantize_fj(technology.row(b), 32, bits) / 1000:.6g}" for b in _BOUNDS
        )
        yield name, f"32 x {bits} bits (derived)", low, value, high


def _size(name: str, law: Curve, at: float) -> str:
    if isinstance(law, Access):
        return f"{law.access_bits} bits"
    if law.law == "constant":
        return ""
    if isinstance(law, Operands) and law.at_is == "widest_bits":
        return f"{at:g} bits of the wider operand"
    return f"{at:g} {_SIZES.get(name, '')} ({law.law})".replace("  ", " ")


def _grid(name: str, law: Grid, factors: Mapping[Bound, float]) -> Iterator[str]:
    words = [f"{word:g} bits" for word in law.word_bits]
    rows = [
        (f"{size:.0f}", *_shown(cells, factors["value"]))
        for size, cells in zip(law.bytes, law.values, strict=True)
    ]
    yield ""
    yield table((f"{name}, bytes", *words), rows)
    if isinstance(law.low, float) and isinstance(law.high, float):
        low, high = law.low * factors["low"], law.high * factors["high"]
        yield f"low, high: {low / factors['value']:.3g} and {high / factors['value']:.3g} times"
        return
    bounds: tuple[Bound, ...] = ("low", "high")
    for bound in bounds:
        rows_at = [", ".join(_shown(row, factors[bound])) for row in law.cells(bound)]
        yield f"{bound}: {'; '.join(rows_at)}"


def _shown(cells: Cells, factor: float) -> list[str]:
    return ["-" if cell is None else f"{cell * factor:.6g}" for cell in cells]
