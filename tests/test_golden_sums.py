"""Golden packs of every accumulating operator: roles, sums, stages, folds, corners, state."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import hwconfigs
import workloads
from analysis.accumulators import audit
from analysis.arrays import random_inputs
from analysis.golden import golden, taps_per_fold
from analysis.golden_sums import Options
from simulator.errors import Unsupported
from simulator.execute import run
from simulator.graph import Array, Graph
from simulator.mac import AccumulatingOperator
from simulator.numeric.datapath import Datapath
from simulator.ops.svdf import Svdf
from simulator.ops.transpose_conv import TransposeConv
from simulator.ops.unidirectional_sequence_lstm import GATES, UnidirectionalSequenceLstm
from tests.one_operator import graphs
from tests.ops.oracles import nested
from tests.oracle import transpose_conv
from tests.oracle.primitives import Accumulator, requantize

KINDS = (
    *("conv_2d", "depthwise_conv_2d", "fully_connected", "batch_matmul", "transpose_conv"),
    *("conv_integer", "matmul_integer", "svdf", "unidirectional_sequence_lstm"),
)
MANY = ("svdf", "unidirectional_sequence_lstm")
"""Operators with many files a pack."""
EVERYTHING = Options(fold_taps=4, intermediates=True)


def packed(
    graph: Graph, inputs: dict[str, Array], folder: Path, datapath: Datapath | None = None
) -> tuple[dict[str, Any], dict[str, Array]]:
    """The one layer's entry, and every array of the pack without the layer's name."""
    manifest = golden(graph, inputs, folder, EVERYTHING, datapath)
    (layer,) = manifest["layers"]
    return layer, {n.removeprefix("n/"): np.load(folder / f"{n}.npy") for n in manifest["files"]}


def sets(layer: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """(prefix, entry) of each set of sums in a layer."""
    return [(f"{s['name']}/", s) for s in layer.get("sums", ())] or [("", layer)]


@pytest.mark.parametrize("kind", KINDS)
def test_arrays_follow_from_each_other(kind: str, tmp_path: Path) -> None:
    """Operands to partial sums to accumulators to stages to outputs, in Python's integers."""
    for number, (graph, inputs) in enumerate(graphs(kind, 6 if kind in MANY else 12)):
        layer, arrays = packed(graph, inputs, tmp_path / str(number))
        for prefix, entry in sets(layer):
            x, w = arrays[f"{prefix}operand_x"], arrays[f"{prefix}operand_w"]
            exact = np.concatenate(
                [a.astype(object) @ b.astype(object).T for a, b in zip(x, w, strict=True)], axis=1
            )
            sums = arrays[f"{prefix}accumulator"]
            bits = entry["accumulator_bits"]
            start = (sums.astype(object) - exact) % 2**bits
            assert (start == start[0]).all(), "what remains is a bias, the same in each row"
            assert np.array_equal(arrays[f"{prefix}partial_sum"][-1], sums)
            assert len(arrays[f"{prefix}partial_sum"]) == -(-entry["taps"] // 4)
            for stage in entry["stages"]:
                assert arrays[stage["file"].removeprefix("n/")].shape == sums.shape


@pytest.mark.parametrize("kind", ["conv_2d", "fully_connected", "transpose_conv", "svdf"])
def test_the_clamped_stage_is_the_output(kind: str, tmp_path: Path) -> None:
    for number, (graph, inputs) in enumerate(graphs(kind, 6 if kind in MANY else 12)):
        layer, arrays = packed(graph, inputs, tmp_path / str(number))
        _, entry = sets(layer)[-1]
        last = arrays[entry["stages"][-1]["file"].removeprefix("n/")]
        assert np.array_equal(last.reshape(arrays["output"].shape), arrays["output"])
        expected, _ = run(graph, inputs)
        assert np.array_equal(expected["o0"], arrays["output"])


@pytest.mark.parametrize("overflow", ["wrap", "saturate"])
def test_partial_sums_of_a_narrow_machine_by_their_definition(
    overflow: Any, tmp_path: Path
) -> None:
    datapath = Datapath(16, 16, 2, 12, overflow)
    accumulator = Accumulator(12, overflow, 2)
    for number, (graph, inputs) in enumerate(graphs("fully_connected", 12)):
        _, arrays = packed(graph, inputs, tmp_path / str(number), datapath)
        (x,), (w,) = arrays["operand_x"].tolist(), arrays["operand_w"].tolist()
        bias = arrays["bias"].tolist() if "bias" in arrays else [0] * len(w)
        for fold, part in enumerate(arrays["partial_sum"].tolist()):
            for r, row in enumerate(x):
                for c, taps in enumerate(w):
                    products = [a * b for a, b in zip(row, taps, strict=True)][: 4 * (fold + 1)]
                    assert part[r][c] == accumulator.sum(bias[c], products)
        steps = [arrays[f"corner_step_{name}"].tolist() for name in ("accumulator", "x", "w")]
        after = [
            accumulator.sum(a, [p * q for p, q in zip(b, c, strict=True)])
            for a, b, c in zip(*steps, strict=True)
        ]
        assert arrays["corner_step_sum"].tolist() == after
        assert {-(2**11), 2**11 - 1} <= set(after)


@pytest.mark.parametrize("kind", ["conv_2d", "transpose_conv", "svdf"])
def test_folded_zero_points_come_with_their_bias(kind: str, tmp_path: Path) -> None:
    datapath = Datapath(16, 16, zero_point="folded")
    for number, (graph, inputs) in enumerate(graphs(kind, 4)):
        layer, arrays = packed(graph, inputs, tmp_path / str(number), datapath)
        for prefix, _ in sets(layer):
            x, w = arrays[f"{prefix}operand_x"], arrays[f"{prefix}operand_w"]
            exact = np.concatenate(
                [a.astype(np.int64) @ b.astype(np.int64).T for a, b in zip(x, w, strict=True)],
                axis=1,
            )
            total = (exact + arrays[f"{prefix}folded_bias"]).astype(np.int32)
            assert np.array_equal(total, arrays[f"{prefix}accumulator"])


def test_the_operator_says_which_input_is_which(tmp_path: Path) -> None:
    for number, (graph, inputs) in enumerate(graphs("transpose_conv", 20)):
        layer, arrays = packed(graph, inputs, tmp_path / str(number))
        roles = {t["role"]: t["tensor"] for t in layer["tensors"]}
        assert (roles["output_shape"], roles["weights"], roles["input"]) == ("i0", "i1", "i2")
        assert np.array_equal(arrays["input"], inputs["i2"])
        operator = graph.nodes[0].op
        assert isinstance(operator, TransposeConv)
        values = [graph.constants.get(n, inputs.get(n)) for n in graph.nodes[0].inputs]
        expected = transpose_conv.sums(operator, nested(values))
        if layer["accumulator_bits"] == 32:
            assert arrays["accumulator"].tolist() == expected


def test_a_transposed_convolution_runs_on_a_machine() -> None:
    """What a machine multiplies are activations and weights, not the shape of the output."""
    narrow = hwconfigs.load("systolic_16x16").datapath.datapath()
    ran = 0
    for graph, inputs in graphs("transpose_conv", 20):
        if graph.tensors["i2"].bits == 8:
            ran += 1
            found, _ = run(graph, inputs, datapath=narrow)
            expected, _ = run(graph, inputs)
            assert np.array_equal(found["o0"], expected["o0"])
    assert ran


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        ("svdf", ["feature", "time"]),
        (
            "unidirectional_sequence_lstm",
            [f"{gate}_gate_from_{source}" for gate in GATES for source in ("input", "hidden")],
        ),
    ],
)
def test_recurrent_operators_show_their_sums_and_state(
    kind: str, names: list[str], tmp_path: Path
) -> None:
    for number, (graph, inputs) in enumerate(graphs(kind, 4)):
        layer, arrays = packed(graph, inputs, tmp_path / str(number))
        assert [s["name"] for s in layer["sums"]] == names
        _, state = run(graph, inputs)
        node = graph.nodes[0]
        assert isinstance(node.op, AccumulatingOperator)
        for i in node.op.updates:
            role = node.op.roles[i]
            assert np.array_equal(arrays[role], graph.variables[node.inputs[i]])
            assert np.array_equal(arrays[f"{role}_after"], state[node.inputs[i]])
        assert layer["parameters"]


def test_sums_of_an_svdf_lead_to_its_state_and_output(tmp_path: Path) -> None:
    for number, (graph, inputs) in enumerate(graphs("svdf", 8)):
        _, arrays = packed(graph, inputs, tmp_path / str(number))
        operator = graph.nodes[0].op
        assert isinstance(operator, Svdf)
        newest = [
            [requantize(v, operator.feature) for v in row]
            for row in arrays["feature/accumulator"].tolist()
        ]
        memory = arrays["time_weights"].shape[1]
        history = arrays["state_after"].reshape(len(newest), -1, memory)
        assert history[:, :, -1].tolist() == newest
        outputs = [
            [requantize(v, operator.requantize) for v in row]
            for row in arrays["time/accumulator"].tolist()
        ]
        assert arrays["output"].tolist() == outputs


def test_hidden_sums_of_an_lstm_start_from_its_states(tmp_path: Path) -> None:
    """The rows of the first step come from the state, those of the others from the output."""
    for number, (graph, inputs) in enumerate(graphs("unidirectional_sequence_lstm", 3)):
        _, arrays = packed(graph, inputs, tmp_path / str(number))
        operator = graph.nodes[0].op
        assert isinstance(operator, UnidirectionalSequenceLstm)
        out = arrays["output"] if operator.time_major else arrays["output"].swapaxes(0, 1)
        before = np.concatenate([arrays["hidden_state"][None], out[:-1]])
        rows = before.reshape(-1, before.shape[2]).astype(np.int64) - operator.hidden_zero_point
        for gate in GATES:
            weights = arrays[f"{gate}_gate_from_hidden_weights"].astype(np.int64)
            sums = arrays[f"{gate}_gate_from_hidden/accumulator"]
            assert np.array_equal(sums, rows @ weights.T)


@pytest.mark.parametrize("kind", ["transpose_conv", "svdf", "unidirectional_sequence_lstm"])
def test_the_audit_proves_what_no_data_passes(kind: str) -> None:
    """The engine traps on no input at the proved width, and observes no more."""
    rng = np.random.default_rng(7)
    for graph, _ in graphs(kind, 10):
        samples = [random_inputs(graph, rng) for _ in range(3)]
        found = audit(graph, samples)
        assert found
        for layer in found:
            assert layer.observed is not None
            assert (layer.observed.prefix_bits <= layer.proved_prefix).all()
        width = max(int(layer.proved_prefix.max()) for layer in found)
        trap = Datapath(16, 16, accumulator_bits=width, overflow="trap")
        for inputs in samples:
            run(graph, inputs, datapath=trap)


def test_the_audit_of_a_transposed_convolution_is_tight() -> None:
    """An input of one end, its weights of one sign: the sum that the audit names is reached."""
    reached = 0
    for graph, inputs in graphs("transpose_conv", 40):
        (layer,) = audit(graph)
        kind = graph.tensors["i2"]
        info = np.iinfo(kind.dtype)
        ends = [{"i2": np.full(kind.shape, v, dtype=kind.dtype)} for v in (info.min, info.max)]
        seen = [a.observed for a in audit(graph, [*ends, inputs])]
        assert seen[0] is not None
        assert (seen[0].final_bits <= layer.proved_final).all()
        reached += bool((seen[0].final_bits == layer.proved_final).any())
    assert reached


def test_operands_of_a_machine_s_folds() -> None:
    assert taps_per_fold(hwconfigs.load("systolic_16x16")) == 16
    wide = hwconfigs.load("systolic_16x16", [("array.rows", "8"), ("datapath.dot_width", "4")])
    assert taps_per_fold(wide) == 32
    output = hwconfigs.load("systolic_16x16", [("array.dataflow", "output_stationary")])
    assert taps_per_fold(output) is None
    assert taps_per_fold(hwconfigs.load("cortex_m4")) is None


def test_a_whole_network_with_everything_is_the_same_twice(tmp_path: Path) -> None:
    graph = workloads.load("zoo:digits")
    inputs = random_inputs(graph, np.random.default_rng(1))
    datapath = hwconfigs.load("systolic_16x16").datapath.datapath()
    folders = [tmp_path / name for name in ("a", "b")]
    options = Options(fold_taps=16, lanes=4, intermediates=True)
    for folder in folders:
        golden(graph, inputs, folder, options, datapath)
    first, second = (
        {str(p.relative_to(f)): p.read_bytes() for p in f.rglob("*") if p.is_file()}
        for f in folders
    )
    assert first == second
    manifest = json.loads(first["manifest.json"])
    assert manifest["datapath"]["accumulator_bits"] == 32
    assert {"packing", "order", "dialect", "model"} <= set(manifest)


def test_reals_on_a_grid_are_written_as_reals(tmp_path: Path) -> None:
    """Their codes are what the multipliers get; the tensors themselves are float32."""
    for number, (graph, inputs) in enumerate(graphs("grid_matmul", 4)):
        manifest = golden(graph, inputs, tmp_path / str(number), EVERYTHING)
        about = manifest["files"]["n/input"]
        assert (about["bits"], about["encoding"]) == (32, "float")
        assert manifest["files"]["n/operand_x"]["bits"] <= 17


def test_corners_are_left_out_where_they_would_trap(tmp_path: Path) -> None:
    graph = workloads.load("zoo:digits")
    inputs = random_inputs(graph, np.random.default_rng(1))
    manifest = golden(graph, inputs, tmp_path / "p", datapath=Datapath(overflow="trap"))
    assert manifest["layers"][0]["corner_sums"] == "left out: they would trap"
    assert "conv_2d_0/corner_sum" not in manifest["files"]


def test_names_that_leave_the_folder_are_refused(tmp_path: Path) -> None:
    (graph, inputs), *_ = graphs("fully_connected", 1)
    node = graph.nodes[0]
    renamed = replace(graph, nodes=(replace(node, name="../n"),))
    with pytest.raises(Unsupported, match=r"'../n' cannot name a folder; rename the layer"):
        golden(renamed, inputs, tmp_path / "p")
    assert list(tmp_path.iterdir()) == []
