"""TOSA's RESCALE conformance tests, as its own tools generate and its reference model answers them.

The tools want an older numpy, so they run in an environment of their own; CONTRIBUTING has the
commands. `BITLANE_TOSA` names the folder that they fill.
"""

import json
import os
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest

from simulator.numeric.dialect import Rounding
from simulator.numeric.requantize import Requantize, requantize_array

# INEXACT_ROUND leaves the rounding to the implementation; the reference model multiplies in
# float32 and rounds half to even, which is this kernel.
ROUNDINGS: Final[dict[str, Rounding]] = {
    "S": "single_round",
    "D": "tosa_double_round",
    "I": "float32_even",
}


def cases() -> list[Path]:
    folder = os.environ.get("BITLANE_TOSA")
    return sorted(Path(folder).glob("**/rescale*/desc.json")) if folder else []


def result(folder: Path, description: dict[str, Any]) -> np.ndarray[Any, Any]:
    """What our requantizer makes of a test's input, in the case's own shape."""
    x = np.load(folder / description["ifm_file"][0]).astype(np.int64)
    tensors = description["meta"]["data_gen"]["tensors"]
    stored = sorted(
        (t for t in tensors if t.startswith("const")), key=lambda t: tensors[t]["input_pos"]
    )
    multiplier, shift, input_zero, output_zero = (
        [int(v) for v in tensors[name]["fixed_data_info"]["data"]] for name in stored
    )
    tags = dict(part_of(tag) for tag in folder.name.split("_"))
    unsigned_in, unsigned_out = tags["iu"] == "1", tags["ou"] == "1"
    bits_in, bits_out = int(tags["i"]), int(tags["outi"])
    low, high = (
        (0, 2**bits_out - 1) if unsigned_out else (-(2 ** (bits_out - 1)), 2 ** (bits_out - 1) - 1)
    )
    if unsigned_in:
        x &= 2**bits_in - 1
        input_zero = [v & (2**bits_in - 1) for v in input_zero]
    zero = output_zero[0] & (2**bits_out - 1) if unsigned_out else output_zero[0]
    shifts = tuple(31 - s for s in shift)
    scales = tuple(m * 2.0**-n for m, n in zip(multiplier, shift, strict=True))
    rule = Requantize(ROUNDINGS[tags["rm"]], scales, tuple(multiplier), shifts, zero, low, high)
    return requantize_array(x - input_zero[0], rule, "int64")


def part_of(tag: str) -> tuple[str, str]:
    for name in ("outi", "sc", "rm", "pc", "iu", "ou", "i"):
        if tag.startswith(name) and tag != "rescale":
            return name, tag.removeprefix(name)
    return tag, ""


def test_rescale() -> None:
    found = cases()
    if not found:
        pytest.skip("TOSA's tests are absent: BITLANE_TOSA names no folder of generated tests")
    wrong = []
    for path in found:
        description = json.loads(path.read_text(encoding="utf-8"))
        expected = np.load(path.parent / description["ofm_file"][0]).astype(np.int64)
        ours = result(path.parent, description)
        bits = 8 * np.load(path.parent / description["ofm_file"][0]).dtype.itemsize
        if not np.array_equal(ours & (2**bits - 1), expected & (2**bits - 1)):
            wrong.append(path.parent.name)
    print(f"{len(found) - len(wrong)} of {len(found)} RESCALE tests pass")
    assert not wrong
    assert len(found) >= 245
