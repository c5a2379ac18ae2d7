"""Runs that end early: a reader that goes away, Ctrl-C, a kill; and going on with --resume."""

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.command import Run, files_of, outside, started, wait_for
from tests.cli.long_run import LONG, POINTS

THIRD = Path("points/part-00002.parquet")


def assert_completes(folder: Path, whole: Path) -> None:
    """`--resume` leaves exactly the files of the run that nobody stopped."""
    resumed = outside("sweep", "long.yaml", "--out", "out", "--resume", cwd=folder)
    assert (resumed.code, resumed.err) == (0, "")
    assert resumed.out.startswith(f"tiny: {POINTS} points in out\n")
    made = {n: data for n, data in files_of(folder / "out") if not n.endswith(".tmp")}
    assert made == dict(files_of(whole / "out"))


def stopped(folder: Path, number: signal.Signals) -> "tuple[int, str, str]":
    """Start the sweep, send a signal once three chunks are kept; code and both streams."""
    (folder / "long.yaml").write_text(LONG, encoding="utf-8")
    process = started("sweep", "long.yaml", "--out", "out", cwd=folder)
    wait_for(folder / "out" / THIRD, process)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    return process.returncode, out, err


def kept(folder: Path) -> int:
    """Chunks that are kept."""
    return sum(1 for _ in (folder / "out" / "points").glob("part-*.parquet"))


def test_control_c_says_what_is_kept_and_resume_completes(tmp_path: Path, whole: Path) -> None:
    code, out, err = stopped(tmp_path, signal.SIGINT)
    assert (code, out) == (130, "")
    told = re.fullmatch(
        rf"bitlane: interrupted; (\d+) of {POINTS} points are kept in out; go on with --resume\n",
        err,
    )
    assert told, err
    assert 3 <= kept(tmp_path) < POINTS // 16
    assert int(told[1]) == 16 * kept(tmp_path)
    assert not list((tmp_path / "out").rglob("*.tmp"))
    assert_completes(tmp_path, whole)


def test_a_killed_sweep_completes_with_the_same_content(tmp_path: Path, whole: Path) -> None:
    code, out, err = stopped(tmp_path, signal.SIGKILL)
    assert (code, out, err) == (-signal.SIGKILL, "", "")
    assert 3 <= kept(tmp_path) < POINTS // 16
    assert_completes(tmp_path, whole)


def test_resume_makes_lost_and_damaged_chunks_anew(tmp_path: Path, whole: Path) -> None:
    shutil.copytree(whole, tmp_path, dirs_exist_ok=True)
    out = tmp_path / "out"
    (out / "points/part-00000.parquet").unlink()
    (out / "layers/part-00001.parquet").unlink()
    (out / THIRD).write_bytes((out / THIRD).read_bytes()[:64])
    shutil.copy(out / "layers/part-00003.parquet", out / "points/part-00003.parquet")
    shutil.copy(out / "points/part-00149.parquet", out / "points/part-00004.parquet")
    (out / "layers/part-00005.parquet").write_bytes(b"")
    (out / "points/part-00149.parquet").unlink()
    assert_completes(tmp_path, whole)


def test_a_report_of_an_unfinished_run_says_so(bitlane: Run, tmp_path: Path, whole: Path) -> None:
    shutil.copytree(whole, tmp_path, dirs_exist_ok=True)
    for chunk in range(10, 150):
        (tmp_path / f"out/points/part-{chunk:05d}.parquet").unlink()
    outcome = bitlane("report", tmp_path / "out")
    rest = "160 of 2 400 points are kept; go on with the sweep by --resume"
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.out.splitlines()[1:] == [rest]
    assert rest in (tmp_path / "out/report.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "arguments",
    [("--help",), ("hw", "list"), ("inspect", "zoo:digits"), ("hw", "show", "cortex_m4")],
)
def test_a_reader_that_went_away(arguments: tuple[str, ...]) -> None:
    """Standard output is a pipe without a reader: a quiet end, as of any program of a shell."""
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "analysis.cli", *arguments]
    done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, text=True, timeout=120)
    os.close(writer)
    assert (done.returncode, done.stderr) == (128 + signal.SIGPIPE, "")


def test_piped_into_head() -> None:
    command = f"{sys.executable} -m analysis.cli hw show cortex_m4 | head -n 1"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("# A Cortex-M4")
    assert done.stdout.count("\n") == 1


def test_a_full_disk_under_the_output() -> None:
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    with Path("/dev/full").open("w") as full:
        command = [sys.executable, "-m", "analysis.cli", "hw", "list"]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, timeout=120)
    assert done.returncode == 2
    assert done.stderr == "bitlane: the output: No space left on device\n"


def test_a_terminal_without_greek() -> None:
    """An encoding without `µ` and `²` shows `?`, and the command ends well."""
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    command = [sys.executable, "-m", "analysis.cli", "estimate", "zoo:digits", "--hw", "cortex_m4"]
    done = subprocess.run(command, env=environment, capture_output=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"area mm?" in done.stdout
