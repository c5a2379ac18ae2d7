"""Golden packs: the same bytes each time, hex that reads back, corners at every clamp and tie."""

import hashlib
import json
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import hwconfigs
import workloads
from analysis.arrays import random_inputs
from analysis.golden import golden
from analysis.golden_corners import corner_accumulators, corner_outputs
from analysis.golden_files import to_hex
from analysis.golden_sums import Options
from simulator.errors import BadFile, Unsupported
from simulator.execute import run
from simulator.graph import Array, Graph, Node
from simulator.mac import MacOperator
from simulator.numeric.requantize import make_requantize
from tests.oracle.primitives import requantize

FOLD = 5


def from_hex(text: str, count: int, bits: int, lanes: int, signed: bool) -> list[int]:
    """The first `count` elements of hex words, the first element in the low bits of each."""
    values = []
    for line in text.splitlines():
        assert len(line) == -(-bits * lanes // 4)
        word = int(line, 16)
        for lane in range(lanes):
            field = word // 2 ** (lane * bits) % 2**bits
            values.append(field - 2**bits if signed and field >= 2 ** (bits - 1) else field)
    assert not any(values[count:])
    assert len(values) - count < lanes
    return values[:count]


@st.composite
def vectors(draw: st.DrawFn) -> tuple[list[int], int, int, bool]:
    bits, lanes, signed = draw(st.integers(1, 64)), draw(st.integers(1, 9)), draw(st.booleans())
    low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
    return draw(st.lists(st.integers(low, high), min_size=1, max_size=30)), bits, lanes, signed


@settings(max_examples=300, deadline=None)
@given(vectors())
def test_hex_reads_back(case: tuple[list[int], int, int, bool]) -> None:
    values, bits, lanes, signed = case
    array = np.array(values, dtype=np.int64 if signed else np.uint64)
    assert from_hex(to_hex(array, bits, lanes), len(values), bits, lanes, signed) == values


def test_hex_by_hand() -> None:
    assert to_hex(np.array([1, -1, -128, 127], np.int8), 8) == "01\nff\n80\n7f\n"
    assert to_hex(np.array([1, -1, -128, 127, 5], np.int8), 8, 4) == "7f80ff01\n00000005\n"
    assert to_hex(np.array([[1, 2], [3, -4]], np.int8), 3, 2) == "11\n23\n"


def test_reals_are_their_ieee_754_bits() -> None:
    values = np.array([0.0, 1.0, -0.5, 0.1, np.inf, np.nan], np.float32)
    words = ["00000000", "3f800000", "bf000000", "3dcccccd", "7f800000", "7fc00000"]
    assert to_hex(values, 32).split() == words
    assert to_hex(values[:2], 32, 2).split() == ["3f80000000000000"]


@pytest.mark.parametrize(("value", "bits"), [(8, 3), (-5, 3), (256, 8), (-129, 8)])
def test_hex_refuses_what_does_not_fit(value: int, bits: int) -> None:
    with pytest.raises(ValueError, match=f"{value} does not fit {bits} bits"):
        to_hex(np.array([value]), bits)


@pytest.fixture(scope="module")
def graph() -> Graph:
    return workloads.load("zoo:digits")


@pytest.fixture(scope="module")
def inputs(graph: Graph) -> dict[str, Array]:
    return random_inputs(graph, np.random.default_rng(11))


@pytest.fixture(scope="module")
def pack(graph: Graph, inputs: dict[str, Array], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("golden") / "pack"
    golden(graph, inputs, folder, Options(fold_taps=FOLD, lanes=3))
    return folder


def manifest(pack: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((pack / "manifest.json").read_text(encoding="utf-8"))
    return found


def content(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def nodes_of(graph: Graph) -> Iterator[tuple[Node, MacOperator]]:
    for node in graph.nodes:
        if isinstance(node.op, MacOperator):
            yield node, node.op


def test_the_same_inputs_give_the_same_bytes(
    graph: Graph, inputs: dict[str, Array], pack: Path, tmp_path: Path
) -> None:
    golden(graph, inputs, tmp_path / "again", Options(fold_taps=FOLD, lanes=3))
    assert content(tmp_path / "again") == content(pack)


def test_every_file_is_listed_hashed_and_read_back(pack: Path) -> None:
    files = manifest(pack)["files"]
    written = set(content(pack)) - {"manifest.json"}
    assert written == {f"{name}.{kind}" for name in files for kind in ("npy", "hex")}
    for name, about in files.items():
        npy, text = (pack / f"{name}.{kind}" for kind in ("npy", "hex"))
        for path, kind in ((npy, "npy"), (text, "hex")):
            assert hashlib.sha256(path.read_bytes()).hexdigest() == about["sha256"][kind]
        array = np.load(npy, allow_pickle=False)
        assert [list(array.shape), str(array.dtype)] == [about["shape"], about["dtype"]]
        assert len(about.get("axes", about["shape"])) == array.ndim
        assert about["words"] == len(text.read_text().splitlines())
        if about["encoding"] == "float":
            array = array.view(f"uint{about['bits']}")
        signed = about["encoding"] == "signed"
        values = from_hex(text.read_text(), array.size, about["bits"], about["lanes"], signed)
        assert values == array.ravel().tolist()


def test_outputs_and_operands_are_those_of_the_run(
    graph: Graph, inputs: dict[str, Array], pack: Path
) -> None:
    outputs, _ = run(graph, inputs)
    assert np.array_equal(np.load(pack / "softmax_8/output.npy"), outputs["probabilities"])
    for node, _ in nodes_of(graph):
        weights = np.load(pack / node.name / "weights.npy")
        assert np.array_equal(weights, graph.constants[node.inputs[1]])


def test_sums_requantize_to_the_outputs(graph: Graph, pack: Path) -> None:
    """Accumulator in, output out, by the oracle and by what the manifest states."""
    for node, op in nodes_of(graph):
        sums = np.load(pack / node.name / "accumulator.npy")
        outputs = np.load(pack / node.name / "output.npy").reshape(sums.shape)
        for row, channel in np.ndindex(*sums.shape):
            by = op.weighted.requantize
            assert outputs[row, channel] == requantize(int(sums[row, channel]), by, channel)
    for layer in manifest(pack)["layers"]:
        if "requantize" in layer:
            about = layer["requantize"]
            stated = make_requantize(
                about["rounding"], tuple(about["scale"]), about["zero_point"], *about["clamp"]
            )
            assert list(stated.multiplier) == about["multiplier"]
            assert list(stated.shift) == about["shift"]


def test_partial_sums_are_prefixes_and_end_at_the_sum(graph: Graph, pack: Path) -> None:
    values = {name: np.load(pack / f"{name}.npy") for name in manifest(pack)["files"]}
    for node, op in nodes_of(graph):
        parts = values[f"{node.name}/partial_sum"]
        operands = [values[f"{node.name}/{role}"] for role in ("input", "weights", "bias")]
        blocks = list(op.products(operands, folded=False))
        taps = blocks[0].w.shape[1]
        assert len(parts) == -(-taps // FOLD)
        for fold, part in enumerate(parts):
            end = (fold + 1) * FOLD
            sums = [
                b.bias + b.x[:, :end].astype(np.int64) @ b.w[:, :end].astype(np.int64).T
                for b in blocks
            ]
            assert np.array_equal(part, np.concatenate(sums, axis=1))
        assert np.array_equal(parts[-1], values[f"{node.name}/accumulator"])


def test_corners_hit_both_clamps_of_every_channel(graph: Graph, pack: Path) -> None:
    for node, op in nodes_of(graph):
        accumulators = np.load(pack / node.name / "corner_accumulator.npy")
        outputs = np.load(pack / node.name / "corner_output.npy")
        by = op.weighted.requantize
        assert accumulators.shape == (len(accumulators), len(by.scale))
        for case, channel in np.ndindex(*outputs.shape):
            expected = requantize(int(accumulators[case, channel]), by, channel)
            assert outputs[case, channel] == expected
        for channel in range(outputs.shape[1]):
            column = set(outputs[:, channel].tolist())
            assert {by.low, by.low + 1, by.high - 1, by.high, by.zero_point} <= column
        extremes = {accumulators.min(), accumulators.max()}
        assert extremes == {-(2**31), 2**31 - 1}
        assert {-1, 0, 1} <= set(accumulators.ravel().tolist())


@pytest.mark.parametrize("rounding", ["double_round", "single_round", "float64_away"])
@pytest.mark.parametrize("zero_point", [-128, -3, 0, 127])
def test_corners_hit_ties(rounding: Any, zero_point: int) -> None:
    """Where the scale is a power of two, accumulators lie exactly between two outputs."""
    scales = (2.0**-1, 2.0**-5, 2.0**-12)
    by = make_requantize(rounding, scales, zero_point, -128, 127)
    accumulators = corner_accumulators(by, 32)
    outputs = corner_outputs(by, accumulators)
    for channel, scale in enumerate(scales):
        ties = [
            Fraction(int(acc)) * Fraction(scale)
            for acc in accumulators[:, channel]
            if (Fraction(int(acc)) * Fraction(scale)).denominator == 2
        ]
        inside = [t for t in ties if -128 <= t + zero_point <= 127]
        assert inside
        signs = {t > 0 for t in ties}
        assert signs == {True, False}
        for case, acc in enumerate(accumulators[:, channel].tolist()):
            assert outputs[case, channel] == requantize(acc, by, channel)


def test_corners_of_a_vanishing_scale_stay_within_the_accumulator() -> None:
    by = make_requantize("double_round", (1e-30, 0.25), 0, -128, 127)
    found: NDArray[np.int64] = corner_accumulators(by, 16)
    assert (found.min(), found.max()) == (-(2**15), 2**15 - 1)


def test_one_layer_on_a_narrow_machine(
    graph: Graph, inputs: dict[str, Array], tmp_path: Path
) -> None:
    pairs = [("datapath.accumulator.bits", "14"), ("datapath.accumulator.overflow", "saturate")]
    datapath = hwconfigs.load("systolic_16x16", pairs).datapath.datapath()
    found = golden(graph, inputs, tmp_path / "pack", Options("conv_2d_3", 16), datapath)
    (layer,) = found["layers"]
    assert (layer["accumulator_bits"], layer["overflow"]) == (14, "saturate")
    sums = np.load(tmp_path / "pack/conv_2d_3/accumulator.npy")
    partial = np.load(tmp_path / "pack/conv_2d_3/partial_sum.npy")
    assert found["files"]["conv_2d_3/partial_sum"]["axes"] == ["fold", "row", "channel"]
    assert np.array_equal(partial[-1], sums)
    assert sums.min() >= -(2**13)
    assert sums.max() == 2**13 - 1
    assert found["files"]["conv_2d_3/accumulator"]["bits"] == 14


def test_options_that_fit_nothing(graph: Graph, inputs: dict[str, Array], tmp_path: Path) -> None:
    with pytest.raises(Unsupported, match="--layer conv: no such layer; there are conv_2d_0, "):
        golden(graph, inputs, tmp_path / "pack", Options(layer="conv"))
    datapath = hwconfigs.load("cortex_m4").datapath.datapath()
    with pytest.raises(Unsupported, match="--fold-taps 3: must be a multiple of 2"):
        golden(graph, inputs, tmp_path / "pack", Options(fold_taps=3), datapath)
    assert not (tmp_path / "pack").exists()
    (tmp_path / "notes.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(BadFile, match="is not empty; choose another --out"):
        golden(graph, inputs, tmp_path)
