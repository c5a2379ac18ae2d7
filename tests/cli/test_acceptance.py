"""The public models, whole: every tensor against LiteRT, goldens, costs, a sweep of 1 000."""

import importlib.util
import json
from pathlib import Path
from typing import Final

import jsonschema
import numpy as np
import polars as pl
import pytest
import yaml

from tests.cli.command import Run
from tests.cli.schemas import ESTIMATE, VALIDATE
from tests.cli.test_estimate import MACHINES, THREE, assert_sums
from tests.conformance.goldens import Golden, folder_of

MACS: Final = {
    "mlperf_ic_resnet8_int8": 12_501_632,
    "mlperf_vww_mobilenetv1_025_96_int8": 7_489_664,
    "mlperf_kws_dscnn_int8": 2_656_768,
    "mlperf_ad_autoencoder_int8": 264_192,
    "person_detect_int8": 7_157_888,
}
TINY: Final = tuple(MACS)[:4]
"""The four networks of MLPerf Tiny (Banbury et al., NeurIPS 2021)."""
THOUSAND: Final = """\
name: thousand_points
base: systolic_16x16
workload: {model}
axes:
  array.rows: [4, 8, 12, 16, 20, 24, 28, 32, 48, 64]
  array.cols: [4, 8, 16, 32, 64]
  memory.dram.bytes_per_cycle: [1, 2, 4, 8, 16]
  memory.weight_sram.bytes: [4096, 16384, 65536, 262144]
"""

requires_litert = pytest.mark.skipif(
    importlib.util.find_spec("ai_edge_litert") is None,
    reason="ai_edge_litert (extra 'reference') is not installed",
)


@requires_litert
@pytest.mark.parametrize("name", TINY)
def test_every_tensor_of_100_samples_is_litert_s(
    bitlane: Run, shared: Path, tmp_path: Path, name: str
) -> None:
    model, out = Golden(folder_of(shared), name).model, tmp_path / "v.json"
    arguments = ("validate", model, "--against", "litert-ref", "--samples", "100")
    outcome = bitlane(*arguments, "--json", out)
    assert (outcome.code, outcome.err) == (0, "")
    found = json.loads(out.read_text(encoding="utf-8"))
    jsonschema.validate(found, VALIDATE)
    assert (found["samples"], found["differing"], found["unseen"]) == (100, 0, [])
    assert {layer["differing"] for layer in found["layers"]} == {0}
    assert min(layer["values"] for layer in found["layers"]) >= 100


@requires_litert
def test_litert_refuses_person_detect_in_one_line(bitlane: Run, shared: Path) -> None:
    model = Golden(folder_of(shared), "person_detect_int8").model
    outcome = bitlane("validate", model, "--against", "litert-ref")
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err.startswith(
        "bitlane: person_detect_int8.tflite: litert-ref refuses the model"
    )
    assert outcome.err.count("\n") == 1


@pytest.mark.parametrize("dialect", ["litert-ref", "tflm"])
def test_person_detect_is_tflm_s(bitlane: Run, shared: Path, tmp_path: Path, dialect: str) -> None:
    golden = Golden(folder_of(shared), "person_detect_int8")
    samples = list(golden.samples("TFLM"))
    assert len(samples) == len(golden.about["samples"]) == 5
    np.savez(tmp_path / "in.npz", input_0=np.concatenate([inputs[0] for inputs, _ in samples]))
    arguments = ("exec", golden.model, "--inputs", tmp_path / "in.npz", "--dialect", dialect)
    assert bitlane(*arguments, "--out", tmp_path / "out.npz").code == 0
    with np.load(tmp_path / "out.npz") as found:
        (name,) = found.files
        assert np.array_equal(found[name], np.concatenate([outputs[0] for _, outputs in samples]))


@pytest.mark.parametrize("name", MACS)
def test_costs_on_three_machines(bitlane: Run, shared: Path, tmp_path: Path, name: str) -> None:
    model, out = Golden(folder_of(shared), name).model, tmp_path / "e.json"
    outcome = bitlane("estimate", model, *THREE, "--json", out)
    assert (outcome.code, outcome.err) == (0, "")
    found = json.loads(out.read_text(encoding="utf-8"))
    jsonschema.validate(found, ESTIMATE)
    assert [machine["name"] for machine in found["machines"]] == list(MACHINES)
    for machine in found["machines"]:
        assert_sums(machine)
        assert machine["totals"]["macs"] == MACS[name]
        assert min(layer["cycles"]["total"] for layer in machine["layers"]) > 0


def test_macs_are_those_of_the_models_own_description(shared: Path) -> None:
    about = {name: Golden(folder_of(shared), name).about["macs"] for name in MACS}
    assert about == MACS


def test_a_thousand_designs_of_resnet(bitlane: Run, shared: Path, tmp_path: Path) -> None:
    model = Golden(folder_of(shared), "mlperf_ic_resnet8_int8").model
    (tmp_path / "s.yaml").write_text(THOUSAND.format(model=model), encoding="utf-8")
    outcome = bitlane("sweep", tmp_path / "s.yaml", "--out", tmp_path / "out")
    assert (outcome.code, outcome.err) == (0, "")
    points = pl.read_parquet(tmp_path / "out/points/*.parquet")
    assert points["point"].to_list() == list(range(1000))
    assert points.select(*yaml.safe_load(THOUSAND)["axes"]).n_unique() == 1000
    assert points["refused"].null_count() == 1000
    assert points["macs"].unique().to_list() == [MACS["mlperf_ic_resnet8_int8"]]
    layers = pl.read_parquet(tmp_path / "out/layers/*.parquet")
    sums = layers.group_by("point").agg(pl.col("macs").sum()).sort("point")
    assert sums["macs"].to_list() == points["macs"].to_list()
