"""LiteRT's reference kernels on a one-op model held in memory."""

import importlib.util
from collections.abc import Sequence

import pytest

from simulator.graph import Array

requires_litert = pytest.mark.skipif(
    importlib.util.find_spec("ai_edge_litert") is None,
    reason="ai_edge_litert (extra 'reference') is not installed: nothing is compared with LiteRT",
)


def run_reference(model: bytes, values: Sequence[Array], resolver: str = "BUILTIN_REF") -> Array:
    """The first output of `model` under a resolver of LiteRT, its inputs fed in order."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    interpreter = Interpreter(
        model_content=model,
        experimental_op_resolver_type=OpResolverType[resolver],
        num_threads=1,
    )
    interpreter.allocate_tensors()
    for detail, value in zip(interpreter.get_input_details(), values, strict=True):
        interpreter.set_tensor(detail["index"], value)
    interpreter.invoke()
    result: Array = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
    return result
