"""A technology: energy and area per action, each a cited law with bounds; or one scaled from it."""

from functools import cached_property
from typing import Annotated, Final, Literal, Self, TypeAlias

import numpy as np
from pydantic import Field, model_validator

from simulator.config import close_match
from simulator.schema import FieldError, PositiveReal, Schema, Text
from simulator.technology.costs import (
    BOUNDS,
    Access,
    AnyLaw,
    Bound,
    Curve,
    Derived,
    Fit,
    Floats,
    Grid,
    Law,
    Operands,
    Spread,
)
from simulator.technology.laws import (
    AREA_ACTIONS,
    BY_PARTS,
    CONSTANT,
    CONTROL,
    DRAM,
    DRAM_TYPES,
    ENERGY_ACTIONS,
    GRID,
    GRID_ACTIONS,
    GRID_VALUES,
    GRIDS,
    LEAKAGE_ACTIONS,
    LOGIC_LEAKAGE,
    MULTIPLY_AREA,
    REQUANTIZE,
    ROW,
    SRAM_AREA,
    TABLE,
    VALUES,
    WIRE_BIT_MM,
)
from simulator.technology.plausible import REFERENCE_NM, first_implausible, first_slipped_bound

__all__ = ["Area", "Bound", "Energy", "Law", "Leakage", "Scale", "Technology"]

DramType: TypeAlias = Literal["lpddr4", "lpddr", "ddr3", "gddr5", "hbm2", "hmc"]
OfScales: TypeAlias = Annotated[Law | Derived, Field(discriminator="law")]
OfOperands: TypeAlias = Annotated[Operands | Fit, Field(discriminator="law")]
_PICOJOULES: Final = "pJ"
_SRAM: Final = ("sram_read", "sram_write")


class Unpriced(Schema):
    """Actions that cost nothing in a technology, and why."""

    actions: Annotated[tuple[Text, ...], Field(min_length=1)]
    why: Text


class Group(Schema):
    """Laws by action. One that is needed and missing is named in `unpriced` with the reason."""

    unpriced: Unpriced | None = None

    def given(self) -> dict[str, AnyLaw]:
        """The laws there are, by action; those of a type of DRAM as ``dram.lpddr4``."""
        laws: dict[str, AnyLaw] = {}
        for name in type(self).model_fields:
            law = getattr(self, name)
            if isinstance(law, Dram):
                found = {kind: getattr(law, kind) for kind in DRAM_TYPES}
                laws |= {"dram": law.unnamed} if law.unnamed is not None else {}
                laws |= {f"dram.{kind}": each for kind, each in found.items() if each is not None}
            elif isinstance(law, Curve | Derived | Fit | Grid):
                laws[name] = law
        return laws

    @property
    def left_out(self) -> tuple[str, ...]:
        """The actions that cost nothing."""
        return self.unpriced.actions if self.unpriced else ()

    def _needs(self, names: tuple[str, ...]) -> None:
        fields = [name for name in type(self).model_fields if name != "unpriced"]
        absent = [name for name in fields if getattr(self, name) is None]
        missing = [name for name in names if name in absent]
        for place, name in enumerate(self.left_out):
            if name not in absent:
                raise FieldError(
                    ("unpriced", "actions", place),
                    f"'{name}' is no law that is missing; {close_match(name, absent)}",
                )
        for name in missing:
            if name not in self.left_out:
                raise FieldError(
                    (name,), "is missing; give its law, or say why not under 'unpriced'"
                )


class Dram(Schema):
    """Accesses to DRAM: of the type that a machine names, or where it names none."""

    unnamed: Access | None = None
    lpddr4: Access | None = None
    lpddr: Access | None = None
    ddr3: Access | None = None
    gddr5: Access | None = None
    hbm2: Access | None = None
    hmc: Access | None = None


class Energy(Group):
    """Picojoules per action, or thousands of the unit of a cost model.

    `multiply` is of two operands; `add` by bits; `register_bit` by the bits of its file;
    `requantize` by the bits of its multiplier (where derived or absent: a multiply and two adds);
    `lut` by bytes; `float_add` and `float_multiply` by bits; an `instruction` fetched and decoded;
    `cycle` everything that runs on a clock, for figures of whole systems; `stored_weight_bit` once
    for each bit of a network's weights; `sram_read` and `sram_write` by bytes and word bits.
    """

    multiply: OfOperands | None = None
    add: Law | None = None
    register_bit: Law | None = None
    requantize: OfScales | None = None
    lut: Law | None = None
    float_add: Law | None = None
    float_multiply: Law | None = None
    instruction: Law | None = None
    cycle: Law | None = None
    wire_bit_mm: Law | None = None
    stored_weight_bit: Law | None = None
    sram_read: Grid | None = None
    sram_write: Grid | None = None
    flash: Access | None = None
    dram: Dram | None = None

    @model_validator(mode="after")
    def _prices_what_machines_count(self) -> Self:
        self._needs(
            (
                "multiply",
                "add",
                "register_bit",
                "instruction",
                "sram_read",
                "sram_write",
                "flash",
                "dram",
            )
        )
        return self


class Area(Group):
    """Square micrometres: a multiplier, an adder by bits, a register bit, an SRAM, and more.

    `requantizer` by its multiplier's bits (where absent: a multiplier and two adders); `mac` a
    multiplier with its accumulating adder and register (where absent: their sum); `sram` by bytes
    and word bits, or `sram_byte`; `control` as a share of everything but SRAM.
    """

    multiply: OfOperands | None = None
    add: Law | None = None
    register_bit: Law | None = None
    requantizer: Law | None = None
    mac: Fit | None = None
    float_add: Law | None = None
    float_multiply: Law | None = None
    sram_byte: Law | None = None
    sram: Grid | None = None
    control: Law | None = None

    @model_validator(mode="after")
    def _covers_what_machines_have(self) -> Self:
        if self.sram is not None and self.sram_byte is not None:
            raise FieldError(("sram_byte",), "gives the area of an SRAM again; keep one of the two")
        memory = "sram_byte" if self.sram is None else "sram"
        self._needs(("multiply", "add", "register_bit", memory))
        return self


class Leakage(Group):
    """Microwatts per square millimetre, as long as the machine runs."""

    logic: Law
    sram: Law


class Scale(Schema):
    """Factors from one node to another. Off-chip memory keeps its price; leakage is left out."""

    energy: Spread
    area: Spread
    wire: Spread
    source: Text


class Technology(Schema):
    """A process as cited costs per action, or a cost model in a unit of its own.

    `scaled_from` is another technology, every figure of which is multiplied as `scale` says; such
    a one has no laws of its own. Area is a proxy: what stands in `area_um2` and nothing else.
    """

    name: Text
    node_nm: PositiveReal | None = None
    voltage_v: PositiveReal | None = None
    unit: Text = _PICOJOULES
    source: Text
    energy_pj: Energy | None = None
    cost: Energy | None = None
    area_um2: Area | None = None
    leakage_uw_per_mm2: Leakage | None = None
    scaled_from: "Technology | None" = None
    scale: Scale | None = None

    @model_validator(mode="after")
    def _is_one_thing(self) -> Self:
        if (self.scaled_from is None) != (self.scale is None):
            raise FieldError(("scale",), "goes with 'scaled_from'; give both or neither")
        own = "energy_pj" if self.unit == _PICOJOULES else "cost"
        wanted = own if self.scaled_from is None else ""
        for name in ("energy_pj", "cost"):
            if (getattr(self, name) is not None) != (name == wanted):
                text = (
                    f"is missing; a technology in {self.unit} has its laws here"
                    if name == wanted
                    else f"does not go with unit '{self.unit}'; leave 'unit' out, or give 'cost'"
                    if self.scaled_from is None
                    else "is that of 'scaled_from'; leave it out"
                )
                raise FieldError((name,), text)
        if self.by_parts:
            for name in ("node_nm", "voltage_v", "area_um2"):
                if getattr(self, name) is None and not (name == "area_um2" and self.scaled_from):
                    raise FieldError((name,), "is missing; add it at the top level")
        return self

    @model_validator(mode="after")
    def _is_plausible(self) -> Self:
        if self.physical and self.scaled_from is None:
            for group in ("energy_pj", "area_um2"):
                laws = getattr(self, group)
                node = self.node_nm or REFERENCE_NM
                given = laws.given() if laws else {}
                found = first_implausible(group, given, node) or first_slipped_bound(group, given)
                if found is not None:
                    raise FieldError(*found)
        return self

    @property
    def physical(self) -> bool:
        """Whether costs are picojoules; otherwise they are in the model's own `unit`."""
        return self.unit == _PICOJOULES

    @property
    def whole_system(self) -> bool:
        """Whether nothing but the clock is priced: figures of boards, of no one process."""
        return self.energy.given().keys() <= {"cycle"}

    @property
    def by_parts(self) -> bool:
        """Whether parts are priced in joules: no cost model, no figures of whole systems."""
        return self.physical and not self.whole_system

    @property
    def energy(self) -> Energy:
        """The laws of energy or cost, unscaled where this one is scaled."""
        base = self if self.scaled_from is None else self.scaled_from
        found = base.energy_pj or base.cost
        return base.energy if found is None else found

    @property
    def area(self) -> Area | None:
        """The laws of area, unscaled where this one is scaled."""
        return self.area_um2 if self.scaled_from is None else self.scaled_from.area

    @property
    def leaks(self) -> bool:
        """Whether idle transistors are priced."""
        return self.leakage_uw_per_mm2 is not None

    @property
    def priced_time(self) -> bool:
        """Whether a clock cycle costs something by itself."""
        return self.energy.cycle is not None or self.leaks

    @cached_property
    def rows(self) -> dict[Bound, bytes]:
        """The row of each bound, made once; in bytes, which compare as values do."""
        return {bound: self._made(bound).tobytes() for bound in BOUNDS}

    def row(self, bound: Bound = "value") -> Floats:
        """The tables of one bound as float64 [ROW], for the scalar price functions. A copy."""
        return np.frombuffer(self.rows[bound]).copy()

    def _made(self, bound: Bound) -> Floats:
        if self.scaled_from is not None and self.scale is not None:
            return _scaled(self.scaled_from.row(bound), self.scale, bound)
        row = np.zeros(ROW)
        row[BY_PARTS] = self.by_parts
        if "requantize" in self.energy.left_out:
            # Not derived from a multiply and two adds, as it is where nothing is said.
            row[REQUANTIZE * TABLE] = CONSTANT
        laws = [self.energy.given(), self.area_um2.given() if self.area_um2 else {}]
        laws.append(self.leakage_uw_per_mm2.given() if self.leakage_uw_per_mm2 else {})
        names = (ENERGY_ACTIONS, AREA_ACTIONS, LEAKAGE_ACTIONS)
        for first, group, actions in zip(
            (0, MULTIPLY_AREA, LOGIC_LEAKAGE), laws, names, strict=True
        ):
            for name, law in group.items():
                if isinstance(law, Derived):
                    continue
                plain = name.removeprefix("dram.")
                if plain in actions:
                    start = (first + actions.index(plain)) * TABLE
                    row[start : start + TABLE] = law.table(bound)
                else:
                    start = GRIDS + GRID_ACTIONS.index(name) * GRID
                    row[start : start + GRID] = law.table(bound)
        return row


def _scaled(row: Floats, scale: Scale, bound: Bound) -> Floats:
    """A technology's row with every value times its factor, and no leakage."""
    energy, area, wire = (getattr(part, bound) for part in (scale.energy, scale.area, scale.wire))
    for action in range(LOGIC_LEAKAGE + len(LEAKAGE_ACTIONS)):
        values = slice(action * TABLE + VALUES, (action + 1) * TABLE)
        if action >= LOGIC_LEAKAGE:
            row[action * TABLE : (action + 1) * TABLE] = 0.0
        elif action == WIRE_BIT_MM:
            row[values] *= wire
        elif action >= MULTIPLY_AREA:
            row[values] *= 1.0 if action == CONTROL else area
        elif not DRAM <= action <= DRAM + len(DRAM_TYPES):
            row[values] *= energy
    for grid in range(len(GRID_ACTIONS)):
        values = slice(GRIDS + grid * GRID + GRID_VALUES, GRIDS + (grid + 1) * GRID)
        row[values] *= area if grid == SRAM_AREA else energy
    return row
