"""Values as YAML text that any loader reads back as the same values."""

import json
import math
import re
from collections.abc import Mapping

import yaml


def yaml_scalar(value: object) -> str:
    """Return `value` as YAML on one line that YAML 1.1 and 1.2 loaders read back as the same value.

    Strings that any loader could take for another type are double-quoted; floats always carry a
    point (`1.0e-05`: without it PyYAML reads a string); lists and mappings are in flow style.
    Raises TypeError for a type that YAML has no notation for.
    """
    if isinstance(value, str):
        if re.fullmatch(r"[A-Za-z_][\w./-]*", value, re.ASCII) and yaml.safe_load(value) == value:
            return value if value.lower() not in {"y", "n"} else f'"{value}"'
        quoted = yaml.safe_dump(value, default_style='"', allow_unicode=True, width=math.inf)
        return quoted.removesuffix("\n")
    if isinstance(value, Mapping):
        return (
            "{" + ", ".join(f"{yaml_scalar(k)}: {yaml_scalar(v)}" for k, v in value.items()) + "}"
        )
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(yaml_scalar, value)) + "]"
    if isinstance(value, float):
        return _yaml_float(value)
    if value is None or isinstance(value, (bool, int)):
        return json.dumps(value)
    raise TypeError(f"a configuration value must be plain YAML data; got {type(value).__name__}")


def _yaml_float(value: float) -> str:
    if math.isnan(value):
        return ".nan"
    if math.isinf(value):
        return ".inf" if value > 0 else "-.inf"
    mantissa, exponent, power = repr(value).partition("e")
    return (mantissa if "." in mantissa else mantissa + ".0") + exponent + power
