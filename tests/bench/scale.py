"""What a sweep of any size takes: processor time, network and store traffic of a point.

Run with ``python -m tests.bench.scale [MODEL [BASE]]``. Times are processor seconds of one process
after a warm-up, so that other work on the machine matters little; bytes are those of the Parquet
that a worker sends and the driver keeps, which are the same.
"""

import os
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from analysis.scale_out import packed
from analysis.spec import SweepSpec
from analysis.store import Store, encoded
from analysis.sweeps import Sweep

CHUNK: Final = 4096
POINTS: Final = 10**9
AXES: Final[dict[str, Any]] = {
    "array.rows": [4, 8, 12, 16, 20, 24, 28, 32],
    "array.cols": [4, 8, 12, 16, 20, 24, 28, 32],
    "datapath.accumulator.bits": [20, 24, 28, 32],
    "memory.dram.bytes_per_cycle": [1, 2, 4, 8],
    "memory.weight_sram.bytes": [4096, 16384, 65536, 262144],
}
"""4096 designs: one chunk."""


@dataclass(frozen=True)
class Measured:
    """One chunk: processor seconds, bytes of its tables, seconds to write it; and the sweep's."""

    name: str
    points: int
    cpu_s: float
    points_bytes: int
    layers_bytes: int
    write_s: float
    packed_bytes: int


def measured(model: str, base: str) -> Measured:
    """Cost a chunk twice: the first time compiles."""
    axes = AXES if base == "systolic_16x16" else {"clock_mhz": {"range": {"first": 1, "last": 512}}}
    known: dict[str, Any] = {"name": "s", "base": base, "workload": model, "axes": axes}
    sweep = Sweep(Path(), SweepSpec(**known, chunk_points=CHUNK))
    sweep.chunk(0)
    started = time.process_time()
    points, layers = sweep.chunk(0)
    taken = time.process_time() - started
    tables = encoded(points), encoded(layers)
    with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR")) as folder:
        for name in ("points", "layers"):
            (Path(folder) / name).mkdir()
        manifest = {"points": len(points), "chunk_points": CHUNK}
        started = time.perf_counter()
        Store(Path(folder), manifest).write_encoded(0, *tables)
        written = time.perf_counter() - started
    return Measured(
        f"{Path(model).stem} on {base}",
        len(points),
        taken,
        len(tables[0]),
        len(tables[1]),
        written,
        len(packed(sweep)),
    )


def told(found: Measured) -> str:
    """The figures of a point, and what they make of 10^9."""
    each_us = 1e6 * found.cpu_s / found.points
    bare, layered = (
        total / found.points
        for total in (found.points_bytes, found.points_bytes + found.layers_bytes)
    )
    chunks = POINTS // CHUNK
    return "\n".join(
        (
            f"{found.name}, {found.points} points",
            f"  a point: {each_us:.1f} us of a core, {bare:.1f} bytes, {layered:.0f} with layers",
            f"  a chunk: {found.write_s * 1e3:.1f} ms to write and sync",
            f"  the sweep, once a worker: {found.packed_bytes / 1e6:.2f} MB",
            f"  10^9 points: {each_us * POINTS / 3.6e9:.1f} core-hours, "
            f"{bare * POINTS / 1e9:.1f} GB kept and sent, {chunks} chunks, "
            f"{found.write_s * chunks / 60:.0f} minutes of writing by one driver",
        )
    )


def main() -> None:
    """Print the figures of one network on one machine."""
    model, base = (sys.argv[1:] + ["zoo:digits", "systolic_16x16"][len(sys.argv) - 1 :])[:2]
    print(told(measured(model, base)))


if __name__ == "__main__":
    main()
