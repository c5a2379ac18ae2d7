"""A .tflite under construction, node by node: each tensor on the grid that the format asks for.

A node computes in one dtype: int16 where one of its tensors has it, else int8. A tensor keeps the
plan's grid; where an operator reads or writes another one, a QUANTIZE stands between.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NoReturn

import numpy as np

from simulator.decode import refuse
from simulator.graph import Array, Node
from simulator.numeric.bounds import Bounds
from workloads.quantize.export.tflite_grids import FileGrid, file_grid, fused_activation
from workloads.quantize.export.tflite_versions import INT8_ONLY, version_of
from workloads.quantize.ptq.plan import Plan
from workloads.tflite.writer import OperatorSpec, TensorSpec, write_model

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Held:
    """A tensor of the file, by its index there."""

    index: int
    name: str
    shape: Shape
    grid: FileGrid


class Draft:
    """Tensors and operators so far. Names are the graph's; others derive from them by a suffix."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.graph = plan.graph
        self.specs = list[TensorSpec]()
        self.operators = list[OperatorSpec]()
        self.held = dict[str, Held]()
        self.inputs = list[int]()
        self._names = set(plan.graph.tensors)
        self._constants = dict[Any, int]()
        self._moved = dict[tuple[int, FileGrid], Held]()

    def place(self, node: Node) -> str:
        """The file and node that an error names."""
        if node.source is not None:
            return node.source.place
        return f"{self.graph.name}, node '{node.name}' ({node.op.kind})"

    def refuse(self, node: Node, rule: str, value: object, way_out: str) -> NoReturn:
        """Raise Unsupported as one line."""
        refuse(self.place(node), rule, value, way_out)

    def grid(self, name: str) -> FileGrid | None:
        """The grid that the plan gives a tensor."""
        found = self.plan.activations.get(name)
        return None if found is None else file_grid(found, f"{self.graph.name}, tensor '{name}'")

    def dtype(self, node: Node) -> str:
        """What a node computes in."""
        grids = [self.grid(n) for n in (*node.inputs, *node.outputs) if n]
        made = [self.held[n].grid for n in node.inputs if n in self.held]
        wide = any(g is not None and g.dtype == "int16" for g in (*grids, *made))
        return "int16" if wide else "int8"

    def output_grid(self, node: Node) -> FileGrid:
        """The grid of a node's output, in the dtype that it computes in."""
        name = node.outputs[0]
        return self._computed(node, self._planned(name, None))

    def take(self, name: str, *, real: bool) -> None:
        """A graph input; a real one is quantized first."""
        kind, grid = self.graph.tensors[name], self.grid(name)
        if grid is None:
            self._no_grid(name)
        if not real:
            self.held[name] = self._tensor(name, kind.shape, grid)
            self.inputs.append(self.held[name].index)
            return
        index = self._add(TensorSpec(name, kind.shape, "float32"))
        self.inputs.append(index)
        self.held[name] = self._tensor(self._fresh(f"{name}@codes"), kind.shape, grid)
        self._operator("QUANTIZE", (index,), (self.held[name].index,), {})

    def operand(self, node: Node, position: int = 0, grid: FileGrid | None = None) -> Held:
        """Input `position` of a node in the dtype that it computes in; on `grid` where given."""
        name = node.inputs[position]
        if name in self.held:
            x = self.held[name]
            if grid is not None:
                return self.onto(x, grid)
            widens = x.grid.dtype == "int8" and self.dtype(node) == "int16"
            # The codes less the zero point: the same real values in 16 bits.
            return self.onto(x, FileGrid("int16", x.grid.scale, 0)) if widens else x
        if name not in self.graph.constants:
            self._no_grid(name)
        own = grid or self.grid(name)
        if own is None:
            self._no_grid(name)
        value = self.graph.constants[name]
        if own.dtype == "int8" and self.dtype(node) == "int16":
            codes = own.quantize(value).astype(np.int16) - np.int16(own.zero_point)
            own = FileGrid("int16", own.scale, 0)
        else:
            codes = own.quantize(value)
        index = self.constant(name, codes, scales=(own.scale,), zero_point=own.zero_point)
        return Held(index, self.specs[index].name, codes.shape, own)

    def onto(self, x: Held, grid: FileGrid) -> Held:
        """A tensor on another grid."""
        if x.grid == grid:
            return x
        if (x.index, grid) not in self._moved:
            y = self._tensor(self._fresh(f"{x.name}@{grid.dtype}"), x.shape, grid)
            self._operator("QUANTIZE", (x.index,), (y.index,), {})
            self._moved[x.index, grid] = y
        return self._moved[x.index, grid]

    def constant(
        self,
        name: str,
        value: Array,
        *,
        dtype: str = "",
        scales: tuple[float, ...] = (),
        zero_point: int = 0,
        axis: int = 0,
    ) -> int:
        """The index of a constant; equal ones are stored once."""
        kind = dtype or str(value.dtype)
        key = (name, kind, value.shape, value.tobytes(), scales, zero_point, axis)
        if key not in self._constants:
            free = name in self.graph.constants and all(s.name != name for s in self.specs)
            zeros = (zero_point,) * len(scales) or None
            data = np.ascontiguousarray(value).reshape(value.shape)
            given = name if free else self._fresh(name)
            spec = TensorSpec(given, value.shape, kind, scales or None, zeros, axis, data)
            self._constants[key] = self._add(spec)
        return self._constants[key]

    def integers(self, name: str, values: Any) -> int:
        """The index of a constant of int32."""
        return self.constant(name, np.array(values, dtype=np.int32))

    def put(
        self,
        op: str,
        x: Held,
        others: Sequence[int],
        options: Mapping[str, object],
        made: tuple[str, Shape],
    ) -> Held:
        """An operator whose output, under a name and shape, is on the grid of `x`."""
        y = self._tensor(self._fresh(made[0]), made[1], x.grid)
        self._operator(op, (x.index, *others), (y.index,), options)
        return y

    def give(
        self,
        node: Node,
        op: str,
        inputs: Sequence[int],
        options: Mapping[str, object],
        grid: FileGrid | None = None,
        bounds: Bounds | None = None,
    ) -> None:
        """An operator that computes a node's outputs, on `grid` where it has no other.

        `bounds` become its fused activation. What the plan has on another grid is brought there.
        """
        if op in INT8_ONLY and self.dtype(node) == "int16":
            self.refuse(node, f"{op} takes int8", "int16", "Quantize its tensors to 8 bits.")
        planned = [self._planned(name, grid) for name in node.outputs]
        own = [grid or self._computed(node, p) for p in planned]
        shapes = [self.graph.tensors[name].shape for name in node.outputs]
        activation, clamp = "NONE", own[0].limits
        if bounds is not None:
            activation, clamp = fused_activation(bounds, own[0], self.place(node))
            options = {**options, "fused_activation_function": activation or "NONE"}
        outputs = list[Held]()
        for name, shape, wanted, made in zip(node.outputs, shapes, planned, own, strict=True):
            straight = wanted == made and activation
            given = name if straight else self._fresh(f"{name}@{op.lower()}")
            outputs.append(self._tensor(given, shape, made))
        self._operator(op, inputs, tuple(y.index for y in outputs), options)
        for name, y, wanted in zip(node.outputs, outputs, planned, strict=True):
            self.settle(name, y, wanted, y.grid.limits if activation else clamp)

    def settle(self, name: str, y: Held, wanted: FileGrid, clamp: tuple[int, int]) -> None:
        """The tensor `name` from one on another grid, or whose codes are still to be cut."""
        steps = list[tuple[str, int]]()
        if clamp[0] > y.grid.limits[0]:
            steps.append(("MAXIMUM", clamp[0]))
        if clamp[1] < y.grid.limits[1]:
            steps.append(("MINIMUM", clamp[1]))
        last = y.grid == wanted
        for at, (op, code) in enumerate(steps):
            final = last and at == len(steps) - 1
            cut = self._tensor(
                name if final else self._fresh(f"{name}@{op.lower()}"), y.shape, y.grid
            )
            bound = self.code(f"{name}@bound", code, y.grid)
            self._operator(op, (y.index, bound), (cut.index,), {})
            y = cut
        if not last:
            target = self._tensor(name, y.shape, wanted)
            self._operator("QUANTIZE", (y.index,), (target.index,), {})
            y = target
        self.held[name] = y

    def code(self, name: str, code: int, grid: FileGrid) -> int:
        """The index of a constant of one code."""
        value = np.array([code], dtype=grid.dtype)
        return self.constant(name, value, scales=(grid.scale,), zero_point=grid.zero_point)

    def model(self, *, real: bool) -> bytes:
        """The bytes of the file."""
        outputs = []
        for name in self.graph.outputs:
            if name not in self.held:
                self._no_grid(name)
            y = self.held[name]
            if real:
                codes = self._fresh(f"{name}@codes")
                self.specs[y.index] = replace(self.specs[y.index], name=codes)
                index = self._add(TensorSpec(name, y.shape, "float32"))
                self._operator("DEQUANTIZE", (y.index,), (index,), {})
                outputs.append(index)
            else:
                outputs.append(y.index)
        return write_model(self.specs, self.operators, self.inputs, outputs)

    def _planned(self, name: str, grid: FileGrid | None) -> FileGrid:
        """The plan's grid of an output, or the only one that there is."""
        found = self.grid(name) or grid
        if found is None:
            self._no_grid(name)
        return found

    def _computed(self, node: Node, planned: FileGrid) -> FileGrid:
        """The grid on which a node computes what the plan holds in 8 bits, where it has 16."""
        if planned.dtype == self.dtype(node):
            return planned
        # 255 steps of 8 bits are 32640 of these: all of any range.
        return FileGrid("int16", planned.scale / 2**7, 0)

    def _no_grid(self, name: str) -> NoReturn:
        refuse(
            f"{self.graph.name}, tensor '{name}'",
            "a full-integer .tflite has a grid on every tensor",
            "none",
            "Quantize it too, or cut the network there.",
        )

    def _tensor(self, name: str, shape: Shape, grid: FileGrid) -> Held:
        spec = TensorSpec(name, shape, grid.dtype, (grid.scale,), (grid.zero_point,))
        return Held(self._add(spec), name, shape, grid)

    def _add(self, spec: TensorSpec) -> int:
        self.specs.append(spec)
        return len(self.specs) - 1

    def _operator(
        self,
        op: str,
        inputs: Sequence[int],
        outputs: Sequence[int],
        options: Mapping[str, object],
    ) -> None:
        given = [self.specs[i] for i in inputs]
        version = version_of(op, given, self.specs[outputs[0]], options)
        self.operators.append(OperatorSpec(op, tuple(inputs), tuple(outputs), options, version))

    def _fresh(self, name: str) -> str:
        """A name that no tensor has: `name`, or with a number behind."""
        given, count = name, 1
        while given in self._names:
            count += 1
            given = f"{name}_{count}"
        self._names.add(given)
        return given
