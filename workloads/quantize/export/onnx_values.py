"""The tensors of a graph as values of an ONNX file: in which layout they exist, how quantized.

A tensor exists in the graph's own order of axes (`own`) or, of four axes, with the channels moved
from the last place to the second (`nchw`), as ONNX's windows want them; the one form is made from
the other by a Transpose where it is first asked for.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from math import inf
from typing import Final, Literal

import numpy as np

from simulator.errors import Unsupported
from simulator.graph import Array, Graph, Node
from simulator.numeric.bounds import UNBOUNDED, Bounds
from workloads.float_graph import Layer
from workloads.quantize.export.onnx_writer import Writer
from workloads.quantize.grid import Grid
from workloads.quantize.ptq.plan import Plan

Form = Literal["own", "nchw"]
TO_NCHW: Final = (0, 3, 1, 2)
"""Axis k of NCHW is axis TO_NCHW[k] of NHWC."""
TO_NHWC: Final = (0, 2, 3, 1)
Order = tuple[int, ...]


class Quantizers(ABC):
    """How a format writes the grids of a plan."""

    @abstractmethod
    def activation(self, writer: Writer, value: str, name: str, grid: Grid, bounds: Bounds) -> str:
        """A real value cut to bounds and brought onto its grid, real again."""

    @abstractmethod
    def moved(self, writer: Writer, value: str, name: str, grid: Grid) -> str:
        """A value whose elements lie on the grid already."""

    def beside_reals(self, writer: Writer, value: str, name: str) -> str:
        """A value on a grid that is multiplied with real weights, onto another grid."""
        return value

    def padded(self, writer: Writer, value: str, pads: str, name: str, grid: Grid) -> str:
        """A value on the grid with zeros around it; `pads` names the constant of Pad."""
        return self.moved(writer, writer.node("Pad", [value, pads], f"{name}_real"), name, grid)

    @abstractmethod
    def constant(self, writer: Writer, value: Array, name: str, grid: Grid) -> str:
        """A constant operand on its grid, real."""

    @abstractmethod
    def weights(self, writer: Writer, plan: Plan, layer: Layer, order: Order, axis: int) -> str:
        """Weights, their axes in another order, channels along `axis`; real."""

    @abstractmethod
    def bias(self, writer: Writer, plan: Plan, layer: Layer) -> str:
        """The bias of an integer layer, (filters,); real."""


class Values:
    """The file so far, and the value of each tensor in the forms that exist."""

    def __init__(self, plan: Plan, quantizers: Quantizers, opset: int) -> None:
        self.plan = plan
        self.graph: Graph = plan.graph
        self.quantizers = quantizers
        self.writer = Writer(opset)
        self.names = dict[tuple[str, Form], str]()
        self.inputs = {name: self.writer.fresh(name) for name in self.graph.inputs}
        # The names of outputs are kept for the end.
        self.outputs = {name: self.writer.fresh(name) for name in self.graph.outputs}
        for name, value in self.inputs.items():
            self.put(name, "own", value)

    def shape(self, name: str) -> tuple[int, ...]:
        """The shape of a tensor in the graph."""
        return self.graph.tensors[name].shape

    def form(self, names: Sequence[str]) -> Form:
        """The form for tensors that broadcast together: `nchw` where one exists in it alone."""
        known = [n for n in names if n and n not in self.graph.constants]
        images = all(len(self.shape(n)) == 4 for n in known)
        return "nchw" if images and any((n, "own") not in self.names for n in known) else "own"

    def axis(self, axis: int, form: Form) -> int:
        """An axis of the graph's order in a form."""
        return TO_NCHW.index(axis) if form == "nchw" else axis

    def at(self, name: str, form: Form) -> str:
        """The value of a tensor in a form, made where it is missing; of a constant, too."""
        if (name, form) in self.names:
            return self.names[name, form]
        if name in self.graph.constants:
            self.names[name, form] = self._constant(name, form)
            return self.names[name, form]
        other: Form = "own" if form == "nchw" else "nchw"
        order = TO_NCHW if form == "nchw" else TO_NHWC
        held = self.names[name, other]
        value = self.writer.node("Transpose", [held], f"{name}_{form}", perm=order)
        grid = self.plan.activations.get(name)
        if grid is not None:
            value = self.quantizers.moved(self.writer, value, f"{name}_{form}", grid)
        self.names[name, form] = value
        return value

    def _constant(self, name: str, form: Form) -> str:
        value = self.graph.constants[name]
        if form == "nchw":
            value = value.reshape((1,) * (4 - value.ndim) + value.shape).transpose(TO_NCHW)
        grid = self.plan.activations.get(name)
        if grid is None:
            return self.writer.constant(name, value)
        return self.quantizers.constant(self.writer, value, name, grid)

    def put(self, name: str, form: Form, value: str, bounds: Bounds = UNBOUNDED) -> None:
        """Say what value an output has: cut to bounds, quantized where the plan has a grid."""
        grid = self.plan.activations.get(name)
        if grid is not None:
            value = self.quantizers.activation(self.writer, value, name, grid, bounds)
        elif bounds != UNBOUNDED:
            value = cut(self.writer, value, bounds, name)
        self.names[name, form] = value

    def put_moved(self, name: str, form: Form, value: str) -> None:
        """The same of elements that were only moved."""
        grid = self.plan.activations.get(name)
        if grid is not None:
            value = self.quantizers.moved(self.writer, value, name, grid)
        self.names[name, form] = value

    def refuse(self, node: Node, why: str) -> Unsupported:
        """The error for a node that has no form in ONNX, to be raised."""
        return Unsupported(f"{self.graph.name}, node '{node.name}' ({node.op.kind}): {why}")

    def finish(self) -> None:
        """Give every graph output its name, in the graph's own order of axes."""
        taken = set(self.inputs.values())
        for name, final in self.outputs.items():
            value = self.at(name, "own")
            if value in taken or value in self.writer.constants:
                value = self.writer.node("Identity", [value], f"{name}_copy")
            self.writer.rename(value, final)
            self.names = {k: final if v == value else v for k, v in self.names.items()}
            taken.add(final)


def cut(writer: Writer, value: str, bounds: Bounds, stem: str) -> str:
    """A real value cut to bounds: Relu, or Clip."""
    if bounds == (0.0, inf):
        return writer.node("Relu", [value], f"{stem}_relu")
    ends = [
        writer.constant(f"{end}_bound", np.float32(bound)) if abs(bound) < inf else ""
        for end, bound in zip(("low", "high"), bounds, strict=True)
    ]
    return writer.node("Clip", [value, *ends], f"{stem}_clip")
