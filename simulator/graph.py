"""The quantized graph: frozen types, legality checks, and the operator interface its nodes hold.

Read in this order: `QuantParams`, `TensorType`, `Operator`, `Node`, `Graph`. A `Graph` that exists
is legal: every check runs when it is made, and it cannot be changed afterwards. The canonical
layout is NHWC; importers convert.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal, Self, TypeAlias, TypeVar

import numpy as np

from simulator.legality import check_graph
from simulator.numeric.datapath import Datapath
from simulator.numeric.dialect import Dialect
from simulator.numeric.matmul import Window
from simulator.prepared import Prepared
from simulator.types import DTYPE_BITS, STORAGE, Array, QuantParams, TensorType
from simulator.work import Work

if TYPE_CHECKING:
    import networkx as nx

__all__ = [
    "DTYPE_BITS",
    "STORAGE",
    "Array",
    "Graph",
    "InPlace",
    "Node",
    "Operator",
    "QuantParams",
    "Source",
    "TensorType",
]

_T = TypeVar("_T")
InPlace: TypeAlias = Literal["never", "elementwise", "view"]

KEPT: Final = 8
"""How many things of a kind are kept with a graph: plans, forms of other widths."""


def _may_change(value: Array) -> bool:
    """True where somebody can still write to the memory of an array."""
    owner: Any = value
    while isinstance(owner, np.ndarray):
        if owner.flags.writeable:
            return True
        owner = owner.base
    return False


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
    fixed_widths: ClassVar[str] = ""
    """Why `decode` does not follow other widths than the file's; empty where it does."""
    parameters_of: ClassVar[Literal["input", "output", ""]] = ""
    """Whose scale and zero point inputs 1 and 2 hold as values: input 0's or output 0's."""
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

    def window_of(self, inputs: Sequence[TensorType | None]) -> Window | None:
        """The window that slides over input 0, where each output pixel comes from one alone."""
        return None

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
    """An operator applied to named tensors; an absent optional input is the empty name.

    `source` is what the operator was decoded from, kept so that it can be decoded again on other
    grids; None for a node made in memory.
    """

    name: str
    op: Operator
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    source: Source | None = field(default=None, repr=False, compare=False)

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
    _kept: dict[Any, dict[Any, Any]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def __post_init__(self) -> None:
        object.__setattr__(self, "tensors", MappingProxyType(dict(self.tensors)))
        object.__setattr__(self, "constants", _frozen(self.constants))
        object.__setattr__(self, "variables", _frozen(self.variables))
        object.__setattr__(self, "source_index", MappingProxyType(dict(self.source_index)))
        object.__setattr__(self, "source_view", MappingProxyType(dict(self.source_view)))
        check_graph(self)

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

    def kept(self, maker: object, key: Hashable, make: Callable[[], _T]) -> _T:
        """What `make` derives from this graph, made once for a key of `maker`; `KEPT` of them."""
        found = self._kept.setdefault(maker, {})
        if key in found:
            value: _T = found[key]
            return value
        value = make()
        while len(found) >= KEPT:
            found.pop(next(iter(found)), None)
        found[key] = value
        return value

    def in_widths(self, tensors: Mapping[str, TensorType], work: Sequence[Work]) -> Self:
        """The graph with tensors and work of other widths, to be costed: it cannot be run.

        Its operators hold the grids of the widths that they were decoded for, and are not asked.
        """
        made = copy(self)
        object.__setattr__(made, "tensors", MappingProxyType(dict(tensors)))
        object.__setattr__(made, "_kept", {})
        made.__dict__["work"] = tuple(work)
        return made

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


def _frozen(values: Mapping[str, Array]) -> Mapping[str, Array]:
    """The arrays by name, none of which can be written to."""
    frozen = {}
    for name, value in values.items():
        frozen[name] = value.copy() if _may_change(value) else value
        frozen[name].setflags(write=False)
    return MappingProxyType(frozen)
