"""Quantized `.onnx` graphs: QOperator, QDQ (as ONNX Runtime fuses it, or not), QONNX, RequantShift.

Read in this order: `model` (what a file says), `load` (bytes to that), `infer` (types, constants),
`fuse` (what ONNX Runtime makes of QDQ), `build` (towards a Graph: layouts, folding), the
converters (one function an operator), `reader`.
"""
