"""An ONNX model under construction: nodes, constants, names that are free, the opset it needs."""

from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any, Final

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from simulator.graph import Array

ELEMENTS: Final = {
    "int4": TensorProto.INT4,
    "uint4": TensorProto.UINT4,
    "int8": TensorProto.INT8,
    "uint8": TensorProto.UINT8,
    "int16": TensorProto.INT16,
    "uint16": TensorProto.UINT16,
    "int32": TensorProto.INT32,
    "int64": TensorProto.INT64,
    "float32": TensorProto.FLOAT,
}
"""ONNX's element types by name."""
LEAST_OPSET: Final = 13
"""Scales an axis (DequantizeLinear-13), Softmax over one axis."""
NARROW_OPSET: Final = 21
"""Integers of 4 and of 16 bits in QuantizeLinear and DequantizeLinear."""
WIDTH: Final = "bits"
"""The metadata of a constant: how many bits its codes need, where its element type has more."""
_METADATA_IR: Final = 10
"""The version of the format that gives tensors metadata."""


class Writer:
    """Nodes in order of execution, and constants by name; names are made unique here."""

    def __init__(self, opset: int) -> None:
        self.nodes = list[NodeProto]()
        self.constants = dict[str, TensorProto]()
        self.opset = max(opset, LEAST_OPSET)
        self._taken = set[str]()
        self._shared = dict[tuple[str, str, tuple[int, ...], bytes], str]()

    def fresh(self, stem: str) -> str:
        """A name that is free, `stem` where it is; `@` is left to names that readers make."""
        clean = stem.replace("@", ".")
        name, number = clean, 1
        while name in self._taken:
            name, number = f"{clean}_{number}", number + 1
        self._taken.add(name)
        return name

    def node(self, op: str, inputs: Sequence[str], stem: str, **attributes: Any) -> str:
        """Add an operator of one output; returns the output's name."""
        return self.several(op, inputs, [stem], **attributes)[0]

    def several(
        self, op: str, inputs: Sequence[str], stems: Sequence[str], **attributes: Any
    ) -> list[str]:
        """Add an operator of several outputs."""
        outputs = [self.fresh(stem) for stem in stems]
        label = f"{op}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, inputs, outputs, label, **attributes))
        return outputs

    def constant(
        self, stem: str, value: Array | np.generic, element: str = "", bits: int = 0
    ) -> str:
        """A constant's name; equal ones of one stem are one.

        `bits` says how many of its element's bits its codes need, where that is not all of them.
        """
        array = np.ascontiguousarray(value).reshape(np.shape(value))
        kind = element or array.dtype.name
        key = (stem, kind, array.shape, sha256(array.tobytes()).digest())
        if key not in self._shared:
            name = self._shared[key] = self.fresh(stem)
            dtype = helper.tensor_dtype_to_np_dtype(ELEMENTS[kind]) if element else array.dtype
            held = numpy_helper.from_array(array.astype(dtype), name)
            if bits:
                held.metadata_props.add(key=WIDTH, value=str(bits))
            self.constants[name] = held
        return self._shared[key]

    def rename(self, old: str, new: str) -> None:
        """Give a computed value another name, which must be free."""
        for node in self.nodes:
            for names in (node.input, node.output):
                for i, name in enumerate(names):
                    if name == old:
                        names[i] = new

    def model(
        self,
        name: str,
        inputs: Mapping[str, tuple[str, tuple[int, ...]]],
        outputs: Mapping[str, tuple[str, tuple[int, ...]]],
        domains: Mapping[str, int],
    ) -> ModelProto:
        """The model; inputs and outputs by name, with dtype and shape."""
        ends = [
            [helper.make_tensor_value_info(n, ELEMENTS[d], s) for n, (d, s) in group.items()]
            for group in (inputs, outputs)
        ]
        used = {n for node in self.nodes for n in node.input}
        held = [value for n, value in self.constants.items() if n in used]
        graph = helper.make_graph(self.nodes, name, ends[0], ends[1], held)
        opsets = [helper.make_opsetid("", self.opset)]
        opsets += [helper.make_opsetid(domain, version) for domain, version in domains.items()]
        version = helper.find_min_ir_version_for(opsets, ignore_unknown=True)
        if any(value.metadata_props for value in held):
            version = max(version, _METADATA_IR)
        return helper.make_model(
            graph, opset_imports=opsets, ir_version=version, producer_name="bitlane"
        )
