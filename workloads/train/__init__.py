"""Training on the grids of the integer network: what is trained is what is served.

Read in this order: `twins` (an operator as a JAX function), `functional` (a graph as one), `fakes`
(quantizers with gradients), `arithmetic` (steps of the integer network, in float32 that holds
them exactly), `ranges` (where activations' grids come from), `normalization`, `network` (the
forward pass), `settings`, `loop`, `serve` (a trained network as a `Plan`, and as integers).

Importing this package imports JAX and optax: the extra `train`. Nothing else in bitlane does.
"""

from workloads.train.extra import require_extra

require_extra()

from workloads.train.functional import Function, function_of, with_parameters  # noqa: E402

__all__ = [
    "Function",
    "Settings",
    "Trained",
    "function_of",
    "integer_graph",
    "predictions",
    "train",
    "with_parameters",
]
