"""Where a quantized network loses what the float one had: the debugging workflow.

Nagel et al. 2021 (arXiv 2106.08295) section 3.7: 32 bits, weights against activations, layer by
layer, then the channels of the worst. Read `diagnose`, then `Diagnosis`.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from simulator.graph import Array, Graph
from workloads.float_graph import Layer, layers
from workloads.float_graph.edit import producer
from workloads.quantize import Layout, sqnr_db_by
from workloads.quantize.ptq.calibrate import Batches, Group
from workloads.quantize.ptq.measure import Judge
from workloads.quantize.ptq.pipeline import Quantized
from workloads.quantize.ptq.places import places
from workloads.quantize.ptq.plan import Plan
from workloads.quantize.ptq.prepare import prepared
from workloads.quantize.ptq.samples import Samples
from workloads.quantize.ptq.simulate import forward, simulated
from workloads.quantize.sqnr import decibels

SANE: Final = 1e-5
"""Of the largest logit: what a network whose quantizers are off may differ from the float one."""
MOST_JUDGED: Final = 64
"""Samples that each layer is judged on."""


@dataclass(frozen=True)
class Part:
    """A layer with the quantizers of its weights and output, or a place that no layer gives."""

    name: str
    op: str
    weights: str
    group: Group


@dataclass(frozen=True)
class Sensitivity:
    """Signal to noise of the logits, in dB, where a part alone is on its grids, and all but it.

    Alone against the plan's network with its quantizers off, all but it against the float network.
    `weights_db` and `activations_db`: of its two quantizers each alone; None where it has none.
    """

    part: Part
    alone_db: float
    without_db: float
    weights_db: float | None
    activations_db: float | None


@dataclass(frozen=True)
class Channels:
    """The output channels of a layer, one value each: ranges of weights, and signal to noise.

    `low`, `high` : of the real weights. `step` : of the grid, one or one a channel.
    `weights_db`, `output_db` : of weights and output on their grids. `mean_error` : of the output.
    """

    layer: str
    low: tuple[float, ...]
    high: tuple[float, ...]
    step: tuple[float, ...]
    weights_db: tuple[float, ...]
    output_db: tuple[float, ...]
    mean_error: tuple[float, ...]


@dataclass(frozen=True)
class Diagnosis:
    """What the workflow found.

    `sanity` : by stage, the largest difference of the logits with every quantizer off, relative to
    the largest. `ranking` : the parts, the worst alone first. `channels` : of the worst layer.
    """

    sanity: Mapping[str, float]
    weights_db: float
    activations_db: float
    both_db: float
    weights_top1: float | None
    activations_top1: float | None
    both_top1: float | None
    ranking: tuple[Sensitivity, ...]
    channels: Channels | None

    @property
    def sane(self) -> bool:
        """Whether folding and equalization kept the function; absorption need not, exactly."""
        return all(error <= SANE for name, error in self.sanity.items() if name != "absorbed")


def diagnose(made: Quantized, watch: Callable[[int, int], None] | None = None) -> Diagnosis:
    """The workflow on a plan and the float network it was made from; `watch` hears of parts."""
    plan, judge = made.plan, made.judge
    few = Judge(made.float_graph, judge.held.part(0, MOST_JUDGED))
    off = Judge(plan.graph, few.held)
    ranking = _ranking(plan, off, few, watch or (lambda *_: None))
    worst = _worst_layer(plan.graph, ranking)
    # Biases are rounded with both quantizers of a layer: off with either, they are float.
    weights = simulated(replace(plan, activations={}))
    activations = simulated(replace(plan, weights={}))
    both = simulated(plan)
    return Diagnosis(
        sanity=sanity(made, few),
        weights_db=judge.sqnr_db(weights),
        activations_db=judge.sqnr_db(activations),
        both_db=judge.sqnr_db(both),
        weights_top1=judge.top1(weights),
        activations_top1=judge.top1(activations),
        both_top1=judge.top1(both),
        ranking=ranking,
        channels=None if worst is None else channels(made, worst, few.held),
    )


def parts(plan: Plan) -> tuple[Part, ...]:
    """Every quantizer of a plan, with the layer that it belongs to, in order of execution."""
    graph, found = plan.graph, list[Part]()
    groups = {n: g for g in places(graph).groups for n in g if g[0] in plan.activations}
    for layer in layers(graph):
        weights = layer.weights if layer.weights in plan.weights else ""
        group = groups.get(layer.output, ())
        if weights or group:
            found.append(Part(layer.node.name, layer.node.op.kind, weights, group))
    taken = {part.group for part in found}
    for group in dict.fromkeys(groups.values()):
        if group not in taken:
            node = producer(graph, group[0])
            kind = "constant" if group[0] in graph.constants else "input"
            op, name = (node.op.kind, node.name) if node else (kind, group[0])
            found.append(Part(name, op, "", group))
    return tuple(found)


def sanity(made: Quantized, judge: Judge) -> dict[str, float]:
    """By stage, the largest |y - y^| of the logits over the largest |y|, quantizers off."""
    stages = {"folded": prepared(made.float_graph)}
    if made.equalized is not None:
        stages["equalized"] = made.equalized
    if any(step.name == "absorb" for step in made.steps):
        stages["absorbed"] = made.twin
    found = dict[str, float]()
    for stage, graph in stages.items():
        worst, largest, place = 0.0, 0.0, 0
        for values in forward(graph, judge.held, judge.tensors):
            for name, value in values.items():
                expected = judge.expected[name][place : place + len(value)]
                worst = max(worst, float(np.abs(expected - value).max()))
                largest = max(largest, float(np.abs(expected).max()))
            place += len(value)
        found[stage] = worst / largest if largest else worst
    return found


def _ranking(
    plan: Plan, off: Judge, judge: Judge, watch: Callable[[int, int], None]
) -> tuple[Sensitivity, ...]:
    each, found = parts(plan), list[Sensitivity]()
    for number, part in enumerate(each):
        watch(number, len(each))
        only = _only(plan, part)
        both = part.weights and part.group
        alone = off.sqnr_db(simulated(only))
        split = [
            off.sqnr_db(simulated(one)) if both else alone
            for one in (replace(only, activations={}), replace(only, weights={}))
        ]
        found.append(
            Sensitivity(
                part,
                alone,
                judge.sqnr_db(simulated(_without(plan, part))),
                split[0] if part.weights else None,
                split[1] if part.group else None,
            )
        )
    return tuple(sorted(found, key=lambda one: one.alone_db))


def _only(plan: Plan, part: Part) -> Plan:
    return replace(
        plan,
        weights={n: v for n, v in plan.weights.items() if n == part.weights},
        activations={n: v for n, v in plan.activations.items() if n in part.group},
    )


def _without(plan: Plan, part: Part) -> Plan:
    return replace(
        plan,
        weights={n: v for n, v in plan.weights.items() if n != part.weights},
        activations={n: v for n, v in plan.activations.items() if n not in part.group},
    )


def _worst_layer(graph: Graph, ranking: Sequence[Sensitivity]) -> Layer | None:
    """The layer with weights on a grid that ranks worst."""
    known = {layer.node.name: layer for layer in layers(graph)}
    return next((known[one.part.name] for one in ranking if one.part.weights), None)


def channels(made: Quantized, layer: Layer, held: Samples) -> Channels:
    """The output channels of a layer in the plan, beside its float twin."""
    weights = made.twin.constants[layer.weights].astype(np.float64)
    quantized = made.plan.weights[layer.weights]
    layout = Layout(layer.filter_axis)
    signal, noise, error, count = _by_channel(made, layer.output, held)
    return Channels(
        layer.node.name,
        tuple(layout.reduce(np.minimum, weights).tolist()),
        tuple(layout.reduce(np.maximum, weights).tolist()),
        quantized.grid.scale,
        tuple(sqnr_db_by(weights, quantized.real(), layout).tolist()),
        tuple(decibels(s, n) for s, n in zip(signal.tolist(), noise.tolist(), strict=True)),
        tuple((error / count).tolist()),
    )


def _by_channel(made: Quantized, tensor: str, batches: Batches) -> tuple[Array, Array, Array, int]:
    """(sum y^2, sum (y - y^)^2, sum (y^ - y), how many) of each index of a tensor's last axis."""
    totals, count = np.zeros((3, made.twin.tensors[tensor].shape[-1])), 0
    for real, other in _pairs(made, tensor, batches):
        difference = other - real
        rows = (np.square(real), np.square(difference), difference)
        totals += [row.reshape(-1, row.shape[-1]).sum(axis=0) for row in rows]
        count += real.size // real.shape[-1]
    return totals[0], totals[1], totals[2], count


def _pairs(made: Quantized, tensor: str, batches: Batches) -> Iterator[tuple[Array, Array]]:
    both = (forward(graph, batches, [tensor]) for graph in (made.twin, simulated(made.plan)))
    for real, other in zip(*both, strict=True):
        yield real[tensor].astype(np.float64), other[tensor].astype(np.float64)
