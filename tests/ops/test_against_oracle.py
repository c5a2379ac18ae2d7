"""Every registered operator against its oracle in plain integers: 0 differing values."""

import ast
import inspect
from itertools import islice
from pathlib import Path
from random import Random

import numpy as np
import pytest

from simulator.graph import TensorType
from simulator.numeric.datapath import GRAPH_DATAPATH
from simulator.registry import operators
from tests import oracle as oracle_package
from tests.ops.oracles import nested, oracle_of

CASES = 90
KINDS = sorted(operators())


@pytest.mark.parametrize("kind", KINDS)
def test_operator_equals_its_oracle(kind: str) -> None:
    module = oracle_of(kind)
    for number, (operator, types, values) in enumerate(
        islice(module.cases(Random(f"{kind} oracle")), CASES)
    ):
        (shape,) = operator.infer(types)
        operator.check(types, (TensorType(shape, "int8", 8),))
        (got,) = operator.run(values, GRAPH_DATAPATH)
        expected, expected_shape = module.oracle(operator, nested(values))
        assert shape == expected_shape == got.shape, f"case {number}: {operator}"
        assert got.dtype == np.int8
        assert got.reshape(-1).tolist() == expected, f"case {number}: {operator}"


@pytest.mark.parametrize("kind", KINDS)
def test_cases_reach_many_values(kind: str) -> None:
    """Outputs that are all clamped would hide every error."""
    seen = set()
    for operator, _, values in islice(oracle_of(kind).cases(Random(kind)), CASES):
        seen.update(operator.run(values, GRAPH_DATAPATH)[0].reshape(-1).tolist())
    assert len(seen) > 100


@pytest.mark.parametrize("kind", KINDS)
def test_inputs_are_left_alone(kind: str) -> None:
    operator, _, values = next(oracle_of(kind).cases(Random(kind)))
    copies = [None if v is None else v.copy() for v in values]
    operator.run(values, GRAPH_DATAPATH)
    for value, copy in zip(values, copies, strict=True):
        assert (value is None) == (copy is None)
        assert value is None or copy is None or (value == copy).all()


def test_oracles_share_nothing_with_what_they_judge() -> None:
    """No oracle imports the kernels or numba, and `oracle` and `sums` compute without numpy."""
    (folder,) = map(Path, oracle_package.__path__)
    for path in folder.glob("*.py"):
        tree = ast.parse(path.read_text())
        for node in ast.walk(tree):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            names += [a.name for a in node.names] if isinstance(node, ast.Import) else []
            for name in names:
                assert not name.startswith(("simulator.numeric", "numba")), f"{path.name}: {name}"
        for function in ast.walk(tree):
            if isinstance(function, ast.FunctionDef) and function.name in ("oracle", "sums"):
                used = {n.id for n in ast.walk(function) if isinstance(n, ast.Name)}
                assert "np" not in used, f"{path.name}: {function.name} uses numpy"


@pytest.mark.parametrize("kind", KINDS)
def test_reference_and_meaning_are_stated(kind: str) -> None:
    """Docstring in reals, and the runtime whose bits are reproduced."""
    operator = operators()[kind]
    assert operator.kind == kind
    assert inspect.getdoc(operator)
    assert operator.reference
    assert all(":" in name for name in operator.formats)
