"""`bitlane quantize --diagnose`: ranks, suggests, draws; and finds a layer that was made bad."""

import json
import re
from pathlib import Path

import jsonschema
import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from plotly.offline import get_plotlyjs

from tests.cli import schemas
from tests.cli.command import Run
from tests.cli.float_model import fill

PLAIN = ("--method", "minmax", "--per-tensor")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    fill(tmp_path)
    return tmp_path


def broken(name: str) -> None:
    """`net.onnx` with one weight of a constant 60 times the largest."""
    model = onnx.load("net.onnx")
    (held,) = (c for c in model.graph.initializer if c.name == name)
    value = numpy_helper.to_array(held).copy()
    value.reshape(-1)[7] = 60 * np.abs(value).max()
    held.CopyFrom(numpy_helper.from_array(value, name))
    onnx.save(model, "bad.onnx")


@pytest.mark.parametrize(
    ("name", "layer"),
    [("w0", "float_conv_2d_0"), ("w1", "float_conv_2d_2"), ("w2", "float_matmul_6")],
)
def test_the_bad_layer_leads(bitlane: Run, here: Path, name: str, layer: str) -> None:
    broken(name)
    command = ("quantize", "bad.onnx", "--calibration", "data.npz", "--diagnose", "--json", "-")
    outcome = bitlane(*command, *PLAIN)
    assert (outcome.code, outcome.err) == (0, "")
    document = json.loads(outcome.out)
    jsonschema.validate(document, schemas.QUANTIZE)
    found = document["diagnosis"]
    assert found["ranking"][0]["name"] == found["channels"]["layer"] == layer
    assert found["weights_sqnr_db"] < found["activations_sqnr_db"]
    assert "--per-channel" in found["suggestions"][0]
    assert document["output"] is None
    assert layer in found["suggestions"][1]


def test_the_text_and_the_page(bitlane: Run, here: Path) -> None:
    command = ("quantize", "net.onnx", "--calibration", "data.npz", "--diagnose", *PLAIN)
    outcome = bitlane(*command, "--html", "page.html", "-o", "o.onnx")
    assert (outcome.code, outcome.err) == (0, "")
    assert re.search(r"^  quantizers off, folded: the logits differ by ", outcome.out, re.MULTILINE)
    assert outcome.out.splitlines()[-1] == "page written to page.html"
    page = Path("page.html").read_text(encoding="utf-8")
    assert "default-src 'none'" in page
    ours = page.replace(get_plotlyjs().replace("</script", "<\\/script"), "")
    assert len(ours) < 200_000
    assert not re.search(r"https?:", ours)
    for name in ("steps", "layers", "ranking", "ranges", "noise"):
        assert f'<div class="figure" id="{name}"></div>' in page
    data = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    assert data is not None
    figures = json.loads(data[1])
    worst = outcome.out.split("\n1 ")[1].split()[0]
    assert figures["ranking"]["data"][0]["x"][0].endswith(worst)


def test_suggestions_follow_what_is_off(bitlane: Run, here: Path) -> None:
    def first(*options: str) -> str:
        command = ("quantize", "net.onnx", "--calibration", "data.npz", "--diagnose", "--json", "-")
        return str(json.loads(bitlane(*command, *options).out)["diagnosis"]["suggestions"][0])

    narrow = first("--weights", "3", *PLAIN)
    assert narrow.startswith("weights lose the most: try equalize (leave out --no-equalize)")
    assert "--rounding adaround" in narrow
    short = first("--activations", "3", *PLAIN)
    assert short.startswith("activations lose the most: try equalize (leave out --no-equalize)")
    assert "--activation-ranges mse" in short
    whole = first("--weights", "3", "--iterations", "10")
    assert whole == "weights lose the most: every remedy is on; give them more bits"
