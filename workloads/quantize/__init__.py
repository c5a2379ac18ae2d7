"""Quantizers and range setting: reals to integer codes, and which reals the codes cover.

A *form* (`affine`, `symmetric`, `power_of_two`) makes a `Grid` from a range; `aqt` makes AQT's.
An `Observer` sees a stream of batches and says the range; `mse_range` finds that of a tensor.
"""

from workloads.quantize.aqt import AqtGrid, aqt
from workloads.quantize.batch_norm import batch_norm_range
from workloads.quantize.cross_entropy import CrossEntropy
from workloads.quantize.forms import Form, affine, float32_scales, power_of_two, symmetric
from workloads.quantize.grid import Grid, from_quant_params, sim_quant, single, to_quant_params
from workloads.quantize.histogram_observers import Mse, Percentile
from workloads.quantize.observers import MinMax, MovingAverage, Observer
from workloads.quantize.quantizer import PER_TENSOR, Layout, Quantizer, per_channel, per_group
from workloads.quantize.range_search import mse_range
from workloads.quantize.rounding import ROUNDINGS, Rounding
from workloads.quantize.sqnr import sqnr_db, sqnr_db_by
from workloads.quantize.stochastic import quantize_stochastic

__all__ = [
    "PER_TENSOR",
    "ROUNDINGS",
    "AqtGrid",
    "CrossEntropy",
    "Form",
    "Grid",
    "Layout",
    "MinMax",
    "MovingAverage",
    "Mse",
    "Observer",
    "Percentile",
    "Quantizer",
    "Rounding",
    "affine",
    "aqt",
    "batch_norm_range",
    "float32_scales",
    "from_quant_params",
    "mse_range",
    "per_channel",
    "per_group",
    "power_of_two",
    "quantize_stochastic",
    "sim_quant",
    "single",
    "sqnr_db",
    "sqnr_db_by",
    "symmetric",
    "to_quant_params",
]
