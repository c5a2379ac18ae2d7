"""The `search` section of a sweep's YAML: how designs are chosen where the grid is too large."""

from typing import Annotated, Any, Literal, Self, TypeAlias

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from simulator.schema import LARGEST, FieldError, Positive, PositiveReal, Schema

Method: TypeAlias = Literal["nsga2", "tpe"]
"""`nsga2`: the elitist genetic algorithm of Deb et al., IEEE TEVC 6(2), 2002. `tpe`: the
multi-objective tree-structured Parzen estimator of Ozaki et al., GECCO 2020, a Bayesian method
that spends milliseconds on each proposal, for evaluations that cost more."""


class Stall(Schema):
    """Stop where the hypervolume grew by less than the part `gain` over `generations`."""

    generations: Positive = 10
    gain: PositiveReal = 1e-3


def _as_tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _rising(bits: tuple[int, ...]) -> tuple[int, ...]:
    if list(bits) != sorted(set(bits)):
        raise ValueError(f"must rise, each width once; found {list(bits)}")
    return bits


Widths: TypeAlias = Annotated[
    tuple[Annotated[int, Field(ge=1, le=16)], ...],
    BeforeValidator(_as_tuple),
    Field(min_length=2),
    AfterValidator(_rising),
]


class Search(Schema):
    """Evaluate at most `evaluations` designs, `population` of them between two decisions.

    A design counts once, however often it is proposed. The same seed gives the same table.
    `problem: mixed_precision` takes, in place of axes, one of the widths `bits` for the operands
    of each layer that multiplies; the spec's `data` are what its accuracy is measured on.
    """

    method: Method = "nsga2"
    evaluations: Positive
    population: Annotated[int, Field(ge=4, le=10_000)] = 48
    seed: Annotated[int, Field(ge=0, le=min(LARGEST, 2**32 - 1))] = 0
    stall: Stall | None = Stall()
    problem: Literal["mixed_precision"] | None = None
    bits: Widths | None = None

    @model_validator(mode="after")
    def _whole_problem(self) -> Self:
        if self.problem is None and self.bits is not None:
            raise FieldError(("bits",), "belongs to problem: mixed_precision; add that")
        if self.problem is not None and self.bits is None:
            raise FieldError(("bits",), f"is missing; problem: {self.problem} needs it")
        return self
