"""The float network that computes with a plan's grids, and its tensors over a stream of batches.

QuantizeLinear and DequantizeLinear in float32 stand where the integer network stores a tensor
(Krishnamoorthi 2018, arXiv 1806.08342, section 2.4; Nagel et al. 2021, arXiv 2106.08295, section
2.2.4). Products and sums stay float: what rounding accumulators to the output's grid does beyond
that is the integer graph's to say.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from simulator.errors import Unsupported
from simulator.execute import run_batch
from simulator.graph import Array, Graph, Node, TensorType
from simulator.numeric.bounds import UNBOUNDED
from simulator.ops.dequantize_linear import DequantizeLinear
from simulator.ops.quantize_linear import QuantizeLinear
from workloads.float_graph import layers, with_constants, with_outputs
from workloads.float_graph.activations import bounds_on
from workloads.quantize.grid import Grid
from workloads.quantize.ptq.places import moves
from workloads.quantize.ptq.plan import Plan, real_bias


def simulated(plan: Plan) -> Graph:
    """The plan's network with its weights on their grids and a quantizer at each place.

    Inputs, outputs and the tensors between keep their names: the name of a quantized tensor is that
    of its quantized values (a graph input's own excepted). Biases of integer layers are on theirs.
    """
    graph = plan.graph
    values = {name: held.real() for name, held in plan.weights.items()}
    for layer in layers(graph):
        if layer.bias and plan.is_integer(layer):
            values[layer.bias] = real_bias(plan, layer)
    return with_quantizers(with_reals(graph, values), plan.activations)


def with_reals(graph: Graph, values: Mapping[str, Array]) -> Graph:
    """The graph with other values of constants, rounded to the dtypes that it holds them in."""
    held = {name: value.astype(graph.constants[name].dtype) for name, value in values.items()}
    return with_constants(graph, held)


def with_quantizers(graph: Graph, grids: Mapping[str, Grid]) -> Graph:
    """The graph with a quantizer behind each tensor of `grids`, but where elements only move."""
    work = _Insertion(graph)
    for name in graph.inputs:
        if name in grids:
            work.behind(name, f"{name}/quantized", grids[name])
    for name in grids.keys() & graph.constants.keys():
        work.behind(name, f"{name}/quantized", grids[name])
    for node in graph.nodes:
        idle = moves(node) and bounds_on(node) == UNBOUNDED
        work.add(node, {} if idle else {n: grids[n] for n in node.outputs if n in grids})
    return replace(
        graph,
        nodes=tuple(work.nodes),
        tensors=work.tensors,
        constants=work.constants,
    )


def forward(
    graph: Graph,
    batches: Iterable[Mapping[str, Array]],
    tensors: Sequence[str],
    threads: int = 1,
) -> Iterator[dict[str, Array]]:
    """Named tensors of each batch, arrays [samples, *shape]: one batch in memory at a time.

    A batch has every graph input as [samples, *shape]. Inputs may be among `tensors`.
    """
    wanted = tuple(dict.fromkeys(tensors))
    computed = [name for name in wanted if name not in graph.inputs]
    part = with_outputs(graph, computed) if computed else None
    for batch in batches:
        found = {name: batch[name] for name in wanted if name in graph.inputs}
        if part is not None:
            given = {name: batch[name] for name in part.inputs}
            found |= run_batch(part, given, threads=threads)[0]
        yield {name: found[name] for name in wanted}


class _Insertion:
    """A graph under construction: nodes with quantizers between."""

    def __init__(self, graph: Graph) -> None:
        self.nodes = list[Node]()
        self.tensors = dict(graph.tensors)
        self.constants = dict(graph.constants)
        self.renamed = dict[str, str]()

    def add(self, node: Node, grids: Mapping[str, Grid]) -> None:
        """A node, reading what its inputs became, and quantizers behind some of its outputs."""
        inputs = tuple(self.renamed.get(name, name) for name in node.inputs)
        outputs = tuple(f"{n}/real" if n in grids else n for n in node.outputs)
        for before, after in zip(node.outputs, outputs, strict=True):
            self.tensors[after] = self.tensors[before]
        self.nodes.append(replace(node, inputs=inputs, outputs=outputs))
        for name, grid in grids.items():
            self._pair(f"{name}/real", name, grid)

    def behind(self, name: str, after: str, grid: Grid) -> None:
        """A quantizer behind a tensor that keeps its name; those that read it read `after`."""
        self.tensors[after] = self.tensors[name]
        self._pair(name, after, grid)
        self.renamed[name] = after

    def _pair(self, x: str, y: str, grid: Grid) -> None:
        shape, dtype = self.tensors[x].shape, _holder(grid)
        if self.tensors[x].dtype != "float32":
            raise Unsupported(f"'{x}' is {self.tensors[x].dtype}; quantizers are in float32")
        codes, scale, zero = f"{y}/codes", f"{y}/scale", f"{y}/zero_point"
        self.constants[scale] = np.array(grid.scale[0], np.float32)
        self.constants[zero] = np.array(grid.zero_point[0], dtype)
        bits = np.iinfo(dtype).bits
        self.tensors |= {
            codes: TensorType(shape, dtype, bits),
            scale: TensorType((), "float32", 32),
            zero: TensorType((), dtype, bits),
        }
        quantize = QuantizeLinear(0, 0, dtype, grid.low, grid.high, "", True)
        self.nodes += [
            Node(f"{y}/quantize", quantize, (x, scale, zero), (codes,)),
            Node(f"{y}/dequantize", DequantizeLinear(0, 0, "float32"), (codes, scale, zero), (y,)),
        ]


def _holder(grid: Grid) -> str:
    """The smallest NumPy integer that holds a grid's codes."""
    for dtype in ("int8", "uint8", "int16", "uint16"):
        limits = np.iinfo(dtype)
        if limits.min <= grid.low and grid.high <= limits.max:
            return dtype
    raise Unsupported(f"codes {grid.low} to {grid.high} need more than 16 bits; give 16 or fewer")
