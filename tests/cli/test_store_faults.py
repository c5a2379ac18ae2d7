"""A sweep whose disk fills, whose folder may not be written, or that is killed again and again."""

import os
import random
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from time import monotonic, sleep

import pytest
from polars.testing import assert_frame_equal

from analysis.store import open_store
from tests.cli.command import SECONDS, files_of, outside, started, wait_for
from tests.cli.long_run import COMMAND, LONG, POINTS


def kills(folder: Path, number: int, seed: int) -> None:
    """Start the sweep in `folder` and kill it, `number` times, each at a moment of its own.

    A moment is at most six chunks on, and then anywhere in the time that a few chunks take; or
    anywhere before the first one, while Python starts and the store is opened.
    """
    draw = random.Random(seed)
    (folder / "long.yaml").write_text(LONG, encoding="utf-8")
    for turn in range(number):
        process = started(*COMMAND, *(["--resume"] if turn else []), cwd=folder)
        wait_for(folder / "out/manifest.json", process)
        more = draw.randrange(7)
        deadline = monotonic() + (draw.uniform(0.0, 1.5) if more == 0 else SECONDS)
        wanted = kept(folder) + more
        while monotonic() < deadline and (more == 0 or kept(folder) < wanted):
            assert process.poll() is None, process.communicate()[1]
            sleep(0.001)
        sleep(draw.uniform(0.0, 0.05))
        process.kill()
        process.communicate(timeout=60)
    assert 0 < kept(folder) < POINTS // 16


def kept(folder: Path) -> int:
    return sum(1 for _ in (folder / "out" / "points").glob("part-*.parquet"))


def assert_completes(folder: Path, whole: Path) -> None:
    """`--resume` leaves the files of the run that nobody stopped, no more and no fewer."""
    resumed = outside(*COMMAND, "--resume", cwd=folder)
    assert (resumed.code, resumed.err) == (0, "")
    assert dict(files_of(folder / "out")) == dict(files_of(whole / "out"))
    assert_frame_equal(open_store(folder / "out").points(), open_store(whole / "out").points())


def test_killed_three_times(tmp_path: Path, whole: Path) -> None:
    kills(tmp_path, 3, seed=1)
    assert_completes(tmp_path, whole)


@pytest.mark.slow
def test_killed_at_twenty_moments(tmp_path: Path, whole: Path) -> None:
    kills(tmp_path, 20, seed=2)
    assert_completes(tmp_path, whole)


def test_what_a_killed_run_left_half_written_goes(tmp_path: Path, whole: Path) -> None:
    shutil.copytree(whole, tmp_path, dirs_exist_ok=True)
    (tmp_path / "out/points/part-00007.parquet").unlink()
    (tmp_path / "out/points/.part-00007.parquet.99.tmp").write_bytes(b"half")
    (tmp_path / "out/.manifest.json.99.tmp").write_bytes(b"{")
    assert_completes(tmp_path, whole)


def command(*arguments: str, cwd: Path, prefix: tuple[str, ...] = ()) -> "tuple[int, str, str]":
    """`bitlane` under another command; code and both streams."""
    line = [*prefix, sys.executable, "-m", "analysis.cli", *arguments]
    done = subprocess.run(line, cwd=cwd, capture_output=True, text=True, timeout=SECONDS)
    return done.returncode, done.stdout, done.stderr


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A tmpfs of 192 KiB; skips where this user may mount none."""
    folder = tmp_path / "disk"
    folder.mkdir()
    line = ["mount", "-t", "tmpfs", "-o", "size=192k", "none", str(folder)]
    if shutil.which("mount") is None or subprocess.run(line, capture_output=True).returncode:
        pytest.skip("this user may mount no tmpfs")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def assert_full(code: int, out: str, err: str, folder: Path, reason: str) -> int:
    """One line that says what is kept; every point of it can be read. Returns how many."""
    assert (code, out) == (2, "")
    assert err.count("\n") == 1
    store = open_store(folder)
    assert 0 < store.kept < POINTS
    assert err.startswith(f"bitlane: {folder.name}/")
    assert err.endswith(
        f".parquet: cannot be written ({reason}); make room there and go on with --resume; "
        f"{store.kept} points are kept\n"
    )
    assert store.points()["point"].to_list() == list(range(store.kept))
    assert set(store.layers()["point"]) == set(range(store.kept))
    assert not list(folder.rglob("*.tmp"))
    return store.kept


def test_a_full_disk(small_disk: Path, whole: Path) -> None:
    (small_disk / "long.yaml").write_text(LONG, encoding="utf-8")
    found = command(*COMMAND, cwd=small_disk)
    assert_full(*found, small_disk / "out", "No space left on device")
    subprocess.run(["mount", "-o", "remount,size=16m", str(small_disk)], check=True)
    assert_completes(small_disk, whole)


def test_a_file_that_may_grow_no_further(tmp_path: Path, whole: Path) -> None:
    """The limit that a shell sets on files, which any user can: the same line, another reason."""
    shutil.copytree(whole, tmp_path, dirs_exist_ok=True)
    for chunk in range(5, 150):
        for name in ("points", "layers"):
            (tmp_path / f"out/{name}/part-{chunk:05d}.parquet").unlink()
    limit = ("sh", "-c", 'ulimit -f 4; exec "$@"', "sh")
    found = command(*COMMAND, "--resume", cwd=tmp_path, prefix=limit)
    assert assert_full(*found, tmp_path / "out", "File too large") == 80
    assert_completes(tmp_path, whole)


def test_a_folder_that_may_not_be_written(tmp_path: Path, whole: Path) -> None:
    shutil.copytree(whole, tmp_path, dirs_exist_ok=True)
    (tmp_path / "out/points/part-00003.parquet").unlink()
    prefix = unprivileged()
    for folder in (tmp_path / "out", tmp_path / "out/points", tmp_path / "out/layers"):
        folder.chmod(0o555)
    try:
        found = command(*COMMAND, "--resume", cwd=tmp_path, prefix=prefix)
        place = "out/points/part-00003.parquet: cannot be written (Permission denied)"
        told = "make room there and go on with --resume; 2384 points are kept"
        assert found == (2, "", f"bitlane: {place.replace('points', 'layers')}; {told}\n")
        (tmp_path / "out/layers").chmod(0o755)
        found = command(*COMMAND, "--resume", cwd=tmp_path, prefix=prefix)
        assert found == (2, "", f"bitlane: {place}; {told}\n")
        (tmp_path / "out/.lock").chmod(0o444)
        found = command(*COMMAND, "--resume", cwd=tmp_path, prefix=prefix)
        told = "out: cannot be written (Permission denied); choose another --out"
        assert found == (2, "", f"bitlane: {told}\n")
        assert len(open_store(tmp_path / "out").points()) == POINTS - 16
    finally:
        for folder in (tmp_path / "out", tmp_path / "out/points", tmp_path / "out/layers"):
            folder.chmod(0o755)
    (tmp_path / "out/.lock").chmod(0o644)
    assert_completes(tmp_path, whole)


def unprivileged() -> tuple[str, ...]:
    """What makes a command obey permissions: nothing for a user, no capabilities for root."""
    if os.geteuid() != 0:
        return ()
    drop = ("setpriv", "--bounding-set=-all", "--inh-caps=-all")
    if shutil.which("setpriv") is None:
        pytest.skip("root writes everywhere, and there is no setpriv")
    return drop


def test_a_signal_in_the_middle_leaves_nothing_half(tmp_path: Path, whole: Path) -> None:
    (tmp_path / "long.yaml").write_text(LONG, encoding="utf-8")
    process = started(*COMMAND, cwd=tmp_path)
    wait_for(tmp_path / "out/points/part-00004.parquet", process)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    store = open_store(tmp_path / "out")
    assert store.kept >= 64
    assert len(store.points()) == store.kept
    assert_completes(tmp_path, whole)
