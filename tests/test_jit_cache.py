"""Compiled kernels are cached across processes, and never outlive an edit of the tree."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.shared import ROOT

DIVIDE = """
import numpy as np
from simulator.numeric.requantize import Requantize, requantize_array
by = Requantize("double_round", (2.0**-3,), (2**30,), (-2,), 0, -128, 127)
print(*requantize_array(np.array([[-20], [20], [36]], dtype=np.int32), by, "int8").ravel())
"""
HELPER = "simulator/numeric/rounding.py"
TIES_AWAY = "        threshold += 1\n"
TIES_UP = "        threshold += 0\n"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy of the package, to edit."""
    shutil.copytree(
        ROOT / "simulator", tmp_path / "simulator", ignore=shutil.ignore_patterns("__pycache__")
    )
    return tmp_path


def answer(tree: Path, script: str, **environment: str) -> str:
    """What `script` prints in a fresh process that sees only this tree, warnings as errors."""
    inherited = {
        k: v for k, v in os.environ.items() if not k.startswith(("NUMBA_", "PYTHON", "XDG_"))
    }
    process = subprocess.run(
        [sys.executable, "-W", "error", "-c", script],
        cwd=tree,
        env={**inherited, "PYTHONDONTWRITEBYTECODE": "1", **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert process.returncode == 0, process.stderr
    return process.stdout.strip()


def edit(tree: Path, file: str, old: str, new: str) -> None:
    """Replace one text in a file and keep its time stamps: only the bytes tell."""
    path = tree / file
    source, times = path.read_text(), path.stat()
    assert source.count(old) == 1
    path.write_text(source.replace(old, new))
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


def test_an_edited_helper_changes_the_answer(tree: Path, tmp_path: Path) -> None:
    """The kernel stands in requantize.py, the helper it calls in rounding.py (ties away)."""
    cache = str(tmp_path / "cache")
    assert answer(tree, DIVIDE, NUMBA_CACHE_DIR=cache) == "-3 3 5"
    edit(tree, HELPER, TIES_AWAY, TIES_UP)
    assert answer(tree, DIVIDE, NUMBA_CACHE_DIR=cache) == "-2 3 5"
    edit(tree, HELPER, TIES_UP, TIES_AWAY)
    assert answer(tree, DIVIDE, NUMBA_CACHE_DIR=cache) == "-3 3 5"


def test_the_cache_is_used(tree: Path, tmp_path: Path) -> None:
    """A second process compiles nothing: it writes no file of the cache again."""
    cache = tmp_path / "cache"
    report = DIVIDE + (
        "from simulator.numeric.requantize import _double_round\n"
        "print(sum(_double_round.stats.cache_hits.values()),"
        " sum(_double_round.stats.cache_misses.values()))\n"
    )
    assert answer(tree, report, NUMBA_CACHE_DIR=str(cache)).splitlines() == ["-3 3 5", "0 1"]
    assert list(cache.rglob("*.nbi"))
    assert answer(tree, report, NUMBA_CACHE_DIR=str(cache)).splitlines() == ["-3 3 5", "1 0"]


def test_two_trees_never_share_kernels(tree: Path, tmp_path: Path) -> None:
    cache = str(tmp_path / "cache")
    other = tmp_path / "other"
    other.mkdir()
    shutil.copytree(tree / "simulator", other / "simulator")
    edit(other, HELPER, TIES_AWAY, TIES_UP)
    for _ in range(2):
        assert answer(tree, DIVIDE, NUMBA_CACHE_DIR=cache) == "-3 3 5"
        assert answer(other, DIVIDE, NUMBA_CACHE_DIR=cache) == "-2 3 5"


def test_kernels_of_one_name_in_two_files_are_told_apart(tree: Path, tmp_path: Path) -> None:
    """Same file name, function name and line; the bytecode differs only in a constant."""
    kernel = "from simulator.jit import njit\n\n\n@njit\ndef step(x):\n    return x + {}\n"
    for package, constant in (("first", 1), ("second", 2)):
        folder = tree / "simulator" / package
        folder.mkdir()
        (folder / "__init__.py").write_text("")
        (folder / "kernels.py").write_text(kernel.format(constant))
    script = (
        "from simulator.first.kernels import step as one\n"
        "from simulator.second.kernels import step as two\n"
        "print(one(10), two(10))\n"
    )
    for _ in range(2):
        assert answer(tree, script, NUMBA_CACHE_DIR=str(tmp_path / "cache")) == "11 12"


def test_no_writable_cache_folder_still_computes(tree: Path, tmp_path: Path) -> None:
    """Every place for the cache lies below a file, where no folder can be made."""
    blocked = tmp_path / "file"
    blocked.write_text("")
    places = {"NUMBA_CACHE_DIR": f"{blocked}/numba", "XDG_CACHE_HOME": f"{blocked}/cache"}
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    assert answer(tree, DIVIDE, TMPDIR=str(scratch), **places) == "-3 3 5"
    assert answer(tree, DIVIDE, TMPDIR=f"{blocked}/tmp", HOME=f"{blocked}/home", **places) == (
        "-3 3 5"
    )


def test_a_user_without_a_home_still_computes(tree: Path, tmp_path: Path) -> None:
    """A container that runs under a number no account has: `~` stands for nothing."""
    homeless = (
        "import pathlib\n"
        "def expanduser(self):\n"
        "    raise RuntimeError('Could not determine home directory.')\n"
        "pathlib.Path.expanduser = expanduser\n"
    )
    assert answer(tree, homeless + DIVIDE, TMPDIR=str(tmp_path)) == "-3 3 5"


def test_importing_compiles_nothing(tree: Path, tmp_path: Path) -> None:
    """`--help` must not wait for LLVM."""
    script = (
        "import simulator.registry\n"
        "simulator.registry.operators()\n"
        "from simulator.numeric import matmul, requantize\n"
        "print(matmul._matmul_int32.signatures, requantize._double_round.signatures)\n"
    )
    cache = tmp_path / "cache"
    assert answer(tree, script, NUMBA_CACHE_DIR=str(cache)) == "[] []"
    assert not list(cache.rglob("*.nb*"))


def test_stamp_covers_every_python_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from simulator import jit

    (tmp_path / "inner").mkdir()
    (tmp_path / "a.py").write_text("A = 1\n")
    stamps = set()
    monkeypatch.setattr(jit, "_TREE", tmp_path)
    for change in ("A = 1\n", "A = 2\n"):
        (tmp_path / "inner" / "b.py").write_text(change)
        stamps.add(jit.tree_stamp.__wrapped__())
    (tmp_path / "inner" / "b.py").rename(tmp_path / "b.py")
    stamps.add(jit.tree_stamp.__wrapped__())
    assert len(stamps) == 3


def test_answers_are_those_of_this_process() -> None:
    """What the scripts above print, computed here."""
    from simulator.numeric.requantize import Requantize, requantize_array

    by = Requantize("double_round", (2.0**-3,), (2**30,), (-2,), 0, -128, 127)
    acc = np.array([[-20], [20], [36]], dtype=np.int32)
    assert requantize_array(acc, by, "int8").ravel().tolist() == [-3, 3, 5]
