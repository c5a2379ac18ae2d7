"""`estimate --mappings` and `--mapping`: nests written, read back, and pinned from other tools."""

import json
import re
import shlex
from pathlib import Path

import pytest

from tests.cli.command import Run
from tests.shared import ROOT

HW = "timeloop_eyeriss_like"
FORMS = ("bitlane", "timeloop", "timeloop-text", "zigzag", "zigzag-text")
DIVIDING = ("--set", "array.unrollings=[{x: {ox: 8}, y: {ic: 4, oc: 2}}]")


def layers(path: Path) -> dict[str, dict[str, object]]:
    (machine,) = json.loads(path.read_text(encoding="utf-8"))["machines"]
    return {layer["name"]: layer for layer in machine["layers"]}


@pytest.mark.parametrize("form", FORMS)
def test_a_written_nest_pins_the_same_cost(bitlane: Run, tmp_path: Path, form: str) -> None:
    """Written on a machine of another unrolling, which each form but ZigZag's text brings along."""
    first, second, nests = tmp_path / "a.json", tmp_path / "b.json", tmp_path / "nests"
    own = ("--hw", HW, *DIVIDING)
    options = ("--mappings", nests, "--mapping-format", form)
    wrote = bitlane("estimate", "zoo:digits", *own, "--json", first, *options)
    assert (wrote.code, wrote.err) == (0, "")
    count = int(re.search(r"^(\d+) mappings written to", wrote.out, re.MULTILINE)[1])  # type: ignore[index]
    files = sorted((nests / HW).iterdir())
    assert len(files) == count
    assert count + wrote.out.count("not written") == 5
    assert count == (2 if form.startswith("timeloop") else 5), wrote.out
    name = "conv_2d_0"
    hw = own if form == "zigzag-text" else ("--hw", HW)
    pinned = bitlane("estimate", "zoo:digits", *hw, "--json", second, "--mapping", files[0])
    assert (pinned.code, pinned.err) == (0, "")
    before, after = layers(first)[name], layers(second)[name]
    assert after["cycles"] == before["cycles"]
    assert after["energy_fj"] == before["energy_fj"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("loops: [oc 5]\n", "covers no layer of digits_cnn.tflite on timeloop_eyeriss_like: with"),
        ("loops: [oc x]\n", "loops: 'oc x' is no loop; write it as 'oc 4'"),
        ("loops: [oc 5]\ncuts: {weight: [1]}\n", "cuts.weight: 1 of them; the machine has the"),
        ("loops: [oc 5]\ncuts: 7\n", "spatial or cuts cannot be read; write spatial as"),
        ("nests: 4\n", "no mapping in any known form (bitlane, timeloop"),
        ("- name: a\n  temporal_ordering: [[K, x]]\n", ":2: '['K', 'x']' is no loop; write it"),
        ("- name: a\n  spatial_mapping: {D1: [K 4]}\n", "no entry has a temporal_ordering"),
        ("{O: [[(FX, 3)]], W: []}", "mapping of O: 1 levels; the machine has psum_spad"),
        ("mapping: [{target: DRAM, type: temporal, factors: M=0}]\n", "means what is left"),
        ("loops: [oc 5\n", "not valid YAML"),
        ("loops: [oc 5]\ncutz: {weight: [1]}\n", "'cutz' is no field of a mapping;"),
        (
            "spatial: [{dimension: x, loop: ox, factor: 0}]\nloops: [oc 5]\n",
            "spatial: the factor of ox on x must be a whole number from 1; found 0",
        ),
        (
            "spatial: [{dimension: x, loop: ox, factor: 2, fill: 1}]\nloops: [oc 5]\n",
            "spatial: 'fill' is no field; there are dimension, loop, factor",
        ),
        ("{O: [[(FX, -3)]], W: []}", "mapping of O: '(FX, -3)' is no loop; write it as (K, 4)"),
        ("{O: [[(FX, 0)]], W: []}", "mapping of O: '(FX, 0)' is no loop; write it as (K, 4)"),
        ("loops: [oc 99999999999999999999]\n", "they make more than 2^62 steps, which no layer"),
        (f"DRAM [ Weights:1 ]\n| for P in [0:{10**30})\n", "keeps the weights in DRAM; the"),
        ("{O: [[(FX,\n3)]], V: []}", "mapping of O: 1 levels; the machine has psum_spad"),
        ("O: [[(FX, 3]]", "mapping"),
        ("# x\n{O: [[(FX,\n3)], [], []], V: []}", "no list for operand W in '# x {O: [[(FX, 3)]"),
    ],
)
def test_a_bad_mapping_is_one_line(bitlane: Run, tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "nest.yaml"
    path.write_text(text, encoding="utf-8")
    outcome = bitlane("estimate", "zoo:digits", "--hw", HW, "--mapping", path)
    assert (outcome.code, outcome.out) == (2, "")
    assert message in outcome.err
    assert outcome.err.startswith(f"bitlane: {path}")
    assert outcome.err.count("\n") == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--mapping", "no.yaml"), "no.yaml: cannot be read: No such file or directory; give a"),
        (("--mapping-format", "zigzag"), "--mapping-format belongs to --mappings; add it"),
        (("--mappings", "m", "--mapping-format", "x"), "must be one of bitlane, timeloop"),
        (("--csv", "-"), "--csv -: only --json goes to standard output; give a file"),
        (("--json", "a", "--csv", "./a"), "--csv a: --json writes there too; give each"),
        (("--json", "a/b.json"), "a/b.json: cannot be written (No such file or directory); choose"),
    ],
)
def test_bad_options(bitlane: Run, options: tuple[str, ...], message: str) -> None:
    outcome = bitlane("estimate", "zoo:digits", "--hw", HW, *options)
    assert (outcome.code, outcome.out) == (2, "")
    assert message in outcome.err


def test_other_machines_map_no_nests(bitlane: Run, tmp_path: Path) -> None:
    path = tmp_path / "nest.yaml"
    path.write_text("loops: [oc 5]\n", encoding="utf-8")
    pinned = bitlane("estimate", "zoo:digits", "--hw", "cortex_m4", "--mapping", path)
    assert (pinned.code, pinned.out) == (2, "")
    assert "cortex_m4 is a cpu machine, which maps no loop nests" in pinned.err
    written = bitlane("estimate", "zoo:digits", "--hw", "cortex_m4", "--mappings", tmp_path / "m")
    assert (written.code, written.out) == (2, "")
    assert "no spatial machine among cortex_m4" in written.err


def test_the_page_shows_what_the_commands_print(
    bitlane: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every command of docs/mappings.md in order; its lines come in its order, `...` aside."""
    monkeypatch.chdir(tmp_path)
    page = (ROOT / "docs/mappings.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```(sh|text|yaml)(?: (\S+))?\n(.*?)```", page, re.DOTALL)
    shown, ran = "", 0
    for kind, name, body in blocks:
        if kind == "yaml" and name:
            (tmp_path / name).write_text(body, encoding="utf-8")
        if kind == "sh":
            shown = ""
            for line in body.replace("\\\n", " ").splitlines():
                words = shlex.split(line)
                if words[0] == "cat":
                    shown += (tmp_path / words[1]).read_text(encoding="utf-8")
                else:
                    assert words[0] == "bitlane"
                    outcome = bitlane(*words[1:])
                    shown += outcome.out + outcome.err
                ran += 1
        if kind == "text":
            found = iter(shown.splitlines())
            for line in body.splitlines():
                assert line == "..." or any(line == other.rstrip() for other in found), line
    assert ran >= 8
