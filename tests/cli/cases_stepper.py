"""Every bad input to the stepper, and of topologies, with the line that answers it."""

from collections.abc import Mapping
from typing import Final

_VALUES: Final = (
    "topology.csv: a topology holds shapes and no values; estimate, sweep and inspect take it: "
    "give a .tflite or .onnx file to compute"
)
TOPOLOGIES: Final[Mapping[str, str]] = {
    "inspect letters.csv": (
        "letters.csv:2: N must be a whole number from 1; found 'B'. Write one layer a line, its "
        "numbers separated by commas"
    ),
    "exec topology.csv --inputs one.npz --out out.npz": _VALUES,
    "exec topology.csv --inputs one.npz --stepper --hw systolic_16x16 --layer first": _VALUES,
    "golden topology.csv --inputs one.npz --out new": _VALUES,
    "validate topology.csv --hw cortex_m4": _VALUES,
    "inspect topology.csv --accumulators": _VALUES,
    "inspect topology.csv --dialect tflm": (
        "topology.csv: a topology has no arithmetic; leave out the dialect"
    ),
}
_STEP: Final = "exec zoo:digits --inputs one.npz --stepper"
_LAYERS: Final = (
    "of digits_cnn.tflite the array multiplies in: conv_2d_0, depthwise_conv_2d_1, conv_2d_2, "
    "conv_2d_3, fully_connected_7"
)
_ON: Final = f"{_STEP} --hw systolic_16x16"
STEPPER: Final[Mapping[str, str]] = {
    "exec zoo:digits --inputs one.npz": (
        "exec writes --out FILE.npz, or steps with --stepper; give one of them"
    ),
    f"{_STEP} --out out.npz": (
        "exec writes --out FILE.npz, or steps with --stepper; give one of them"
    ),
    "exec zoo:digits --inputs one.npz --out out.npz --layer conv_2d_0": (
        "--layer and --html belong to --stepper; add it"
    ),
    f"{_STEP} --layer conv_2d_0": ("--stepper: steps through a machine's array; give it with --hw"),
    _ON: f"--stepper: needs --layer; {_LAYERS}",
    f"{_ON} --layer add_4": f"--layer add_4: no such layer; {_LAYERS}",
    f"{_STEP} --hw hvx_1024 --layer conv_2d_0": (
        "hvx_1024: only model: systolic has an array to step through; found model: dsp"
    ),
    f"{_ON} --layer conv_2d_3 --html page.html": (
        "--html: 16 x 16 elements over 2232 cycles are too many to show; at most 1024 elements "
        "and 200000 of them times cycles: take a smaller layer or --set array.rows and array.cols"
    ),
    "exec zoo:digits --inputs five.npz --stepper --hw systolic_16x16 --layer conv_2d_0": (
        "five.npz: holds 5 samples; give the inputs of one inference"
    ),
    f"{_ON} --layer conv_2d_0 --set datapath.weight_bits=4": (
        "digits_cnn.tflite, conv_2d_0 (conv_2d) on systolic_16x16: its weights have 8 bits, the "
        "datapath 4; widen datapath.weight_bits or set datapath.narrow: true"
    ),
}
