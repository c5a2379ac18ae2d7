"""Speed and memory of a sweep, printed and never asserted: machines are noisy.

Run with ``python -m tests.bench.sweep``. Every point is mapped and costed as `estimate` does it,
and becomes a row of the table. Warm figures are of many chunks, by the clock on all processors and
by processor time; the cold one is of a fresh process with an empty cache of compiled kernels.
"""

import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from analysis.spec import SweepSpec
from analysis.sweeps import Sweep, run
from tests.shared import absence, shared_folder

CHUNKS = 24
COLD_POINTS = 1000
MODELS = {
    "ResNet-8": ("mlperf_ic_resnet8_int8.tflite", "ResNet-18", 30),
    "MobileNetV2-224": ("coral_mobilenet_v2_100_224_uint8.tflite", "MobileNetV2", 76),
}
"""File, and the network whose one design point takes ZigZag 3.9.1 so many processor seconds on
tpu_like (measured: reference/peers/PEERS.md in the shared folder, "Speed of the peers")."""
SIDES = {"range": {"first": 4, "last": 64, "step": 4}}
SIZES = {"log2": {"first": 4096, "last": 524288}}
AXES = {
    "array.rows": SIDES,
    "array.cols": SIDES,
    "memory.ifmap_sram.bytes": SIZES,
    "memory.weight_sram.bytes": SIZES,
    "memory.ofmap_sram.bytes": SIZES,
    "memory.dram.bytes_per_cycle": [1, 2, 3, 4, 6, 8, 12, 16],
}
"""1 048 576 designs, of which no two count the same actions."""


def loaded(name: str, chunk_points: int = 4096) -> Sweep:
    """The sweep of the space above over one of the networks."""
    shared = shared_folder()
    if shared is None:
        raise SystemExit(absence())
    model = shared / "models" / "tflite" / MODELS[name][0]
    fields = {"name": "bench", "base": "systolic_16x16", "workload": str(model), "axes": AXES}
    return Sweep(Path(), SweepSpec.model_validate({**fields, "chunk_points": chunk_points}))


def warm(name: str) -> None:
    """Print points a second of chunks spread over the space."""
    sweep = loaded(name)
    size, count = sweep.spec.chunk_points, sweep.spec.count
    chunks = [i * (count // size) // CHUNKS for i in range(CHUNKS)]
    sweep.chunk(chunks[-1] + 1)
    wall, used = [], []
    for index in chunks:
        started, before = time.perf_counter(), time.process_time()
        sweep.chunk(index)
        wall.append(time.perf_counter() - started)
        used.append(time.process_time() - before)
    _, network, seconds = MODELS[name]
    each_s, median_s = sorted(used)[CHUNKS // 2] / size, sorted(wall)[CHUNKS // 2] / size
    print(
        f"{name:16} {size / min(wall):9.0f} points/s warm (median {1 / median_s:.0f}), "
        f"{1 / each_s:.0f} a processor second; one point of ZigZag on {network}, {seconds} "
        f"processor seconds: {seconds / each_s:.2g} of ours"
    )


def cold() -> None:
    """Print the seconds of a process that starts with no compiled kernels and costs 1000 points."""
    with tempfile.TemporaryDirectory() as folder:
        code = f"from tests.bench.sweep import loaded; loaded('ResNet-8', {COLD_POINTS}).chunk(0)"
        started = time.perf_counter()
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(
            [sys.executable, "-c", code], check=True, env={**os.environ, "NUMBA_CACHE_DIR": folder}
        )
        taken = time.perf_counter() - started
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    seconds = MODELS["ResNet-8"][2]
    print(
        f"first {COLD_POINTS} points of a cold start: {taken:.1f} s, {used:.1f} processor seconds; "
        f"one point of ZigZag: {seconds} processor seconds"
    )


def whole() -> None:
    """Run the whole space into a folder; print its seconds and the most memory it held."""
    sweep = loaded("ResNet-8")
    with tempfile.TemporaryDirectory() as folder:
        started, before = time.perf_counter(), time.process_time()
        for _ in run(sweep, Path(folder) / "run", resume=False):
            pass
        taken, used = time.perf_counter() - started, time.process_time() - before
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"{sweep.spec.count} points into a folder: {taken:.1f} s, {used:.1f} processor seconds, "
        f"peak memory {peak:.0f} MiB"
    )


def main() -> None:
    """Print warm speeds, then those of a cold start, then the memory of a million points."""
    for name in MODELS:
        warm(name)
    cold()
    subprocess.run(
        [sys.executable, "-c", "from tests.bench.sweep import whole; whole()"], check=True
    )


if __name__ == "__main__":
    main()
