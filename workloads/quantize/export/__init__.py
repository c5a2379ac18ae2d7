"""Quantized networks as files: what a `Plan` says, in a format that others run.

Read in this order: `onnx_writer` (nodes, constants, names), `onnx_values` (the tensors of a graph
as values of a file: layout, quantizers), `onnx_layers`, `onnx_elementwise`, `onnx_moves`,
`onnx_pools` (one function an operator), `onnx_graph` (all of them), `carriers` (which integer type
holds a grid), `qdq`, `qonnx`.
"""

from workloads.quantize.export.qdq import integer, to_qdq
from workloads.quantize.export.qonnx import to_qonnx

__all__ = ["integer", "to_qdq", "to_qonnx"]
