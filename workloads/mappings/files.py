"""Mapping files: which form a text has, what it pins on a machine, and a nest as text."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from simulator.errors import BadFile, Unsupported
from simulator.machines.spatial import Spatial
from simulator.mapping.loopnest import LoopNest, from_plain, loops_of, unrollings_of
from simulator.work import Work
from simulator.yaml_source import parse_entry
from workloads.mappings.printed import read_printed, write_printed
from workloads.mappings.timeloop_yaml import read_timeloop, write_timeloop
from workloads.mappings.zigzag import (
    from_zigzag,
    read_zigzag_yaml,
    write_zigzag,
    write_zigzag_yaml,
)

FORMS: Final = {
    "bitlane": "yaml",
    "timeloop": "yaml",
    "timeloop-text": "txt",
    "zigzag": "yaml",
    "zigzag-text": "txt",
}
"""The forms of a mapping, and the ending of a file of each."""

OWN_FIELDS: Final = ("spatial", "loops", "cuts")
"""What a mapping in our own form may have."""


@dataclass(frozen=True)
class Pin:
    """A mapping to pin: the unrolling, the loops inner to outer, and the cuts where given."""

    spatial: tuple[tuple[str, str, int], ...]
    loops: tuple[tuple[str, int], ...]
    cuts: dict[str, list[int]] | None

    def plain(self) -> dict[str, Any]:
        """An entry of `mapping.pinned`."""
        entry: dict[str, Any] = {"loops": [f"{loop} {factor}" for loop, factor in self.loops]}
        return entry | ({"cuts": self.cuts} if self.cuts is not None else {})


def form_of(text: str) -> str:
    """Which of `FORMS` a text has, by what only that one holds."""
    if re.search(r"^\s*(- *)?(temporal_ordering|spatial_mapping):", text, re.MULTILINE):
        return "zigzag"
    if re.search(r"[{ ]\s*[OWI]: \[\[", text):
        return "zigzag-text"
    if re.search(r"\[0:\d+", text):
        return "timeloop-text"
    if re.search(r"\btarget:", text):
        return "timeloop"
    return "bitlane"


def read_pins(path: Path, machine: Spatial) -> tuple[Pin, ...]:
    """The mappings in a file, in whichever form; raises BadFile or Unsupported, naming the file."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8 text"
        raise BadFile(f"{path}: cannot be read: {reason}; give a mapping file") from None
    form, label = form_of(text), str(path)
    if form == "zigzag":
        orders = read_zigzag_yaml(text, machine, label)
        return tuple(Pin(order.spatial, order.loops, None) for order in orders)
    if form == "zigzag-text":
        try:
            return (_pin(from_zigzag(text, machine.chains())),)
        except Unsupported as error:
            raise Unsupported(f"{label}: {error}") from None
    if form == "timeloop-text":
        return (_pin(read_printed(text, machine, label)),)
    if form == "timeloop":
        return (_pin(read_timeloop(text, machine, label)),)
    return (_read_own(text, machine, label),)


def _pin(nest: LoopNest) -> Pin:
    return Pin(nest.spatial, nest.loops, {o: list(cuts) for o, cuts in nest.cuts.items()})


def _read_own(text: str, machine: Spatial, label: str) -> Pin:
    plain = parse_entry(text, label).plain()
    if not isinstance(plain, dict) or not isinstance(plain.get("loops"), list):
        raise Unsupported(
            f"{label}: no mapping in any known form ({', '.join(FORMS)}); write 'loops:' with "
            "entries such as 'oc 4', inner to outer"
        )
    if unknown := [key for key in plain if key not in OWN_FIELDS]:
        raise Unsupported(
            f"{label}: '{unknown[0]}' is no field of a mapping; there are {', '.join(OWN_FIELDS)}"
        )
    try:
        if plain.get("cuts") is None:
            spatial = unrollings_of(plain.get("spatial") or ())
            return Pin(spatial, loops_of(plain["loops"]), None)
        return _pin(from_plain(plain | {"spatial": plain.get("spatial") or []}, machine.chains()))
    except Unsupported as error:
        raise Unsupported(f"{label}: {error}") from None
    except (KeyError, TypeError, ValueError, AttributeError):
        raise Unsupported(
            f"{label}: spatial or cuts cannot be read; write spatial as "
            "[{dimension: NAME, loop: oc, factor: 4}] and cuts as {weight: [..], input: [..], "
            "output: [..]}"
        ) from None


def write_nest(nest: LoopNest, form: str, machine: Spatial, work: Work, name: str) -> str:
    """A layer's nest in one of `FORMS`; raises Unsupported where that form cannot say it."""
    if form == "bitlane":
        return _own_text(nest, machine, name)
    if form.startswith("timeloop"):
        _refuse_ragged(nest, work)
    if form == "timeloop":
        return f"# {name} on {machine.name}\n{write_timeloop(nest, machine)}"
    if form == "timeloop-text":
        return write_printed(nest, machine, (work.stride_y, work.stride_x))
    if form == "zigzag":
        return f"# on {machine.name}\n{write_zigzag_yaml(nest, machine, name)}"
    return write_zigzag(nest)


def _own_text(nest: LoopNest, machine: Spatial, name: str) -> str:
    plain = nest.to_plain()
    lines = [f"# {line}".rstrip() for line in nest.to_text().split("\n")]
    unrolled = [f"  - {{{', '.join(f'{k}: {v}' for k, v in s.items())}}}" for s in plain["spatial"]]
    cuts = ", ".join(f"{operand}: {list(cut)}" for operand, cut in plain["cuts"].items())
    return "\n".join(
        [
            f"# {name} on {machine.name}: loops inner to outer",
            *lines,
            "spatial:" if unrolled else "spatial: []",
            *unrolled,
            f"loops: [{', '.join(plain['loops'])}]",
            f"cuts: {{{cuts}}}",
            "",
        ]
    )


def _refuse_ragged(nest: LoopNest, work: Work) -> None:
    bounds = {"n": work.n, "g": work.groups, "oc": work.oc, "ic": work.ic}
    bounds |= {"oy": work.oy, "ox": work.ox, "ky": work.ky, "kx": work.kx}
    steps = dict.fromkeys(bounds, 1)
    for loop, factor in (*((loop, n) for _, loop, n in nest.spatial), *nest.loops):
        steps[loop] *= factor
    for loop, bound in bounds.items():
        if steps[loop] != bound:
            raise Unsupported(
                f"{loop}: its factors make {steps[loop]} steps of {bound}; Timeloop wants factors "
                "that divide: unroll by a divisor, or write this mapping as bitlane or zigzag"
            )
