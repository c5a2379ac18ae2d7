"""TFLite operators on plain numbers: float32, or integers without a grid.

Between a DEQUANTIZE and a QUANTIZE, in a float network or among indices, ADD and its kin mean what
they say; on codes they rescale. The file has one name for both, the registry two.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

from simulator.decode import padding_of, present, refuse
from simulator.graph import Source
from simulator.reduction import decode_axes
from simulator.resize import decode_size, refuse_both

_NUMBERS: Final = ("float32", "int32", "int64")

_ARITHMETIC: Final = {
    "ADD": "add",
    "DIV": "div",
    "FLOOR_DIV": "floor_div",
    "MUL": "mul",
    "SUB": "sub",
}
_UNARY: Final[Mapping[str, tuple[str, tuple[float, ...]]]] = {
    "ABS": ("abs", ()),
    "ELU": ("elu", (1.0,)),
    "EXP": ("exp", ()),
    "FLOOR": ("floor", ()),
    "HARD_SWISH": ("hard_swish", ()),
    "LOG": ("log", ()),
    "RELU": ("relu", ()),
    "RELU6": ("clip", (0.0, 6.0)),
    "RELU_0_TO_1": ("clip", (0.0, 1.0)),
    "RELU_N1_TO_1": ("clip", (-1.0, 1.0)),
    "RSQRT": ("rsqrt", ()),
    "SQRT": ("sqrt", ()),
}
_REDUCTIONS: Final = {"MEAN": "mean", "SUM": "sum"}

FILTERS_FIRST: Final = "DEPTHWISE_CONV_2D[numbers]"
"""The operator whose constant weights (1, ky, kx, filters) are kept as (filters, ky, kx, 1)."""
TO_FILTERS_FIRST: Final = (3, 1, 2, 0)
"""Axis k of those kept is axis TO_FILTERS_FIRST[k] of the file's, and the other way round."""


def _window(source: Source, kernel: tuple[int, int], dilation: tuple[int, int]) -> dict[str, Any]:
    options = source.options
    return {
        "kernel": kernel,
        "stride": (options["stride_h"], options["stride_w"]),
        "dilation": dilation,
        "padding": padding_of(source),
    }


def _convolution(source: Source) -> dict[str, Any]:
    shape, options = present(source.inputs, 1).shape, source.options
    if len(shape) != 4:
        refuse(source.place, "weights must have 4 dimensions", shape, "Export the model again.")
    dilation = (options["dilation_h_factor"], options["dilation_w_factor"])
    return _window(source, (shape[1], shape[2]), dilation)


def _pooling(source: Source) -> dict[str, Any]:
    kernel = (source.options["filter_height"], source.options["filter_width"])
    return _window(source, kernel, (1, 1)) | {"count_padding": False}


def _product(source: Source) -> dict[str, Any]:
    if source.options.get("adj_x", False) or source.options.get("adj_y", False):
        refuse(source.place, "adj_x and adj_y must be false", "true", "Transpose it first.")
    return {"packed": False, "turned": False}


def _bilinear(source: Source) -> dict[str, Any]:
    size, align_corners, half_pixel = decode_size(source)
    refuse_both(source, align_corners, half_pixel)
    shape = present(source.inputs, 0).shape
    coordinates = "half_pixel" if half_pixel else "asymmetric"
    return {
        "size": size,
        "scale": tuple(m / max(n, 1) for n, m in zip(shape[1:3], size, strict=True)),
        "coordinates": "align_corners" if align_corners else coordinates,
        "nearest": "",
    }


def _leaky(source: Source) -> dict[str, Any]:
    return {"function": "leaky_relu", "parameters": (source.options["alpha"],)}


_OPTIONS: Final[Mapping[str, Callable[[Source], dict[str, Any]]]] = MappingProxyType(
    {
        "AVERAGE_POOL_2D": _pooling,
        "BATCH_MATMUL": _product,
        "CONV_2D": _convolution,
        "DEPTHWISE_CONV_2D": _convolution,
        "FULLY_CONNECTED": lambda source: {},
        "LEAKY_RELU": _leaky,
        "MAX_POOL_2D": _pooling,
        "RESIZE_BILINEAR": _bilinear,
    }
)
"""What each is decoded from beside the file's own options."""
MAY_TAKE_NUMBERS: Final = frozenset({*_ARITHMETIC, *_UNARY, *_REDUCTIONS, *_OPTIONS})
"""Operators whose first input decides which of the two they are."""


def registered_name(operator: str, dtype: str) -> str:
    """The name that an operator on a first input of `dtype` is registered under."""
    takes = _NUMBERS if operator in _ARITHMETIC else ("float32",)
    return f"{operator}[numbers]" if operator in MAY_TAKE_NUMBERS and dtype in takes else operator


def options_of(operator: str, source: Source) -> dict[str, Any]:
    """What the operator on numbers is decoded from; the file's own options stay beside it."""
    options = dict(source.options)
    if operator in _ARITHMETIC:
        return options | {"function": _ARITHMETIC[operator]}
    if operator in _UNARY:
        function, parameters = _UNARY[operator]
        return options | {"function": function, "parameters": parameters}
    if operator in _REDUCTIONS:
        keep = bool(options.get("keep_dims", False))
        axes = decode_axes(source)
        return options | {"function": _REDUCTIONS[operator], "axes": axes, "keep": keep}
    return options | _OPTIONS[operator](source)
