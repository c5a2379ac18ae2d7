"""Costs where layers have operand widths of their own: `datapath.layers`, as the engine reads it.

The machine is built for its widest layer: its multipliers, accumulators and area are priced at the
widest operands that any entry names. Each layer's operands are as narrow as its own entry says, in
memory, on their way and, where the multiplier is composed, in time. Read `counted` first.
"""

from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Final

import numpy as np

from simulator.designs import Evaluation, evaluate_designs
from simulator.errors import Unsupported
from simulator.graph import Graph, Node
from simulator.layers import configs
from simulator.mac import MacOperator
from simulator.machines.actions import (
    ACTIONS,
    COMPONENTS,
    TOTAL_REFUSAL,
    TOTAL_REFUSED_LAYER,
)
from simulator.machines.base import Machine
from simulator.machines.datapath_schema import Accumulator, DatapathConfig
from simulator.networks import evaluate_network
from simulator.numeric.datapath import WIDEST_OPERAND
from simulator.widths import activation_bits
from simulator.work import Work

TOO_WIDE: Final = 1
"""The refusal of weights wider than the datapath, of `simulator.machines.base.REFUSALS`."""
ONE_FOR_ALL: Final = ("dot_width", "zero_point", "requantize", "widen")
"""Fields of which a machine has one, whatever the layer: entries may only repeat them."""


def counted(graph: Graph, machine: Machine) -> tuple[Graph, Machine]:
    """The graph and the machine that costs are counted on; the same ones without `layers`.

    The graph holds each layer's operands at that layer's widths; a tensor that several layers read
    has the least of theirs, as where the engine narrows it. Raises Unsupported where an entry names
    no layer, changes what is one for all layers, or is narrower than the graph and does not narrow.
    """
    config = machine.datapath
    if not config.layers:
        return graph, machine
    for override in config.layers:
        for field in ONE_FOR_ALL:
            own = getattr(override, field)
            if own is not None and own != getattr(config, field):
                raise Unsupported(
                    f"{machine.name}: datapath.layers: {override.layer}: costs have one {field} "
                    "for all layers; leave it out here (exec, validate and golden follow it)"
                )
    made = graph.kept(counted, config, lambda: _narrowed(graph, machine))
    return made, widest(machine)


def evaluate_layered(
    graph: Graph, machines: Sequence[Machine], batch: int = 1, per_layer: bool = False
) -> Evaluation:
    """As `evaluate_network`, for machines with and without layers of their own widths.

    Where `counted` refuses, the design is refused with the code of weights that are too wide.
    """
    groups: dict[DatapathConfig | None, list[int]] = {}
    for index, machine in enumerate(machines):
        config = machine.datapath if machine.datapath.layers else None
        groups.setdefault(config, []).append(index)
    if list(groups) == [None]:
        return evaluate_network(graph, machines, batch, per_layer)
    whole: Evaluation | None = None
    for places in groups.values():
        ours = [widest(machines[index]) for index in places]
        try:
            own, _ = counted(graph, machines[places[0]])
            part = evaluate_network(own, ours, batch, per_layer)
        except Unsupported:
            part = _refused(ours, batch)
        if whole is None:
            shapes = [len(graph.nodes) if per_layer else 0] * 2
            shapes[0] = len(machines) if per_layer else 0
            whole = Evaluation(
                *(np.zeros((len(machines), *getattr(part, n).shape[1:]), getattr(part, n).dtype)
                  for n in ("totals", "area_mm2", "latency_s")),
                *(np.zeros((*shapes, width), np.int64) for width in (ACTIONS, COMPONENTS)),
            )  # fmt: skip
        for field in fields(Evaluation):
            made = getattr(part, field.name)
            if made.size:
                getattr(whole, field.name)[places] = made
    assert whole is not None
    return whole


def _refused(machines: Sequence[Machine], batch: int) -> Evaluation:
    """Designs that no layer was costed on: their areas, and that they are refused."""
    found = evaluate_designs((), machines, batch)
    found.totals[:] = -1
    found.totals[:, TOTAL_REFUSAL] = TOO_WIDE
    found.totals[:, TOTAL_REFUSED_LAYER] = 0
    found.latency_s[:] = np.nan
    return found


def widest(machine: Machine) -> Machine:
    """The machine with one datapath, as wide as the widest of its layers' and its own."""
    config = machine.datapath
    if not config.layers:
        return machine
    all_of = [config, *(config.overridden(override) for override in config.layers)]
    bits = max(own.accumulator.bits for own in all_of)
    one = {
        "weight_bits": max(own.weight_bits for own in all_of),
        "activation_bits": max(own.activation_bits for own in all_of),
        "accumulator": Accumulator(bits=bits, overflow=config.accumulator.overflow),
        "layers": (),
    }
    return machine.model_copy(update={"datapath": config.model_copy(update=one)})


def notes_on_layers(machine: Machine) -> list[str]:
    """What a machine is built for, in a sentence; none where its layers are all alike."""
    if not machine.datapath.layers:
        return []
    datapath = widest(machine).datapath
    return [
        "layers have operands of their own widths (datapath.layers); the machine is built and "
        f"priced for the widest, {datapath.weight_bits}-bit weights and "
        f"{datapath.activation_bits}-bit activations"
    ]


def _narrowed(graph: Graph, machine: Machine) -> Graph:
    """The graph in the widths of its layers, to be counted and not to be run."""
    base = machine.datapath
    found = configs(base, graph)
    for node, work in zip(graph.nodes, graph.work, strict=True):
        _check(graph, machine, node, work, found[node.name])
    chosen = {name: config.datapath() for name, config in found.items()}
    bits, kept = activation_bits(graph, lambda node: chosen[node.name])
    tensors = {}
    for name, kind in graph.tensors.items():
        # What no layer decides is as wide as on the machine without layers.
        own = bits[name] if name in bits and name not in kept else None
        width = _least(kind.bits, base.activation_bits, base) if own is None else own
        tensors[name] = replace(kind, bits=width) if kind.quant is not None else kind
    works = []
    for node, work in zip(graph.nodes, graph.work, strict=True):
        config = found[node.name]
        multiplies = isinstance(node.op, MacOperator)
        ins = [tensors[n].bits for n in node.inputs[: 1 if multiplies else None] if n in bits]
        outs = [tensors[n].bits for n in node.outputs if n in bits]
        plain = config if work.macs else base
        own_bits = {
            "weight_bits": _least(work.weight_bits, plain.weight_bits, plain),
            "activation_bits": _of(ins, work.activation_bits, plain),
            "output_bits": _of(outs, work.output_bits, base),
        }
        works.append(replace(work, **own_bits))
        if multiplies and (name := _weights_of(node)) in graph.constants:
            tensors[name] = replace(tensors[name], bits=own_bits["weight_bits"])
    return graph.in_widths(tensors, works)


def _check(graph: Graph, machine: Machine, node: Node, work: Work, config: DatapathConfig) -> None:
    """Refuse a layer whose operands are wider than its entry takes, as its machine would be."""
    if not work.macs or config.narrow or config.composition != "fixed":
        return
    for kind, bits, most in (
        ("weights", work.weight_bits, config.weight_bits),
        ("activations", work.activation_bits, config.activation_bits),
    ):
        if bits > most:
            raise Unsupported(
                f"{graph.name}, {node.name} ({node.op.kind}) on {machine.name}: its {kind} have "
                f"{bits} bits, its datapath {most}; widen its entry of datapath.layers or set "
                "datapath.narrow: true"
            )


def _least(bits: int, most: int, config: DatapathConfig) -> int:
    return min(bits, most) if config.narrow and bits <= WIDEST_OPERAND else bits


def _of(found: Sequence[int], bits: int, config: DatapathConfig) -> int:
    """The width of operands: the widest of their tensors, else as the datapath narrows them."""
    if bits > WIDEST_OPERAND:
        return bits
    return min(bits, max(found)) if found else _least(bits, config.activation_bits, config)


def _weights_of(node: Node) -> str:
    assert isinstance(node.op, MacOperator)
    position = node.op.positions[1]
    return node.inputs[position] if position < len(node.inputs) else ""
