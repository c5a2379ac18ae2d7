"""Speed of the command line and of sweeps, printed and never asserted: machines are noisy.

Run with ``python -m tests.bench.run``. Whole-process times are medians of several runs after a
warm-up, each beside a bare ``python -c pass`` in the same minute, so that a ratio can be compared
between machines.
"""

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from tests.shared import shared_folder

RUNS = 5
SWEEP = """\
name: thousand_points
base: systolic_16x16
workload: {model}
axes:
  array.rows: [4, 8, 12, 16, 20, 24, 28, 32, 48, 64]
  array.cols: [4, 8, 16, 32, 64]
  memory.dram.bytes_per_cycle: [1, 2, 4, 8, 16]
  memory.weight_sram.bytes: [4096, 16384, 65536, 262144]
"""


def seconds(command: Sequence[str]) -> float:
    """Median whole-process seconds of a command that must succeed."""
    taken = []
    for _ in range(RUNS + 1):
        started = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        taken.append(time.perf_counter() - started)
    return statistics.median(taken[1:])


def report(name: str, command: Sequence[str], bare: float) -> None:
    """Print one command's median and its ratio to a bare interpreter."""
    taken = seconds(command)
    print(f"{name:44} {taken:7.3f} s  {taken / bare:6.1f} x python -c pass")


def main() -> None:
    """Print the table."""
    python = sys.executable
    bitlane = [python, "-m", "analysis.cli"]
    bare = seconds([python, "-c", "pass"])
    print(f"{'python -c pass':44} {bare:7.3f} s")
    report("bitlane --help", [*bitlane, "--help"], bare)
    shared = shared_folder()
    model = str(shared / "models/tflite/mlperf_ic_resnet8_int8.tflite") if shared else "zoo:digits"
    label = Path(model).stem
    estimate = [*bitlane, "estimate", model, "--hw", "systolic_16x16"]
    report(f"bitlane estimate {label}", estimate, bare)
    with tempfile.TemporaryDirectory() as scratch:
        spec = Path(scratch) / "sweep.yaml"
        spec.write_text(SWEEP.format(model=model), encoding="utf-8")
        started = time.perf_counter()
        for run in range(3):
            out = str(Path(scratch) / f"out{run}")
            subprocess.run(
                [*bitlane, "sweep", str(spec), "--out", out], check=True, capture_output=True
            )
        taken = (time.perf_counter() - started) / 3
        print(f"{'bitlane sweep, 1 000 points of ' + label:44} {taken:7.3f} s")


if __name__ == "__main__":
    main()
