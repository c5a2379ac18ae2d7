"""Read a `.tflite` file into a Graph, every quantization parameter kept exactly.

Schema facts: tensorflow/lite/schema.fbs (version 3). The float32 scales become doubles without
loss; what an operator makes of them is its own matter and its dialect's.
"""

import struct
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import tflite

from simulator.decode import constant
from simulator.errors import BadFile, BitlaneError, IllegalGraph, Unsupported
from simulator.execute import run
from simulator.graph import (
    Array,
    Graph,
    Node,
    Operator,
    Source,
    TensorType,
)
from simulator.numeric.dialect import Dialect
from simulator.registry import find
from workloads.source import decode
from workloads.tflite.numbers import (
    FILTERS_FIRST,
    MAY_TAKE_NUMBERS,
    TO_FILTERS_FIRST,
    options_of,
    registered_name,
)
from workloads.tflite.options import builtin_name, check_text, read_options
from workloads.tflite.tensors import tensor_type, unpack_int4
from workloads.tflite.variables import (
    CALL_ONCE,
    TAKES_HANDLE,
    VAR_HANDLE,
    Variables,
    handle_names,
)

IDENTIFIER: Final = b"TFL3"
_MALFORMED: Final = (struct.error, IndexError, ValueError, TypeError, OverflowError, MemoryError)


def read(path: Path, dialect: Dialect) -> Graph:
    """The graph of the file's first subgraph, its arithmetic that of `dialect`.

    Subgraphs that assign variables once (CALL_ONCE) are run here: they give the initial values.
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
        return _Reader(path.name, data, dialect, 0, Variables()).graph()
    except BitlaneError:
        raise
    except _MALFORMED as error:
        raise BadFile(
            f"{path}: the file is truncated or damaged: {_fault(error, len(data))}; "
            "fetch or export it again"
        ) from None


def _fault(error: BaseException, size: int) -> str:
    """What is wrong with the bytes, by what reading them raised."""
    if isinstance(error, struct.error | IndexError) or "buffer" in str(error):
        return f"one of its tables leads outside its {size} bytes"
    if isinstance(error, UnicodeDecodeError):
        return "a name in it is no UTF-8 text"
    if isinstance(error, MemoryError):
        return "a tensor in it is larger than the memory"
    reason = " ".join(str(error).split())[:120]
    return f"one of its tables contradicts another ({reason})"


class _Reader:
    """One subgraph of a file being read; holds the flatbuffer and the names given so far."""

    def __init__(
        self, name: str, data: bytes, dialect: Dialect, index: int, variables: Variables
    ) -> None:
        self.name = name
        self.data = data
        self.dialect = dialect
        self.index = index
        self.variables = variables
        self.model = tflite.Model.GetRootAs(data, 0)
        if self._count(self.model.SubgraphsLength(), "subgraphs") == 0:
            raise IllegalGraph(f"{name}: the model holds no subgraph; export it again")
        self.subgraph = self.model.Subgraphs(index)
        handles = tuple(handle_names(self.model, name, self._count))
        self.handles = {tensor: variable for s, tensor, variable in handles if s == index}
        self.names = self._tensor_names({variable for _, _, variable in handles})
        self.constants: dict[str, Array] = {}
        self.tensors: dict[str, TensorType] = {}
        self.source_view: dict[str, tuple[str, tuple[int, ...]]] = {}

    def graph(self) -> Graph:
        """Decode every operator, then let `Graph` check the whole."""
        inputs = self._indices(self.subgraph.InputsAsNumpy(), self.subgraph.InputsLength())
        outputs = self._indices(self.subgraph.OutputsAsNumpy(), self.subgraph.OutputsLength())
        operators = self._count(self.subgraph.OperatorsLength(), "operators")
        nodes = tuple(node for i in range(operators) if (node := self._node(i)) is not None)
        for index in (*inputs, *outputs):
            self._tensor(index)
        read = {name for node in nodes for name in node.inputs}
        for stored, _ in self.source_view.values():
            if stored not in read and stored in self.constants:
                del self.constants[stored], self.tensors[stored]
        return Graph(
            name=self.name,
            nodes=nodes,
            tensors=self.tensors,
            constants=self.constants,
            inputs=self._named(inputs),
            outputs=self._named(outputs),
            dialect=self.dialect.name,
            source_index={n: i for i, n in self.names.items() if n in self.tensors},
            source_view=self.source_view,
            variables={n: v for n, v in self.variables.values.items() if n in self.tensors},
        )

    def _node(self, index: int) -> Node | None:
        """The node of an operator; None for one that only declares or initialises variables."""
        operator = self.subgraph.Operators(index)
        operator_name = builtin_name(self.model, operator.OpcodeIndex(), self.name)
        place = f"{self.name}, node {index} ({operator_name})"
        if operator_name == VAR_HANDLE:
            return None
        if operator_name == CALL_ONCE:
            self._initialise(read_options(operator, place)["init_subgraph_index"], place)
            return None
        inputs = self._indices(operator.InputsAsNumpy(), operator.InputsLength(), lowest=-1)
        registered = operator_name
        if operator_name in MAY_TAKE_NUMBERS and inputs and inputs[0] >= 0:
            registered = registered_name(operator_name, self._tensor(inputs[0]).dtype)
        kind = find(f"tflite:{registered}", place)
        outputs = self._indices(operator.OutputsAsNumpy(), operator.OutputsLength())
        if not inputs or not (outputs or kind.updates):
            raise IllegalGraph(f"{place}: an operator needs at least one input and one output")
        names = self._named(inputs)
        if operator_name in TAKES_HANDLE:
            names = (self._variable(inputs, outputs, place), *names[1:])
        for i in inputs[operator_name in TAKES_HANDLE :]:
            if i >= 0:
                self._tensor(i)
        source = Source(
            place=place,
            options=read_options(operator, place),
            inputs=tuple(self.tensors.get(n) for n in names),
            outputs=tuple(self._tensor(i) for i in outputs),
            constants=tuple(self.constants.get(n) for n in names),
            dialect=self.dialect,
            intermediates=self._intermediates(operator, place),
        )
        try:
            if registered != operator_name:
                source = replace(source, options=options_of(operator_name, source))
            if registered == FILTERS_FIRST:
                source, names = self._filters_first(source, names)
            op = decode(kind, source)
        except IndexError:
            raise IllegalGraph(
                f"{place}: has {len(inputs)} inputs and {len(outputs)} outputs; "
                "the operator needs more"
            ) from None
        self._complete(op, source, outputs)
        return Node(f"{kind.kind}_{index}", op, names, self._named(outputs), source)

    def _filters_first(
        self, source: Source, names: tuple[str, ...]
    ) -> tuple[Source, tuple[str, ...]]:
        """Real depthwise weights as every convolution has them, under a name of their own."""
        value, kind = constant(source, 1, "weights"), source.inputs[1]
        if kind is None or value.shape[0] != 1:
            raise IllegalGraph(
                f"{source.place}: depthwise weights must be (1, ky, kx, filters); "
                f"found {value.shape}"
            )
        name = f"{names[1]}@filters"
        turned = np.ascontiguousarray(value.transpose(TO_FILTERS_FIRST))
        self.constants[name] = turned
        self.tensors[name] = replace(kind, shape=turned.shape)
        self.source_view[name] = (names[1], TO_FILTERS_FIRST)
        given = (source.inputs[0], self.tensors[name], *source.inputs[2:])
        known = (source.constants[0], turned, *source.constants[2:])
        return replace(source, inputs=given, constants=known), (names[0], name, *names[2:])

    def _complete(self, op: Operator, source: Source, outputs: tuple[int, ...]) -> None:
        """Infer the shape of outputs that the file leaves open (detection post-processing)."""
        tensors = [self.subgraph.Tensors(i) for i in outputs]
        if all(t.HasRank() or t.ShapeLength() for t in tensors):
            return
        try:
            op.check(source.inputs, source.outputs)
            shapes = op.infer(source.inputs)
        except IllegalGraph as error:
            raise IllegalGraph(f"{source.place}: {error}") from None
        for name, tensor, shape in zip(self._named(outputs), tensors, shapes, strict=False):
            if not (tensor.HasRank() or tensor.ShapeLength()):
                self.tensors[name] = replace(self.tensors[name], shape=shape)

    def _intermediates(self, operator: Any, place: str) -> tuple[TensorType, ...]:
        """Tensors that hold no value: a few operators name them for their grids."""
        indices = self._indices(operator.IntermediatesAsNumpy(), operator.IntermediatesLength())
        return tuple(tensor_type(self.subgraph.Tensors(i), place) for i in indices)

    def _variable(self, inputs: tuple[int, ...], outputs: tuple[int, ...], place: str) -> str:
        """The variable that input 0 is a handle of, typed by what is read or assigned."""
        if inputs[0] not in self.handles:
            raise IllegalGraph(f"{place}: input 0 must come from a VAR_HANDLE of this subgraph")
        name = self.handles[inputs[0]]
        other = (*inputs[1:], *outputs)
        if len(other) != 1 or other[0] < 0:
            raise IllegalGraph(f"{place}: it takes a handle and one tensor; found {len(other)}")
        self.tensors[name] = self.variables.declare(name, self._tensor(other[0]), place)
        return name

    def _initialise(self, subgraph: int, place: str) -> None:
        """Run the subgraph that assigns the variables, and keep what they hold then."""
        if self.index != 0:
            raise Unsupported(f"{place}: an initialiser may not call another; put it in the first")
        if any(name in self.tensors for name in self.handles.values()):
            raise Unsupported(f"{place}: it must come before the variables are read or assigned")
        if not 0 < subgraph < self.model.SubgraphsLength():
            raise BadFile(
                f"{place}: subgraph {subgraph} of {self.model.SubgraphsLength()} cannot be its "
                "initialiser; the file is damaged, export it again"
            )
        initialiser = _Reader(self.name, self.data, self.dialect, subgraph, self.variables).graph()
        _, state = run(initialiser, {})
        self.variables.values.update(state)

    def _tensor(self, index: int) -> TensorType:
        name = self.names[index]
        if name not in self.tensors:
            tensor = self.subgraph.Tensors(index)
            place = f"{self.name}, tensor {index} ('{name}')"
            self.tensors[name] = kind = tensor_type(tensor, place)
            value = self._constant(tensor, kind, place)
            if tensor.IsVariable():
                if value is not None:
                    raise Unsupported(f"{place}: a variable with a stored value; export it again")
                self.variables.declare(name, kind, place)
            elif value is not None:
                self.constants[name] = value
            elif kind.dtype == "int4":
                raise Unsupported(f"{place}: only constants may be int4; widen it to int8")
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
        needed = -(-kind.elements * kind.bits // 8)
        if data.size != needed:
            raise BadFile(
                f"{place}: {kind.dtype} of shape {kind.shape} needs {needed} bytes; the file "
                f"holds {data.size}. Export the model again"
            )
        if kind.dtype == "int4":
            return unpack_int4(data, kind.elements).reshape(kind.shape)
        return data.view(np.dtype(kind.dtype).newbyteorder("<")).reshape(kind.shape)

    def _tensor_names(self, variables: set[str]) -> dict[int, str]:
        """Names by index; `t<index>` where a name is empty, repeats or is a variable's."""
        count = self._count(self.subgraph.TensorsLength(), "tensors")
        names = [(self.subgraph.Tensors(i).Name() or b"").decode() for i in range(count)]
        for i, name in enumerate(names):
            check_text(name, f"{self.name}, tensor {i}: its name")
        seen = Counter((*names, *variables))
        given = {i: n if n and seen[n] == 1 else f"t{i}" for i, n in enumerate(names)}
        times = Counter((*given.values(), *variables))
        if max(times.values(), default=1) > 1:
            clash = next(n for n, count in times.items() if count > 1)
            raise Unsupported(
                f"{self.name}: tensor name '{clash}' is that of a tensor without one; rename it"
            )
        return given

    def _indices(self, values: Any, length: int, lowest: int = 0) -> tuple[int, ...]:
        """Tensor indices, none below `lowest`: -1 stands for an input that is left out."""
        if self._count(length, "tensor indices") == 0:
            return ()
        for value in values:
            if not lowest <= value < len(self.names):
                raise BadFile(
                    f"{self.name}: tensor {value} of {len(self.names)} does not exist; "
                    "the file is damaged, export it again"
                )
        return tuple(int(v) for v in values)

    def _named(self, indices: tuple[int, ...]) -> tuple[str, ...]:
        """The tensors' names; the empty one for an input that is left out."""
        return tuple(self.names[i] if i >= 0 else "" for i in indices)

    def _count(self, length: int, what: str) -> int:
        """A vector's length, refused where the file cannot hold it (a damaged table)."""
        if length > len(self.data):
            raise BadFile(
                f"{self.name}: {length} {what} in a file of {len(self.data)} bytes; "
                "the file is damaged, export it again"
            )
        return length
