"""Operator names and options of a TFLite file as plain names and values."""

import re
from collections.abc import Iterator
from functools import cache
from typing import Any, Final

import tflite
from flatbuffers import flexbuffers
from flatbuffers.number_types import Int32Flags

from simulator.errors import BadFile, IllegalGraph

# Fields that hold an enum, by field name; every other field is a number, a flag or a vector.
_ENUM_FIELDS: Final = {
    "padding": tflite.Padding,
    "fused_activation_function": tflite.ActivationFunctionType,
    "weights_format": tflite.FullyConnectedOptionsWeightsFormat,
    "mode": tflite.MirrorPadMode,
}


class Options(dict[str, Any]):
    """Options by snake_case field name; an absent one names its place."""

    def __init__(self, place: str) -> None:
        super().__init__()
        self.place = place

    def __missing__(self, key: str) -> Any:
        """Raise IllegalGraph: the operator cannot be decoded without this field."""
        raise IllegalGraph(f"{self.place}: option '{key}' is missing; export the model again")


def check_text(text: str, place: str) -> str:
    """The text, refused where it holds control characters, as damaged bytes do."""
    if not text.isprintable():
        raise BadFile(f"{place} is no text; the file is damaged, fetch or export it again")
    return text


def builtin_name(model: Any, index: int, name: str) -> str:
    """The operator name of an operator code, ``CUSTOM:<code>`` for custom ones."""
    if not 0 <= index < model.OperatorCodesLength():
        raise BadFile(f"{name}: operator code {index} does not exist; the file is damaged")
    code = model.OperatorCodes(index)
    # Codes above 127 live in the newer field, which older files leave out; TFLite takes the larger
    # of the two (schema_utils.cc GetBuiltinCode). The package's own accessor hides a small one.
    slot = code._tab.Offset(10)
    newer = code._tab.Get(Int32Flags, slot + code._tab.Pos) if slot else 0
    number = max(newer, code.DeprecatedBuiltinCode())
    builtin = _enum_names(tflite.BuiltinOperator).get(number, f"code {number}")
    if builtin == "CUSTOM":
        custom = (code.CustomCode() or b"").decode()
        return f"CUSTOM:{check_text(custom, f'{name}: operator code {index}')}"
    return builtin


def read_options(operator: Any, place: str) -> Options:
    """Every field of the operator's options table, enums by name; a custom one's map."""
    options = Options(place)
    if operator.CustomOptionsLength():
        options.update(_custom_options(bytes(operator.CustomOptionsAsNumpy()), place))
    table_name = _enum_names(tflite.BuiltinOptions).get(operator.BuiltinOptionsType(), "NONE")
    table = operator.BuiltinOptions()
    if table_name == "NONE" or table is None:
        return options
    reader = getattr(tflite, table_name)()
    reader.Init(table.Bytes, table.Pos)
    for method, is_vector in _fields(type(reader)):
        field = _snake_case(method)
        if is_vector:
            length = getattr(reader, f"{method}Length")()
            vector = getattr(reader, f"{method}AsNumpy")() if length else ()
            options[field] = tuple(int(v) for v in vector)
            continue
        value = getattr(reader, method)()
        if isinstance(value, bytes):
            value = value.decode()
        enum = _ENUM_FIELDS.get(field)
        options[field] = value if enum is None else _enum_names(enum).get(value, value)
    return options


def _custom_options(data: bytes, place: str) -> dict[str, Any]:
    """A flexbuffer map, as the options of custom operators are stored."""
    try:
        found = flexbuffers.Loads(data)
    except Exception:  # whatever a damaged buffer makes the parser do
        found = None
    if not isinstance(found, dict):
        raise IllegalGraph(f"{place}: its custom options are no flexbuffer map; export it again")
    return found


def _fields(table: type[Any]) -> Iterator[tuple[str, bool]]:
    """(getter, is a vector) of each field of a generated table class."""
    methods = [m for m in vars(table) if m[0].isupper() and m != "Init" and m[:7] != "GetRoot"]
    vectors = {m.removesuffix("Length") for m in methods if f"{m}AsNumpy" in methods} | {
        m.removesuffix("AsNumpy") for m in methods if m.endswith("AsNumpy")
    }
    for method in methods:
        if method in vectors:
            yield method, True
        elif not method.endswith(("Length", "AsNumpy", "IsNone", "BufferHasIdentifier")):
            yield method, False


@cache
def _enum_names(enum: type[Any]) -> dict[int, str]:
    return {v: k for k, v in vars(enum).items() if not k.startswith("_")}


def _snake_case(name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()
