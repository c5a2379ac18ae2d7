"""Float networks as graphs: transforms that keep what they compute, each from graph to graph.

Read in this order: `layers` (what has weights), `edit` (new constants, parts of a graph), `double`,
`batch_norm`, `activations`. Nothing here quantizes.
"""

from workloads.float_graph.activations import fuse_activations
from workloads.float_graph.batch_norm import fold_batch_norm
from workloads.float_graph.double import as_double
from workloads.float_graph.edit import cut, with_constants, with_outputs
from workloads.float_graph.layers import Layer, layer_of, layers

__all__ = [
    "Layer",
    "as_double",
    "cut",
    "fold_batch_norm",
    "fuse_activations",
    "layer_of",
    "layers",
    "with_constants",
    "with_outputs",
]
