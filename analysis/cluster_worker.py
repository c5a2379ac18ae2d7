"""What runs on a worker of a cluster. Imported only where `distributed` is installed."""

import pickle
from typing import TYPE_CHECKING

from distributed import WorkerPlugin, get_worker

from analysis.identity import versions
from analysis.store import encoded
from simulator.errors import ClusterFault

if TYPE_CHECKING:
    from analysis.sweeps import Sweep


class Carrier(WorkerPlugin):  # type: ignore[misc]
    """What dask sets up on every worker, those that come later too: a packed sweep.

    It is unpacked at the first task, which can tell what is wrong with a worker.
    """

    def __init__(self, packed: bytes, wanted: dict[str, str]) -> None:
        self.packed, self.wanted = packed, wanted
        self.sweep: Sweep | None = None

    def chunk(self, index: int) -> tuple[int, bytes, bytes]:
        """A chunk's number and its tables of points and layers as Parquet."""
        if self.sweep is None:
            self._check_versions()
            self.sweep = pickle.loads(self.packed)
        points, layers = self.sweep.chunk(index)
        return index, encoded(points), encoded(layers)

    def _check_versions(self) -> None:
        found = versions()
        for name, wanted in self.wanted.items():
            if found[name] != wanted:
                raise ClusterFault(
                    f"a worker has {name} {found[name]}, here it is {wanted}: its results could "
                    "differ; install the same there"
                )


def chunk_on_worker(name: str, index: int) -> tuple[int, bytes, bytes]:
    """A task: a chunk of the sweep that the worker carries under a name."""
    carrier: Carrier = get_worker().plugins[name]
    return carrier.chunk(index)
