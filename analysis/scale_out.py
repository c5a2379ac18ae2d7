"""A sweep on many processes or machines: chunks are tasks of dask, this process writes them.

A worker gets the sweep once, as a plugin that dask also gives to workers that come later, and one
number for each task; it sends back the chunk's two tables as Parquet. A task whose worker dies is
given to another one. Chunks come in any order and are kept whole, so that the store is the one that
a single process writes.
"""

import asyncio
import contextlib
import copyreg
import io
import itertools
import json
import logging
import pickle
import signal
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import resource_tracker
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from analysis.accuracy import execute_all
from analysis.identity import digest
from analysis.store import writing
from simulator.errors import ClusterFault

if TYPE_CHECKING:
    from distributed import Client, Future

    from analysis.sweeps import Sweep

CONNECT_S: Final = 10
"""How long a scheduler may take to answer."""
WORKERS_S: Final = 60
"""How long the first worker may take to join; Python and its packages are loaded on it."""
_AHEAD: Final = 2
"""Tasks given out for each thread of a worker: one that runs and the next one."""


def run_on_workers(
    sweep: "Sweep", folder: Path, *, resume: bool, workers: int | None, scheduler: str | None
) -> Iterator[int]:
    """As `analysis.sweeps.run`, on local processes or on the cluster of a scheduler's address.

    Yields the number of points kept so far. Raises ClusterFault where `distributed` is not
    installed, nothing answers, or workers have other versions of what decides the bits.
    """
    manifest = json.loads(json.dumps(sweep.manifest()))
    with writing(folder, manifest, resume=resume) as store:
        missing = store.missing()
        kept = sweep.spec.count - sum(len(store.points_of(index)) for index in missing)
        yield kept
        if not missing:
            return
        # Once here, and not once on each worker.
        if sweep.accuracies is not None:
            sweep.accuracies.keep_in(folder)
        execute_all(sweep)
        with _connected(workers, scheduler) as client:
            for index, points, layers in _chunks(client, sweep, manifest, missing):
                store.write_encoded(index, points, layers)
                kept += len(store.points_of(index))
                yield kept


@contextlib.contextmanager
def _connected(workers: int | None, scheduler: str | None) -> Iterator["Client"]:
    """A client of a scheduler, or of one that lives as long as the block, with `workers`."""
    try:
        from distributed import Client, LocalCluster
    except ModuleNotFoundError:
        raise ClusterFault(
            "--workers and --scheduler need dask: install bitlane's extra 'cluster'"
        ) from None
    # What is wrong is told in one line, not in dask's own.
    for name in logging.root.manager.loggerDict:
        if name.startswith("distributed"):
            logging.getLogger(name).setLevel(logging.CRITICAL)
    with contextlib.ExitStack() as stack:
        if scheduler is None:
            with _interrupts_held():
                local = LocalCluster(
                    n_workers=workers,
                    threads_per_worker=1,
                    processes=True,
                    dashboard_address="127.0.0.1:0",
                    silence_logs=logging.CRITICAL,
                )
            place: Any = stack.enter_context(local)
        else:
            _check_address(scheduler)
            place = scheduler
        try:
            client = stack.enter_context(Client(place, timeout=CONNECT_S))
        except (OSError, ValueError):
            raise _no_scheduler(str(scheduler)) from None
        try:
            client.wait_for_workers(1, timeout=WORKERS_S)
        except TimeoutError:
            raise ClusterFault(
                f"--scheduler {scheduler}: has no worker after {WORKERS_S} s; start some with "
                f"'dask worker {scheduler}'"
            ) from None
        yield client


@contextlib.contextmanager
def _interrupts_held() -> Iterator[None]:
    """Hold Ctrl-C back while the block runs; threads and processes made in it never get it.

    A terminal sends it to all processes; this one is to end the others in good order.
    """
    # Started later, it would let signals through to the thread that starts it, and so to workers.
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _check_address(address: str) -> None:
    """Raise ClusterFault where `address` is none, or no scheduler listens there."""
    parts = urlsplit(address)
    try:
        host, port = parts.hostname, parts.port
    except ValueError:
        host = port = None
    if parts.scheme not in ("tcp", "tls") or not host or not port:
        raise ClusterFault(f"--scheduler {address}: must be an address like tcp://10.0.0.1:8786")
    try:
        socket.create_connection((host, port), timeout=CONNECT_S).close()
        with ThreadPoolExecutor(1) as pool:
            pool.submit(asyncio.run, _greeted(address)).result()
    except Exception as error:
        # What speaks another protocol ends dask's reader in many ways.
        if parts.scheme == "tls" and isinstance(error, TypeError):
            raise ClusterFault(
                f"--scheduler {address}: needs certificates; name them in dask's configuration "
                "(distributed.comm.tls)"
            ) from None
        raise _no_scheduler(address) from None


async def _greeted(address: str) -> None:
    """Exchange greetings with a scheduler: dask's client waits forever for what is none."""
    from distributed import Security
    from distributed.comm import connect

    arguments = Security().get_connection_args("client")
    comm = await asyncio.wait_for(connect(address, timeout=CONNECT_S, **arguments), CONNECT_S)
    comm.abort()


def _no_scheduler(address: str) -> ClusterFault:
    return ClusterFault(
        f"--scheduler {address}: no scheduler answers there within {CONNECT_S} s; start one with "
        "'dask scheduler', or use --workers"
    )


def _chunks(
    client: "Client", sweep: "Sweep", manifest: dict[str, Any], missing: list[int]
) -> Iterator[tuple[int, bytes, bytes]]:
    """The missing chunks as they are done; only a few are on their way at a time."""
    from distributed import KilledWorker, as_completed

    from analysis.cluster_worker import Carrier, chunk_on_worker

    name = f"bitlane-{digest(manifest)}"
    try:
        client.register_plugin(Carrier(packed(sweep), manifest["versions"]), name)
        left = iter(missing)

        def submit(count: int) -> "list[Future]":
            indices = itertools.islice(left, count)
            return [client.submit(chunk_on_worker, name, i, pure=False) for i in indices]

        threads = sum(client.nthreads().values())
        done = as_completed(submit(_AHEAD * max(1, threads)))
        for future in done:
            yield future.result()
            for more in submit(1):
                done.add(more)
    except ModuleNotFoundError as error:
        raise ClusterFault(
            f"a worker has no module '{error.name}'; install bitlane there, of the same version"
        ) from None
    except KilledWorker as error:
        raise ClusterFault(
            f"a chunk ended every worker that it ran on ({error}); give workers more memory, or "
            "make chunk_points smaller in another --out"
        ) from None
    finally:
        with contextlib.suppress(OSError, RuntimeError, TimeoutError):
            client.unregister_worker_plugin(name)


class _Pickler(pickle.Pickler):
    """As Python's own; read-only mappings travel as the dictionaries that they show."""

    dispatch_table = copyreg.dispatch_table.copy()
    dispatch_table[MappingProxyType] = lambda shown: (_read_only, (dict(shown),))


def _read_only(shown: dict[Any, Any]) -> MappingProxyType[Any, Any]:
    return MappingProxyType(shown)


def packed(sweep: "Sweep") -> bytes:
    """A sweep with its network and machines, as it travels to workers; `pickle.loads` reads it."""
    buffer = io.BytesIO()
    _Pickler(buffer, protocol=pickle.HIGHEST_PROTOCOL).dump(sweep)
    return buffer.getvalue()
