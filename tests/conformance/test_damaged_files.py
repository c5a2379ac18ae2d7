"""Damaged .tflite files: each is refused in one line or read, never a crash, never a hang."""

from pathlib import Path
from time import perf_counter
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.errors import BitlaneError
from simulator.numeric.dialect import dialect
from tests.ops.models import conv
from workloads.tflite.reader import read
from workloads.zoo import digits

SECONDS_PER_FILE: Final = 2.0


def assert_refused_or_read(model: bytes, path: Path) -> bool:
    """Read `model` within the time limit; True where it was refused, in one line."""
    path.write_bytes(model)
    message = None
    start = perf_counter()
    try:
        read(path, dialect("litert-ref"))
    except BitlaneError as error:
        message = str(error)
    assert perf_counter() - start < SECONDS_PER_FILE
    if message is not None:
        assert "\n" not in message
        assert len(message) < 1000
    return message is not None


def test_truncated_anywhere(tmp_path: Path) -> None:
    """Cut at every 97th byte of a real model and at every byte of a small one."""
    whole = digits.model_path().read_bytes()
    refused = [
        assert_refused_or_read(whole[:end], tmp_path / "cut.tflite")
        for end in range(0, len(whole), 97)
    ]
    assert sum(refused) > len(refused) // 2
    small = conv()
    for end in range(len(small)):
        assert_refused_or_read(small[:end], tmp_path / "cut.tflite")


DIGITS = digits.model_path().read_bytes()
places = st.integers(0, len(DIGITS) - 1)
mutations = st.lists(
    st.tuples(places, st.integers(0, 255) | st.sampled_from([0, 1, 127, 128, 254, 255])),
    min_size=1,
    max_size=8,
)


@settings(max_examples=300, deadline=None, derandomize=True, database=None)
@given(mutations)
def test_mutated_bytes_are_refused_or_read(
    tmp_path_factory: pytest.TempPathFactory, changes: list[tuple[int, int]]
) -> None:
    data = bytearray(DIGITS)
    for place, value in changes:
        data[place] = value
    assert_refused_or_read(bytes(data), tmp_path_factory.getbasetemp() / "mutated.tflite")


@pytest.mark.slow
def test_every_byte_set_to_each_extreme(tmp_path: Path) -> None:
    """Every byte of a one-operator model, at eight values: tables, offsets, lengths and names."""
    small = conv()
    for place in range(len(small)):
        for value in (0, 1, 2, 4, 127, 128, 254, 255):
            data = bytearray(small)
            data[place] = value
            assert_refused_or_read(bytes(data), tmp_path / "mutated.tflite")
