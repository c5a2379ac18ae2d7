"""A folder with the files that users give: good ones, and one for each way to be bad."""

import io
import json
import shutil
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np

import hwconfigs
import workloads
from analysis.estimate import document
from analysis.sweeps import Sweep, run
from simulator.cost import estimate
from tests.ops.build import OneOp, tensor
from tests.ops.models import BIAS, FEATURES, IMAGE, ROW, WEIGHTS, as_float, bare, conv, one
from workloads.zoo import digits

HUGE: Final = tensor((1 << 24, 1 << 24, 8), 0.5)
PIXELS: Final = (1, 8, 8, 1)
MACHINE: Final = hwconfigs.text("systolic_16x16").split("\n---\n")[0]
SWEEP: Final = """\
name: tiny
base: systolic_16x16
workload: "zoo:digits"
axes:
  array.rows: [4, 8]
  array.cols: {log2: {first: 4, last: 16}}
chunk_points: 2
"""


def edited(text: str, *pairs: tuple[str, str]) -> str:
    """`text` with each (old, new) replaced; the old must be there once."""
    for old, new in pairs:
        assert text.count(old) == 1, f"{old!r} stands {text.count(old)} times"
        text = text.replace(old, new)
    return text


ROWS: Final = "rows: 16,"
WRAP: Final = "overflow: wrap}"
OUT_SRAM: Final = "ofmap_sram: {bytes: 65536"
WEIGHT_BITS: Final = "  weight_bits: 8\n"
TWICE: Final = WEIGHT_BITS + "  weight_bits: 9\n"
MACHINES: Final[Mapping[str, str]] = {
    "machine.yaml": MACHINE,
    "exponent.yaml": edited(MACHINE, ("clock_mhz: 800", "clock_mhz: 5e2")),
    "typo.yaml": edited(MACHINE, (ROWS, "rowz: 16,")),
    "duplicate.yaml": edited(MACHINE, (WEIGHT_BITS, TWICE)),
    "type.yaml": edited(MACHINE, ("lanes: 16", 'lanes: "16"')),
    "range.yaml": edited(MACHINE, ("clock_mhz: 800", "clock_mhz: 5e8")),
    "five.yaml": edited(
        MACHINE,
        (ROWS, "rows: sixteen,"),
        ("lanes: 16", "lanes: 0"),
        (WEIGHT_BITS, TWICE),
        (WRAP, "overflow: wrapp}"),
        (OUT_SRAM, "ofmap_sram: {bites: 65536"),
    ),
    "kind.yaml": edited(MACHINE, ("model: systolic", "model: sistolic")),
    "priced.yaml": edited(MACHINE, ("technology: horowitz_45nm", "technology: prices.yaml")),
    "four.yaml": edited(
        MACHINE,
        (WEIGHT_BITS, "  weight_bits: 4\n"),
        ("activation_bits: 8", "activation_bits: 4"),
        ("requantize: graph", "requantize: {multiplier_bits: 16, rounding: single_round}"),
        ("narrow: false", "narrow: true\n  layers: [{layer: first, weight_bits: 8}]"),
    ),
    "layers.yaml": edited(
        MACHINE,
        ("requantize: graph", "requantize: {multiplier_bits: 64, rounding: singel_round}"),
        ("narrow: false", "narrow: true\n  layers: [{layer: first, weigth_bits: 8}, {bits: 4}]"),
    ),
    "misfit.yaml": edited(
        MACHINE,
        ("accumulator: {bits: 32", "accumulator: {bits: 48"),
        ("requantize: graph", "requantize: {rounding: double_round}"),
    ),
    "tab.yaml": "name:\tx\n\ty: 1\n",
    "list.yaml": "- 1\n- 2\n",
    "nothing.yaml": "",
    "binary.yaml": "",
}

OBJECTIVES: Final = "objectives: [latency_s, energy]\n"
SWEEPS: Final[Mapping[str, str]] = {
    "sweep.yaml": SWEEP,
    "other.yaml": edited(SWEEP, ("[4, 8]", "[4, 6]")),
    "axis.yaml": edited(SWEEP, ("array.rows", "array.rowz")),
    "impossible.yaml": edited(SWEEP, ("[4, 8]", "[4, 0, 70000]"), ("first: 4", "first: 1")),
    "empty_axis.yaml": edited(SWEEP, ("[4, 8]", "[]")),
    "backwards.yaml": edited(SWEEP, ("first: 4, last: 16", "first: 16, last: 4")),
    "repeated.yaml": edited(SWEEP, ("[4, 8]", "[4, 8, 4]")),
    "scalar_axis.yaml": edited(SWEEP, ("[4, 8]", "4")),
    "nested_axis.yaml": edited(SWEEP, ("[4, 8]", "[4, [8], null]")),
    "quoted.yaml": edited(SWEEP, ("[4, 8]", '["4", 8]')),
    "many.yaml": edited(
        SWEEP,
        ("[4, 8]", "{range: {first: 1, last: 60000}}"),
        ("{log2: {first: 4, last: 16}}", "{range: {first: 1, last: 60000}}"),
    ),
    "endless.yaml": edited(SWEEP, ("[4, 8]", "{range: {first: 1, last: 99999999999}}")),
    "objective.yaml": SWEEP + OBJECTIVES,
    "lonely.yaml": SWEEP + OBJECTIVES.replace(", energy", ""),
    "twice.yaml": SWEEP + OBJECTIVES.replace("energy", "latency_s"),
    "batch.yaml": SWEEP + "batch: 1099511627776\n",
    "no_model.yaml": edited(SWEEP, ("zoo:digits", "nowhere.tflite")),
    "no_base.yaml": edited(SWEEP, ("systolic_16x16", "systolic_16x15")),
    "faults.yaml": 'nam: tiny\nbase: 7\naxes: {array.rows: {range: {first: 1}}}\nbatch: "2"\n',
}


TOPOLOGIES: Final[Mapping[str, str]] = {
    "topology.csv": "Layer,M,N,K,\nfirst,12,3,9,\nsecond,4,4,4,\n",
    "letters.csv": "Layer,M,N,K,\nfirst,12,B,9,\n",
}
"""SCALE-Sim topologies; the first is good."""


def models() -> Mapping[str, bytes]:
    """Model files by name."""
    whole = digits.model_path().read_bytes()
    cut = {f"cut_{n}.tflite": whole[:n] for n in (5, 8, 100, 4096, 9000)}
    return cut | {
        "digits.tflite": whole,
        "digits.bin": whole,
        "digits.onnx": whole[:4096],
        "empty.onnx": b"",
        "empty.tflite": b"",
        "WORDS.TFLITE": b"PK\x03\x04 an archive of words",
        "EMPTY.ONNX": b"",
        "huge.tflite": OneOp("RELU", {}, (HUGE,), HUGE, (None,)).model(),
        "words.tflite": b"PK\x03\x04 an archive of words",
        "unsupported.tflite": one("BROADCAST_ARGS", {}, ROW, ROW, ROW),
        "hybrid.tflite": conv(as_float(IMAGE), WEIGHTS, as_float(BIAS), as_float(FEATURES)),
        "reals.tflite": one("RESHAPE", {}, as_float(ROW), as_float(ROW)),
        "unquantized.tflite": conv(x=bare(IMAGE)),
    }


def _archive(write: Callable[[zipfile.ZipFile], None]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        write(archive)
    return stream.getvalue()


def _npz(**arrays: Any) -> bytes:
    stream = io.BytesIO()
    np.savez(stream, **arrays)
    return stream.getvalue()


def _npy(array: Any) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def inputs() -> Mapping[str, bytes]:
    """Input files by name; `one.npz` and `five.npz` are good."""
    rng = np.random.default_rng(7)
    five = rng.integers(-128, 128, (5, *PIXELS[1:]), dtype=np.int8)
    pixels = five[:1]
    good = _npz(pixels=pixels)
    return {
        "one.npz": good,
        "five.npz": _npz(input_0=five),
        "key.npz": _npz(image=pixels),
        "no_key.npz": _npz(),
        "float.npz": _npz(pixels=pixels.astype(np.float32)),
        "shape.npz": _npz(pixels=np.zeros((1, 8, 9, 1), np.int8)),
        "no_samples.npz": _npz(pixels=five[:0]),
        "both.npz": _npz(pixels=pixels, t0=pixels),
        "objects.npz": _npz(pixels=np.array([{"a": 1}], dtype=object)),
        "single.npz": _npy(pixels),
        "text.npz": _archive(lambda a: a.writestr("input_0.npy", "no array")),
        "words.npz": b"not an archive",
        "cut.npz": good[: len(good) // 2],
    }


def documents() -> Mapping[str, str]:
    """Files for `diff`; `estimate.json` is good."""
    graph, machine = workloads.load("zoo:digits"), hwconfigs.load("cortex_m4")
    good = document(graph, [estimate(graph, machine)], 1)
    return {
        "estimate.json": json.dumps(good),
        "damaged.json": json.dumps({**good, "machines": [7]}),
        "headless.json": json.dumps({"schema": good["schema"]}),
        "manifest.json": json.dumps({"schema": "bitlane.golden/1"}),
        "words.json": "{words",
    }


def _run(folder: Path) -> None:
    sweep = Sweep(folder / "sweep.yaml")
    for _ in run(sweep, folder / "run", resume=False):
        pass


def _damaged(folder: Path, name: str, file: str, content: bytes) -> None:
    shutil.copytree(folder / "run", folder / name)
    (folder / name / file).write_bytes(content)


def fill(folder: Path) -> None:
    """Write every file, a finished run in `run`, and damaged copies of it."""
    for name, data in {**models(), **inputs()}.items():
        (folder / name).write_bytes(data)
    for name, text in {**MACHINES, **SWEEPS, **TOPOLOGIES, **documents()}.items():
        (folder / name).write_text(text, encoding="utf-8")
    (folder / "binary.yaml").write_bytes(b"name: \xff\xfe\n")
    (folder / "folder.tflite").mkdir()
    (folder / "emptied").mkdir()
    _run(folder)
    manifest = json.loads((folder / "run" / "manifest.json").read_text(encoding="utf-8"))
    del manifest["spec"]
    part = (folder / "run/points/part-00001.parquet").read_bytes()
    _damaged(folder, "run_words", "manifest.json", b"{words")
    _damaged(folder, "run_foreign", "manifest.json", b'{"schema": "bitlane.golden/1"}')
    _damaged(folder, "run_half", "manifest.json", json.dumps(manifest).encode())
    _damaged(folder, "run_cut", "points/part-00001.parquet", part[:100])
    _damaged(folder, "run_layers", "layers/part-00002.parquet", b"")
    shutil.copytree(folder / "run", folder / "run_begun")
    shutil.rmtree(folder / "run_begun" / "points")
