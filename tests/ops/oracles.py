"""The oracle module of every operator kind; an operator without one is a failing test."""

import importlib
import importlib.util
from collections.abc import Iterator, Sequence
from random import Random
from typing import Any, Protocol, cast

from simulator.registry import operators
from tests.ops.build import Case, OneOp
from tests.oracle.primitives import Accumulator


class OracleModule(Protocol):
    """What `tests/oracle/<kind>.py` offers for the operator `kind`."""

    def one_ops(self, rng: Random, largest: int = ...) -> Iterator[OneOp]: ...
    def cases(self, rng: Random) -> Iterator[Case]: ...
    def oracle(self, operator: Any, inputs: Sequence[Any]) -> tuple[list[int], tuple[int, ...]]: ...


class AccumulatingOracle(Protocol):
    """An oracle whose operator sums products: it also takes the accumulator."""

    def cases(self, rng: Random) -> Iterator[Case]: ...
    def sums(
        self, operator: Any, inputs: Sequence[Any], accumulator: Accumulator
    ) -> list[list[int]]: ...
    def oracle(
        self, operator: Any, inputs: Sequence[Any], accumulator: Accumulator
    ) -> tuple[list[int], tuple[int, ...]]: ...


def oracle_of(kind: str) -> OracleModule:
    """The oracle module of an operator kind; fails where there is none."""
    name = f"tests.oracle.{kind}"
    assert importlib.util.find_spec(name), f"operator '{kind}' has no oracle: write {name}"
    return cast(OracleModule, importlib.import_module(name))


def one_op_kinds() -> list[str]:
    """The kinds whose oracle module makes one-op models: those of one int8 output.

    Operators with several outputs, other dtypes or state are judged by tests of their own; what
    has no oracle at all is named in `CHECKED_ELSEWHERE`.
    """
    return [
        kind
        for kind, operator in operators().items()
        if has_oracle(kind) and hasattr(oracle_of(kind), "OneOp") and not operator.updates
    ]


def has_oracle(kind: str) -> bool:
    """Whether an oracle module stands beside the operator."""
    return importlib.util.find_spec(f"tests.oracle.{kind}") is not None


def accumulating_oracle_of(kind: str) -> AccumulatingOracle:
    """The same, where the operator has an accumulator."""
    return cast(AccumulatingOracle, oracle_of(kind))


def nested(values: Sequence[Any]) -> list[Any]:
    """Arrays as nested lists of Python integers; None stays."""
    return [None if value is None else value.tolist() for value in values]
