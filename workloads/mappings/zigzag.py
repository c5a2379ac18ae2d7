"""ZigZag's mappings: the loops of each operand by memory, and the YAML that it reads.

ZigZag prints for each operand (O, W, I) a list of loops by memory, inner to outer:
``{O: [[(FX, 3)], [(K, 2)]], W: ...}``.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from simulator.document import Entry
from simulator.errors import Unsupported
from simulator.machines.spatial import Spatial
from simulator.mapping.layout import OPERANDS
from simulator.mapping.loopnest import LoopNest
from simulator.yaml_source import parse_entry
from workloads.mappings.names import ZIGZAG_LOOPS, ZIGZAG_OPERANDS, loop_called


def from_zigzag(
    text: str,
    memories: Mapping[str, tuple[str, ...]],
    loops: Mapping[str, str] = ZIGZAG_LOOPS,
) -> LoopNest:
    """A nest from ZigZag's printed temporal mapping; `memories` are the machine's chains.

    Other dimension names than a convolution's are given by `loops`. Raises Unsupported where the
    operands disagree on the order, as no single nest does.
    """
    orders, cuts = {}, {}
    for letter, operand in ZIGZAG_OPERANDS.items():
        levels = _zigzag_levels(text, letter)
        if len(levels) != len(memories[operand]):
            raise Unsupported(
                f"mapping of {letter}: {len(levels)} levels; the machine has "
                f"{', '.join(memories[operand])}"
            )
        order: list[tuple[str, int]] = []
        found = []
        for level in levels:
            order += [
                (loop_called(name, loops, f"mapping of {letter}"), factor) for name, factor in level
            ]
            found.append(len(order))
        orders[operand], cuts[operand] = tuple(order), tuple(found)
    first = orders[OPERANDS[0]]
    if any(order != first for order in orders.values()):
        raise Unsupported("the operands list their loops in different orders; no nest does")
    return LoopNest((), first, cuts, memories)


def _zigzag_levels(text: str, letter: str) -> list[list[tuple[str, int]]]:
    match = re.search(rf"\b{letter}: \[((?:\[[^\[\]]*\](?:, )?)*)\]", text)
    if match is None:
        raise Unsupported(
            f"mapping: no list for operand {letter} in '{' '.join(text.split())[:60]}'"
        )
    return [_zigzag_level(level, letter) for level in re.findall(r"\[([^\[\]]*)\]", match.group(1))]


def _zigzag_level(text: str, letter: str) -> list[tuple[str, int]]:
    loops = []
    for part in re.findall(r"\([^()]*\)|[^\s,()]+", text):
        pair = re.fullmatch(r"\(\s*'?(\w+)'?\s*,\s*0*([1-9]\d*)\s*,?\s*\)", part)
        if pair is None:
            raise Unsupported(f"mapping of {letter}: '{part}' is no loop; write it as (K, 4)")
        loops.append((pair[1], int(pair[2])))
    return loops


def write_zigzag(nest: LoopNest) -> str:
    """The temporal loops of a nest as ZigZag prints them."""
    names = {ours: name for name, ours in ZIGZAG_LOOPS.items()}
    parts = []
    for letter, operand in ZIGZAG_OPERANDS.items():
        levels, below = [], 0
        for cut in nest.cuts[operand]:
            pairs = ", ".join(f"({names[loop]}, {n})" for loop, n in nest.loops[below:cut])
            levels.append(f"[{pairs}]")
            below = cut
        parts.append(f"{letter}: [{', '.join(levels)}]")
    return "{" + ", ".join(parts) + "}\n"


@dataclass(frozen=True)
class Order:
    """What ZigZag's YAML fixes: unrolling and order of the loops; the memories are filled."""

    name: str
    spatial: tuple[tuple[str, str, int], ...]
    loops: tuple[tuple[str, int], ...]


def write_zigzag_yaml(nest: LoopNest, machine: Spatial, name: str) -> str:
    """The unrolling and the order of a nest as ZigZag's mapping file has them.

    Dimensions are D1, D2... in the machine's order. The cuts are not in that file: ZigZag fills
    its memories from the innermost loop on.
    """
    names = {ours: letter for letter, ours in ZIGZAG_LOOPS.items()}
    lines = [f"- name: {name}", "  spatial_mapping:"]
    for place, dimension in enumerate(machine.array.dimensions, start=1):
        own = [f"      - {names[o]}, {n}" for d, o, n in nest.spatial if d == dimension]
        lines += [f"    D{place}:", *own] if own else []
    if not nest.spatial:
        lines[-1] += " {}"
    lines.append("  temporal_ordering:")
    lines += [f"    - [{names[loop]}, {n}]" for loop, n in nest.loops]
    if not nest.loops:
        lines[-1] += " []"
    return "\n".join([*lines, "  memory_operand_links: {O: O, W: I2, I: I1}", ""])


def read_zigzag_yaml(text: str, machine: Spatial, label: str) -> tuple[Order, ...]:
    """The entries of a mapping file that give an order; raises Unsupported where there is none.

    `temporal_ordering` lists loops from the innermost. D1, D2... are the array's dimensions in the
    machine's order, or go by its names.
    """
    root = parse_entry(text, label)
    found = []
    for entry in root.value if isinstance(root.value, tuple) else ():
        ordering = entry.child("temporal_ordering")
        if ordering is None or not isinstance(ordering.value, tuple):
            continue
        name = entry.child("name")
        loops = [_pair(item, item.plain()) for item in ordering.value]
        found.append(
            Order(
                str(name.value) if name is not None else "default",
                tuple(_unrolling(entry, machine)),
                tuple(pair for pair in loops if pair[1] > 1),
            )
        )
    if not found:
        raise Unsupported(
            f"{label}: no entry has a temporal_ordering; write '- name: LAYER' and below it "
            "'temporal_ordering:' with lines such as '- [K, 4]', the innermost first"
        )
    return tuple(found)


def _unrolling(entry: Entry, machine: Spatial) -> list[tuple[str, str, int]]:
    axes = tuple(machine.array.dimensions)
    numbered = {f"D{place}": name for place, name in enumerate(axes, start=1)}
    known = numbered | {name: name for name in axes}
    mapping = entry.child("spatial_mapping")
    found = []
    fields = mapping.value if mapping is not None else {}
    for key, items in fields.items() if isinstance(fields, Mapping) else ():
        if key not in known:
            raise Unsupported(
                f"{items.place}: spatial_mapping: '{key}' is no dimension; {machine.name} has "
                f"{', '.join(axes)}, or D1 to D{len(axes)}"
            )
        for item in items.value if isinstance(items.value, tuple) else ():
            loop, factor = _pair(item, item.plain())
            if factor > 1:
                found.append((known[key], loop, factor))
    return found


def _pair(item: Entry, plain: Any) -> tuple[str, int]:
    """A loop from ``[K, 4]`` or the text ``K, 4``."""
    parts = plain if isinstance(plain, list) else str(plain).split(",")
    if len(parts) != 2 or not str(parts[1]).strip().isdigit() or int(parts[1]) < 1:
        raise Unsupported(f"{item.place}: '{plain}' is no loop; write it as [K, 4]")
    return loop_called(str(parts[0]).strip(), ZIGZAG_LOOPS, str(item.place)), int(parts[1])
