"""The float graph that a quantizer starts from."""

import numpy as np

from simulator.errors import IllegalValues, Unsupported
from simulator.graph import Graph
from workloads.float_graph import fold_batch_norm, fuse_activations, layers


def prepared(graph: Graph) -> Graph:
    """A float network with batch norms folded and activations fused: what integers can compute.

    Nagel et al. 2021 (arXiv 2106.08295) section 2.3.1. Raises Unsupported for a network that has
    quantized tensors already, or no layer with constant weights; IllegalValues for weights that are
    no numbers.
    """
    for name, kind in graph.tensors.items():
        if kind.quant is not None:
            raise Unsupported(
                f"{graph.name}: tensor '{name}' is quantized already; give the float network that "
                "it was made from"
            )
    for layer in layers(graph):
        for name in filter(None, (layer.weights, layer.bias)):
            if not np.isfinite(graph.constants[name]).all():
                raise IllegalValues(
                    f"{graph.name}, layer {layer.node.name}: '{name}' holds NaN or infinity, for "
                    "which no grid has a code; export the network again"
                )
    ready = fuse_activations(fold_batch_norm(graph))
    if not layers(ready):
        raise Unsupported(
            f"{graph.name}: no convolution and no matrix product has constant float weights; there "
            "is nothing to quantize"
        )
    return ready
