"""docs/quantize.md: its commands print what the page shows, its Python runs."""

import re
import shlex
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.cli.command import Run
from tests.shared import ROOT, absence, shared_folder

PAGE = (ROOT / "docs/quantize.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)
TEXTS = re.findall(r"```text\n(.*?)```", PAGE, re.DOTALL)
(PYTHON,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
NUMBER = r"-?\d+\.\d+(?= dB| %)"
"""What sums in another order may move in its last digits: within a decibel or a point."""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = shared_folder()
    assert folder is not None
    monkeypatch.chdir(tmp_path)
    model = folder / "models/float/mlperf_ic_resnet8_float.tflite"
    shutil.copy(model, tmp_path / "resnet8.tflite")
    shutil.copy(folder / "data/cifar10_eval.npz", tmp_path / "cifar10.npz")
    return tmp_path


def same(shown: str, found: str) -> bool:
    """Whether a line is that of the page: `...` stands for any text, numbers are near."""
    plain, other = (re.sub(r" +", " ", line) for line in (shown, found))
    parts = re.split(rf"({NUMBER}|\.\.\.)", plain)
    pattern = "".join(
        ".*" if p == "..." else rf"({NUMBER})" if re.fullmatch(r"-?\d+\.\d+", p) else re.escape(p)
        for p in parts
    )
    match = re.fullmatch(pattern, other)
    numbers = [float(p) for p in parts if re.fullmatch(r"-?\d+\.\d+", p)]
    return match is not None and all(
        abs(a - float(b)) <= 1.0 for a, b in zip(numbers, match.groups(), strict=True)
    )


@pytest.mark.skipif(shared_folder() is None, reason=absence())
@pytest.mark.parametrize(("command", "text"), list(zip(COMMANDS, TEXTS, strict=True)))
def test_a_command_prints_what_is_shown(bitlane: Run, here: Path, command: str, text: str) -> None:
    outcome = bitlane(*shlex.split(command)[1:])
    assert (outcome.code, outcome.err) == (0, "")
    lines = iter(outcome.out.splitlines())
    for line in text.splitlines():
        assert line == "..." or any(same(line, other) for other in lines), line


@pytest.mark.skipif(shared_folder() is None, reason=absence())
def test_the_python(here: Path) -> None:
    names: dict[str, Any] = {}
    exec(compile(PYTHON, "docs/quantize.md", "exec"), names)
    assert names["made"].steps[-1].sqnr_db > 25
