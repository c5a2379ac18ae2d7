"""One operator as a file holds it: the common source of decoded operators and one-op models."""

import struct
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from math import prod
from random import Random
from typing import Any, Final

import numpy as np

from simulator.graph import DTYPE_BITS, Array, Operator, QuantParams, Source, TensorType
from simulator.numeric.dialect import DIALECTS, Dialect, Rule
from simulator.registry import find
from workloads.tflite.writer import OperatorSpec, TensorSpec, write_model

Case = tuple[Operator, tuple[TensorType | None, ...], tuple[Array | None, ...]]

REFERENCE: Final = DIALECTS["litert-ref"]
_TURNS: Final = (
    REFERENCE,
    DIALECTS["tflm"],
    replace(REFERENCE, name="one rounding", rules={}, default=Rule("single_round")),
)
ACTIVATIONS: Final = ("NONE", "NONE", "RELU", "RELU6", "RELU_N1_TO_1")


def single(value: float) -> float:
    """The nearest float32, as files store scales."""
    return float(struct.unpack("<f", struct.pack("<f", value))[0])


def log_uniform(rng: Random, low: float, high: float) -> float:
    """A float32 scale between two powers of two, each octave equally likely."""
    return single(2 ** rng.uniform(low, high))


def zero_point(rng: Random) -> int:
    """Any int8 zero point, the ends more often."""
    return rng.choice([-128, 127, 0, rng.randint(-128, 127)])


def tensor(
    shape: tuple[int, ...],
    scale: float | tuple[float, ...] | None = None,
    zero: int = 0,
    *,
    dtype: str = "int8",
    axis: int | None = None,
) -> TensorType:
    """A tensor type; several scales lie along `axis` with zero point 0."""
    if scale is None:
        return TensorType(shape, dtype, DTYPE_BITS[dtype])
    scales = scale if isinstance(scale, tuple) else (scale,)
    quant = QuantParams(scales, (zero,) * len(scales), axis if len(scales) > 1 else None)
    return TensorType(shape, dtype, DTYPE_BITS[dtype], quant)


def codes(rng: Random, shape: tuple[int, ...], *, extreme: bool = False) -> Array:
    """Random int8 codes; only -128 and 127 where `extreme`."""
    drawn = [-128, 127] if extreme else range(-128, 128)
    return np.array(rng.choices(drawn, k=prod(shape)), dtype=np.int8).reshape(shape)


def weight_scales(rng: Random, channels: int) -> tuple[float, ...]:
    """One scale for all channels, or one each over four octaves."""
    count = rng.choice([1, channels])
    return tuple(log_uniform(rng, -9, -5) for _ in range(count))


def biases(rng: Random, channels: int) -> Array | None:
    """None, small values, or values at +-2^30."""
    reach = rng.choice([None, 500, 20000, 2**30])
    if reach is None:
        return None
    ends = [reach, -reach] if reach == 2**30 else []
    return np.array(
        [rng.choice([*ends, rng.randint(-reach, reach)]) for _ in range(channels)], dtype=np.int32
    )


def spread(rng: Random, real: float, taps: int, bias: Array | None) -> float:
    """An output scale on which a bias and `taps` products of step `real` fill the int8 range."""
    reach = max(6000 * taps**0.5, 0 if bias is None else float(np.abs(bias).max()))
    return single(real * reach / 2 ** rng.uniform(4, 8))


@dataclass(frozen=True, eq=False)
class OneOp:
    """A node with its tensors and values; inputs in `stored` are constants of the file.

    `refused` says that LiteRT will not run it, though its meaning is clear.
    """

    op: str
    options: Mapping[str, Any]
    inputs: tuple[TensorType | None, ...]
    output: TensorType
    values: tuple[Array | None, ...]
    stored: frozenset[int] = field(default_factory=frozenset)
    refused: bool = False

    def operator(self, dialect: Dialect = REFERENCE) -> Operator:
        """Decoded as an importer would."""
        place = f"one.tflite, node 0 ({self.op})"
        constants = tuple(v if i in self.stored else None for i, v in enumerate(self.values))
        source = Source(place, self.options, self.inputs, (self.output,), constants, dialect)
        return find(f"tflite:{self.op}", place).decode(source)

    def feeds(self) -> list[int]:
        """The inputs that are the graph's own."""
        return [
            i for i, kind in enumerate(self.inputs) if kind is not None and i not in self.stored
        ]

    def model(self) -> bytes:
        """A .tflite of this one operator; inputs are named x<position>, the output y."""
        specs: list[TensorSpec] = []
        places = []
        for i, (kind, value) in enumerate(zip(self.inputs, self.values, strict=True)):
            if kind is None:
                places.append(-1)
                continue
            places.append(len(specs))
            specs.append(_spec(f"x{i}", kind, value if i in self.stored else None))
        specs.append(_spec("y", self.output, None))
        result = len(specs) - 1
        node = OperatorSpec(self.op, tuple(places), (result,), self.options)
        return write_model(specs, [node], [places[i] for i in self.feeds()], [result])


def _spec(name: str, kind: TensorType, value: Array | None) -> TensorSpec:
    quant = kind.quant
    if quant is None:
        return TensorSpec(name, kind.shape, kind.dtype, data=value)
    return TensorSpec(
        name, kind.shape, kind.dtype, quant.scale, quant.zero_point, quant.axis or 0, value
    )


def cases_of(ones: Iterable[OneOp]) -> Iterator[Case]:
    """Each node decoded under one dialect after another: every rounding takes its turn."""
    for i, one in enumerate(ones):
        yield one.operator(_TURNS[i % len(_TURNS)]), one.inputs, one.values
