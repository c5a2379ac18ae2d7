"""Bias correction: the mean error that quantization adds to a channel is taken from its bias.

Nagel et al. 2021 (arXiv 2106.08295) section 3.3, Nagel et al. 2019 (arXiv 1906.04721) section 4.2:
b -= E[W^ x^] - E[W x], over samples and positions, before the activation. Here the means are those
of calibration data; `analytic_bias` has those of batch norms.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, TypeAlias

import numpy as np

from simulator.errors import IllegalValues
from simulator.execute import run_batch
from simulator.graph import Array, Graph
from workloads.float_graph import cut, layers
from workloads.float_graph.edit import rebuilt
from workloads.quantize.ptq.channels import changes_alone
from workloads.quantize.ptq.grouped import bias_of, with_biases, with_layer_values
from workloads.quantize.ptq.plan import Plan
from workloads.quantize.ptq.preactivations import Running, singly, with_preactivations
from workloads.quantize.ptq.simulate import forward, with_quantizers, with_reals
from workloads.quantize.quantizer import Reals

MEMORY_BYTES: Final = 2**28
"""That tensors of all samples may take between two layers; where they need more, the layers before
are computed again."""
Batches: TypeAlias = Iterable[Mapping[str, Array]]


@dataclass(frozen=True, eq=False)
class BiasCorrection:
    """A plan with other biases, and what was taken from each: (channels,) by weight constant."""

    plan: Plan
    removed: Mapping[str, Reals]


def correct_biases(plan: Plan, batches: Batches, *, sequential: bool = True) -> Plan:
    """The plan of `bias_correction`."""
    return bias_correction(plan, batches, sequential=sequential).plan


def bias_correction(
    plan: Plan,
    batches: Batches,
    *,
    sequential: bool = True,
    memory_bytes: int = MEMORY_BYTES,
) -> BiasCorrection:
    """Correct the bias of every layer with quantized weights, by calibration data.

    `sequential`: layer by layer in order of execution, x^ from the predecessors as they are
    quantized and corrected, so that every channel's mean is that of the float network in the end.
    Else x^ = x, the float network's: the error of the weights alone, in one pass. Batches have
    every graph input as [samples, *shape] and are gone through more than once: a list, no
    generator. Layers that share constants keep their bias. Biases stay real; on the integer grid
    they move by at most half a step. Raises IllegalValues for a stream that ends.
    """
    if iter(batches) is batches:
        raise IllegalValues("bias correction reads the batches more than once; give it a list")
    ready = replace(plan, graph=with_biases(plan.graph, plan.weights.keys()))
    removed = _in_turn(ready, batches, memory_bytes) if sequential else _at_once(ready, batches)
    return corrected(ready, removed)


def corrected(plan: Plan, removed: Mapping[str, Reals]) -> BiasCorrection:
    """The plan with `removed` taken from the biases; all layers named have one."""
    values = {
        layer.bias: bias_of(plan.graph, layer) - removed[layer.weights]
        for layer in layers(plan.graph)
        if layer.weights in removed
    }
    return BiasCorrection(replace(plan, graph=with_layer_values(plan.graph, values)), removed)


def correctable(plan: Plan) -> list[str]:
    """Quantized weights of layers whose constants are their own, in order of execution."""
    graph = plan.graph
    own = [layer for layer in layers(graph) if changes_alone(graph, layer)]
    return [layer.weights for layer in own if layer.weights in plan.weights]


def _at_once(plan: Plan, batches: Batches) -> dict[str, Reals]:
    """E[W^ x] - E[W x] of every layer, x from the float network: one pass."""
    split, names = with_preactivations(plan.graph)
    twins = {weights: f"{names[weights]}@quantized" for weights in correctable(plan)}
    tensors, constants, nodes = dict(split.tensors), dict(split.constants), list(split.nodes)
    for layer in layers(split):
        if layer.weights not in twins:
            continue
        twin, held = twins[layer.weights], f"{layer.weights}@quantized"
        tensors[twin], tensors[held] = tensors[layer.output], tensors[layer.weights]
        constants[held] = plan.weights[layer.weights].real().astype(tensors[held].dtype)
        inputs = (layer.activations, held, layer.bias)
        name = f"{layer.node.name}@quantized"
        nodes.append(replace(layer.node, name=name, inputs=inputs, outputs=(twin,)))
    both = rebuilt(split, nodes, tensors, constants)
    wanted = [*twins.values(), *(names[weights] for weights in twins)]
    means = _means(both, batches, wanted)
    return {weights: means[twin] - means[names[weights]] for weights, twin in twins.items()}


def _in_turn(plan: Plan, batches: Batches, memory_bytes: int) -> dict[str, Reals]:
    """E[W^ x^] - E[W x] of each layer, once those before are corrected."""
    split, names = with_preactivations(plan.graph)
    order = correctable(plan)
    true = _means(split, batches, [names[weights] for weights in order])
    samples = sum(len(next(iter(batch.values()))) for batch in batches)
    reals = {name: held.real() for name, held in plan.weights.items()}
    quantized = with_quantizers(with_reals(plan.graph, reals), plan.activations)
    graph, places = with_preactivations(quantized)
    removed, known = dict[str, Reals](), _Known(graph.inputs, batches)
    for weights in order:
        layer = next(layer for layer in layers(graph) if layer.weights == weights)
        live = _live(graph, places[weights])
        if samples * sum(_bytes(graph, name) for name in live) <= memory_bytes:
            known = known.moved(graph, live)
        part = known.part(graph, [places[weights]])
        (found,) = _means(part, known.restricted(part), [places[weights]]).values()
        removed[weights] = found - true[names[weights]]
        bias = bias_of(graph, layer) - removed[weights]
        graph = with_layer_values(graph, {layer.bias: bias})
    return removed


@dataclass(frozen=True, eq=False)
class _Known:
    """Tensors whose values are held for every sample, batch by batch."""

    names: Sequence[str]
    batches: Batches

    def part(self, graph: Graph, wanted: Sequence[str]) -> Graph:
        """The nodes from here to some tensors, with the inputs that these nodes need."""
        made = cut(graph, self.names, wanted)
        used = {name for node in made.nodes for name in node.inputs}
        return cut(made, [name for name in self.names if name in used], wanted)

    def restricted(self, part: Graph) -> Batches:
        """The batches of what a part reads, made anew at each pass."""
        return _Stream(self.batches, part.inputs)

    def moved(self, graph: Graph, live: Sequence[str]) -> "_Known":
        """The values of other tensors, computed from these."""
        wanted = [name for name in live if name not in self.names]
        part = self.part(graph, wanted) if wanted else None
        held = []
        for batch in self.batches:
            kept = {name: batch[name] for name in live if name in self.names}
            if part is not None:
                kept |= run_batch(part, {name: batch[name] for name in part.inputs})[0]
            held.append(kept)
        return _Known(live, held)


@dataclass(frozen=True, eq=False)
class _Stream:
    """Some tensors of batches."""

    batches: Batches
    names: Sequence[str]

    def __iter__(self) -> Iterator[dict[str, Array]]:
        for batch in self.batches:
            yield {name: batch[name] for name in self.names}


def _live(graph: Graph, tensor: str) -> list[str]:
    """What has been computed before the node of a tensor and is read there or later."""
    at = next(i for i, node in enumerate(graph.nodes) if tensor in node.outputs)
    later = graph.nodes[at:]
    made = {name for node in later for name in node.outputs} | graph.constants.keys()
    read = dict.fromkeys(name for node in later for name in node.inputs if name)
    return [name for name in read if name not in made]


def _bytes(graph: Graph, name: str) -> int:
    kind = graph.tensors[name]
    return kind.elements * np.dtype(kind.dtype).itemsize


def _means(graph: Graph, batches: Batches, names: Sequence[str]) -> dict[str, Reals]:
    """The mean of each tensor by its last axis, one sample in memory at a time."""
    seen = {name: Running() for name in names}
    for values in forward(graph, singly(batches), names):
        seen = {name: found.with_values(values[name]) for name, found in seen.items()}
    return {name: np.asarray(found.mean) for name, found in seen.items()}
