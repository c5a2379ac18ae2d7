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
    "none",
]
Scale = Literal["double", "single_product", "single", "by_weights"]


@dataclass(frozen=True)
class Blocks:
    """Vector code that rounds `size` neighbours at once, along the channels or all elements.

    What no full block holds goes through scalar code, which rounds by ``double_round``.
    """

    size: int
    over: Literal["channels", "elements"]


@dataclass(frozen=True)
class Rule:
    """One operator's requantization: the rounding kernel and how its real scale is derived.

    `scale` of s_in * s_w / s_out: ``double`` throughout; ``single_product`` rounds s_in * s_w to
    float32 and divides in double; ``single`` rounds the product and the quotient to float32.
    ``by_weights`` is ``single_product`` where the weights have one scale, else ``double``. With
    `blocks`, the rounding is that of the full blocks alone.
    """

    rounding: Rounding
    scale: Scale = "double"
    blocks: Blocks | None = None


@dataclass(frozen=True)
class Dialect:
    """The arithmetic of one runtime.

    `rules` maps ``kind:dtype``, ``kind`` or ``:dtype`` to a Rule, looked up in that order. A dtype
    may carry a case behind a dot (``int8.spaced``) that some runtimes compute by another kernel;
    a dialect that does not name it has the plain dtype's rule.
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
        plain = dtype.split(".")[0]
        for key in (f"{kind}:{dtype}", f"{kind}:{plain}", kind, f":{plain}"):
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

_RUY: Final = Rule("double_round_up")
_RUY_FC: Final = Rule("double_round_up", "by_weights")

_RAW: Final = Rule("none")

_WEIGHTED_UINT8: Final = {
    f"{kind}:uint8": _UINT8 for kind in ("conv_2d", "depthwise_conv_2d", "transpose_conv")
}
_WEIGHTED_INT16: Final = {
    f"{kind}:int16": _INT16
    for kind in ("conv_2d", "depthwise_conv_2d", "transpose_conv", "batch_matmul")
}
# Recurrent scales are products and quotients of float32 (svdf.cc, unidirectional_sequence_lstm.cc).
_RECURRENT: Final = {
    "svdf": Rule("double_round", "single"),
    "unidirectional_sequence_lstm": Rule("double_round", "single"),
}
# Elementwise ratios that LiteRT forms in float32 (activations.cc, elementwise.cc, mul.cc); the
# unbounded product is one that XNNPACK does not take.
_POINTWISE: Final = {
    kind: Rule("double_round", "single")
    for kind in (
        *("abs", "leaky_relu", "mul", "mul_unbounded", "prelu"),
        *("relu", "relu6", "relu_0_to_1", "relu_n1_to_1", "rsqrt", "softmax"),
    )
}
# tflite-micro forms them in double.
_TFLM_POINTWISE: Final = dict.fromkeys(_POINTWISE, _DOUBLE)
_TFLITE: Final = {
    **_RECURRENT,
    **_WEIGHTED_UINT8,
    **_WEIGHTED_INT16,
    "batch_matmul:int8": _UINT8,
    "batch_matmul:int16": Rule("q15_round", "single_product"),
    # A second operand with a zero point, which XNNPACK does not take.
    "batch_matmul_offset": _UINT8,
    **_POINTWISE,
}
# tflite-micro's kernel_util.cc multiplies s_in * s_w in double, where LiteRT does in float32.
_TFLM_INT16: Final = {
    f"{kind}:int16": _INT16 for kind in ("fully_connected", "unidirectional_sequence_lstm")
}
_TFLM: Final = {
    **_TFLITE,
    **_TFLM_POINTWISE,
    **_TFLM_INT16,
    "batch_matmul:int8": _DOUBLE,
    "batch_matmul:int16": _INT16,
    "batch_matmul_offset": _DOUBLE,
    "fully_connected": _DOUBLE,
    "unidirectional_sequence_lstm": _DOUBLE,
}


# Its int16 sums know no special case of power-of-two scales.
_TFLM_FORMS: Final = {
    "add:int16": "rescale",
    "sub:int16": "rescale",
    "elu": "exp",
    "relu6": "clamp_only",
    "rsqrt:int16": "newton",
    "softmax:int16": "single",
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
        forms=MappingProxyType({"unidirectional_sequence_lstm": "table", **_TFLM_FORMS}),
    ),
    Dialect(
        "cmsis-nn",
        "CMSIS-NN 99f736a63036, default build (double rounding)",
        _DOUBLE,
        MappingProxyType(_TFLM),
        forms=MappingProxyType({"unidirectional_sequence_lstm": "table_fused", **_TFLM_FORMS}),
    ),
    Dialect(
        "cmsis-nn-single",
        "CMSIS-NN 99f736a63036, CMSIS_NN_USE_SINGLE_ROUNDING",
        Rule("single_round"),
        MappingProxyType(
            {
                **{k: Rule("single_round", r.scale) for k, r in _TFLM.items()},
                **_WEIGHTED_INT16,
                **_TFLM_INT16,
            }
        ),
        forms=MappingProxyType({"unidirectional_sequence_lstm": "table_fused", **_TFLM_FORMS}),
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
                # XNNPACK takes int4 weights in fully connected layers of even rows alone.
                "conv_2d:int8x4": _RUY,
                "depthwise_conv_2d:int8x4": Rule("double_round_up", blocks=Blocks(8, "channels")),
                "fully_connected:int8x4": _REAL,
                "fully_connected:int8x4.odd": _RUY_FC,
                # It keeps the sign of codes; LiteRT exchanges it by NEON code (optimized_ops.h
                # Requantize), through SSE.
                "quantize:int8.flipped": Rule("double_round_up", blocks=Blocks(16, "elements")),
                "quantize:uint8.flipped": Rule("double_round_up", blocks=Blocks(16, "elements")),
                # No int16; LiteRT multiplies it by ruy where the sums have 32 bits.
                "conv_2d:int16x32": _RUY,
                # Neither XNNPACK (these operands) nor ruy takes groups: the reference kernel does.
                "conv_2d:int8x4.grouped": _DOUBLE,
                "conv_2d:int16x32.grouped": _DOUBLE,
                "fully_connected:int16x32": _RUY_FC,
                "fully_connected:int16.unbiased": _RUY_FC,
                # No stride over the kernel with SAME padding (optimized/integer_ops/
                # transpose_conv.h and optimized_ops.h Quantize: NEON code, through SSE).
                "transpose_conv:int8.spaced": Rule("double_round_up", blocks=Blocks(8, "channels")),
                "transpose_conv:uint8.spaced": Rule(
                    "double_round_up", "single_product", Blocks(16, "elements")
                ),
                "batch_matmul:int8": _REAL,
                # XNNPACK takes no int16: LiteRT's AVX2 kernel rounds these operands once.
                "add_operand:int16": Rule("single_round"),
                "mul:int8": _REAL,
                "mul:uint8": _REAL,
            }
        ),
        forms=MappingProxyType(
            {
                "add": "shared_shift",
                "sub": "shared_shift",
                "leaky_relu": "q8",
                "quantize": "even",
                "softmax": "float_table",
                "log_softmax": "float_table",
                "log_softmax:float32": "four_sums",
                "logistic:int16": "gemmlowp",
                "tanh:int16": "gemmlowp",
                "mean": "float32",
                "sum": "float32",
                "resize_bilinear": "q11",
                "unidirectional_sequence_lstm": "gemmlowp",
            }
        ),
    ),
    # QLinear* multiply in float32, ties to even. `qdq` says what becomes of float operators
    # between DequantizeLinear and QuantizeLinear: fused to QLinear* on unsigned or on any 8-bit
    # activations, or left as they are.
    Dialect(
        "onnxruntime",
        "ONNX Runtime 1.31.1, x86-64, every optimization",
        _REAL,
        forms=MappingProxyType({"weights": "any sign", "qlinear_add": "fma", "qdq": "unsigned"}),
    ),
    Dialect(
        "onnxruntime-unfused",
        "ONNX Runtime 1.31.1, x86-64, no optimization",
        _REAL,
        forms=MappingProxyType({"weights": "any sign", "qlinear_add": "fma", "qdq": "float"}),
    ),
    Dialect(
        "onnxruntime-arm",
        "ONNX Runtime 1.31.1, NEON, every optimization (read, not run)",
        _REAL,
        forms=MappingProxyType(
            {"weights": "any sign", "qlinear_add": "fixed_point", "qdq": "signed"}
        ),
    ),
    # Both leave sums raw: other nodes of the file bring them onto a grid.
    Dialect("qonnx", "qonnx 1.0.0 execute_onnx, float32 carrier", _RAW),
    Dialect(
        "pulp",
        "PULP Deeploy bf64cfaec26e, RequantShift",
        _RAW,
        # The file's float tensors hold integers.
        forms=MappingProxyType({"carrier": "integers"}),
    ),
)


def dialect(name: str) -> Dialect:
    """The dialect of that name; raises Unsupported with the names there are."""
    if name not in DIALECTS:
        raise Unsupported(
            f"dialect '{name}' is not supported. Supported: {', '.join(sorted(DIALECTS))}."
        )
    return DIALECTS[name]
