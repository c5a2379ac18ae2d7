"""The quantized graph: frozen types, legality checks, and the operator interface its nodes hold.

Read in this order: `QuantParams`, `TensorType`, `Operator`, `Node`, `Graph`. A `Graph` that exists
is legal: every check runs when it is made, and it cannot be changed afterwards. The canonical
layout is NHWC; importers convert.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from math import prod
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray

from simulator.errors import IllegalGraph
from simulator.numeric.datapath import Datapath
from simulator.numeric.dialect import Dialect
from simulator.prepared import Prepared
from simulator.work import Work

if TYPE_CHECKING:
    import networkx as nx

Array: TypeAlias = NDArray[Any]
InPlace: TypeAlias = Literal["never", "elementwise", "view"]

DTYPE_BITS: Final[Mapping[str, int]] = MappingProxyType(
    {
        "int4": 4,
        "int8": 8,
        "uint8": 8,
        "int16": 16,
        "int32": 32,
        "int64": 64,
        "float32": 32,
        "bool": 8,
    }
)


STORAGE: Final[Mapping[str, str]] = MappingProxyType(
    {name: {"int4": "int8"}.get(name, name) for name in DTYPE_BITS}
)
"""The NumPy dtype that holds each: one narrower than a byte lies in a byte."""


def _may_change(value: Array) -> bool:
    """True where somebody can still write to the memory of an array."""
    owner: Any = value
    while isinstance(owner, np.ndarray):
        if owner.flags.writeable:
            return True
        owner = owner.base
    return False


@dataclass(frozen=True)
class QuantParams:
    """The grid of a quantized tensor: real = scale * (q - zero_point).

    `scale` holds one float32 value exactly (as double) per tensor, or one per index along `axis`.
    Not a range: the range follows from the dtype and these.
    """

    scale: tuple[float, ...]
    zero_point: tuple[int, ...]
    axis: int | None = None

    def __post_init__(self) -> None:
        if not self.scale or len(self.scale) != len(self.zero_point):
            raise IllegalGraph(
                f"quantization: {len(self.scale)} scales against {len(self.zero_point)} "
                "zero points; give one of each per channel, or one for the tensor"
            )
        if not all(np.isfinite(s) and s > 0 for s in self.scale):
            bad = next(s for s in self.scale if not (np.isfinite(s) and s > 0))
            raise IllegalGraph(f"quantization: scale must be positive and finite; found {bad}")


@dataclass(frozen=True)
class TensorType:
    """Shape, storage type and grid of a tensor; `bits` is the width its values need (1-64)."""

    shape: tuple[int, ...]
    dtype: str
    bits: int
    quant: QuantParams | None = None

    def __post_init__(self) -> None:
        if self.quant is None or self.dtype not in DTYPE_BITS or self.dtype.startswith("f"):
            return
        signed = not self.dtype.startswith("u")
        low = -(1 << (DTYPE_BITS[self.dtype] - 1)) if signed else 0
        high = low + (1 << DTYPE_BITS[self.dtype]) - 1
        for zero_point in self.quant.zero_point:
            if not low <= zero_point <= high:
                raise IllegalGraph(
                    f"quantization: zero point must be a value of {self.dtype}; found {zero_point}"
                )

    @property
    def elements(self) -> int:
        """Number of elements; 1 for a scalar."""
        return prod(self.shape)


@dataclass(frozen=True)
class Source:
    """What an importer hands to `Operator.decode`: one node of a file, free of that file's format.

    `options` has the format's field names in snake_case and enum values by name; `constants[i]` is
    the value of input i where it is known at import, else None; `place` names file and node for
    error messages. `intermediates` are tensors a file names only for their grids.
    """

    place: str
    options: Mapping[str, Any]
    inputs: tuple[TensorType | None, ...]
    outputs: tuple[TensorType, ...]
    constants: tuple[Array | None, ...]
    dialect: Dialect
    intermediates: tuple[TensorType, ...] = ()


class Operator(ABC):
    """One operator with its parameters: what it checks, infers, computes and how much work it is.

    Subclasses are frozen dataclasses in `simulator.ops`, one file each, found by the registry.
    """

    kind: ClassVar[str]
    """The name of this operator in bitlane, e.g. ``conv_2d``."""
    formats: ClassVar[tuple[str, ...]]
    """The names it has in files, ``format:NAME``, e.g. ``tflite:CONV_2D``."""
    reference: ClassVar[str]
    """Runtime, version and kernel whose bits this operator reproduces."""
    updates: ClassVar[tuple[int, ...]] = ()
    """The inputs that are variables and that this operator replaces: `infer` and `run` give their
    new shapes and values after those of the outputs."""
    in_place: ClassVar[InPlace] = "never"
    """Whether the output may take over an input's memory: ``elementwise`` where each element comes
    from those at its own place (then an input of the same shape and width that nobody needs any
    more), ``view`` where it holds the same elements in the same order."""

    @classmethod
    @abstractmethod
    def decode(cls, source: Source) -> Self:
        """Make the operator from a file's node; raises IllegalGraph or Unsupported."""

    @abstractmethod
    def check(self, inputs: Sequence[TensorType | None], outputs: Sequence[TensorType]) -> None:
        """Refuse an illegal graph (arity, dtypes, grids): raises IllegalGraph."""

    @abstractmethod
    def infer(self, inputs: Sequence[TensorType | None]) -> tuple[tuple[int, ...], ...]:
        """The shape of each output, then of each updated variable."""

    @abstractmethod
    def run(self, inputs: Sequence[Array | None], datapath: Datapath) -> tuple[Array, ...]:
        """The outputs, then the new value of each updated variable; no input is changed.

        Bit-exact as `reference` computes them, or as `datapath` would.
        """

    @abstractmethod
    def work(self, inputs: Sequence[TensorType | None], outputs: Sequence[TensorType]) -> Work:
        """Count the work of one run on these types."""

    def prepare(
        self,
        inputs: Sequence[TensorType | None],
        constants: Sequence[Array | None],
        datapath: Datapath,
    ) -> Prepared | None:
        """The same bits sooner, for inputs of these types; None where there is no such form.

        `constants[i]` is the value of input i where it never changes, else None.
        """
        return None


@dataclass(frozen=True)
class Node:
    """An operator applied to named tensors; an absent optional input is the empty name."""

    name: str
    op: Operator
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]

    @property
    def updates(self) -> tuple[str, ...]:
        """The variables this node replaces, in the order in which its operator gives them."""
        inputs = dict(enumerate(self.inputs))
        return tuple(inputs.get(i, "") for i in self.op.updates)


@dataclass(frozen=True)
class Graph:
    """A legal quantized network: nodes in execution order over named, typed tensors.

    A variable is a tensor that keeps its value from one run to the next; a node reads it as an
    input and replaces it through its operator's `updates`, and later nodes read the new value.
    Raises IllegalGraph from the constructor where a name is unknown or produced twice, an order is
    wrong, or an operator refuses its types.
    """

    name: str
    nodes: tuple[Node, ...]
    tensors: Mapping[str, TensorType]
    constants: Mapping[str, Array]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    dialect: str = "litert-ref"
    source_index: Mapping[str, int] = field(default_factory=dict)
    """Position of each tensor in the file it was read from; empty for a graph made in memory."""
    variables: Mapping[str, Array] = field(default_factory=dict)
    """The initial value of each variable."""
    source_view: Mapping[str, tuple[str, tuple[int, ...]]] = field(default_factory=dict)
    """For a tensor kept in another layout than the file's: its name there, and the order of axes
    that gives its values there."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "tensors", MappingProxyType(dict(self.tensors)))
        object.__setattr__(self, "constants", _frozen(self.constants))
        object.__setattr__(self, "variables", _frozen(self.variables))
        object.__setattr__(self, "source_index", MappingProxyType(dict(self.source_index)))
        object.__setattr__(self, "source_view", MappingProxyType(dict(self.source_view)))
        self._check_names()
        self._check_order()
        for node in self.nodes:
            self._check_types(node)

    def types(self, names: Sequence[str]) -> tuple[TensorType | None, ...]:
        """The types of the named tensors; None for the empty name."""
        return tuple(self.tensors[n] if n else None for n in names)

    def output_types(self, node: Node) -> tuple[TensorType, ...]:
        """The types of a node's outputs."""
        return tuple(self.tensors[n] for n in node.outputs if n)

    def as_in_file(self, name: str, value: Array) -> tuple[str, Array]:
        """Name and value of a tensor as its file has them: another layout is turned back."""
        if name not in self.source_view:
            return name, value
        file_name, order = self.source_view[name]
        return file_name, np.ascontiguousarray(value.transpose(order))

    @cached_property
    def work(self) -> tuple[Work, ...]:
        """The work of every node, in order."""
        return tuple(n.op.work(self.types(n.inputs), self.output_types(n)) for n in self.nodes)

    @cached_property
    def kept(self) -> dict[Any, Any]:
        """What others derive from this graph and keep with it, by keys of their own."""
        return {}

    def to_networkx(self) -> "nx.MultiDiGraph[str]":
        """Nodes by name, an edge for each tensor that flows, with `tensor` and its bytes."""
        import networkx as nx

        graph: nx.MultiDiGraph[str] = nx.MultiDiGraph(name=self.name)
        producer: dict[str, str] = {}
        for node in self.nodes:
            graph.add_node(node.name, op=node.op.kind)
            for tensor in dict.fromkeys(node.inputs):
                if tensor in producer:
                    kind = self.tensors[tensor]
                    graph.add_edge(
                        producer[tensor],
                        node.name,
                        tensor=tensor,
                        bytes=-(-kind.elements * kind.bits // 8),
                    )
            producer.update(dict.fromkeys((*node.outputs, *node.updates), node.name))
        return graph

    def _check_names(self) -> None:
        seen: set[str] = set()
        for node in self.nodes:
            if node.name in seen:
                raise IllegalGraph(f"{self.name}: two nodes are named '{node.name}'; rename one")
            seen.add(node.name)
        used = {t for n in self.nodes for t in (*n.inputs, *n.outputs) if t}
        stored = {**self.constants, **self.variables}
        for name in sorted(used | set(stored) | set(self.inputs) | set(self.outputs)):
            if name not in self.tensors:
                raise IllegalGraph(f"{self.name}: tensor '{name}' is used but has no type")
        for name, value in stored.items():
            what = "variable" if name in self.variables else "constant"
            if value.shape != self.tensors[name].shape:
                raise IllegalGraph(
                    f"{self.name}: {what} '{name}' has shape {value.shape}; "
                    f"its type says {self.tensors[name].shape}"
                )
            if value.dtype != np.dtype(STORAGE.get(self.tensors[name].dtype, value.dtype)):
                raise IllegalGraph(
                    f"{self.name}: constant '{name}' holds {value.dtype}; "
                    f"its type says {self.tensors[name].dtype}"
                )

    def _check_order(self) -> None:
        known = set(self.inputs) | set(self.constants)
        for name in self.variables:
            if name in known:
                raise IllegalGraph(
                    f"{self.name}: variable '{name}' is also a graph input or a constant"
                )
            known.add(name)
        for node in self.nodes:
            for name in node.inputs:
                if name and name not in known:
                    raise IllegalGraph(
                        f"{self.name}, {node.name}: input '{name}' is not known yet; it is "
                        "neither a graph input, a constant nor the output of an earlier node"
                    )
            for index, name in zip(node.op.updates, node.updates, strict=True):
                if name not in self.variables:
                    raise IllegalGraph(
                        f"{self.name}, {node.name}: input {index} must be a variable, for "
                        f"{node.op.kind} replaces it; '{name}' is none"
                    )
            for name in node.outputs:
                if not name:
                    raise IllegalGraph(f"{self.name}, {node.name}: an output has no name")
                if name in known:
                    raise IllegalGraph(
                        f"{self.name}, {node.name}: tensor '{name}' is written a second time"
                    )
                known.add(name)
        for name in self.outputs:
            if name not in known:
                raise IllegalGraph(f"{self.name}: graph output '{name}' is never computed")

    def _check_types(self, node: Node) -> None:
        inputs, outputs = self.types(node.inputs), self.output_types(node)
        try:
            node.op.check(inputs, outputs)
            shapes = node.op.infer(inputs)
        except IllegalGraph as error:
            raise IllegalGraph(f"{self.name}, {node.name}: {error}") from None
        names = (*node.outputs, *node.updates)
        if len(shapes) != len(names):
            raise IllegalGraph(
                f"{self.name}, {node.name}: {len(outputs)} outputs are declared; "
                f"{node.op.kind} has {len(shapes) - len(node.updates)}"
            )
        for name, shape in zip(names, shapes, strict=True):
            kind = self.tensors[name]
            if shape != kind.shape:
                what = "variable" if name in self.variables else "output"
                raise IllegalGraph(
                    f"{self.name}, {node.name}: {what} '{name}' is declared {kind.shape}; "
                    f"its inputs make it {shape}"
                )


def _frozen(values: Mapping[str, Array]) -> Mapping[str, Array]:
    """The arrays by name, none of which can be written to."""
    frozen = {}
    for name, value in values.items():
        frozen[name] = value.copy() if _may_change(value) else value
        frozen[name].setflags(write=False)
    return MappingProxyType(frozen)
