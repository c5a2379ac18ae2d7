"""The fuzzer itself: a short run of both readers, recipes that repeat, findings that are told."""

from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from tests.fuzz import probe
from tests.fuzz.mutations import MUTATIONS, flatbuffer_words
from tests.fuzz.recipe import Recipe, drawn, parse
from tests.fuzz.run import Fuzzer, signature
from tests.fuzz.seeds import seeds

FILES = 250


@pytest.fixture(scope="module")
def fuzzer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fuzzer]:
    made = Fuzzer(tmp_path_factory.mktemp("fuzz"))
    yield made
    made.child.close()


def test_short_run_finds_nothing(fuzzer: Fuzzer) -> None:
    """Seeds first: they are sound, and their kernels are compiled before any time is taken."""
    fuzzer.names = [name for name in fuzzer.names if "/" not in name]
    fuzzer.warm()
    report = fuzzer.run(Random(20), None, FILES)
    fuzzer.child.stop()
    assert report.findings == {}
    assert report.files == FILES
    assert {end.split()[0] for end in report.ends} == {"tflite", "onnx"}
    assert report.ends["tflite ran"] > 0
    assert report.ends["onnx ran"] > 0


def test_a_recipe_makes_the_same_bytes_again() -> None:
    held = {name: data for name, data in seeds().items() if "/" not in name}
    rng = Random(3)
    changed = 0
    for _ in range(100):
        recipe = drawn(sorted(held), rng)
        assert parse(str(recipe)) == recipe
        made = recipe.make(held)
        assert made == parse(str(recipe)).make(held)
        changed += made != held[recipe.seed]
    assert changed > 90


@pytest.mark.parametrize("name", MUTATIONS)
def test_mutations_take_any_bytes(name: str) -> None:
    rng = Random(name)
    for size in (0, 1, 7, 8, 9, 64):
        assert isinstance(MUTATIONS[name](rng.randbytes(size), rng, b"other"), bytes)


def test_words_of_a_flatbuffer_are_those_that_a_reader_follows() -> None:
    """The root offset and the vectors of shapes are among them, far from every word of weights."""
    data = seeds()["digits.tflite"]
    words = set(flatbuffer_words(data))
    assert 0 in words
    assert any(
        data[w : w + 20] == b"\x04\0\0\0\x01\0\0\0\x08\0\0\0\x08\0\0\0\x01\0\0\0" for w in words
    )


@pytest.mark.parametrize(
    ("body", "outcome"),
    [
        ("raise KeyError('ours')", "exception"),
        ("return bytearray(8 << 30)", "memory"),
        ("import time; time.sleep(60)", "hang"),
        ("import os; os.kill(os.getpid(), 11)", "crash"),
        (
            "from simulator.errors import BadFile; raise BadFile('two' + chr(10) + 'lines')",
            "exception",
        ),
        ("from simulator.errors import BadFile; raise BadFile('one line')", "refused"),
    ],
)
def test_every_kind_of_finding_is_seen(
    body: str, outcome: str, fuzzer: Fuzzer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reader that is broken on purpose, in the child."""
    broken = tmp_path / "sitecustomize.py"
    broken.write_text(f"import workloads\ndef load(path):\n    {body}\nworkloads.load = load\n")
    paths = (str(tmp_path), *map(str, Path(probe.__file__).parents[2:3]))
    monkeypatch.setenv("PYTHONPATH", ":".join(paths))
    found = fuzzer._outcome(Recipe("digits.tflite", ()), 3.0)
    fuzzer.child.stop()
    assert found["outcome"] == outcome
    if outcome not in ("refused", "hang"):
        assert signature(found).startswith(outcome)
