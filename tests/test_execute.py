"""Running graphs: values in and out, taps, datapaths, and the same bits with and without Numba."""

import os
import subprocess
import sys
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import workloads
from simulator.errors import IllegalValues, Unsupported
from simulator.execute import run
from simulator.graph import Array, Graph, Node, TensorType
from simulator.numeric.datapath import Datapath, Stage
from simulator.numeric.matmul import matmul
from tests.ops.build import OneOp, tensor
from tests.shared import ROOT

WINDOW = {"padding": "SAME", "stride_h": 1, "stride_w": 1, "fused_activation_function": "NONE"}
X, HIDDEN, Y = tensor((1, 2, 2, 1), 0.5, 3), tensor((1, 2, 2, 2), 0.5), tensor((1, 8), 0.5)
WEIGHTS = tensor((2, 1, 1, 1), 0.5)


def tiny() -> Graph:
    """A convolution by 2 and -3, then a reshape: x -> hidden -> y."""
    weights = np.array([2, -3], np.int8).reshape(2, 1, 1, 1)
    options = {**WINDOW, "dilation_h_factor": 1, "dilation_w_factor": 1}
    conv = OneOp("CONV_2D", options, (X, WEIGHTS), HIDDEN, (None, weights), frozenset({1}))
    flat = OneOp("RESHAPE", {}, (HIDDEN,), Y, (None,))
    return Graph(
        name="tiny",
        nodes=(
            Node("conv", conv.operator(), ("x", "w"), ("hidden",)),
            Node("flat", flat.operator(), ("hidden",), ("y",)),
        ),
        tensors={"x": X, "w": WEIGHTS, "hidden": HIDDEN, "y": Y},
        constants={"w": weights},
        inputs=("x",),
        outputs=("y",),
    )


def image(*values: int) -> Array:
    return np.array(values, np.int8).reshape(1, 2, 2, 1)


def test_outputs_by_name() -> None:
    outputs, state = run(tiny(), {"x": image(3, 4, 5, -7)})
    assert list(outputs) == ["y"]
    # 0.5 * 0.5 / 0.5 = 1/2; the ties of -3/2 and 30/2 come out after the rounding up at bit 31.
    assert outputs["y"].tolist() == [[0, 0, 1, -1, 2, -3, -10, 15]]
    assert outputs["y"].dtype == np.int8
    assert state == {}


def test_a_state_that_the_graph_does_not_have_is_refused() -> None:
    with pytest.raises(IllegalValues) as caught:
        run(tiny(), {"x": image(0, 0, 0, 0)}, state={"s": np.ones(2, np.int8)})
    assert str(caught.value) == "tiny: no variable is named 's'; its variables: none"


def test_tap_sees_every_node_in_order() -> None:
    seen: list[tuple[str, list[Any], list[Any]]] = []
    run(
        tiny(),
        {"x": image(3, 4, 5, -7)},
        tap=lambda node, inputs, outputs: seen.append(
            (node.name, [v.shape for v in inputs if v is not None], [v.shape for v in outputs])
        ),
    )
    assert seen == [
        ("conv", [(1, 2, 2, 1), (2, 1, 1, 1)], [(1, 2, 2, 2)]),
        ("flat", [(1, 2, 2, 2)], [(1, 8)]),
    ]


def test_inputs_stay_as_they_were() -> None:
    x = image(1, 2, 3, 4)
    outputs, _ = run(tiny(), {"x": x})
    outputs["y"][...] = 0
    assert x.reshape(-1).tolist() == [1, 2, 3, 4]


def test_an_output_is_no_window_on_an_input() -> None:
    """Reshape is a view inside; a caller that writes to its output must not change its input."""
    flat = OneOp("RESHAPE", {}, (X,), tensor((4,), 0.5, 3), (None,))
    graph = Graph(
        name="flat",
        nodes=(Node("flat", flat.operator(), ("x",), ("y",)),),
        tensors={"x": X, "y": flat.output},
        constants={},
        inputs=("x",),
        outputs=("y",),
    )
    x = image(1, 2, 3, 4)
    outputs, _ = run(graph, {"x": x})
    assert not np.shares_memory(outputs["y"], x)


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({}, "tiny: input 'x' is missing; its inputs: 'x'"),
        (
            {"x": image(0, 0, 0, 0), "z": image(0, 0, 0, 0)},
            "tiny: no input is named 'z'; its inputs: 'x'",
        ),
        (
            {"x": np.zeros((2, 2), np.int8)},
            "tiny: input 'x' must be int8 of shape (1, 2, 2, 1); found int8 of shape (2, 2)",
        ),
        (
            {"x": np.zeros((1, 2, 2, 1), np.float32)},
            "tiny: input 'x' must be int8 of shape (1, 2, 2, 1); "
            "found float32 of shape (1, 2, 2, 1)",
        ),
        (
            {"x": np.zeros((1, 2, 2, 1), np.uint8)},
            "tiny: input 'x' must be int8 of shape (1, 2, 2, 1); found uint8 of shape (1, 2, 2, 1)",
        ),
    ],
)
def test_wrong_inputs_are_refused(inputs: dict[str, Array], message: str) -> None:
    with pytest.raises(IllegalValues) as caught:
        run(tiny(), inputs)
    assert str(caught.value) == message


def test_a_trap_names_graph_and_node() -> None:
    with pytest.raises(IllegalValues) as caught:
        run(
            tiny(),
            {"x": image(3, 3, 3, 127)},
            Datapath(accumulator_bits=8, overflow="trap"),
        )
    assert str(caught.value) == (
        "tiny, conv: the 8-bit accumulator overflows at output position 3, channel 0, tap 0; "
        "widen datapath.accumulator.bits or let it wrap or saturate"
    )


def test_a_datapath_by_node_name_leaves_the_others() -> None:
    narrow = Datapath(accumulator_bits=8, overflow="saturate")
    x = {"x": image(3, 3, 3, 127)}
    own = run(tiny(), x)[0]["y"].tolist()
    assert own == [[0, 0, 0, 0, 0, 0, 124, -128]]
    assert run(tiny(), x, {"flat": narrow})[0]["y"].tolist() == own
    for datapath in (narrow, {"conv": narrow}):
        # 2 * 124 = 248 clips at 127 -> 64; -3 * 124 = -372 at -128 -> -64.
        assert run(tiny(), x, datapath)[0]["y"].tolist() == [[0, 0, 0, 0, 0, 0, 64, -64]]


def test_types_of_outputs_are_those_declared() -> None:
    graph = tiny()
    outputs, _ = run(graph, {"x": image(1, 2, 3, 4)})
    assert outputs["y"].shape == graph.tensors["y"].shape
    assert graph.types(("", "y")) == (None, TensorType((1, 8), "int8", 8, Y.quant))


BITS = """
import hashlib
from itertools import islice
from random import Random
import numpy as np
import workloads
from simulator.errors import IllegalValues, Unsupported
from simulator.jit import njit
from simulator.numeric.datapath import Datapath, Stage
from simulator.numeric.matmul import matmul
from tests.ops.oracles import one_op_kinds, oracle_of

datapaths = [Datapath()] + [
    Datapath(accumulator_bits=bits, overflow=overflow, dot_width=dot)
    for bits, overflow, dot in
    ((8, "wrap", 1), (17, "saturate", 3), (31, "wrap", 8), (40, "saturate", 2), (16, "trap", 5))
]
for kind in one_op_kinds():
    digest = hashlib.sha256()
    for operator, _, values in islice(oracle_of(kind).cases(Random(kind)), 12):
        for datapath in datapaths:
            try:
                digest.update(operator.run(values, datapath)[0].tobytes())
            except IllegalValues as error:
                digest.update(str(error).encode())
    print(kind, digest.hexdigest())
"""


def bits(*, jit: bool) -> str:
    """The digest of every operator's outputs, in a process of its own, warnings as errors."""
    process = subprocess.run(
        [sys.executable, "-W", "error", "-c", BITS],
        cwd=ROOT,
        env={**os.environ, "NUMBA_DISABLE_JIT": "0" if jit else "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert process.returncode == 0, process.stderr
    return process.stdout


def test_interpreted_kernels_give_the_same_bits() -> None:
    """Numba widens `int32 + int32`, Python's NumPy scalars wrap: each narrowing must be written."""
    jitted = bits(jit=True)
    assert len(jitted.split()) >= 14
    assert bits(jit=False) == jitted


@pytest.mark.parametrize(
    ("field", "what"), [("weight_bits", "weights"), ("activation_bits", "activations")]
)
def test_operands_wider_than_the_datapath_are_refused(field: str, what: str) -> None:
    graph = workloads.load("zoo:digits")
    values = {n: np.zeros(graph.tensors[n].shape, np.int8) for n in graph.inputs}
    datapath = replace(Datapath(), **{field: 7})  # type: ignore[arg-type]
    with pytest.raises(Unsupported) as caught:
        run(graph, values, datapath)
    assert str(caught.value) == (
        f"digits_cnn.tflite, conv_2d_0: its {what} have 8 bits, the datapath 7; widen "
        f"datapath.{field} or set datapath.narrow: true"
    )


def test_a_stage_that_fits_still_sums_its_products_first() -> None:
    # Pairs of products in 32 bits, then a saturating 10-bit accumulator: 500 + (400 - 400) is
    # 500, where one product at a time would be 511 - 400.
    x = np.array([[20, 20]], dtype=np.int16)
    w = np.array([[20, -20]], dtype=np.int16)
    bias = np.array([500], dtype=np.int32)
    one = Datapath(accumulator_bits=10, overflow="saturate")
    pair = replace(one, stages=(Stage(2, 32, "wrap"),))
    assert matmul(x, w, bias, one).tolist() == [[111]]
    assert matmul(x, w, bias, pair).tolist() == [[500]]
    assert matmul(x, w, bias, replace(one, dot_width=2)).tolist() == [[500]]
