"""State: variables in graphs, and recurrent operators step by step."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest

import workloads
from simulator.decode import present
from simulator.errors import IllegalGraph, IllegalValues
from simulator.execute import run
from simulator.graph import Array, Graph, Node, TensorType
from simulator.numeric.datapath import GRAPH_DATAPATH, Datapath, Overflow
from simulator.numeric.recurrent import evaluate
from simulator.ops.assign_variable import AssignVariable
from simulator.ops.read_variable import ReadVariable
from simulator.ops.unidirectional_sequence_lstm import UnidirectionalSequenceLstm
from tests.ops.build import tensor
from tests.ops.litert import requires_litert
from tests.ops.oracles import nested
from tests.ops.stateful_model import Op, Part, Tensor, model
from tests.oracle import svdf as svdf_oracle
from tests.oracle import unidirectional_sequence_lstm as lstm_oracle
from tests.oracle.primitives import Accumulator

KIND = tensor((3,), 0.5, 7)


def row(*values: int) -> Array:
    return np.array(values, dtype=np.int8)


def delay(**changes: Any) -> Graph:
    """Y = what was assigned in the run before; z = what is assigned in this one."""
    parts: dict[str, Any] = {
        "name": "delay",
        "nodes": (
            Node("before", ReadVariable(), ("v",), ("y",)),
            Node("assign", AssignVariable(), ("v", "x"), ()),
            Node("after", ReadVariable(), ("v",), ("z",)),
        ),
        "tensors": dict.fromkeys("xyzv", KIND),
        "constants": {},
        "inputs": ("x",),
        "outputs": ("y", "z"),
        "variables": {"v": row(7, 8, 9)},
    }
    return Graph(**{**parts, **changes})


def test_state_is_carried_from_run_to_run() -> None:
    first, state = run(delay(), {"x": row(1, 2, 3)})
    assert first["y"].tolist() == [7, 8, 9]
    assert first["z"].tolist() == state["v"].tolist() == [1, 2, 3]
    second, after = run(delay(), {"x": row(4, 5, 6)}, state=state)
    assert second["y"].tolist() == [1, 2, 3]
    assert after["v"].tolist() == [4, 5, 6]


def test_run_changes_nothing_it_was_given() -> None:
    graph, x, state = delay(), row(1, 2, 3), {"v": row(0, 0, 1)}
    _, after = run(graph, {"x": x}, state=state)
    after["v"][...] = 99
    assert x.tolist() == [1, 2, 3]
    assert state["v"].tolist() == [0, 0, 1]
    assert graph.variables["v"].tolist() == [7, 8, 9]
    assert run(graph, {"x": x})[0]["y"].tolist() == [7, 8, 9]


def test_a_tap_sees_outputs_only() -> None:
    seen: dict[str, int] = {}
    run(delay(), {"x": row(1, 2, 3)}, tap=lambda node, _, out: seen.update({node.name: len(out)}))
    assert seen == {"before": 1, "assign": 0, "after": 1}


def test_an_update_orders_the_nodes() -> None:
    edges = [(a, b, d["tensor"]) for a, b, d in delay().to_networkx().edges(data=True)]
    assert edges == [("assign", "after", "v")]


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ({}, "delay: variable 'v' is missing; its variables: 'v'"),
        (
            {"v": row(1, 2, 3), "w": row(1)},
            "delay: no variable is named 'w'; its variables: 'v'",
        ),
        ({"v": row(1)}, "delay: variable 'v' must be int8 of shape (3,); found int8 of shape (1,)"),
        (
            {"v": np.zeros(3)},
            "delay: variable 'v' must be int8 of shape (3,); found float64 of shape (3,)",
        ),
    ],
)
def test_a_wrong_state_is_refused(state: Mapping[str, Array], message: str) -> None:
    with pytest.raises(IllegalValues) as caught:
        run(delay(), {"x": row(1, 2, 3)}, state=state)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"variables": {}, "constants": {"v": row(1, 2, 3)}},
            "delay, assign: input 0 must be a variable, for assign_variable replaces it; "
            "'v' is none",
        ),
        (
            {"constants": {"v": row(1, 2, 3)}},
            "delay: variable 'v' is also a graph input or a constant",
        ),
        (
            {"variables": {"v": row(1)}},
            "delay: variable 'v' has shape (1,); its type says (3,)",
        ),
        (
            {"tensors": {**dict.fromkeys("yzv", KIND), "x": tensor((2,), 0.5, 7)}},
            "delay, assign: variable 'v' is declared (3,); its inputs make it (2,)",
        ),
        (
            {"nodes": (Node("assign", AssignVariable(), (), ()),), "outputs": ()},
            "delay, assign: input 0 must be a variable, for assign_variable replaces it; "
            "'' is none",
        ),
    ],
)
def test_illegal_variables_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(IllegalGraph) as caught:
        delay(**changes)
    assert str(caught.value) == message


@pytest.mark.parametrize("oracle", [svdf_oracle, lstm_oracle])
def test_outputs_and_new_states_equal_the_oracle(oracle: Any) -> None:
    seen: set[int] = set()
    for operator, types, values in islice(oracle.cases(Random(oracle.__name__)), 90):
        results = operator.run(values, GRAPH_DATAPATH)
        expected = oracle.oracle(operator, nested(values))
        assert len(results) == len(expected) == len(operator.infer(types))
        for got, (flat, shape), inferred in zip(
            results, expected, operator.infer(types), strict=True
        ):
            assert got.shape == shape == inferred
            assert got.reshape(-1).tolist() == flat
        operator.check(types, (TensorType(results[0].shape, "int8", 8),))
        seen.update(results[0].reshape(-1).tolist())
    assert len(seen) > 100


@pytest.mark.parametrize(
    ("oracle", "bits", "overflow"),
    [
        (svdf_oracle, 24, "saturate"),
        (svdf_oracle, 20, "wrap"),
        (svdf_oracle, 40, "saturate"),
        (lstm_oracle, 13, "saturate"),
        (lstm_oracle, 15, "wrap"),
    ],
)
def test_narrow_accumulators_equal_the_oracle(oracle: Any, bits: int, overflow: Overflow) -> None:
    changed = 0
    for operator, _, values in islice(oracle.cases(Random(f"{oracle.__name__} {bits}")), 30):
        datapath = Datapath(accumulator_bits=bits, overflow=overflow, dot_width=2)
        narrow = oracle.oracle(operator, nested(values), Accumulator(bits, overflow, 2))
        results = operator.run(values, datapath)
        for got, (flat, _) in zip(results, narrow, strict=True):
            assert got.reshape(-1).tolist() == flat
        changed += results[0].tolist() != operator.run(values, GRAPH_DATAPATH)[0].tolist()
    # Wider than the reference's 32 bits, a sum changes only where that one wrapped.
    assert changed or bits > 32


@pytest.mark.parametrize("oracle", [svdf_oracle, lstm_oracle])
def test_folded_zero_points_change_nothing_in_a_sum_that_wraps(oracle: Any) -> None:
    folded = Datapath(accumulator_bits=32, zero_point="folded")
    for operator, _, values in islice(oracle.cases(Random("folded")), 20):
        pairs = zip(operator.run(values, folded), operator.run(values, GRAPH_DATAPATH), strict=True)
        for got, expected in pairs:
            np.testing.assert_array_equal(got, expected)


def test_a_sequence_at_once_is_its_steps_in_turn() -> None:
    """An LSTM over T steps leaves the states that T calls of one step leave."""
    for operator, _, values in islice(lstm_oracle.cases(Random("steps")), 30):
        assert isinstance(operator, UnidirectionalSequenceLstm)
        whole = operator.run(values, GRAPH_DATAPATH)
        x, axis = present(values, 0), 0 if operator.time_major else 1
        current, outputs = list(values), []
        for t in range(x.shape[axis]):
            current[0] = np.take(x, [t], axis=axis)
            y, current[18], current[19] = operator.run(current, GRAPH_DATAPATH)
            outputs.append(y)
        np.testing.assert_array_equal(np.concatenate(outputs, axis=axis), whole[0])
        np.testing.assert_array_equal(current[18], whole[1])
        np.testing.assert_array_equal(current[19], whole[2])


def test_svdf_remembers_as_many_inputs_as_it_has_memory() -> None:
    """After `memory` runs on one input the state holds nothing of what it held before."""
    for operator, _, values in islice(svdf_oracle.cases(Random("memory")), 20):
        memory, state = present(values, 2).shape[1], present(values, 4)
        other = ~state
        for step in range(memory):
            assert not np.array_equal(state, other), step
            state, other = (
                operator.run([*values[:4], s], GRAPH_DATAPATH)[1] for s in (state, other)
            )
        np.testing.assert_array_equal(state, other)


FUNCTIONS = [
    ("gemmlowp", "logistic", -12),
    *(("gemmlowp", "tanh", power) for power in (-15, -12, -11, -10, -9)),
    ("table", "logistic", -12),
    *(("table", "tanh", power) for power in (-18, -15, -12, -9)),
]


@pytest.mark.parametrize(("form", "name", "power"), FUNCTIONS)
@pytest.mark.parametrize("step", [41, pytest.param(1, marks=pytest.mark.slow)])
def test_functions_equal_their_definition(form: str, name: str, power: int, step: int) -> None:
    """Every int16 code (one in 41 in the short form), zero and the ends among them."""
    codes = sorted({*range(-32768, 32768, step), -32768, -1, 0, 1, 32767})
    got = evaluate(name, form, np.array(codes, dtype=np.int16), power).tolist()
    definition = {"gemmlowp": lstm_oracle.gemmlowp, "table": lstm_oracle.interpolated}[form]
    assert got == [definition(name, code, power) for code in codes]


def litert_sequence(data: bytes, inputs: Sequence[Array]) -> Iterator[Array]:
    """The first output after each input, variables kept between them."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    interpreter = Interpreter(
        model_content=data,
        experimental_op_resolver_type=OpResolverType.BUILTIN_REF,
        num_threads=1,
    )
    interpreter.allocate_tensors()
    (x,), y = interpreter.get_input_details(), interpreter.get_output_details()[0]
    for value in inputs:
        interpreter.set_tensor(x["index"], value)
        interpreter.invoke()
        yield interpreter.get_tensor(y["index"])


def one_op_model(case: Any, table: str, options: Mapping[str, Any]) -> bytes:
    """A model of the oracle's node whose states are variable tensors that start afresh."""
    operator, places = case.operator(), []
    tensors: list[Tensor] = []
    for i, (kind, value) in enumerate(zip(case.inputs, case.values, strict=True)):
        places.append(-1 if kind is None else len(tensors))
        if kind is None:
            continue
        scale, zero = (kind.quant.scale[0], kind.quant.zero_point[0]) if kind.quant else (None, 0)
        data = value if i in case.stored else None
        variable = i in operator.updates
        tensors.append(Tensor(f"x{i}", kind.shape, kind.dtype, scale, zero, data, variable))
    y = case.output
    middle = tuple(range(len(tensors), len(tensors) + 5))
    tensors += [Tensor(f"i{k}", (0,), "float32") for k in range(4)]
    tensors.append(Tensor("i4", (0,), "int8", y.quant.scale[0], y.quant.zero_point[0]))
    tensors.append(Tensor("y", y.shape, y.dtype, y.quant.scale[0], y.quant.zero_point[0]))
    out = len(tensors) - 1
    op = Op(case.op, tuple(places), (out,), table, options, middle if case.op != "SVDF" else ())
    return model(Part(tensors, (op,), (0,), (out,)))


@requires_litert
@pytest.mark.parametrize("oracle", [svdf_oracle, lstm_oracle])
def test_sequences_equal_litert(oracle: Any, tmp_path: Path) -> None:
    """Four inputs in a row, states kept: from the file's bytes on both sides."""
    path, compared = tmp_path / "one.tflite", 0
    for case in islice(oracle.one_ops(Random(f"{oracle.__name__} litert"), 12), 60):
        if case.op == "SVDF":
            if case.inputs[4].dtype == "int8":
                continue  # LiteRT reads an int8 state as int16 and crashes
            data = one_op_model(
                case, "SVDFOptions", {"Rank": case.options["rank"], "FusedActivationFunction": 1}
            )
        else:
            data = one_op_model(
                case,
                "UnidirectionalSequenceLSTMOptions",
                {
                    "FusedActivationFunction": 4,
                    "CellClip": case.options["cell_clip"],
                    "TimeMajor": case.options["time_major"],
                },
            )
        path.write_bytes(data)
        graph, state = workloads.load(path), None
        rng = np.random.default_rng(compared)
        kind = graph.tensors["x0"]
        inputs = [rng.integers(-128, 128, kind.shape, dtype=np.int8) for _ in range(4)]
        for x, expected in zip(inputs, litert_sequence(data, inputs), strict=True):
            outputs, state = run(graph, {"x0": x}, state=state)
            np.testing.assert_array_equal(outputs["y"], expected)
            compared += expected.size
    assert compared > 1000
