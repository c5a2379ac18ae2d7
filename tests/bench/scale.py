"""What a sweep of any size takes: processor time, network and store traffic of a point.

Run with ``python -m tests.bench.scale [MODEL [BASE [CHUNK_POINTS]]]``. Times are processor seconds
of one process after the first chunk, so that other work on the machine matters little; bytes are
those of the Parquet that a worker sends and the driver keeps, which are the same.
"""

import os
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from analysis.scale_out import packed
from analysis.spec import SweepSpec
from analysis.store import Store, encoded
from analysis.sweeps import Sweep

CHUNK: Final = 4096
CHUNKS: Final = 7
DEFAULTS: Final = ["zoo:digits", "systolic_16x16", str(CHUNK)]
POINTS: Final = 10**9
AXES: Final[dict[str, Any]] = {
    "memory.ifmap_sram.bytes": [1 << n for n in range(11, 19)],
    "memory.weight_sram.bytes": [1 << n for n in range(11, 19)],
    "memory.ofmap_sram.bytes": [1 << n for n in range(11, 19)],
    "array.rows": {"range": {"first": 4, "last": 64, "step": 4}},
    "array.cols": {"range": {"first": 4, "last": 64, "step": 4}},
    "memory.dram.bytes_per_cycle": [1, 2, 3, 4, 6, 8, 12, 16],
}
"""1 048 576 designs, of which no two count the same actions."""
CLOCKS: Final[dict[str, Any]] = {"clock_mhz": {"range": {"first": 1, "last": 8192}}}
"""Of other machines, which lack those fields; the counts of a layer are shared."""


@dataclass(frozen=True)
class Measured:
    """One chunk: processor seconds without and with layers, bytes of its tables, seconds to write.

    packed_bytes : of the sweep as it travels to a worker.
    peak_bytes : the most memory that the process held, of chunks without layers alone.
    """

    name: str
    points: int
    cpu_s: float
    layered_cpu_s: float
    points_bytes: int
    layers_bytes: int
    write_s: float
    packed_bytes: int
    peak_bytes: int


def measured(model: str, base: str, chunk: int = CHUNK) -> Measured:
    """Cost the first chunk, which compiles, then some spread over the space: their median."""
    axes = AXES if base == "systolic_16x16" else CLOCKS
    known: dict[str, Any] = {"name": "s", "base": base, "workload": model, "axes": axes}
    sweep = Sweep(Path(), SweepSpec(**known, chunk_points=chunk))
    every = range(0, sweep.spec.count, chunk)
    spread = [every[len(every) * (2 * i + 1) // (2 * CHUNKS)] for i in range(CHUNKS)]
    sweep.tables(sweep.spec.choices(0, chunk), keep_layers=False)
    cpu_s, points, bare = _costed(sweep, spread, keep_layers=False)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    layered_cpu_s, _, layers = _costed(sweep, spread, keep_layers=True)
    with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR")) as folder:
        for name in ("points", "layers"):
            (Path(folder) / name).mkdir()
        started = time.perf_counter()
        Store(Path(folder), {"points": chunk, "chunk_points": chunk}).write_encoded(0, points, bare)
        written = time.perf_counter() - started
    return Measured(
        f"{Path(model).stem} on {base}",
        min(chunk, sweep.spec.count),
        cpu_s,
        layered_cpu_s,
        len(points) + len(bare),
        len(layers),
        written,
        len(packed(sweep)),
        peak,
    )


def _costed(sweep: Sweep, firsts: Sequence[int], keep_layers: bool) -> tuple[float, bytes, bytes]:
    """Median processor seconds of the chunks from `firsts`, and the tables of one as it is sent."""
    seconds, tables = [], (b"", b"")
    for first in firsts:
        started = time.process_time()
        choices = sweep.spec.choices(first, first + sweep.spec.chunk_points)
        points, layers = sweep.tables(choices, first, keep_layers)
        tables = encoded(points), encoded(layers)
        seconds.append(time.process_time() - started)
    return statistics.median(seconds), *tables


def told(found: Measured) -> str:
    """The figures of a point, and what they make of 10^9."""
    each_us, layered_us = (
        1e6 * seconds / found.points for seconds in (found.cpu_s, found.layered_cpu_s)
    )
    bare, layered = (
        total / found.points
        for total in (found.points_bytes, found.points_bytes + found.layers_bytes)
    )
    chunks = POINTS // found.points
    return "\n".join(
        (
            f"{found.name}, chunks of {found.points} points",
            f"  a point: {each_us:.1f} us of a core and {bare:.1f} bytes; with layers "
            f"{layered_us:.1f} us and {layered:.0f} bytes",
            f"  a chunk without layers: {found.write_s * 1e3:.1f} ms to write and sync; peak "
            f"memory {found.peak_bytes / 1e9:.2f} GB",
            f"  the sweep, once a worker: {found.packed_bytes / 1e6:.2f} MB",
            f"  10^9 points: {each_us * POINTS / 3.6e9:.1f} core-hours, "
            f"{bare * POINTS / 1e9:.1f} GB kept and sent, {chunks} chunks, "
            f"{found.write_s * chunks / 60:.0f} minutes of writing by one driver",
        )
    )


def main() -> None:
    """Print the figures of one network on one machine."""
    model, base, chunk = (sys.argv[1:] + DEFAULTS[len(sys.argv) - 1 :])[:3]
    print(told(measured(model, base, int(chunk))))


if __name__ == "__main__":
    main()
