"""Training on the grids of the integer network: what is trained is what is served.

Read in this order: `twins` (an operator as a JAX function), `functional` (a graph as one), `fakes`
(quantizers with gradients), `arithmetic` (steps of the integer network, in float32 that holds
them exactly), `normalization`, `forward` (one pass), `settings`, `network` (parameters and state),
`step`, `checkpoints`, `loop`, `plans` (a trained network as a `Plan`), `serve`. On learned bases:
`lq_settings`, `lq_quantizers`, `lq_sums`, `lq_forward`, `lq_network`, `lq`.

Importing this package imports JAX and optax: the extra `train`. Nothing else in bitlane does.
"""

from workloads.train.extra import require_extra

require_extra()

from workloads.train.data import Samples, samples_of  # noqa: E402
from workloads.train.functional import Function, function_of, with_parameters  # noqa: E402
from workloads.train.loop import Epoch, Trained, train  # noqa: E402
from workloads.train.serve import inexact_layers, predictions  # noqa: E402
from workloads.train.settings import Settings  # noqa: E402

__all__ = [
    "Epoch",
    "Function",
    "Samples",
    "Settings",
    "Trained",
    "function_of",
    "inexact_layers",
    "predictions",
    "samples_of",
    "train",
    "with_parameters",
]
