"""Dialects: how one runtime derives multipliers and rounds, held as data.

The importer asks the dialect for a `Rule` by operator kind and activation dtype; no kernel ever
asks which dialect it runs. Facts: LiteRT@f67457790c9c tflite/kernels (kernel_util.cc:258, :333,
integer_ops/fully_connected.h:123), tflite-micro@90b983c2b3f1, XNNPACK@75db3c093b6d,
CMSIS-NN@99f736a63036, ONNX Runtime 1.31.1 mlas.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final, Literal

from simulator.errors import Unsupported

Rounding = Literal[
    "double_round",
    "double_round_up",
    "single_round",
    "tosa_double_round",
    "q15_round",
    "float64_away",
    "float32_even",
]
Scale = Literal["double", "single_product", "single"]


@dataclass(frozen=True)
class Rule:
    """One operator's requantization: the rounding kernel and how its real scale is derived.

    `scale` of s_in * s_w / s_out: ``double`` throughout; ``single_product`` rounds s_in * s_w to
    float32 and divides in double; ``single`` rounds the product and the quotient to float32.
    """

    rounding: Rounding
    scale: Scale = "double"


@dataclass(frozen=True)
class Dialect:
    """The arithmetic of one runtime.

    `rules` maps ``kind:dtype``, ``kind`` or ``:dtype`` to a Rule, looked up in that order.
    `forms` maps an operator kind to the named algorithm this runtime uses where there are several.
    `defects` names known faults of the runtime that are reproduced, by operator kind.
    """

    name: str
    runtime: str
    default: Rule
    rules: Mapping[str, Rule] = field(default_factory=dict)
    forms: Mapping[str, str] = field(default_factory=dict)
    defects: Mapping[str, str] = field(default_factory=dict)

    def rule(self, kind: str, dtype: str) -> Rule:
        """The requantization of an operator kind on activations of `dtype`."""
        for key in (f"{kind}:{dtype}", kind, f":{dtype}"):
            if key in self.rules:
                return self.rules[key]
        return self.default

    def form(self, kind: str, default: str) -> str:
        """The algorithm this runtime uses for an operator kind."""
        return self.forms.get(kind, default)


_DOUBLE: Final = Rule("double_round")
_UINT8: Final = Rule("double_round", "single_product")
_INT16: Final = Rule("q15_round")
_REAL: Final = Rule("float32_even", "single")

_WEIGHTED_UINT8: Final = {
    f"{kind}:uint8": _UINT8 for kind in ("conv_2d", "depthwise_conv_2d", "transpose_conv")
}
_WEIGHTED_INT16: Final = {
    f"{kind}:int16": _INT16
    for kind in ("conv_2d", "depthwise_conv_2d", "transpose_conv", "batch_matmul")
}
_TFLITE: Final = {
    **_WEIGHTED_UINT8,
    **_WEIGHTED_INT16,
    "batch_matmul:int8": _UINT8,
    "mul": Rule("double_round", "single"),
}
# TFLM's FULLY_CONNECTED takes the double product of the scales: on 638 accumulators chosen where
# it differs from the float32 product, tflite-micro 0.dev20261023 gave the bits of the former.
_TFLM: Final = {
    **_TFLITE,
    "fully_connected": _DOUBLE,
    "fully_connected:int16": _INT16,
}


def _all(*dialects: Dialect) -> Mapping[str, Dialect]:
    return MappingProxyType({d.name: d for d in dialects})


DIALECTS: Final[Mapping[str, Dialect]] = _all(
    Dialect(
        "litert-ref",
        "LiteRT 2.3.0 BUILTIN_REF",
        _DOUBLE,
        # In FULLY_CONNECTED the reference multiplies in double, half away from zero.
        MappingProxyType({**_TFLITE, "fully_connected": Rule("float64_away")}),
        forms=MappingProxyType({"unidirectional_sequence_lstm": "gemmlowp"}),
        defects=MappingProxyType(
            {"sum": "int8 and int16 inputs are read as uint8 (reduce.cc:628)"}
        ),
    ),
    Dialect(
        "tflm",
        "tflite-micro 0.dev20261023 reference kernels",
        _DOUBLE,
        MappingProxyType(_TFLM),
        forms=MappingProxyType({"unidirectional_sequence_lstm": "table", "relu6": "clamp_only"}),
    ),
    Dialect(
        "cmsis-nn",
        "CMSIS-NN 99f736a63036, default build (double rounding)",
        _DOUBLE,
        MappingProxyType(_TFLM),
        forms=MappingProxyType({"unidirectional_sequence_lstm": "table", "relu6": "clamp_only"}),
    ),
    Dialect(
        "cmsis-nn-single",
        "CMSIS-NN 99f736a63036, CMSIS_NN_USE_SINGLE_ROUNDING",
        Rule("single_round"),
        MappingProxyType(
            {
                **{k: Rule("single_round", r.scale) for k, r in _TFLM.items()},
                **_WEIGHTED_INT16,
                "fully_connected:int16": _INT16,
            }
        ),
        forms=MappingProxyType({"unidirectional_sequence_lstm": "table", "relu6": "clamp_only"}),
    ),
    Dialect(
        "litert-xnnpack",
        "LiteRT 2.3.0 default resolver, XNNPACK 75db3c093b6d",
        _DOUBLE,
        MappingProxyType(
            {
                **_TFLITE,
                "fully_connected": Rule("float64_away"),
                **{
                    f"{kind}:{dtype}": _REAL
                    for kind in (
                        "conv_2d",
                        "depthwise_conv_2d",
                        "transpose_conv",
                        "fully_connected",
                    )
                    for dtype in ("int8", "uint8")
                },
                "mul": _REAL,
            }
        ),
        forms=MappingProxyType(
            {
                "add": "shared_shift",
                "sub": "shared_shift",
                "mean": "float32",
                "resize_bilinear": "q11",
                "unidirectional_sequence_lstm": "gemmlowp",
            }
        ),
    ),
)


def dialect(name: str) -> Dialect:
    """The dialect of that name; raises Unsupported with the names there are."""
    if name not in DIALECTS:
        raise Unsupported(
            f"dialect '{name}' is not supported. Supported: {', '.join(sorted(DIALECTS))}."
        )
    return DIALECTS[name]
