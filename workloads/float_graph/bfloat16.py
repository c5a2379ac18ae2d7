"""A float network with the operands of bfloat16: products of 16-bit numbers, sums in float32."""

from dataclasses import replace

import numpy as np

from simulator.graph import Array, Graph, Node
from simulator.ops.float_unary import FUNCTIONS, FloatUnary
from workloads.float_graph.edit import with_constants
from workloads.float_graph.layers import layers


def rounded(values: Array) -> Array:
    """float32 values rounded to bfloat16 (8 bits of fraction, ties to even), kept in float32."""
    wide = FUNCTIONS["bfloat16"](values.astype(np.float64))
    with np.errstate(over="ignore"):
        return np.asarray(wide.astype(np.float32))


def as_bfloat16(graph: Graph) -> Graph:
    """The graph whose layers multiply bfloat16: weights rounded, and what each layer reads.

    A product of two is exact in float32, in which sums, biases and everything else stay, as in
    matrix units that take bfloat16 and add in float32.
    """
    found = layers(graph)
    graph = with_constants(
        graph, {layer.weights: rounded(graph.constants[layer.weights]) for layer in found}
    )
    read = {layer.node.name: layer.activations for layer in found}
    tensors, nodes = dict(graph.tensors), list[Node]()
    made = dict[str, str]()
    for node in graph.nodes:
        name = read.get(node.name)
        if name is None:
            nodes.append(node)
            continue
        if name not in made:
            made[name] = f"{name}/bfloat16"
            tensors[made[name]] = replace(tensors[name], bits=16)
            op = FloatUnary("bfloat16", (), "float32")
            nodes.append(Node(made[name], op, (name,), (made[name],)))
        nodes.append(replace(node, inputs=(made[name], *node.inputs[1:])))
    return replace(graph, nodes=tuple(nodes), tensors=tensors)
