"""Read a `.tflite` file into a Graph, every quantization parameter kept exactly.

Schema facts: tensorflow/lite/schema.fbs (version 3). The float32 scales become doubles without
loss; what an operator makes of them is its own matter and its dialect's.
"""

import struct
from collections import Counter
from pathlib import Path
from typing import Any, Final

import numpy as np
import tflite

from simulator.errors import BadFile, BitlaneError, IllegalGraph, Unsupported
from simulator.graph import DTYPE_BITS, Array, Graph, Node, QuantParams, Source, TensorType
from simulator.numeric.dialect import Dialect
from simulator.registry import find
from workloads.tflite.options import builtin_name, read_options

IDENTIFIER: Final = b"TFL3"
_MALFORMED: Final = (struct.error, IndexError, ValueError, TypeError, OverflowError, MemoryError)
_DTYPES: Final = {
    value: name.lower()
    for name, value in vars(tflite.TensorType).items()
    if not name.startswith("_") and name.lower() in DTYPE_BITS
}
_DTYPE_NAMES: Final = {
    value: name for name, value in vars(tflite.TensorType).items() if not name.startswith("_")
}


def read(path: Path, dialect: Dialect) -> Graph:
    """The graph of the file's first subgraph, its arithmetic that of `dialect`.

    Raises BadFile where the bytes are no TFLite model, IllegalGraph or Unsupported with file and
    node where the graph cannot run here.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise BadFile(f"{path}: cannot be read ({error.strerror}); check the path") from None
    if not data:
        raise BadFile(f"{path}: the file is empty; export the model again")
    if data[4:8] != IDENTIFIER:
        raise BadFile(
            f"{path}: not a TFLite model: bytes 4-7 are {data[4:8]!r}, not {IDENTIFIER!r}; "
            "give a .tflite flatbuffer"
        )
    try:
        return _Reader(path.name, data, dialect).graph()
    except BitlaneError:
        raise
    except _MALFORMED as error:
        raise BadFile(
            f"{path}: the file is truncated or damaged: a table points outside its "
            f"{len(data)} bytes ({type(error).__name__}); fetch or export it again"
        ) from None


class _Reader:
    """One file being read; holds the flatbuffer and the names given so far."""

    def __init__(self, name: str, data: bytes, dialect: Dialect) -> None:
        self.name = name
        self.size = len(data)
        self.dialect = dialect
        self.model = tflite.Model.GetRootAs(data, 0)
        if self._count(self.model.SubgraphsLength(), "subgraphs") == 0:
            raise IllegalGraph(f"{name}: the model holds no subgraph; export it again")
        self.subgraph = self.model.Subgraphs(0)
        self.names = self._tensor_names()
        self.constants: dict[str, Array] = {}
        self.tensors: dict[str, TensorType] = {}

    def graph(self) -> Graph:
        """Decode every operator, then let `Graph` check the whole."""
        inputs = self._indices(self.subgraph.InputsAsNumpy(), self.subgraph.InputsLength())
        outputs = self._indices(self.subgraph.OutputsAsNumpy(), self.subgraph.OutputsLength())
        operators = self._count(self.subgraph.OperatorsLength(), "operators")
        nodes = tuple(self._node(i) for i in range(operators))
        for index in (*inputs, *outputs):
            self._tensor(index)
        return Graph(
            name=self.name,
            nodes=nodes,
            tensors=self.tensors,
            constants=self.constants,
            inputs=tuple(self.names[i] for i in inputs),
            outputs=tuple(self.names[i] for i in outputs),
            dialect=self.dialect.name,
            source_index={n: i for i, n in self.names.items() if n in self.tensors},
        )

    def _node(self, index: int) -> Node:
        operator = self.subgraph.Operators(index)
        operator_name = builtin_name(self.model, operator.OpcodeIndex(), self.name)
        place = f"{self.name}, node {index} ({operator_name})"
        kind = find(f"tflite:{operator_name}", place)
        inputs = self._indices(operator.InputsAsNumpy(), operator.InputsLength(), optional=True)
        outputs = self._indices(operator.OutputsAsNumpy(), operator.OutputsLength())
        source = Source(
            place=place,
            options=read_options(operator, place),
            inputs=tuple(self._tensor(i) if i >= 0 else None for i in inputs),
            outputs=tuple(self._tensor(i) for i in outputs),
            constants=tuple(self.constants.get(self.names[i]) if i >= 0 else None for i in inputs),
            dialect=self.dialect,
        )
        if not source.inputs or not source.outputs:
            raise IllegalGraph(f"{place}: an operator needs at least one input and one output")
        try:
            decoded = kind.decode(source)
        except IndexError:
            raise IllegalGraph(
                f"{place}: has {len(inputs)} inputs and {len(outputs)} outputs; "
                "the operator needs more"
            ) from None
        return Node(
            name=f"{kind.kind}_{index}",
            op=decoded,
            inputs=tuple(self.names[i] if i >= 0 else "" for i in inputs),
            outputs=tuple(self.names[i] for i in outputs),
        )

    def _tensor(self, index: int) -> TensorType:
        name = self.names[index]
        if name not in self.tensors:
            tensor = self.subgraph.Tensors(index)
            place = f"{self.name}, tensor {index} ('{name}')"
            self.tensors[name] = kind = _tensor_type(tensor, place)
            value = self._constant(tensor, kind, place)
            if value is not None:
                self.constants[name] = value
        return self.tensors[name]

    def _constant(self, tensor: Any, kind: TensorType, place: str) -> Array | None:
        if not 0 <= tensor.Buffer() < self.model.BuffersLength():
            raise BadFile(f"{place}: buffer {tensor.Buffer()} is not in the file; export it again")
        buffer = self.model.Buffers(tensor.Buffer())
        if buffer.Offset() > 1:
            raise Unsupported(f"{place}: its data lies outside the flatbuffer; store it inside")
        if self._count(buffer.DataLength(), "bytes") == 0:
            return None
        if tensor.Sparsity() is not None:
            raise Unsupported(f"{place}: sparse weights are not supported; export them dense")
        data = np.asarray(buffer.DataAsNumpy(), dtype=np.uint8)
        needed = kind.elements * kind.bits // 8
        if data.size != needed:
            raise BadFile(
                f"{place}: {kind.dtype} of shape {kind.shape} needs {needed} bytes; the file "
                f"holds {data.size}. Export the model again"
            )
        return data.view(np.dtype(kind.dtype).newbyteorder("<")).reshape(kind.shape)

    def _tensor_names(self) -> dict[int, str]:
        """Names by index; `t<index>` where a name is empty or repeats."""
        count = self._count(self.subgraph.TensorsLength(), "tensors")
        names = [(self.subgraph.Tensors(i).Name() or b"").decode() for i in range(count)]
        seen = Counter(names)
        given = {i: n if n and seen[n] == 1 else f"t{i}" for i, n in enumerate(names)}
        if len(set(given.values())) < count:
            clash = next(n for n, times in Counter(given.values()).items() if times > 1)
            raise Unsupported(
                f"{self.name}: tensor name '{clash}' is that of a tensor without one; rename it"
            )
        return given

    def _indices(self, values: Any, length: int, *, optional: bool = False) -> tuple[int, ...]:
        """Tensor indices; -1, an optional input left out, only where `optional`."""
        if self._count(length, "tensor indices") == 0:
            return ()
        for value in values:
            if not (-1 if optional else 0) <= value < len(self.names):
                raise BadFile(
                    f"{self.name}: tensor {value} of {len(self.names)} does not exist; "
                    "the file is damaged, export it again"
                )
        return tuple(int(v) for v in values)

    def _count(self, length: int, what: str) -> int:
        """A vector's length, refused where the file cannot hold it (a damaged table)."""
        if length > self.size:
            raise BadFile(
                f"{self.name}: {length} {what} in a file of {self.size} bytes; "
                "the file is damaged, export it again"
            )
        return length


def _tensor_type(tensor: Any, place: str) -> TensorType:
    if tensor.Type() not in _DTYPES:
        found = _DTYPE_NAMES.get(tensor.Type(), tensor.Type())
        raise Unsupported(f"{place}: tensors of type {found} are not supported")
    dtype = _DTYPES[tensor.Type()]
    if dtype == "int4":
        raise Unsupported(f"{place}: int4 tensors are not supported; quantize to int8")
    shape = tuple(int(d) for d in tensor.ShapeAsNumpy()) if tensor.ShapeLength() else ()
    if any(d < 0 for d in shape):
        raise Unsupported(f"{place}: shape {shape} is not fixed; export it with fixed shapes")
    quant = _quantization(tensor, place, shape)
    try:
        return TensorType(shape, dtype, DTYPE_BITS[dtype], quant)
    except IllegalGraph as error:
        raise IllegalGraph(f"{place}: {error}") from None


def _quantization(tensor: Any, place: str, shape: tuple[int, ...]) -> QuantParams | None:
    quantization = tensor.Quantization()
    if quantization is None or quantization.ScaleLength() == 0:
        return None
    scale = tuple(float(np.float32(s)) for s in quantization.ScaleAsNumpy())
    count = quantization.ZeroPointLength()
    zero = tuple(int(z) for z in quantization.ZeroPointAsNumpy()) if count else (0,) * len(scale)
    axis = quantization.QuantizedDimension() if len(scale) > 1 else None
    if axis is not None and len(shape) == 1:
        # Old converters left the weights' dimension on their 1-D bias; only one is possible.
        axis = 0
    if axis is not None and not (0 <= axis < len(shape) and shape[axis] == len(scale)):
        raise IllegalGraph(
            f"{place}: {len(scale)} scales along dimension {axis} of shape {shape}; "
            "there must be one per index"
        )
    try:
        return QuantParams(scale, zero, axis)
    except IllegalGraph as error:
        raise IllegalGraph(f"{place}: {error}") from None
