"""The Verilog example: its reader of packs everywhere, its bench where there is a simulator."""

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import hwconfigs
import workloads
from analysis.arrays import one_sample
from analysis.golden import golden
from analysis.golden_sums import Options
from tests.shared import ROOT

EXAMPLE = ROOT / "examples" / "cocotb_mac"
SIMULATOR = shutil.which("iverilog") and importlib.util.find_spec("cocotb_tools")
needs_simulator = pytest.mark.skipif(
    not SIMULATOR,
    reason="needs Icarus Verilog and cocotb: apt-get install iverilog; pip install 'bitlane[rtl]'",
)

NARROW = {
    "wrapping at 13 bits": [("datapath.accumulator.bits", "13")],
    "saturating at 13 bits": [
        ("datapath.accumulator.bits", "13"),
        ("datapath.accumulator.overflow", "saturate"),
    ],
    "folded zero points": [("datapath.zero_point", "folded")],
}

BUGS = {
    "the first rounding truncates": ("product + 64'sd1073741824", "product"),
    "the second rounding truncates": ("floored + nudge", "floored"),
    "ties of the second rounding go up": ("(mask >> 1) + {31'd0, upper[31]}", "mask >> 1"),
    "the lower clamp is missing": ("offset < low ? low : ", ""),
    "the upper clamp is missing": ("offset > high ? high : offset", "offset"),
    "the zero point is left out": ("rounded + zero_point", "rounded"),
    "the product is unsigned": (
        "wire signed [PRODUCT_BITS-1:0] product = x * w",
        "wire signed [PRODUCT_BITS-1:0] product = $unsigned(x) * w",
    ),
    "the sum starts at zero": ("load ? started", "load ? {WIDE{1'b0}}"),
}


def reader() -> Any:
    """The example's module `pack`."""
    spec = importlib.util.spec_from_file_location("cocotb_mac_pack", EXAMPLE / "pack.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def write_pack(folder: Path, pairs: list[tuple[str, str]] | None, options: Options) -> Path:
    """The pack of the README's first command, or of a machine with fields replaced."""
    graph = workloads.load("zoo:digits")
    datapath = None
    if pairs is not None:
        datapath = hwconfigs.load("systolic_16x16", pairs).datapath.datapath()
    golden(graph, one_sample(graph, EXAMPLE / "digit.npz"), folder, options, datapath)
    return folder


@pytest.fixture(scope="module")
def pack(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("golden") / "pack"
    return write_pack(folder, None, Options(fold_taps=16, intermediates=True))


def bench(pack: Path, *more: str) -> tuple[int, str]:
    """The README's second command: exit code and all that it prints."""
    command = [sys.executable, str(EXAMPLE / "run.py"), str(pack), *more]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("lanes", [1, 4, 7])
def test_the_reader_reads_what_numpy_does(lanes: int, tmp_path: Path) -> None:
    folder = write_pack(tmp_path / "p", None, Options(lanes=lanes, intermediates=True))
    found = reader().Pack(folder)
    assert found.manifest["files"]
    for name, about in found.manifest["files"].items():
        array = np.load(folder / f"{name}.npy")
        if about["encoding"] == "float":
            array = array.view(f"uint{about['bits']}")
        assert found.read(name) == array.ravel().tolist()
        assert found.table(name) == array.reshape(-1, array.shape[-1]).tolist()


def test_the_reader_names_what_the_verilog_leaves_out(pack: Path, tmp_path: Path) -> None:
    fit, others = reader().Pack(pack).layers()
    assert [layer["op"] for layer in fit] == ["conv_2d", "depthwise_conv_2d", "conv_2d", "conv_2d"]
    assert "fully_connected_7: its requantizer is float64_away; mac.v has double_round" in others
    bare = write_pack(tmp_path / "bare", None, Options())
    fit, others = reader().Pack(bare).layers()
    assert fit == []
    assert "conv_2d_0: the pack has no operands; write it with --intermediates" in others


def test_the_reader_refuses_a_changed_file(tmp_path: Path) -> None:
    folder = write_pack(tmp_path / "p", None, Options(intermediates=True))
    path = folder / "conv_2d_0/bias.hex"
    path.write_text(path.read_text().replace("0", "1", 1))
    with pytest.raises(ValueError, match=r"conv_2d_0/bias.hex: sha256 differs from the manifest's"):
        reader().Pack(folder).read("conv_2d_0/bias")


def test_a_pack_without_operands_is_refused_in_one_line(tmp_path: Path) -> None:
    folder = write_pack(tmp_path / "p", None, Options())
    code, text = bench(folder)
    assert (code, text.count("\n")) == (2, 1)
    assert "write it with --intermediates" in text


@needs_simulator
def test_the_verilog_equals_the_pack(pack: Path) -> None:
    code, text = bench(pack)
    assert (code, text.splitlines()[-1]) == (0, "every bit equal"), text
    assert "TESTS=3 PASS=3 FAIL=0" in text


@needs_simulator
@pytest.mark.parametrize("what", NARROW)
def test_the_verilog_equals_the_pack_of_a_machine(what: str, tmp_path: Path) -> None:
    options = Options(fold_taps=16, intermediates=True)
    code, text = bench(write_pack(tmp_path / "p", NARROW[what], options))
    assert (code, text.splitlines()[-1]) == (0, "every bit equal"), text


@needs_simulator
@pytest.mark.parametrize("bug", BUGS)
def test_the_bench_finds_a_bug(bug: str, pack: Path, tmp_path: Path) -> None:
    """Each kind of error that a requantizer or an accumulator is prone to is caught."""
    right, wrong = BUGS[bug]
    source = (EXAMPLE / "mac.v").read_text()
    assert source.count(right) == 1
    (tmp_path / "mac.v").write_text(source.replace(right, wrong))
    code, text = bench(pack, "--rtl", str(tmp_path / "mac.v"), "--sums", "20")
    assert (code, "the pack has" in text) == (1, True), text


@needs_simulator
def test_the_bench_tells_wrapping_from_saturation(tmp_path: Path) -> None:
    options = Options(fold_taps=16, intermediates=True)
    folder = write_pack(tmp_path / "p", NARROW["saturating at 13 bits"], options)
    source = (EXAMPLE / "mac.v").read_text()
    (tmp_path / "mac.v").write_text(source.replace("SATURATE != 0", "1'b0"))
    code, text = bench(folder, "--rtl", str(tmp_path / "mac.v"), "--sums", "20")
    assert (code, "the pack has" in text) == (1, True), text
