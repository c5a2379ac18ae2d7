"""LiteRT in a process of its own: `python -m analysis.litert_worker MODEL`.

Reads pickled lists of input arrays from standard input and answers each with (True, {tensor index:
array}), every tensor the interpreter will show, or (False, why it was refused). The first message
written is (True, runtime version) or (False, why the model was refused). A crash of the runtime
ends this process only.
"""

import pickle
import sys
from functools import partial
from typing import Any, BinaryIO

import numpy as np

from analysis.reference_worker import answer_all


def _interpreter(model_path: str) -> Any:
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    interpreter = Interpreter(
        model_path=model_path,
        experimental_op_resolver_type=OpResolverType.BUILTIN_REF,
        experimental_preserve_all_tensors=True,
        num_threads=1,
    )
    interpreter.allocate_tensors()
    return interpreter


def _tensors(interpreter: Any) -> dict[int, np.ndarray]:
    found = {}
    for detail in interpreter.get_tensor_details():
        if np.dtype(detail["dtype"]).kind not in "biuf":
            continue  # LiteRT crashes on a look at a resource
        try:
            found[detail["index"]] = interpreter.get_tensor(detail["index"])
        except ValueError:
            continue  # scratch tensors hold no data to show
    return found


def _answer(interpreter: Any, inputs: list[np.ndarray]) -> tuple[bool, Any]:
    details = interpreter.get_input_details()
    if len(details) != len(inputs):
        return False, f"it has {len(details)} inputs; {len(inputs)} are given"
    try:
        for detail, value in zip(details, inputs, strict=True):
            interpreter.set_tensor(detail["index"], value)
        interpreter.invoke()
        return True, _tensors(interpreter)
    except (ValueError, RuntimeError) as error:
        return False, _first_sentence(str(error))


def _first_sentence(text: str) -> str:
    return text.split("\n")[0].split(". ")[0][:200]


def serve(model_path: str, requests: BinaryIO, answers: BinaryIO) -> None:
    """Answer requests until their stream ends."""
    from importlib.metadata import version

    try:
        interpreter = _interpreter(model_path)
    except (ValueError, RuntimeError) as error:
        pickle.dump((False, _first_sentence(str(error))), answers)
        return
    told = f"ai-edge-litert {version('ai-edge-litert')} BUILTIN_REF"
    answer_all(told, partial(_answer, interpreter), requests, answers)


if __name__ == "__main__":
    serve(sys.argv[1], sys.stdin.buffer, sys.stdout.buffer)
