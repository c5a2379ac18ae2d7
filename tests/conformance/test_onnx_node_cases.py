"""The quantized node tests of ONNX 1.23.2: each output equal to the last bit.

Small float formats and integers below 8 bits are carried in float32 and int8, values unchanged.
"""

import csv
from pathlib import Path
from typing import Final

import numpy as np
import pytest
from onnx import TensorProto, numpy_helper

from simulator.execute import run
from simulator.graph import Array
from tests.conformance.cases import cases_root, is_shared, skip_if_absent
from workloads.onnx.load import element_name
from workloads.onnx.model import stored
from workloads.onnx.reader import read

COLLECTION: Final = "onnx_node"
COUNT: Final = 45
"""Cases of the shared folder: all pass, none is left out."""


def folder() -> Path:
    """The folder of the cases."""
    return cases_root() / COLLECTION


def names() -> list[str]:
    """Every case there is, or one stand-in where the folder is absent."""
    return sorted(path.parent.name for path in folder().glob("*/model.onnx")) or ["every case"]


def tensor(path: Path) -> Array:
    """A stored tensor in the dtype that carries its element type here."""
    proto = TensorProto.FromString(path.read_bytes())
    return stored(np.asarray(numpy_helper.to_array(proto)), element_name(proto.data_type))


@pytest.mark.parametrize("name", names())
def test_case(name: str) -> None:
    skip_if_absent(COLLECTION)
    graph = read(folder() / name / "model.onnx")
    sets = sorted((folder() / name).glob("test_data_set_*"))
    assert sets
    for data in sets:
        inputs = {n: tensor(data / f"input_{i}.pb") for i, n in enumerate(graph.inputs)}
        outputs, _ = run(graph, inputs)
        for i, output in enumerate(graph.outputs):
            expected = tensor(data / f"output_{i}.pb")
            assert outputs[output].dtype == expected.dtype
            np.testing.assert_array_equal(outputs[output], expected, strict=True)


def test_every_listed_case_is_run() -> None:
    """Counted against the manifest: a case that lost its model would not be missed silently."""
    skip_if_absent(COLLECTION)
    with (folder() / "MANIFEST.csv").open(newline="") as stream:
        listed = {row["case"] for row in csv.DictReader(stream)}
    assert listed == set(names())
    if is_shared():
        assert len(listed) == COUNT
