"""Networks of one to three bits in QONNX: the reference's values in bit planes and in integers."""

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

import hwconfigs
import simulator.mac
import workloads
from simulator.cost import estimate
from simulator.execute import run
from simulator.graph import Array, Graph, Node
from simulator.numeric.bitplane_matmul import plane_sums
from simulator.numeric.datapath import Datapath
from simulator.numeric.matmul import matmul
from tests.bench import qonnx_network
from tests.low_bit_network import KINDS, SIZE, model

PUBLISHED = ("qonnx_tfc_1w1a", "qonnx_tfc_2w2a", "qonnx_kwsmlp_w3a3_mlperf")
PLANES = Datapath(weight_bits=1, activation_bits=1, composition="bitplane")
INTEGERS = Datapath()


def images(count: int) -> list[Array]:
    rng = np.random.default_rng(11)
    return [rng.normal(0, 2, SIZE).astype(np.float32) for _ in range(count)]


def saved(kind: str, folder: Path) -> Path:
    path = folder / "network.onnx"
    onnx.save(model(kind), str(path))
    return path


def in_planes(graph: Graph, value: Array, monkeypatch: pytest.MonkeyPatch) -> tuple[Array, int]:
    """The output on a machine of bit planes, and how many products were summed otherwise."""
    integer = 0

    def counted(*args: Any) -> Any:
        nonlocal integer
        integer += 1
        return matmul(*args)

    monkeypatch.setattr(simulator.mac, "matmul", counted)
    found, _ = run(graph, {graph.inputs[0]: value}, PLANES)
    monkeypatch.undo()
    return found[graph.outputs[0]], integer


@pytest.mark.parametrize("kind", KINDS)
def test_convolutions_in_planes_in_integers_and_in_float32(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Dense, depthwise and pointwise, padded with zeros that {-1, 1} does not have."""
    graph = workloads.load(saved(kind, tmp_path))
    assert graph.dialect == "qonnx"
    seen = set()
    for x in images(6):
        (real,) = run(graph, {"x": x})[0].values()
        (integer,) = run(graph, {"x": x}, INTEGERS)[0].values()
        planes, otherwise = in_planes(graph, x, monkeypatch)
        assert np.array_equal(integer, real)
        assert np.array_equal(planes, real)
        assert otherwise == 0
        seen.update(real.reshape(-1).tolist())
    assert len(seen) > 10


@pytest.mark.parametrize("kind", KINDS)
def test_convolutions_equal_qonnx(kind: str, tmp_path: Path) -> None:
    """Its own executor, in the environment that BITLANE_QONNX names."""
    python = os.environ.get("BITLANE_QONNX")
    if not python:
        pytest.skip("set BITLANE_QONNX to a Python with qonnx and onnx 1.19.1")
    path, x = saved(kind, tmp_path), images(1)[0]
    np.save(tmp_path / "input.npy", x)
    command = [python, qonnx_network.__file__, str(path), str(tmp_path / "input.npy"), "1"]
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    subprocess.run(command, capture_output=True, env=environment, check=True)
    expected = np.load(tmp_path / "input.out.npy")
    graph = workloads.load(path)
    for datapath in (None, INTEGERS, PLANES):
        (found,) = run(graph, {"x": x}, datapath)[0].values()
        assert np.array_equal(found, expected)


def codes(graph: Graph, value: Array, datapath: Datapath | None) -> dict[str, Array]:
    """What every quantizer gives."""
    found: dict[str, Array] = {}

    def keep(node: Node, _: Any, results: Sequence[Array]) -> None:
        if node.op.kind in ("quant", "bipolar_quant"):
            found[node.name] = results[0].copy()

    run(graph, {graph.inputs[0]: value}, datapath, tap=keep)
    return found


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_networks_in_planes(
    name: str, shared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One and two bits: qonnx's own bits. Three: its float32 sums round, ours do not; every code
    is the same.
    """
    folder = shared / "models" / "qonnx"
    graph = workloads.load(folder / f"{name}.onnx")
    with np.load(folder / f"{name}.golden.npz") as held:
        pairs = [(held[k], held[k.replace("in", "out")]) for k in held.files if k[:2] == "in"]
    for value, expected in pairs:
        (integer,) = run(graph, {graph.inputs[0]: value}, INTEGERS)[0].values()
        planes, otherwise = in_planes(graph, value, monkeypatch)
        assert np.array_equal(planes, integer)
        assert planes.argmax() == expected.argmax()
        own, machine = codes(graph, value, None), codes(graph, value, PLANES)
        assert len(own) >= 4
        assert all(np.array_equal(own[name], machine[name]) for name in own)
        if "w3a3" in name:
            # The first layer has 8 x 3 pairs of planes.
            assert otherwise == 1
            np.testing.assert_allclose(planes, expected, rtol=1e-5, atol=1e-5)
        else:
            assert otherwise == 0
            assert np.array_equal(planes, expected)


@pytest.mark.parametrize("overflow", ["wrap", "saturate", "trap"])
@pytest.mark.parametrize("bits", [8, 12, 20, 32, 48])
def test_sums_in_planes_are_those_of_integers(bits: int, overflow: Any) -> None:
    """Grids of every offset and step, biases; where the order matters the planes stand back."""
    rng = np.random.default_rng(bits)
    datapath = Datapath(accumulator_bits=bits, overflow=overflow, composition="bitplane")
    taken = 0
    for _ in range(60):
        rows, channels, taps = (int(v) for v in rng.integers(1, [9, 20, 300]))
        x, w = (grid(rng, size).astype(np.int16) for size in ((rows, taps), (channels, taps)))
        bias = rng.integers(-50, 50, channels).astype(np.int32)
        found = plane_sums(x, w, bias, datapath)
        if found is None:
            continue
        taken += 1
        expected = matmul(x, w, bias, datapath)
        assert found.dtype == expected.dtype
        assert np.array_equal(found, expected)
    assert taken >= (50 if overflow == "wrap" or bits > 20 else 0)


def grid(rng: np.random.Generator, size: tuple[int, int]) -> Array:
    """Integers on a grid of a few values; {-1, 1} and {-1, 0, 1} among them."""
    step, count = int(rng.integers(1, 3)), int(rng.integers(1, 9))
    low = int(rng.choice([-1, 0, -step * (count - 1) // 2, int(rng.integers(-40, 40))]))
    return np.asarray(low + step * rng.integers(0, count, size))


def test_passes_of_planes_by_hand(shared: Path) -> None:
    """Folds of 8 channels, each w a words of 256 taps; each channel skews one row by a cycle."""
    machine = hwconfigs.load("bismo_8x256x8")
    for name, layers in {
        "qonnx_tfc_1w1a": ((784, 64, 1, 1), (64, 64, 1, 1), (64, 64, 1, 1), (64, 10, 1, 1)),
        "qonnx_tfc_2w2a": ((784, 64, 2, 2), (64, 64, 2, 2), (64, 64, 2, 2), (64, 10, 2, 2)),
        "qonnx_kwsmlp_w3a3_mlperf": (
            *((490, 256, 3, 8), (256, 256, 3, 3), (256, 256, 3, 3), (256, 12, 3, 3)),
        ),
    }.items():
        graph = workloads.load(shared / "models" / "qonnx" / f"{name}.onnx")
        report = estimate(graph, machine)
        found = [layer for layer in report.layers if layer.macs]
        for layer, (taps, channels, w, a) in zip(found, layers, strict=True):
            assert layer.macs == taps * channels
            by_hand = -(-channels // 8) * w * a * -(-taps // 256) + channels
            assert layer.cycles.compute == by_hand


def test_the_peak_is_the_published_one() -> None:
    """6.5 TOPS of binary products, two operations each (arXiv 1806.08862, abstract)."""
    machine: Any = hwconfigs.load("bismo_8x256x8")
    products = machine.array.rows * machine.array.cols * machine.datapath.dot_width
    assert 2 * products * machine.clock_mhz * 1e6 / 1e12 == pytest.approx(6.5, abs=0.06)


@pytest.mark.parametrize("kind", ["bipolar", "two bits"])
def test_convolutions_are_priced_on_planes_and_on_fused_multipliers(
    kind: str, tmp_path: Path
) -> None:
    """Every layer, on both."""
    graph = workloads.load(saved(kind, tmp_path))
    reports = {n: estimate(graph, hwconfigs.load(n)) for n in ("bismo_8x256x8", "bitfusion_16x16")}
    for report in reports.values():
        assert all(layer.cycles.total > 0 for layer in report.layers)
        assert sum(layer.macs for layer in report.layers) == sum(w.macs for w in graph.work) > 0
        assert report.totals.energy_fj > 0
