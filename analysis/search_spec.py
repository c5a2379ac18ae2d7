"""The `search` section of a sweep's YAML: how designs are chosen where the grid is too large."""

from typing import Annotated, Literal, TypeAlias

from pydantic import Field

from simulator.schema import LARGEST, Positive, PositiveReal, Schema

Method: TypeAlias = Literal["nsga2", "tpe"]
"""`nsga2`: the elitist genetic algorithm of Deb et al., IEEE TEVC 6(2), 2002. `tpe`: the
multi-objective tree-structured Parzen estimator of Ozaki et al., GECCO 2020, a Bayesian method
that spends milliseconds on each proposal, for evaluations that cost more."""


class Stall(Schema):
    """Stop where the hypervolume grew by less than the part `gain` over `generations`."""

    generations: Positive = 10
    gain: PositiveReal = 1e-3


class Search(Schema):
    """Evaluate at most `evaluations` designs, `population` of them between two decisions.

    A design counts once, however often it is proposed. The same seed gives the same table.
    """

    method: Method = "nsga2"
    evaluations: Positive
    population: Annotated[int, Field(ge=4, le=10_000)] = 48
    seed: Annotated[int, Field(ge=0, le=min(LARGEST, 2**32 - 1))] = 0
    stall: Stall | None = Stall()
