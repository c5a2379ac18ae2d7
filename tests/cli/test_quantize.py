"""`bitlane quantize`: what it writes runs, what it says holds, a fault is one line."""

import json
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import onnx
import pytest

import workloads
from analysis import quantize_written
from simulator.execute import run
from tests.cli import schemas
from tests.cli.command import Outcome, Run, files_of
from tests.cli.float_model import data, fill
from workloads.quantize.ptq import mending

QUICK = ("--rounding", "nearest", "--bias-correction", "none")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("float")
    fill(folder)
    images = data(6)["x"]
    bad = images.copy()
    bad[3, 0, 1, 1] = np.nan
    np.savez(folder / "x_y.npz", calibration=images, x=images, y=np.arange(6) % 5)
    np.savez(folder / "nan.npz", x=bad)
    np.savez(folder / "nothing.npz")
    np.savez(folder / "none.npz", x=images[:0])
    np.savez(folder / "shape.npz", x=images[:, :, :7])
    np.savez(folder / "words.npz", x=np.array(["a", "b"]))
    np.savez(folder / "two.npz", a=images, b=images)
    np.savez(folder / "labels.npz", x=images, y=np.arange(5))
    (folder / "policy.yaml").write_text("weights: 4\nlayers: {float_conv_2d_0: W8A8}\n")
    (folder / "bad.yaml").write_text("weights: four\n")
    huge = images.astype(np.float64)
    huge[2, 0, 1, 1] = 1e300
    np.savez(folder / "huge.npz", x=huge)
    np.savez(folder / "below.npz", x=images, y=np.arange(6) - 1)
    np.savez(folder / "beyond.npz", x=images, y=np.arange(6))
    model = onnx.load(folder / "net.onnx")
    for constant in model.graph.initializer:
        values = onnx.numpy_helper.to_array(constant)
        if values.ndim == 4:
            spoiled = np.where(np.arange(values.size).reshape(values.shape) == 3, np.nan, values)
            constant.CopyFrom(onnx.numpy_helper.from_array(spoiled.astype("f4"), constant.name))
            break
    onnx.save(model, folder / "nan.onnx")
    (folder / "widths.yaml").write_text("layers: {float_conv_2d_0: W4}\n")
    (folder / "text.txt").write_text("no model")
    return folder


@pytest.fixture
def here(made: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(made)
    return made


@pytest.fixture
def untouched(here: Path) -> Iterator[Path]:
    """The folder; the test fails where anything in it appears, goes or changes."""
    before = dict(files_of(here)), set(here.rglob("*"))
    yield here
    assert before == (dict(files_of(here)), set(here.rglob("*")))


@pytest.mark.parametrize(
    ("name", "options", "form"),
    [
        ("a.onnx", (), "qdq"),
        ("b.onnx", ("--format", "qonnx"), "qonnx"),
        ("c.tflite", ("--per-tensor",), "tflite"),
        ("d.onnx", ("--weights", "4", "--first-last", "8"), "qdq"),
    ],
)
def test_a_file_that_runs(
    bitlane: Run, here: Path, tmp_path: Path, name: str, options: tuple[str, ...], form: str
) -> None:
    out, report = tmp_path / name, tmp_path / "report.json"
    command = ("quantize", "net.onnx", "--calibration", "data.npz", "-o", out, "--json", report)
    outcome = bitlane(*command, *options, *QUICK)
    assert (outcome.code, outcome.err) == (0, "")
    document = json.loads(report.read_text(encoding="utf-8"))
    jsonschema.validate(document, schemas.QUANTIZE)
    assert document["output"]["format"] == form
    assert document["output"]["bytes"] == out.stat().st_size
    assert document["samples"] == {"calibrated": 32, "judged": 8}
    graph = workloads.load(out)
    (ours,) = graph.inputs
    held = document["output"]
    real = workloads.load("net.onnx")
    agreeing = 0
    for image in data()["x"][32:]:
        values = quantize_written._outputs(graph, {real.inputs[0]: image[None]})
        expected = run(real, {real.inputs[0]: image[None]})[0]["y"]
        agreeing += int(values[0].argmax() == expected.argmax())
    assert agreeing >= 7
    assert held["samples"] == 8
    assert held["agreeing"] >= 7
    assert held["sqnr_db"] > 20
    assert graph.tensors[ours].shape in ((1, 3, 8, 8), (1, 8, 8, 3))
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted([name, "report.json"])


def test_every_step_is_told_and_can_be_switched_off(
    bitlane: Run, here: Path, tmp_path: Path
) -> None:
    def steps(*options: str) -> list[str]:
        command = ("quantize", "net.onnx", "--calibration", "data.npz", "--json", "-")
        outcome = bitlane(*command, "-o", tmp_path / "o.onnx", *options)
        assert (outcome.code, outcome.err) == (0, "")
        return [step["name"] for step in json.loads(outcome.out)["steps"]]

    whole = ["min-max", "equalize", "absorb", "weight ranges", "adaround", "activation ranges"]
    assert steps("--iterations", "20") == whole
    plain = ("--no-equalize", "--no-absorb", "--weight-ranges", "minmax")
    assert steps(*plain, *QUICK) == ["min-max", "activation ranges"]
    assert steps("--method", "minmax") == ["min-max", "activation ranges"]
    corrected = steps(*plain, "--rounding", "nearest")
    assert corrected == ["min-max", "bias correction", "activation ranges"]


@pytest.mark.parametrize("ranges", ["minmax", "moving-average", "percentile", "mse"])
def test_ranges_of_activations(bitlane: Run, here: Path, tmp_path: Path, ranges: str) -> None:
    command = ("quantize", "net.onnx", "--calibration", "data.npz", "--activation-ranges", ranges)
    out = tmp_path / "o.onnx"
    outcome = bitlane(*command, "-o", out, "--method", "minmax", "--logits", "cross-entropy")
    assert outcome.code == 0
    assert ranges in outcome.out


def test_labels_in_the_calibration_file(bitlane: Run, here: Path, tmp_path: Path) -> None:
    """`calibration` to calibrate on, `x` and `y` for top-1."""
    out = tmp_path / "o.onnx"
    command = ("quantize", "net.onnx", "--calibration", "x_y.npz", "-o", out, "--json", "-")
    document = json.loads(bitlane(*command, "--method", "minmax").out)
    graph = workloads.load("net.onnx")
    found = [run(graph, {"x": image[None]})[0]["y"].argmax() for image in data(6)["x"]]
    assert document["float_top1"] == np.mean(np.array(found) == np.arange(6) % 5)
    assert all(0 <= step["top1"] <= 1 for step in document["steps"])
    apart = ("--labels", "x_y.npz", "--calibration", "data.npz")
    again = json.loads(
        bitlane("quantize", "net.onnx", *apart, "-o", out, "--json", "-", "--method", "minmax").out
    )
    assert again["float_top1"] == document["float_top1"]


def test_widths_from_a_file_and_from_options(bitlane: Run, here: Path, tmp_path: Path) -> None:
    command = ("quantize", "net.onnx", "--calibration", "data.npz", "-o", tmp_path / "o.onnx")
    widths = ("--policy", "policy.yaml", "--activations", "6", "--layer", "float_matmul_6=W8A7")
    outcome = bitlane(*command, *widths, "--json", "-", "--method", "minmax")
    layers = json.loads(outcome.out)["layers"]
    found = {x["name"]: (x["weight_bits"], x["activation_bits"]) for x in layers}
    assert found == {"float_conv_2d_0": (8, 8), "float_conv_2d_2": (4, 6), "float_matmul_6": (8, 7)}


def test_the_same_seed_gives_the_same_file(bitlane: Run, here: Path, tmp_path: Path) -> None:
    files = []
    for name in ("one.onnx", "two.onnx"):
        command = ("quantize", "net.onnx", "--calibration", "data.npz", "--seed", "3")
        bitlane(*command, "--iterations", "30", "-o", tmp_path / name)
        files.append((tmp_path / name).read_bytes())
    assert files[0] == files[1]


START = "quantize net.onnx --calibration data.npz"
FAULTS = {
    START: "quantize writes -o OUT.onnx or OUT.tflite, or looks with --diagnose",
    f"{START} -o o.txt": "-o o.txt: quantized models are written as .onnx or .tflite; found '.txt'",
    f"{START} -o o.tflite --format qdq": "--format qdq: is of .onnx files; leave it out for",
    f"{START} --diagnose --format qdq": "--format qdq: says how -o is written; give -o OUT.onnx",
    f"{START} -o o.onnx --format qcdq": "--format qcdq: must be one of qdq, qonnx",
    f"{START} -o nowhere/o.onnx": "nowhere/o.onnx: cannot be written (No such file or directory)",
    f"{START} -o o.onnx --json o.onnx": "--json o.onnx: -o writes there too",
    "quantize nowhere.onnx --calibration data.npz -o o.onnx": "nowhere.onnx: no such file",
    "quantize text.txt --calibration data.npz -o o.onnx": "text.txt: models are read from",
    "quantize data.npz --calibration data.npz -o o.onnx": "data.npz: models are read from",
    "quantize zoo:digits --calibration data.npz -o o.onnx": (
        "zoo:digits: tensor 'pixels' is quantized already; give the float network"
    ),
    "quantize zoo:resnet18 --calibration data.npz -o o.onnx": "zoo:resnet18",
    "quantize net.onnx --calibration no.npz -o o.onnx": "no.npz: no such file; give an .npz",
    "quantize net.onnx --calibration text.txt -o o.onnx": "text.txt: not an .npz of plain arrays",
    "quantize net.onnx --calibration nothing.npz -o o.onnx": (
        "nothing.npz: holds no array; save samples of the inputs as 'x' (or input_0)"
    ),
    "quantize net.onnx --calibration none.npz -o o.onnx": (
        "none.npz: every input needs the same number of samples, 1 or more; found [0]"
    ),
    "quantize net.onnx --calibration shape.npz -o o.onnx": (
        "shape.npz: input 'x' must have shape (N, 3, 8, 8); found (6, 3, 7, 8)"
    ),
    "quantize net.onnx --calibration words.npz -o o.onnx": (
        "words.npz: input 'x' takes real numbers; found <U1. Save it as float32"
    ),
    "quantize net.onnx --calibration nan.npz -o o.onnx": (
        "nan.npz: input 'x' holds NaN or infinity in sample 3; leave it out"
    ),
    "quantize net.onnx --calibration two.npz -o o.onnx": (
        "two.npz: input 'x' is missing; the file holds a [6, 3, 8, 8], b [6, 3, 8, 8]; save it"
    ),
    f"{START} -o o.onnx --labels labels.npz": (
        "labels.npz: labels must be 6 integers, one a sample; found int64 of shape (5,)"
    ),
    f"{START} -o o.onnx --labels data.npz": "data.npz: holds no labels; save one integer a sample",
    f"{START} -o o.onnx --weights 17": "--weights 17: must be 2 to 16 bits, or 32 for float",
    f"{START} -o o.onnx --activations 1": "--activations 1: must be 2 to 16 bits, or 32 for float",
    f"{START} -o o.onnx --layer float_conv_2d_9=W4A8": (
        "net.onnx: no layer is named 'float_conv_2d_9'; did you mean 'float_conv_2d_"
    ),
    f"{START} -o o.onnx --layer float_conv_2d_0": (
        "--layer float_conv_2d_0: write it as NAME=W4A8"
    ),
    f"{START} -o o.onnx --layer float_conv_2d_0=8": (
        "--layer float_conv_2d_0=8: '8' is no width; write W4A8"
    ),
    f"{START} -o o.onnx --policy bad.yaml": "bad.yaml:1: weights: ",
    f"{START} -o o.onnx --policy widths.yaml": (
        "widths.yaml:1: layers.float_conv_2d_0: 'W4' is no width; write W4A8"
    ),
    f"{START} -o net.onnx": "-o net.onnx: the model is read from there; give another file",
    f"{START} -o o.onnx --json data.npz": "--json data.npz: --calibration is read from there",
    f"{START} -o o.onnx --labels x_y.npz --html x_y.npz": "--html x_y.npz: --labels is read from",
    f"{START} -o o.tflite --weights 32": (
        "-o o.tflite: a full-integer .tflite has weights of 2 to 8 bits and activations of 8 or "
        "16; found W32A8 for 'float_conv_2d_0'. Choose such widths, or write .onnx"
    ),
    f"{START} -o o.tflite --activations 4": "-o o.tflite: a full-integer .tflite has weights of 2",
    f"{START} -o o.onnx --labels below.npz": (
        "below.npz: labels must be classes 0 to 4, one an output; found -1 to 4"
    ),
    f"{START} -o o.onnx --labels beyond.npz": (
        "beyond.npz: labels must be classes 0 to 4, one an output; found 0 to 5"
    ),
    "quantize net.onnx --calibration huge.npz -o o.onnx": (
        "huge.npz: input 'x' holds 1e+300, beyond float32, in sample 2; leave it out"
    ),
    "quantize nan.onnx --calibration data.npz -o o.onnx": ("nan.onnx, layer float_conv_2d_0: '"),
    f"{START} -o o.onnx --method magic": "--method magic: must be one of pipeline, minmax",
    f"{START} -o o.onnx --rounding up": "--rounding up: must be one of adaround, nearest",
    f"{START} -o o.onnx --weight-ranges kl": "--weight-ranges kl: must be one of mse, minmax",
    f"{START} -o o.onnx --bias-correction some": "--bias-correction some: must be one of empirical",
    f"{START} -o o.onnx --logits mse": "--logits mse: must be one of cross-entropy",
    f"{START} -o o.onnx --activation-ranges batch-norm": (
        "--activation-ranges batch-norm: is for quantizing without data; leave out --calibration"
    ),
    f"{START} -o o.onnx --input-range 0:1": "--input-range: the calibration data says it",
    f"{START} -o o.onnx --iterations 0": "--iterations 0: must be an integer >= 1",
    "quantize normed.onnx -o o.onnx --activation-ranges mse": (
        "--activation-ranges mse: needs --calibration IN.npz; without it there is batch-norm"
    ),
    "quantize normed.onnx -o o.onnx --rounding adaround": "AdaRound needs calibration data",
    "quantize normed.onnx -o o.onnx --input-range 3": "--input-range 3: write it as LOW:HIGH",
    "quantize normed.onnx -o o.onnx": (
        "normed.onnx: without calibration data the range of its inputs is unknown; state it "
        "(--input-range LOW:HIGH) or give data (--calibration IN.npz)"
    ),
}


@pytest.mark.parametrize(("command", "message"), FAULTS.items())
def test_a_fault_is_one_line(bitlane: Run, untouched: Path, command: str, message: str) -> None:
    outcome = bitlane(*shlex.split(command))
    assert outcome.code == 2
    assert outcome.out == ""
    assert outcome.err.startswith(f"bitlane: {message}"), outcome.err
    assert len(outcome.err.splitlines()) == 1


@pytest.mark.parametrize("place", ["adaround", "read back"])
def test_control_c_leaves_nothing(
    bitlane: Run, untouched: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    def stop(*_: Any) -> Any:
        raise KeyboardInterrupt

    if place == "adaround":
        monkeypatch.setattr(mending, "adarounded", stop)
    else:
        monkeypatch.setattr(quantize_written, "compared", stop)
    outcome = bitlane(*shlex.split(START), "--iterations", "5", "-o", "o.onnx", "--html", "o.html")
    assert outcome == Outcome(130, "", "bitlane: interrupted\n")
