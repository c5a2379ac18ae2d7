"""A sweep on processes of a cluster: the store of a single process, whatever happens to workers."""

import contextlib
import io
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from time import monotonic, sleep

import polars as pl
import pytest
from polars.testing import assert_frame_equal

import hwconfigs
from analysis import scale_out
from analysis.identity import versions
from analysis.scale_out import packed
from analysis.store import open_store
from analysis.sweeps import Sweep
from simulator.errors import ClusterFault
from tests.cli.command import SECONDS, Run, files_of, outside, started, wait_for
from tests.cli.long_run import COMMAND, LONG, POINTS
from tests.cli.workspace import SWEEP, edited

needs_dask = pytest.mark.skipif(
    find_spec("distributed") is None, reason="distributed, the extra 'cluster', is not installed"
)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator["Cluster"]:
    """A scheduler of its own process, without workers."""
    folder = tmp_path_factory.mktemp("cluster")
    found = Cluster(folder)
    try:
        yield found
    finally:
        found.close()


class Cluster:
    """Processes of dask as a user starts them, on this machine."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.workers: list[subprocess.Popen[bytes]] = []
        place = folder / "scheduler.json"
        options = ("--port", "0", "--no-dashboard", "--scheduler-file", str(place))
        self.scheduler = self._dask("dask_scheduler", "--host", "127.0.0.1", *options)
        deadline = monotonic() + SECONDS
        while not place.exists() or not place.read_text(encoding="utf-8").strip():
            assert self.scheduler.poll() is None
            assert monotonic() < deadline
            sleep(0.02)
        self.address = str(json.loads(place.read_text(encoding="utf-8"))["address"])

    def _dask(self, command: str, *arguments: str) -> "subprocess.Popen[bytes]":
        line = [sys.executable, "-m", f"distributed.cli.{command}", *arguments]
        log = (self.folder / f"{command}.log").open("ab")
        with log:
            return subprocess.Popen(line, stdout=log, stderr=log, cwd=self.folder)

    def add_worker(self) -> "subprocess.Popen[bytes]":
        """A worker without a nanny: nothing starts it again."""
        options = ("--nthreads", "1", "--no-nanny", "--no-dashboard", "--host", "127.0.0.1")
        self.workers.append(self._dask("dask_worker", self.address, *options))
        return self.workers[-1]

    def close(self) -> None:
        for process in (*self.workers, self.scheduler):
            process.kill()
            process.wait(timeout=60)


def assert_same(folder: Path, whole: Path) -> None:
    assert dict(files_of(folder / "out")) == dict(files_of(whole / "out"))


@needs_dask
def test_local_processes_write_the_same_store(tmp_path: Path, whole: Path) -> None:
    (tmp_path / "long.yaml").write_text(LONG, encoding="utf-8")
    outcome = outside(*COMMAND, "--workers", "2", cwd=tmp_path)
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.out.startswith(f"tiny: {POINTS} points in out\n")
    assert_same(tmp_path, whole)
    again = outside(*COMMAND, "--workers", "2", "--resume", cwd=tmp_path)
    assert (again.code, again.err, again.out) == (0, "", outcome.out)


@needs_dask
def test_accuracies_are_executed_once_and_not_on_each_worker(tmp_path: Path) -> None:
    """The folder is that of one process, the accuracies that it keeps included."""
    text = edited(
        SWEEP,
        ("array.cols: {log2: {first: 4, last: 16}}", "datapath.accumulator.bits: [14, 16, 20]"),
    )
    command = ("sweep", "right.yaml", "--data", "zoo:digits", "--out")
    (tmp_path / "right.yaml").write_text(text, encoding="utf-8")
    alone = outside(*command, "one/out", cwd=tmp_path)
    shared = outside(*command, "two/out", "--workers", "2", cwd=tmp_path)
    assert (shared.code, shared.err) == (0, "")
    assert shared.out == alone.out.replace("one/out", "two/out")
    assert "3 evaluations run on 360 samples" in shared.out
    assert_same(tmp_path / "two", tmp_path / "one")
    assert len(list((tmp_path / "two/out/accuracy").iterdir())) == 3

    # Gone on with, the driver takes them from the folder.
    (tmp_path / "two/out/points/part-00001.parquet").unlink()
    again = outside(*command, "two/out", "--workers", "2", "--resume", cwd=tmp_path)
    assert (again.code, again.err) == (0, "")
    assert "0 evaluations run on 360 samples of zoo:digits, 3 taken from the folder" in again.out
    assert_same(tmp_path / "two", tmp_path / "one")


@needs_dask
def test_workers_that_die_and_workers_that_come(
    tmp_path: Path, whole: Path, cluster: Cluster
) -> None:
    """Two workers; both are killed, one after another, and a third one ends the sweep."""
    (tmp_path / "long.yaml").write_text(LONG, encoding="utf-8")
    first, second = cluster.add_worker(), cluster.add_worker()
    process = started(*COMMAND, "--scheduler", cluster.address, cwd=tmp_path)
    points = tmp_path / "out/points"
    for worker, count in ((first, 5), (second, 30)):
        deadline = monotonic() + SECONDS
        while len(list(points.glob("part-*"))) < count:
            assert process.poll() is None, process.communicate()[1]
            assert monotonic() < deadline
            sleep(0.005)
        worker.kill()
        worker.wait(timeout=60)
    third = cluster.add_worker()
    out, err = process.communicate(timeout=SECONDS)
    third.kill()
    assert (process.returncode, err) == (0, "")
    assert out.startswith(f"tiny: {POINTS} points in out\n")
    assert_same(tmp_path, whole)


@needs_dask
def test_a_worker_of_another_version_is_refused() -> None:
    from analysis.cluster_worker import Carrier

    sweep = Sweep(hwconfigs.sweep_path("demo"))
    wanted = versions()
    index, points, layers = Carrier(packed(sweep), wanted).chunk(0)
    found = (pl.read_parquet(io.BytesIO(table)) for table in (points, layers))
    for table, expected in zip(found, sweep.chunk(0), strict=True):
        assert_frame_equal(table, expected)
    assert index == 0
    with pytest.raises(ClusterFault) as caught:
        Carrier(packed(sweep), wanted | {"numpy": "1.0"}).chunk(0)
    assert str(caught.value) == (
        f"a worker has numpy {wanted['numpy']}, here it is 1.0: its results could differ; install "
        "the same there"
    )


@needs_dask
def test_control_c_keeps_what_is_done(tmp_path: Path, whole: Path) -> None:
    """The signal goes to the whole group, as a terminal sends it."""
    (tmp_path / "long.yaml").write_text(LONG, encoding="utf-8")
    process = started(*COMMAND, "--workers", "1", cwd=tmp_path, new_group=True)
    wait_for(tmp_path / "out/points/part-00004.parquet", process)
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=SECONDS)
    kept = open_store(tmp_path / "out").kept
    told = f"bitlane: interrupted; {kept} of {POINTS} points are kept in out; go on with --resume\n"
    assert (process.returncode, out, err) == (130, "", told)
    assert 0 < kept < POINTS
    assert outside(*COMMAND, "--resume", cwd=tmp_path).code == 0
    assert_same(tmp_path, whole)


@needs_dask
def test_an_address_where_no_scheduler_is(bitlane: Run, tmp_path: Path) -> None:
    (tmp_path / "long.yaml").write_text(LONG, encoding="utf-8")
    command = ("sweep", tmp_path / "long.yaml", "--out", tmp_path / "out", "--resume")
    for address in ("nowhere", "ftp://127.0.0.1:8786", "", "tcp://127.0.0.1", "tcp://h:x", "8786"):
        outcome = bitlane(*command, "--scheduler", address)
        told = f"--scheduler {address}: must be an address like tcp://10.0.0.1:8786"
        assert (outcome.code, outcome.out, outcome.err) == (2, "", f"bitlane: {told}\n")
    for address in ("tcp://127.0.0.1:1", "tcp://nowhere.invalid:8786"):
        outcome = bitlane(*command, "--scheduler", address)
        told = (
            f"--scheduler {address}: no scheduler answers there within 10 s; start one with "
            "'dask scheduler', or use --workers"
        )
        assert (outcome.code, outcome.out, outcome.err) == (2, "", f"bitlane: {told}\n")


@needs_dask
@pytest.mark.parametrize(
    "answer",
    [None, b"", b"HTTP/1.0 400 Bad Request\r\n\r\n", bytes(64)],
    ids=["silent", "closed", "http", "zeros"],
)
def test_what_listens_is_no_scheduler(
    bitlane: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: bytes | None
) -> None:
    """It says nothing, hangs up, or speaks another protocol."""
    monkeypatch.setattr(scale_out, "CONNECT_S", 2)
    (tmp_path / "long.yaml").write_text(LONG, encoding="utf-8")
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    came, _ = server.accept()
                    held.append(came)
                    if answer is not None:
                        came.sendall(answer)
                        came.shutdown(socket.SHUT_WR)

        held: list[socket.socket] = []
        threading.Thread(target=serve, daemon=True).start()
        place = f"127.0.0.1:{server.getsockname()[1]}"
        for address, told in (
            (f"tcp://{place}", "no scheduler answers there within 2 s; start one with 'dask "
             "scheduler', or use --workers"),
            (f"tls://{place}", "needs certificates; name them in dask's configuration "
             "(distributed.comm.tls)"),
        ):  # fmt: skip
            outcome = bitlane(
                "sweep", tmp_path / "long.yaml", "--out", tmp_path / "out", "--resume",
                "--scheduler", address,
            )  # fmt: skip
            assert (outcome.code, outcome.out) == (2, "")
            assert outcome.err == f"bitlane: --scheduler {address}: {told}\n"
        server.shutdown(socket.SHUT_RDWR)
    for came in held:
        came.close()


@pytest.mark.parametrize("option", [("--workers", "2"), ("--scheduler", "tcp://127.0.0.1:1")])
def test_without_the_extra(
    bitlane: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, option: tuple[str, str]
) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    (tmp_path / "long.yaml").write_text(LONG, encoding="utf-8")
    outcome = bitlane("sweep", tmp_path / "long.yaml", "--out", tmp_path / "out", *option)
    told = "--workers and --scheduler need dask: install bitlane's extra 'cluster'"
    assert (outcome.code, outcome.out, outcome.err) == (2, "", f"bitlane: {told}\n")


def test_options_that_exclude_each_other(bitlane: Run, tmp_path: Path) -> None:
    path = tmp_path / "long.yaml"
    path.write_text(LONG, encoding="utf-8")
    both = ("--workers", "2", "--scheduler", "tcp://127.0.0.1:1")
    outcome = bitlane("sweep", path, "--out", tmp_path / "out", *both)
    told = "--workers and --scheduler: give one; a scheduler has its own workers"
    assert (outcome.code, outcome.err) == (2, f"bitlane: {told}\n")
    for count in ("0", "-1", "two", "1025"):
        outcome = bitlane("sweep", path, "--out", tmp_path / "out", "--workers", count)
        told = f"--workers {count}: must be an integer from 1 to 1024"
        assert (outcome.code, outcome.err) == (2, f"bitlane: {told}\n")
    with contextlib.suppress(FileNotFoundError):
        assert not list((tmp_path / "out").iterdir())
