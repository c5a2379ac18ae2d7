"""Functions of one real tensor, element by element."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, ClassVar, Final, Self, final

import numpy as np
from numpy.typing import NDArray

from simulator.decode import present, refuse, require_dtypes
from simulator.errors import IllegalGraph
from simulator.graph import Array, Source, TensorType
from simulator.pointwise import Pointwise
from simulator.real_bounds import REALS
from simulator.registry import register

Floats = NDArray[Any]


def _elu(x: Floats, alpha: float) -> Floats:
    return np.where(x >= 0, x, alpha * np.expm1(np.minimum(x, 0)))


def _clip(x: Floats, low: float, high: float) -> Floats:
    return np.minimum(np.maximum(x, low), high)


def _bfloat16(x: Floats) -> Floats:
    # Eight bits of fraction, the exponents of float32; ties to even.
    _, exponent = np.frexp(x)
    step = np.ldexp(1.0, np.maximum(exponent - 8, -133))
    return np.asarray(np.rint(x / step) * step)


def _hard_sigmoid(x: Floats, alpha: float, beta: float) -> Floats:
    return _clip(alpha * x + beta, 0.0, 1.0)


FUNCTIONS: Final[MappingProxyType[str, Callable[..., Any]]] = MappingProxyType(
    {
        "abs": np.abs,
        "bfloat16": _bfloat16,
        "ceil": np.ceil,
        "clip": _clip,
        "elu": _elu,
        "erf": np.vectorize(math.erf, otypes=[np.float64]),
        "exp": np.exp,
        "floor": np.floor,
        "hard_sigmoid": _hard_sigmoid,
        "hard_swish": lambda x: x * _hard_sigmoid(x, 1 / 6, 0.5),
        "leaky_relu": lambda x, alpha: np.where(x >= 0, x, alpha * x),
        "log": np.log,
        "neg": np.negative,
        "reciprocal": lambda x: 1.0 / x,
        "relu": lambda x: np.maximum(x, 0),
        "round": np.rint,
        "rsqrt": lambda x: 1.0 / np.sqrt(x),
        "sigmoid": lambda x: 1.0 / (1.0 + np.exp(-x)),
        "sign": np.sign,
        "sqrt": np.sqrt,
        "tanh": np.tanh,
    }
)
"""By name; parameters follow the tensor. Evaluated in double and rounded once."""
SIMPLE: Final = ("abs", "bfloat16", "ceil", "clip", "floor", "neg", "relu", "round", "sign")
"""Those without a product."""
_IN_PLACE_OF_DOUBLE: Final = (*(name for name in SIMPLE if name != "bfloat16"), "leaky_relu")
"""Those of one step or none, which round once in the tensor's own dtype as well."""


@register
@final
@dataclass(frozen=True)
class FloatUnary(Pointwise):
    """y = function(x, parameters), rounded once; integers keep their dtype where they can.

    Not `relu`, `logistic` and the like, which map codes.
    """

    kind = "float_unary"
    formats = (
        *("onnx:Abs", "onnx:Ceil", "onnx:Clip", "onnx:Elu", "onnx:Erf", "onnx:Exp", "onnx:Floor"),
        *("onnx:HardSigmoid", "onnx:HardSwish", "onnx:LeakyRelu", "onnx:Log", "onnx:Neg"),
        *("onnx:Reciprocal", "onnx:Relu", "onnx:Round", "onnx:Sigmoid", "onnx:Sign", "onnx:Sqrt"),
        *("onnx:Tanh", "tflite:ABS[numbers]", "tflite:FLOOR[numbers]"),
        *("tflite:RELU[numbers]", "tflite:RELU6[numbers]", "tflite:RELU_N1_TO_1[numbers]"),
        *("tflite:RELU_0_TO_1[numbers]", "tflite:SQRT[numbers]", "tflite:RSQRT[numbers]"),
        *("tflite:LEAKY_RELU[numbers]", "tflite:ELU[numbers]", "tflite:HARD_SWISH[numbers]"),
        *("tflite:EXP[numbers]", "tflite:LOG[numbers]"),
    )
    reference = "ONNX Runtime 1.31.1, elementwise (transcendental functions: to rounding)"
    operations: ClassVar[int] = 1

    function: str
    parameters: tuple[float, ...]
    dtype: str

    @classmethod
    def decode(cls, source: Source) -> Self:
        """From the options function and parameters."""
        require_dtypes(source.place, source.inputs[:1], (*REALS, "int8", "uint8", "int32"))
        function = source.options["function"]
        if function not in FUNCTIONS:
            known = ", ".join(FUNCTIONS)
            refuse(source.place, f"the function must be one of {known}", function, "Export it so.")
        parameters = tuple(float(np.float32(p)) for p in source.options["parameters"])
        return cls(function, parameters, source.outputs[0].dtype)

    def multiplies(self) -> bool:
        """All but comparisons, roundings and signs; a function of many steps counts as one."""
        return self.function not in SIMPLE

    def check(self, inputs: Sequence[TensorType | None], outputs: Sequence[TensorType]) -> None:
        """Refuse another output dtype."""
        x = present(inputs, 0)
        if not x.dtype == outputs[0].dtype == self.dtype:
            raise IllegalGraph(f"{self.function} keeps its dtype; found {outputs[0].dtype}")

    def compute(self, inputs: Sequence[Array | None]) -> Array:
        """In double, then to the dtype; in the dtype at once where the bits are the same."""
        x = present(inputs, 0)
        if x.dtype.kind != "f" or self.function not in _IN_PLACE_OF_DOUBLE:
            x = x.astype(np.float64)
        return np.asarray(FUNCTIONS[self.function](x, *self.parameters)).astype(
            self.dtype, copy=False
        )
