"""One node of any dtype with any number of outputs: what decodes it and what writes its model."""

import struct
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from math import prod
from random import Random
from typing import Any, Final

import numpy as np
import tflite

from simulator.graph import DTYPE_BITS, Array, Operator, QuantParams, Source, TensorType
from simulator.numeric.dialect import DIALECTS, Dialect
from simulator.registry import find
from workloads.tflite.writer import OperatorSpec, TensorSpec, write_model

Case = tuple[Operator, tuple[TensorType | None, ...], tuple[Array | None, ...]]

RANGES: Final = {"int4": (-8, 7), "int8": (-128, 127), "uint8": (0, 255), "int16": (-32768, 32767)}
QUANTIZED: Final = ("int8", "uint8", "int16")
MOVED: Final = (*QUANTIZED, "int32", "int64")
"""What operators that only move elements are tried on."""
ACTIVATIONS: Final = ("NONE", "NONE", "RELU", "RELU6", "RELU_N1_TO_1")
_TENSOR_SHAPE: Final = 4
_TENSOR_TYPE: Final = 6


@dataclass(frozen=True, eq=False)
class Given:
    """An input: its type, its value, and whether the file holds it."""

    kind: TensorType
    value: Array
    stored: bool = False


@dataclass(frozen=True, eq=False)
class OneNode:
    """A node with its tensors and values. An input of None is left out."""

    op: str
    options: Mapping[str, Any]
    given: tuple[Given | None, ...]
    outputs: tuple[TensorType, ...]
    version: int = 1

    @property
    def inputs(self) -> tuple[TensorType | None, ...]:
        """The types of the inputs."""
        return tuple(g.kind if g else None for g in self.given)

    @property
    def values(self) -> tuple[Array | None, ...]:
        """The values of the inputs."""
        return tuple(g.value if g else None for g in self.given)

    @property
    def fed(self) -> list[Array]:
        """The values of the graph's own inputs."""
        return [g.value for g in self.given if g is not None and not g.stored]

    def operator(self, dialect: Dialect) -> Operator:
        """Decoded as an importer would."""
        place = f"one.tflite, node 0 ({self.op})"
        constants = tuple(g.value if g and g.stored else None for g in self.given)
        source = Source(place, self.options, self.inputs, self.outputs, constants, dialect)
        return find(f"tflite:{self.op}", place).decode(source)

    def model(self) -> bytes:
        """A .tflite of this node; inputs are named x<position>, outputs y<position>."""
        specs: list[TensorSpec] = []
        places = []
        for i, given in enumerate(self.given):
            places.append(len(specs) if given else -1)
            if given:
                specs.append(_spec(f"x{i}", given.kind, given.value if given.stored else None))
        first = len(specs)
        specs += [_spec(f"y{i}", kind, None) for i, kind in enumerate(self.outputs)]
        results = tuple(range(first, len(specs)))
        feeds = [p for p, g in zip(places, self.given, strict=True) if g and not g.stored]
        node = OperatorSpec(self.op, tuple(places), results, self.options, self.version)
        model = write_model(specs, [node], feeds, list(results))
        for place, given in zip(places, self.given, strict=True):
            if given and given.kind.dtype == "int4":
                model = _narrowed(model, place, given.kind.shape)
        return model


def _spec(name: str, kind: TensorType, value: Array | None) -> TensorSpec:
    dtype, shape = kind.dtype, kind.shape
    if dtype == "int4":
        # The writer knows no int4: packed bytes in a tensor of half the size, narrowed afterwards.
        assert value is not None
        dtype, value = "int8", packed(value, kind)
        shape = value.shape
    if kind.quant is None:
        return TensorSpec(name, shape, dtype, data=value)
    quant = kind.quant
    return TensorSpec(name, shape, dtype, quant.scale, quant.zero_point, quant.axis or 0, value)


def even_axis(shape: tuple[int, ...], scaled: int) -> int | None:
    """An axis of even length other than the one that has a scale for each index."""
    return next((k for k, n in enumerate(shape) if k != scaled and n % 2 == 0), None)


def packed(value: Array, kind: TensorType) -> Array:
    """Two 4-bit values a byte, the first in the low nibble, in a shape of the same rank.

    With one scale any shape will do; with several their axis must stay, and another one is halved.
    """
    nibbles = np.resize(value.reshape(-1).astype(np.uint8) & 15, value.size + value.size % 2)
    data: Array = (nibbles[::2] | nibbles[1::2] << 4).view(np.int8)
    if kind.quant is None or kind.quant.axis is None:
        shape = (1,) * (value.ndim - 1) + data.shape
    else:
        halved = even_axis(kind.shape, kind.quant.axis)
        shape = tuple(n // 2 if k == halved else n for k, n in enumerate(kind.shape))
    result: Array = data.reshape(shape)
    return result


def _narrowed(model: bytes, index: int, shape: tuple[int, ...]) -> bytes:
    """The model with tensor `index` declared int4 of `shape`."""
    data = bytearray(model)
    table = tflite.Model.GetRootAs(data).Subgraphs(0).Tensors(index)._tab
    data[table.Pos + table.Offset(_TENSOR_TYPE)] = tflite.TensorType.INT4
    struct.pack_into(f"<{len(shape)}i", data, table.Vector(table.Offset(_TENSOR_SHAPE)), *shape)
    return bytes(data)


def cases_of(nodes: Iterable[OneNode]) -> Iterator[Case]:
    """Each node decoded under one dialect after another: every rounding takes its turn."""
    turns = ("litert-ref", "tflm", "cmsis-nn-single", "litert-xnnpack")
    for i, node in enumerate(nodes):
        yield node.operator(DIALECTS[turns[i % len(turns)]]), node.inputs, node.values


def single(value: float) -> float:
    """The nearest float32, as files store scales."""
    return float(struct.unpack("<f", struct.pack("<f", value))[0])


def log_uniform(rng: Random, low: float, high: float) -> float:
    """A float32 scale between two powers of two, each octave equally likely."""
    return single(2 ** rng.uniform(low, high))


def zero_point(rng: Random, dtype: str) -> int:
    """Any zero point of the dtype, the ends more often; 0 for int16."""
    low, high = RANGES[dtype]
    return 0 if dtype == "int16" else rng.choice([low, high, 0, rng.randint(low, high)])


def kind_of(
    shape: tuple[int, ...],
    dtype: str,
    scale: float | tuple[float, ...] | None = None,
    zero: int = 0,
    axis: int = 0,
) -> TensorType:
    """A tensor type; several scales lie along `axis`."""
    if scale is None:
        return TensorType(shape, dtype, DTYPE_BITS[dtype])
    scales = scale if isinstance(scale, tuple) else (scale,)
    quant = QuantParams(scales, (zero,) * len(scales), axis if len(scales) > 1 else None)
    return TensorType(shape, dtype, DTYPE_BITS[dtype], quant)


def codes(rng: Random, shape: tuple[int, ...], dtype: str, *, extreme: bool = False) -> Array:
    """Random codes; only the ends of the range where `extreme`."""
    low, high = RANGES[dtype]
    drawn = [low, high] if extreme else range(low, high + 1)
    values = rng.choices(drawn, k=prod(shape))
    return np.array(values, dtype="int8" if dtype == "int4" else dtype).reshape(shape)


def shape_of_rank(rng: Random, rank: int, largest: int) -> tuple[int, ...]:
    """Sizes up to `largest`, fewer where the rank would make a tensor of over 2000 elements."""
    limit = max(2, min(largest, int(2000 ** (1 / rank))))
    return tuple(rng.randint(1, limit) for _ in range(rank))


def tensor_of(rng: Random, shape: tuple[int, ...], dtype: str) -> Given:
    """A fed tensor of random codes on a random grid, or of plain integers."""
    if dtype not in RANGES:
        values = [rng.randrange(-(2**31), 2**31) for _ in range(prod(shape))]
        return Given(kind_of(shape, dtype), np.array(values, dtype=dtype).reshape(shape))
    kind = kind_of(shape, dtype, log_uniform(rng, -7, 1), zero_point(rng, dtype))
    return Given(kind, codes(rng, shape, dtype, extreme=rng.random() < 0.1))


def stored(values: Any, dtype: str = "int32") -> Given:
    """A constant without a grid: axes, sizes, indices."""
    array = np.array(values, dtype=dtype)
    return Given(kind_of(array.shape, dtype), array, True)


def like(kind: TensorType, shape: tuple[int, ...]) -> TensorType:
    """The same dtype and grid in another shape."""
    return TensorType(shape, kind.dtype, kind.bits, kind.quant)
