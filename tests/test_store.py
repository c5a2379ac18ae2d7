"""Folders of results: whole or not at all, read back as written, one writer at a time."""

import json
import os
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal

import hwconfigs
from analysis.files import replacing, write_json, write_text
from analysis.identity import digest
from analysis.spec import Sample, SweepSpec
from analysis.store import MANIFEST, TABLES, Store, kept_points, locked, open_store, writing
from analysis.sweeps import Sweep, run
from simulator.errors import BadFile, RunFolderBusy
from workloads.source import fingerprint

RUN: dict[str, Any] = {
    "schema": "bitlane.sweep/1",
    "spec": {"name": "s"},
    "machine": {"name": "m"},
    "model": "net.tflite",
    "layers": [["conv_2d_0", "conv_2d"]],
    "points": 7,
    "chunk_points": 3,
}


def chunk(index: int) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Points 3i to 3i + 2 (but 6 is the last), two layers each."""
    ids = list(range(3 * index, min(3 * index + 3, 7)))
    points = pl.DataFrame(
        {"point": ids, "a": [i / 3 for i in ids], "why": [None, "x", "y"][: len(ids)]}
    )
    layers = pl.DataFrame({"point": [i for i in ids for _ in range(2)], "layer": [0, 1] * len(ids)})
    return points, layers


def filled(folder: Path, *chunks: int) -> Store:
    with writing(folder, RUN, resume=False) as store:
        for index in chunks:
            store.write(index, *chunk(index))
    return open_store(folder)


def test_round_trip(tmp_path: Path) -> None:
    store = filled(tmp_path / "run", 2, 0, 1)
    for read, place in ((store.points, 0), (store.layers, 1)):
        expected = pl.concat([chunk(i)[place] for i in range(3)])
        assert_frame_equal(read(), expected)
    assert store.manifest == RUN
    assert (store.chunks, store.kept) == (3, 7)


def test_some_columns_of_the_points(tmp_path: Path) -> None:
    store = filled(tmp_path / "run", 0, 1, 2)
    assert_frame_equal(store.points(("why", "point", "nowhere")), store.points()[["why", "point"]])


def test_what_is_there_and_what_is_not(tmp_path: Path) -> None:
    store = filled(tmp_path / "run", 0, 2)
    assert [store.has(i) for i in range(3)] == [True, False, True]
    assert [store.intact(i) for i in range(3)] == [True, False, True]
    assert store.kept == 4
    assert kept_points(tmp_path / "run") == 4
    assert store.points()["point"].to_list() == [0, 1, 2, 6]


def test_nothing_is_kept_where_nothing_began(tmp_path: Path) -> None:
    assert kept_points(tmp_path) == 0
    with pytest.raises(BadFile, match="holds no finished points yet"):
        filled(tmp_path / "run").points()


@pytest.mark.parametrize("name", ["points", "layers"])
def test_a_chunk_that_is_not_intact(tmp_path: Path, name: str) -> None:
    store = filled(tmp_path / "run", 0, 1, 2)
    path = tmp_path / "run" / name / "part-00001.parquet"
    whole = path.read_bytes()
    for damaged in (whole[:-9], whole[: len(whole) // 2], b"", whole.replace(b"point", b"pwint")):
        path.write_bytes(damaged)
        assert store.has(1)
        assert not store.intact(1)
    path.write_bytes((tmp_path / "run" / name / "part-00000.parquet").read_bytes())
    assert not store.intact(1)
    path.unlink()
    assert not store.has(1)


def test_a_second_writer_waits_outside(tmp_path: Path) -> None:
    run = tmp_path / "run"
    with writing(run, RUN, resume=False) as store:
        store.write(0, *chunk(0))
        with pytest.raises(RunFolderBusy, match="another sweep is writing here"):
            writing(run, RUN, resume=True).__enter__()
        with pytest.raises(RunFolderBusy), locked(run):
            pass
    with writing(run, RUN, resume=True) as store:
        assert store.has(0)


def test_the_lock_goes_with_a_failure(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), writing(tmp_path / "run", RUN, resume=False):
        raise ZeroDivisionError
    with writing(tmp_path / "run", RUN, resume=True) as store:
        assert store.kept == 0


def test_a_run_is_not_started_again_nor_taken_for_another(tmp_path: Path) -> None:
    run = tmp_path / "run"
    filled(run, 0)
    with pytest.raises(RunFolderBusy, match="holds a run already"):
        writing(run, RUN, resume=False).__enter__()
    for key in ("spec", "machine", "model", "points"):
        other = {**RUN, key: {"other": 1}}
        with pytest.raises(RunFolderBusy, match=f"its '{key}' is not this one's"):
            writing(run, other, resume=True).__enter__()
    assert open_store(run).kept == 3


def test_a_folder_that_is_no_run_stays_as_it_is(tmp_path: Path) -> None:
    write_json(tmp_path / MANIFEST, {"schema": "bitlane.golden/1"})
    with pytest.raises(BadFile, match=r"not a manifest of schema bitlane\.sweep/1"):
        writing(tmp_path, RUN, resume=True).__enter__()
    assert {p.name for p in tmp_path.iterdir()} <= {MANIFEST, ".lock"}


@pytest.mark.parametrize("key", [key for key in RUN if key != "schema"])
@pytest.mark.parametrize("value", [None, 0, 2.5])
def test_manifests_that_lack_a_field(tmp_path: Path, key: str, value: object) -> None:
    write_json(tmp_path / MANIFEST, {**RUN, key: value})
    with pytest.raises(BadFile, match=f"damaged, '{key}' is missing or not what a sweep writes"):
        open_store(tmp_path)


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    write_text(path, "old")

    def fail_halfway() -> None:
        with replacing(path) as scratch:
            scratch.write_text("half", encoding="utf-8")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_halfway()
    assert path.read_text(encoding="utf-8") == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]
    write_text(path, "nµ²")
    assert path.read_bytes() == "nµ²".encode()


def test_a_pipe_and_a_link_stay_what_they_are(tmp_path: Path) -> None:
    """A pipe is written, not replaced; so is the file behind a link."""
    pipe, link, target = (tmp_path / name for name in ("pipe", "link", "target"))
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    write_text(pipe, "through")
    assert os.read(reader, 100) == b"through"
    os.close(reader)
    assert pipe.is_fifo()
    target.write_text("old", encoding="utf-8")
    link.symlink_to(target)
    write_text(link, "new")
    assert (link.is_symlink(), target.read_text(encoding="utf-8")) == (True, "new")
    with pytest.raises(BadFile, match="cannot be written"):
        write_text(Path("/dev/full"), "text")
    assert Path("/dev/full").is_char_device()


def test_json_documents_hold_no_number_that_json_lacks(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="Out of range float"):
        write_json(tmp_path / "a.json", {"a": float("nan")})
    assert not list(tmp_path.iterdir())
    write_json(tmp_path / "a.json", {"a": [1, 2.5]})
    assert json.loads((tmp_path / "a.json").read_text(encoding="utf-8")) == {"a": [1, 2.5]}


def test_a_scan_reads_what_is_asked_for(tmp_path: Path) -> None:
    store = filled(tmp_path / "run", 2, 0, 1)
    for name, read in zip(TABLES, (store.layers, store.points), strict=True):
        assert_frame_equal(store.scan(name).collect(), read())
    five = store.scan("layers").filter(pl.col("point") == 5).select("layer")
    assert five.collect()["layer"].to_list() == [0, 1]
    (tmp_path / "run/layers/part-00001.parquet").unlink()
    assert store.scan("points").select(pl.len()).collect().item() == 4
    with pytest.raises(BadFile, match="holds no finished points yet"):
        filled(tmp_path / "none").scan()


def test_a_manifest_says_what_made_the_run(tmp_path: Path) -> None:
    """Hashes that anybody can make again, and the versions of what computes and writes."""
    shipped = Path(hwconfigs.__file__).parent / "technologies/scaled_7nm.yaml"
    own = tmp_path / "own.yaml"
    own.write_text(shipped.read_text(encoding="utf-8"), encoding="utf-8")
    axes: dict[str, Any] = {"technology": ["scaled_7nm", str(own)]}
    spec = SweepSpec(name="s", base="cortex_m4", workload="zoo:digits", axes=axes)
    manifest = Sweep(Path(), spec).manifest()
    assert manifest["spec_sha256"] == digest(manifest["spec"])
    assert manifest["machine_sha256"] == {"cortex_m4": digest(manifest["machine"])}
    assert manifest["model_sha256"] == [fingerprint("zoo:digits")]
    plain = hwconfigs.technology("scaled_7nm").plain()
    found = manifest["technologies"]
    assert found["technology=scaled_7nm"] == found[f"technology={own}"] == digest(plain)
    assert found["base"] == digest([manifest["machine"]["technology"]])
    assert set(manifest["versions"]) == {"bitlane", "numpy", "numba", "polars"}
    assert manifest["seed"] is None
    sample = Sample(points=1, seed=7)
    assert Sweep(Path(), spec.model_copy(update={"sample": sample})).manifest()["seed"] == 7
    list(run(Sweep(Path(), spec), tmp_path / "run", resume=False))
    text = own.read_text(encoding="utf-8")
    own.write_text(text.replace("Stillmaker", "Stilmaker", 1), encoding="utf-8")
    assert own.read_text(encoding="utf-8") != text
    with pytest.raises(RunFolderBusy, match="its 'technologies' is not this one's"):
        list(run(Sweep(Path(), spec), tmp_path / "run", resume=True))


@pytest.mark.skipif(find_spec("duckdb") is None, reason="duckdb is not installed")
def test_duckdb_reads_a_run_as_it_is(tmp_path: Path) -> None:
    duckdb = import_module("duckdb")
    filled(tmp_path / "run", 0, 1, 2)
    found = duckdb.sql(f"select count(*), sum(point) from '{tmp_path}/run/points/*.parquet'")
    assert found.fetchall() == [(7, 21)]


@pytest.mark.skipif(find_spec("pyarrow") is None, reason="pyarrow is not installed")
def test_pandas_reads_a_run_as_it_is(tmp_path: Path) -> None:
    pandas = import_module("pandas")
    store = filled(tmp_path / "run", 0, 1, 2)
    found = pandas.read_parquet(tmp_path / "run" / "points")
    assert found["point"].tolist() == store.points()["point"].to_list()


def test_polars_reads_a_run_as_it_is(tmp_path: Path) -> None:
    store = filled(tmp_path / "run", 0, 1, 2)
    assert_frame_equal(pl.read_parquet(tmp_path / "run/points"), store.points())
    assert_frame_equal(pl.scan_parquet(tmp_path / "run/layers/*.parquet").collect(), store.layers())
