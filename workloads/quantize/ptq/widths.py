"""How many bits each layer's weights and activations have: a policy, and what it means for a graph.

Nagel et al. 2021 (arXiv 2106.08295) write W4A8 for 4-bit weights and 8-bit activations. Read
`Policy`, then `widths` and `activation_bits`.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Final

from pydantic import AfterValidator, Field

from simulator.config import close_match, load_yaml, validate
from simulator.errors import BadConfig
from simulator.graph import Graph
from simulator.schema import Schema
from workloads.float_graph import layers
from workloads.quantize.ptq.places import Places

FEWEST: Final = 2
MOST: Final = 16
FLOAT: Final = 32
"""The width of what stays in float."""
RULE: Final = f"{FEWEST} to {MOST} bits, or {FLOAT} for float"


def is_width(bits: int) -> bool:
    """Whether so many bits are 2 to 16, or 32 for float."""
    return bits == FLOAT or FEWEST <= bits <= MOST


@dataclass(frozen=True)
class Width:
    """Bits of a layer's weights and of the activations that it reads; 32 is float."""

    weights: int
    activations: int

    def __str__(self) -> str:
        return f"W{self.weights}A{self.activations}"


@dataclass(frozen=True)
class Policy:
    """Widths by layer: those of all, of the first and the last layer (both), and of named ones.

    A named layer has its own width whatever the others say. Raises BadConfig for other widths than
    2 to 16 and 32.
    """

    weights: int = 8
    activations: int = 8
    first_last: int | None = None
    layers: Mapping[str, Width] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "layers", MappingProxyType(dict(self.layers)))
        ends = self.weights if self.first_last is None else self.first_last
        stated = {"weights": self.weights, "activations": self.activations, "first and last": ends}
        for name, width in self.layers.items():
            stated |= {f"weights of {name}": width.weights}
            stated |= {f"activations of {name}": width.activations}
        for what, bits in stated.items():
            if not is_width(bits):
                raise BadConfig(f"{what}: must be {RULE}; found {bits}")


def _as_width(text: str) -> str:
    try:
        parse_width(text)
    except BadConfig as error:
        raise ValueError(str(error)) from None
    return text


class PolicyFile(Schema):
    """A policy as YAML or JSON: `weights`, `activations`, `first_last`, `layers: {name: W4A8}`."""

    weights: int | None = None
    activations: int | None = None
    first_last: int | None = None
    layers: dict[str, Annotated[str, AfterValidator(_as_width)]] = Field(default_factory=dict)


def parse_width(text: str) -> Width:
    """W4A8 as a Width; raises BadConfig with the way to write it."""
    found = re.fullmatch(r"[Ww](\d{1,2})[Aa](\d{1,2})", text)
    if not found:
        raise BadConfig(f"'{text}' is no width; write W4A8 for 4-bit weights, 8-bit activations")
    return Width(int(found[1]), int(found[2]))


def read_policy(path: Path, policy: Policy | None = None) -> Policy:
    """The policy in a file; what it leaves out is that of `policy`."""
    base = policy or Policy()
    found = validate(load_yaml(path), PolicyFile)
    named = {name: parse_width(text) for name, text in found.layers.items()}
    stated = {
        name: value
        for name in ("weights", "activations", "first_last")
        if (value := getattr(found, name)) is not None
    }
    try:
        return replace(base, layers={**base.layers, **named}, **stated)
    except BadConfig as error:
        raise BadConfig(f"{path}: {error}") from None


def widths(graph: Graph, policy: Policy) -> dict[str, Width]:
    """The width of every layer, by the name of its node, in order of execution.

    Raises BadConfig for a layer that the graph has not.
    """
    names = [layer.node.name for layer in layers(graph)]
    for name in policy.layers:
        if name not in names:
            raise BadConfig(f"{graph.name}: no layer is named '{name}'; {close_match(name, names)}")
    ends = policy.first_last
    found = dict.fromkeys(names, Width(policy.weights, policy.activations))
    if ends is not None:
        found |= dict.fromkeys((names[0], names[-1]), Width(ends, ends))
    return found | dict(policy.layers)


def weight_bits(graph: Graph, found: Mapping[str, Width]) -> dict[str, int]:
    """Bits of each weight constant on a grid: the fewest of the layers that share it."""
    bits = dict[str, int]()
    for layer in layers(graph):
        wanted = found[layer.node.name].weights
        bits[layer.weights] = min(wanted, bits.get(layer.weights, FLOAT))
    return {name: b for name, b in bits.items() if b != FLOAT}


def activation_bits(
    graph: Graph, places: Places, found: Mapping[str, Width], policy: Policy
) -> dict[tuple[str, ...], int]:
    """Bits of each group of `places` on a grid.

    The fewest of the layers that read it: a layer multiplies operands of its own width. Where no
    layer reads it, those of the layers that give it; else the policy's.
    """
    read, given = dict[str, int](), dict[str, int]()
    for layer in layers(graph):
        wanted = found[layer.node.name].activations
        for table, name in ((read, layer.activations), (given, layer.output)):
            table[name] = min(wanted, table.get(name, FLOAT))
    bits = dict[tuple[str, ...], int]()
    for group in places.groups:
        readers, makers = ([t[n] for n in group if n in t] for t in (read, given))
        bits[group] = min(readers or makers or [policy.activations])
    return {group: b for group, b in bits.items() if b != FLOAT}
