"""ONNX Runtime in a process of its own: `python -m analysis.onnxruntime_worker MODEL LEVEL`.

LEVEL `all` runs the file with every optimization and shows its outputs; `none` runs node by node
and shows what every node writes. Reads pickled lists of input arrays from standard input and
answers each with (True, {tensor name: array}), or (False, why it was refused). The first message
written is (True, runtime version) or (False, why the model was refused). A crash of the runtime
ends this process only.
"""

import pickle
import sys
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from analysis.reference_worker import answer_all

LEVELS = {"all": "every optimization", "none": "no optimization"}


def _session(model_path: str, level: str) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    levels = onnxruntime.GraphOptimizationLevel
    optimized = level == "all"
    options.graph_optimization_level = (
        levels.ORT_ENABLE_ALL if optimized else levels.ORT_DISABLE_ALL
    )
    model = model_path if optimized else _with_every_tensor(model_path)
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def _with_every_tensor(model_path: str) -> bytes:
    """The model with what every node writes among its outputs; without optimization no node's
    arithmetic depends on who reads it.
    """
    import onnx

    model = onnx.load(model_path)
    known = {value.name for value in model.graph.output}
    written = dict.fromkeys(name for node in model.graph.node for name in node.output if name)
    model.graph.output.extend(
        onnx.ValueInfoProto(name=name) for name in written if name not in known
    )
    return bytes(model.SerializeToString())


def _answer(session: Any, inputs: list[np.ndarray]) -> tuple[bool, Any]:
    names = [given.name for given in session.get_inputs()]
    if len(names) != len(inputs):
        return False, f"it has {len(names)} inputs; {len(inputs)} are given"
    try:
        values = session.run(None, dict(zip(names, inputs, strict=True)))
    except Exception as error:  # the runtime's own errors have no class in common
        return False, _sentence(error)
    found = zip((shown.name for shown in session.get_outputs()), values, strict=True)
    return True, {
        name: np.asarray(value)
        for name, value in found
        if isinstance(value, (np.ndarray, np.generic)) and value.dtype.kind in "biuf"
    }


def _sentence(error: Exception) -> str:
    """The first line, without `[ONNXRuntimeError] : number : NAME : ` before it."""
    text = str(error).split("\n")[0]
    parts = text.split(" : ", 3)
    return (parts[3] if len(parts) == 4 else text)[:200].strip()


def serve(model_path: str, level: str, requests: BinaryIO, answers: BinaryIO) -> None:
    """Answer requests until their stream ends."""
    try:
        session = _session(model_path, level)
    except Exception as error:  # as above; onnx raises its own where the bytes are no model
        told = _sentence(error).replace(model_path, Path(model_path).name)
        pickle.dump((False, told), answers)
        return
    from importlib.metadata import version

    known = f"onnxruntime {version('onnxruntime')}, {LEVELS[level]}"
    answer_all(known, partial(_answer, session), requests, answers)


if __name__ == "__main__":
    serve(sys.argv[1], sys.argv[2], sys.stdin.buffer, sys.stdout.buffer)
