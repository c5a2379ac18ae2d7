"""Calibrating MobileNetV2-224 as a whole process: memory that does not grow with the stream."""

import subprocess
import sys

import pytest

from tests.shared import ROOT

MOST_MIB = 2048


def peak_mib(images: int) -> float:
    """Of a process that calibrates on so many images, two at a time."""
    command = (sys.executable, "-m", "tests.bench.calibration", "mse", "2", str(images))
    done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT)
    return float(done.stdout.split()[-1])


@pytest.mark.slow
def test_memory_is_bounded_and_does_not_grow_with_the_stream() -> None:
    few, many = peak_mib(4), peak_mib(40)
    print(f"peak of 4 images {few:.0f} MiB, of 40 {many:.0f} MiB")
    assert many < MOST_MIB / 2
    assert many < 1.1 * few
