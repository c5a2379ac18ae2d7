"""Operators by name: every module of `simulator.ops` is imported once and registers its class."""

import importlib
import pkgutil
from collections.abc import Mapping
from functools import cache
from types import MappingProxyType
from typing import TypeVar

from simulator.errors import Unsupported
from simulator.graph import Operator

_OperatorT = TypeVar("_OperatorT", bound=type[Operator])
_by_format: dict[str, type[Operator]] = {}
_by_kind: dict[str, type[Operator]] = {}


def register(operator: _OperatorT) -> _OperatorT:
    """Class decorator: make an operator known under its `kind` and each of its `formats`.

    Raises ValueError where a name is taken: two files may not define one operator.
    """
    if operator.kind in _by_kind:
        raise ValueError(
            f"operator '{operator.kind}' is defined twice: "
            f"{_by_kind[operator.kind].__module__} and {operator.__module__}"
        )
    for name in operator.formats:
        if name in _by_format:
            raise ValueError(
                f"'{name}' is claimed twice: "
                f"{_by_format[name].__module__} and {operator.__module__}"
            )
    _by_kind[operator.kind] = operator
    _by_format.update(dict.fromkeys(operator.formats, operator))
    return operator


@cache
def operators() -> Mapping[str, type[Operator]]:
    """Every operator by kind, in alphabetical order."""
    package = importlib.import_module("simulator.ops")
    for module in pkgutil.iter_modules(package.__path__, "simulator.ops."):
        importlib.import_module(module.name)
    return MappingProxyType(dict(sorted(_by_kind.items())))


def find(name: str, place: str) -> type[Operator]:
    """The operator with the format name `name`; raises Unsupported naming what is there."""
    operators()
    if name not in _by_format:
        prefix = name.split(":", 1)[0] + ":"
        raise Unsupported(
            f"{place}: operator {name.split(':', 1)[1]} is not supported. "
            f"Supported: {', '.join(known_names(prefix))}."
        )
    return _by_format[name]


def known_names(prefix: str) -> list[str]:
    """The operators of a format, e.g. ``tflite:``, in alphabetical order.

    A second form of one, ``ADD[numbers]``, is named only where there is no first.
    """
    operators()
    names = {n.removeprefix(prefix) for n in _by_format if n.startswith(prefix)}
    return sorted(n for n in names if "[" not in n or n.split("[")[0] not in names)
