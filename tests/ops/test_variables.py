"""Resource variables of TFLite files: handles, initialising subgraphs, refusals."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import workloads
from simulator.errors import BadFile, BitlaneError, IllegalGraph, Unsupported
from simulator.execute import run
from simulator.graph import Array, Graph
from tests.ops.litert import requires_litert
from tests.ops.stateful_model import Op, Part, Tensor, assign, call_once, handle, model, read

ROW: dict[str, Any] = {"shape": (1, 3), "scale": 0.5, "zero": 7}
HANDLE = Tensor("h", (), "resource")
START = np.array([[1, 2, 3]], dtype=np.int8)
INIT = Part([HANDLE, Tensor("c", **ROW, data=START)], [handle(0, "v"), assign(0, 1)])
TENSORS = [Tensor("x", **ROW), HANDLE, Tensor("y", **ROW), Tensor("z", **ROW)]


def main(*ops: Op, tensors: list[Tensor] = TENSORS) -> Part:
    """X 0, handle 1, y 2 (read before x is assigned), z 3 (read after)."""
    return Part(tensors, ops, (0,), (2, 3))


DELAY = (handle(1, "v"), read(1, 2), assign(1, 0), read(1, 3))


def load(folder: Path, data: bytes) -> Graph:
    path = folder / "m.tflite"
    path.write_bytes(data)
    return workloads.load(path)


def row(*values: int) -> Array:
    return np.array([values], dtype=np.int8)


def test_call_once_gives_the_initial_values(tmp_path: Path) -> None:
    graph = load(tmp_path, model(main(call_once(1), *DELAY), INIT))
    assert {name: value.tolist() for name, value in graph.variables.items()} == {"v": [[1, 2, 3]]}
    assert [node.name for node in graph.nodes] == [
        "read_variable_2",
        "assign_variable_3",
        "read_variable_4",
    ]
    outputs, state = run(graph, {"x": row(9, 8, 7)})
    assert (outputs["y"].tolist(), outputs["z"].tolist()) == ([[1, 2, 3]], [[9, 8, 7]])
    assert run(graph, {"x": row(0, 0, 0)}, state=state)[0]["y"].tolist() == [[9, 8, 7]]


def test_what_nothing_initialises_starts_at_its_zero_point(tmp_path: Path) -> None:
    """As in TFLM; LiteRT refuses to read it."""
    graph = load(tmp_path, model(main(*DELAY)))
    assert graph.variables["v"].tolist() == [[7, 7, 7]]


def test_handles_of_one_name_are_one_variable(tmp_path: Path) -> None:
    tensors = [*TENSORS, Tensor("again", (), "resource")]
    ops = (handle(1, "v"), handle(4, "v"), read(1, 2), assign(4, 0), read(1, 3))
    graph = load(tmp_path, model(main(*ops, tensors=tensors)))
    assert run(graph, {"x": row(9, 8, 7)})[0]["z"].tolist() == [[9, 8, 7]]


def test_a_tensor_named_as_a_variable_yields(tmp_path: Path) -> None:
    tensors = [TENSORS[0], Tensor("v", (), "resource"), Tensor("v", **ROW), TENSORS[3]]
    graph = load(tmp_path, model(main(*DELAY, tensors=tensors)))
    assert graph.outputs == ("t2", "z")
    assert set(graph.variables) == {"v"}


def test_containers_keep_names_apart(tmp_path: Path) -> None:
    named = Op("VAR_HANDLE", (), (1,), "VarHandleOptions", {"SharedName": "v", "Container": "c"})
    graph = load(tmp_path, model(main(named, *DELAY[1:])))
    assert set(graph.variables) == {"c/v"}


@pytest.mark.parametrize(("dtype", "start"), [("int8", 7), ("uint8", 0), ("int16", 0)])
def test_variable_tensors_start_where_litert_resets_them(
    dtype: str, start: int, tmp_path: Path
) -> None:
    zero = 0 if dtype == "int16" else 7
    kinds: list[Any] = [
        Tensor("x", (1, 2), "int8", 0.5),
        Tensor("wf", (1, 2), "int8", 0.5, 0, np.ones((1, 2), np.int8)),
        Tensor("wt", (1, 2), "int16", 0.5, 0, np.ones((1, 2), np.int16)),
        Tensor("s", (1, 2), "int16", 0.5, variable=True),
        Tensor("y", (1, 1), "int8", 0.5),
        Tensor("other", (1, 2), dtype, 0.5, zero, variable=True),
    ]
    op = Op("SVDF", (0, 1, 2, -1, 3), (4,), "SVDFOptions", {"Rank": 1})
    graph = load(tmp_path, model(Part(kinds, [op], (0,), (4, 5))))
    assert graph.variables["s"].tolist() == [[0, 0]]
    assert graph.variables["other"].tolist() == [[start, start]]


WIDE = [*TENSORS[:3], Tensor("z", (1, 4), "int8", 0.5, 7)]
STORED = [Tensor("x", **ROW, variable=True, data=START), *TENSORS[1:]]
NESTED = Part(INIT.tensors, [call_once(2), *INIT.ops])


@pytest.mark.parametrize(
    ("parts", "error", "message"),
    [
        (
            (main(*DELAY, call_once(1)), INIT),
            Unsupported,
            "m.tflite, node 4 (CALL_ONCE): it must come before the variables are read or assigned",
        ),
        (
            (main(call_once(1), *DELAY), NESTED, INIT),
            Unsupported,
            "m.tflite, node 0 (CALL_ONCE): an initialiser may not call another; put it in the "
            "first",
        ),
        (
            (main(call_once(3), *DELAY), INIT),
            BadFile,
            "m.tflite, node 0 (CALL_ONCE): subgraph 3 of 2 cannot be its initialiser; the file is "
            "damaged, export it again",
        ),
        (
            (main(call_once(0), *DELAY), INIT),
            BadFile,
            "m.tflite, node 0 (CALL_ONCE): subgraph 0 of 2 cannot be its initialiser; the file is "
            "damaged, export it again",
        ),
        (
            (main(*DELAY[1:]),),
            IllegalGraph,
            "m.tflite, node 0 (READ_VARIABLE): input 0 must come from a VAR_HANDLE of this "
            "subgraph",
        ),
        (
            (main(*DELAY, tensors=WIDE),),
            IllegalGraph,
            "m.tflite, node 3 (READ_VARIABLE): variable 'v' is int8 of shape (1, 4) here and int8 "
            "of shape (1, 3) elsewhere; give it one type",
        ),
        (
            (main(handle(1, "v"), Op("ASSIGN_VARIABLE", (1,), (), "AssignVariableOptions")),),
            IllegalGraph,
            "m.tflite, node 1 (ASSIGN_VARIABLE): it takes a handle and one tensor; found 0",
        ),
        (
            (main(Op("VAR_HANDLE", (), (), "VarHandleOptions", {"SharedName": "v"}), *DELAY),),
            IllegalGraph,
            "m.tflite, node 0 (VAR_HANDLE): it must have one output",
        ),
        (
            (main(*DELAY, tensors=STORED),),
            Unsupported,
            "m.tflite, tensor 0 ('x'): a variable with a stored value; export it again",
        ),
        (
            (main(Op("ADD", (1, 0), (2,), "AddOptions"), *DELAY),),
            Unsupported,
            "m.tflite, tensor 1 ('h'): tensors of type RESOURCE are not supported",
        ),
    ],
)
def test_refusals(
    parts: tuple[Part, ...], error: type[BitlaneError], message: str, tmp_path: Path
) -> None:
    with pytest.raises(error) as caught:
        load(tmp_path, model(*parts))
    assert str(caught.value) == message


@requires_litert
def test_a_stream_equals_litert(tmp_path: Path) -> None:
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    data = model(main(call_once(1), *DELAY), INIT)
    interpreter = Interpreter(
        model_content=data, experimental_op_resolver_type=OpResolverType.BUILTIN_REF
    )
    interpreter.allocate_tensors()
    graph, state = load(tmp_path, data), None
    for step in range(4):
        x = row(step, -step, 100 + step)
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], x)
        interpreter.invoke()
        outputs, state = run(graph, {"x": x}, state=state)
        for name, detail in zip(graph.outputs, interpreter.get_output_details(), strict=True):
            np.testing.assert_array_equal(outputs[name], interpreter.get_tensor(detail["index"]))
