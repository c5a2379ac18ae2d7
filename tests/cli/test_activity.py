"""`estimate --inputs`: the table and the document."""

import json
from pathlib import Path

import numpy as np

import workloads
from tests.cli.command import Run


def test_the_document_and_the_table(bitlane: Run, tmp_path: Path) -> None:
    graph = workloads.load("zoo:digits")
    shape = graph.tensors[graph.inputs[0]].shape
    digit = np.random.default_rng(3).integers(-128, 128, shape).astype(np.int8)
    np.savez(tmp_path / "in.npz", input_0=digit)
    out = bitlane(
        *("estimate", "zoo:digits", "--hw", "systolic_16x16"),
        *("--inputs", str(tmp_path / "in.npz"), "--seed", "5", "--json", str(tmp_path / "e.json")),
    )
    assert out.code == 0, out.err
    assert "systolic_16x16, by what the operands do" in out.out
    (entry,) = json.loads((tmp_path / "e.json").read_text())["machines"]
    found = entry["activity"]
    assert found["seed"] == 5
    assert found["data_blind_fj"] == entry["totals"]["energy_fj"]
    saved = sum(
        sum(layer["data_blind_fj"].values()) - sum(layer["energy_fj"].values())
        for layer in found["layers"]
    )
    assert found["energy_fj"] == found["data_blind_fj"] - saved
    assert [la["products"] for la in found["layers"]] == [
        la["macs"] for la in entry["layers"] if la["macs"]
    ]


def test_faults_are_one_line(bitlane: Run, tmp_path: Path) -> None:
    np.savez(tmp_path / "short.npz", input_0=np.zeros((1, 3), np.int8))
    np.savez(tmp_path / "digit.npz", input_0=np.zeros((1, 8, 8, 1), np.int8))
    cases = [
        (
            "digit",
            ("systolic_16x16", "--set", "technology=pareto_linear"),
            "--inputs: bits move energy, and pareto_linear counts multiplication bits; leave out",
        ),
        ("digit", ("systolic_16x16", "--batch", "2"), "prices one inference; found --batch 2"),
        ("short", ("systolic_16x16",), "must have shape"),
    ]
    for name, more, message in cases:
        given = ("--inputs", str(tmp_path / f"{name}.npz"), "--hw", *more)
        outcome = bitlane("estimate", "zoo:digits", *given)
        assert outcome.code == 2
        assert message in outcome.err
        assert outcome.err.count("\n") == 1
