"""Post-training quantization: a trained float network, some data, and an integer network out.

Read in this order. What there is: `prepare` (the float graph), `places` (which tensors carry a
quantizer), `plan` (what was chosen for each), `simulate` (the float graph that computes with it),
`biases` (room for them in the accumulator). The steps, from graph or plan to the same: `equalize`,
`absorb`, `steps` (weights onto grids), `adaround`, `bias_correction`, `analytic_bias`, `calibrate`
(ranges of activations). All of them: `pipeline` (`quantize`), told by `settings`, `widths` and
`samples`; then `diagnose`.
"""

from workloads.quantize.ptq.absorb import absorb
from workloads.quantize.ptq.adaround import adaround
from workloads.quantize.ptq.adaround_fit import AdaRoundSettings
from workloads.quantize.ptq.analytic_bias import Moments, analytic_bias_correction
from workloads.quantize.ptq.bias_correction import correct_biases
from workloads.quantize.ptq.biases import with_room_for_biases
from workloads.quantize.ptq.calibrate import RangeSettings, calibrate
from workloads.quantize.ptq.diagnose import Diagnosis, diagnose
from workloads.quantize.ptq.equalize import equalize
from workloads.quantize.ptq.measure import Labelled
from workloads.quantize.ptq.pipeline import Quantized, quantize
from workloads.quantize.ptq.places import Places, places
from workloads.quantize.ptq.plan import Plan, Weights
from workloads.quantize.ptq.prepare import prepared
from workloads.quantize.ptq.samples import Samples, samples_of
from workloads.quantize.ptq.settings import Settings
from workloads.quantize.ptq.simulate import forward, simulated
from workloads.quantize.ptq.statistics import Statistics, batch_norm_statistics
from workloads.quantize.ptq.steps import quantized_weights
from workloads.quantize.ptq.widths import Policy, Width

__all__ = [
    "AdaRoundSettings",
    "Diagnosis",
    "Labelled",
    "Moments",
    "Places",
    "Plan",
    "Policy",
    "Quantized",
    "RangeSettings",
    "Samples",
    "Settings",
    "Statistics",
    "Weights",
    "Width",
    "absorb",
    "adaround",
    "analytic_bias_correction",
    "batch_norm_statistics",
    "calibrate",
    "correct_biases",
    "diagnose",
    "equalize",
    "forward",
    "places",
    "prepared",
    "quantize",
    "quantized_weights",
    "samples_of",
    "simulated",
    "with_room_for_biases",
]
