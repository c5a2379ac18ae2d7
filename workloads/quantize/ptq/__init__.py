"""Post-training quantization: a trained float network, some data, and an integer network out.

Read in this order: `prepare` (the float graph), `places` (which tensors carry a quantizer), `plan`
(what was chosen for each), `simulate` (the float graph that computes with it).
"""

from workloads.quantize.ptq.places import Places, places
from workloads.quantize.ptq.plan import Plan, Weights
from workloads.quantize.ptq.prepare import prepared
from workloads.quantize.ptq.simulate import forward, simulated

__all__ = ["Places", "Plan", "Weights", "forward", "places", "prepared", "simulated"]
