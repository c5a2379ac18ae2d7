"""TFLite operators on plain numbers: float32, or integers without a grid.

Between a DEQUANTIZE and a QUANTIZE, or among indices, ADD and its kin mean what they say; on codes
they rescale. The file has one name for both, the registry two.
"""

from collections.abc import Mapping
from typing import Any, Final

from simulator.decode import refuse

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
    "FLOOR": ("floor", ()),
    "RELU": ("relu", ()),
    "RELU6": ("clip", (0.0, 6.0)),
    "RELU_N1_TO_1": ("clip", (-1.0, 1.0)),
    "SQRT": ("sqrt", ()),
}
MAY_TAKE_NUMBERS: Final = frozenset({*_ARITHMETIC, *_UNARY})
"""Operators whose first input decides which of the two they are."""


def registered_name(operator: str, dtype: str) -> str:
    """The name that an operator on a first input of `dtype` is registered under."""
    takes = _NUMBERS if operator in _ARITHMETIC else ("float32",)
    return f"{operator}[numbers]" if operator in MAY_TAKE_NUMBERS and dtype in takes else operator


def options_of(operator: str, options: Mapping[str, Any], place: str) -> dict[str, Any]:
    """What the operator on numbers is decoded from. Refuses a fused activation."""
    activation = options.get("fused_activation_function", "NONE")
    if activation != "NONE":
        rule = "the fused activation of plain numbers must be NONE"
        refuse(place, rule, activation, "Export it as its own op.")
    if operator in _ARITHMETIC:
        return {"function": _ARITHMETIC[operator]}
    function, parameters = _UNARY[operator]
    return {"function": function, "parameters": parameters}
