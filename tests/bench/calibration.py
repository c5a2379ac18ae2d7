"""Time and memory of calibrating MobileNetV2-224 on a stream of images.

Run with ``python -m tests.bench.calibration``. Each row is a process of its own, so that its peak
is the whole program's: the float network with seeded weights, its batches drawn one at a time, an
observer at each place. ``forward`` has none: what is above it is the observers'.
"""

import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, get_args

import numpy as np

import workloads
from simulator.graph import Array
from workloads.quantize.ptq.calibrate import Method, RangeSettings, calibrate
from workloads.quantize.ptq.places import places
from workloads.quantize.ptq.prepare import prepared
from workloads.quantize.ptq.samples import LARGEST_BATCH
from workloads.quantize.ptq.simulate import forward

MODEL: Final = "zoo:mobilenet_v2,seed=3"
IMAGES: Final = 512
BATCHES: Final = (1, 2, 4, 16)
LEAST_PEAK: Final = "forward"


@dataclass(frozen=True)
class Images:
    """Seeded images of a shape, `count` of them, `batch` at a time; none is kept."""

    name: str
    shape: tuple[int, ...]
    count: int
    batch: int

    def __iter__(self) -> Iterator[dict[str, Array]]:
        draw = np.random.default_rng(0)
        for first in range(0, self.count, self.batch):
            size = min(self.batch, self.count - first)
            yield {self.name: draw.standard_normal((size, *self.shape), np.float32)}


def measure(method: str, batch: int, count: int) -> None:
    """Calibrate here, and print seconds an image and this process's peak."""
    graph = prepared(workloads.load(MODEL))
    groups = places(graph).groups
    (name,) = graph.inputs
    kind = graph.tensors[name]

    def once(images: Images) -> None:
        if method == LEAST_PEAK:
            for _ in forward(graph, images, places(graph).tensors):
                pass
        else:
            settings = RangeSettings(next(m for m in get_args(Method) if m == method))
            calibrate(graph, images, dict.fromkeys(groups, 8), settings)

    once(Images(name, kind.shape, batch, batch))  # kernels are compiled
    begun, used = time.perf_counter(), time.process_time()
    once(Images(name, kind.shape, count, batch))
    seconds, cpu = time.perf_counter() - begun, time.process_time() - used
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"{method:16}{batch:6}{count:8}{len(groups):8}{seconds:10.1f}{cpu:10.1f}"
        f"{1e3 * cpu / count:12.1f}{peak:12.0f}"
    )


def main() -> None:
    """A process a row."""
    head = ("images", "places", "seconds", "CPU s", "CPU ms each", "peak MiB")
    widths = (8, 8, 10, 10, 12, 12)
    print(f"{MODEL}\n{'ranges':16}{'batch':>6}", end="")
    print("".join(f"{name:>{width}}" for name, width in zip(head, widths, strict=True)), flush=True)
    rows = [("mse", batch, IMAGES) for batch in BATCHES]
    rows += [(name, 2, IMAGES) for name in ("minmax", LEAST_PEAK)]
    for method, batch, count in rows:
        assert batch <= LARGEST_BATCH
        command = (sys.executable, "-m", "tests.bench.calibration", method, str(batch), str(count))
        subprocess.run(command, check=True)


if __name__ == "__main__":
    if len(sys.argv) == 4:
        measure(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
    else:
        main()
