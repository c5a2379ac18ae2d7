"""What `quantize` does and how: every step of the pipeline can be switched."""

from dataclasses import dataclass, field
from typing import Literal, TypeAlias, get_args

from simulator.errors import BadConfig
from workloads.quantize.ptq.calibrate import RangeSettings
from workloads.quantize.ptq.steps import WeightRanges
from workloads.quantize.ptq.widths import Policy

Rounding: TypeAlias = Literal["adaround", "nearest"]
BiasCorrection: TypeAlias = Literal["empirical", "analytic", "none"]


@dataclass(frozen=True)
class Settings:
    """The pipeline of Nagel et al. 2021 (arXiv 2106.08295) section 3.5, which the defaults are.

    policy : widths.
    per_channel : a scale for each output channel of weights; else one for the tensor.
    equalize : cross-layer equalization; None keeps it where the judge hears less noise with it.
    absorb : absorption of high biases behind it.
    weight_ranges : least squared error, or min-max.
    rounding : of weights; None is AdaRound where there is data, else to nearest.
    bias_correction : None is none behind AdaRound, else empirical, analytic without data.
    activations : how their ranges are found; without data by the statistics of batch norms.
    input_range : the least and greatest value of the inputs; without data nothing else says it.
    iterations : of AdaRound, a layer; a fifth of the paper's, which take minutes on small networks.
    """

    policy: Policy = field(default_factory=Policy)
    per_channel: bool = True
    equalize: bool | None = None
    absorb: bool = True
    weight_ranges: WeightRanges = "mse"
    rounding: Rounding | None = None
    bias_correction: BiasCorrection | None = None
    activations: RangeSettings = field(default_factory=RangeSettings)
    data_free: bool = False
    input_range: tuple[float, float] | None = None
    iterations: int = 2000
    seed: int = 0

    def __post_init__(self) -> None:
        for what, value, kinds in (
            ("weight ranges", self.weight_ranges, get_args(WeightRanges)),
            ("rounding", self.rounding, (*get_args(Rounding), None)),
            ("bias correction", self.bias_correction, (*get_args(BiasCorrection), None)),
        ):
            if value not in kinds:
                known = ", ".join(k for k in kinds if k)
                raise BadConfig(f"{what}: must be one of {known}; found {value!r}")
        if self.data_free and self.rounding == "adaround":
            raise BadConfig("AdaRound needs calibration data; give some, or round to nearest")
        if self.data_free and self.bias_correction == "empirical":
            raise BadConfig(
                "empirical bias correction needs calibration data; the analytic does not"
            )

    @property
    def rounds_by(self) -> Rounding:
        """How weights are rounded."""
        return self.rounding or ("nearest" if self.data_free else "adaround")

    @property
    def corrects_by(self) -> BiasCorrection:
        """How biases are corrected."""
        if self.bias_correction is not None:
            return self.bias_correction
        if self.rounds_by == "adaround":
            return "none"
        return "analytic" if self.data_free else "empirical"
