"""Which designs to evaluate next: Optuna's samplers over integer-coded axes, a batch at a time.

A genome holds the index of each axis's value. No genome is proposed twice.
"""

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from analysis.search_spec import Search
from simulator.errors import BitlaneError

Ints: TypeAlias = NDArray[np.int64]
Floats: TypeAlias = NDArray[np.float64]
Genome: TypeAlias = tuple[int, ...]
Condition: TypeAlias = tuple[int, frozenset[int]]
"""An axis that another depends on, by its place, and which of its values the other is for."""

CROSSOVER: Final = 0.9
"""Part of the children that have two parents (Deb et al., 2002, section V)."""
STEP: Final = 0.7
"""Of the mutations of an ordered axis, the part that goes to a neighbouring value."""
_TRIES: Final = 50
_REPEATS: Final = 10
"""Proposals of known designs after which an unknown one is taken near the last."""
_MISSING: Final = "search needs Optuna, which is not installed; run: pip install 'bitlane[search]'"


@dataclass(frozen=True)
class Space:
    """Integer-coded designs.

    sizes : number of values of each axis.
    ordered : whether neighbouring indices are neighbouring values; false for names.
    count : number of different designs.
    conditions : for each axis the earlier axes, and their values, for which it applies; elsewhere
        it has no value, written -1. Empty where every axis always applies.
    """

    sizes: tuple[int, ...]
    ordered: tuple[bool, ...]
    count: int
    conditions: tuple[tuple[Condition, ...], ...] = ()

    def design(self, genome: Sequence[int]) -> Genome:
        """The genome with -1 for each axis that does not apply: one form for one design."""
        made = list(genome)
        for axis, own in enumerate(self.conditions):
            if any(made[on] not in allowed for on, allowed in own):
                made[axis] = -1
        return tuple(made)


class Proposer:
    """Batches of new genomes by the method of the settings; told what each is worth.

    Optuna ranks, selects and models. The first designs are those given as `starts` [n, axes], then
    corners of the space and points that fill it, until there is a batch; NSGA-II's children come
    from `_child`, which knows that axes are integers.
    """

    def __init__(
        self, space: Space, settings: Search, objectives: int, starts: Ints | None = None
    ) -> None:
        optuna = _optuna()
        self.space = space
        self.settings = settings
        self.seen: set[Genome] = set()
        self.names = [f"axis_{i}" for i in range(len(space.sizes))]
        self.rng = np.random.default_rng(settings.seed)
        self.distributions = {
            name: optuna.distributions.IntDistribution(0, size - 1)
            if ordered
            else optuna.distributions.CategoricalDistribution(range(size))
            for name, size, ordered in zip(self.names, space.sizes, space.ordered, strict=True)
        }
        self.study = optuna.create_study(
            directions=["minimize"] * objectives, sampler=self._sampler(optuna)
        )
        self.asked: list[Any] = []
        filling = first_designs(space, settings.population, settings.seed).tolist()
        given = [] if starts is None else starts.tolist()
        first = dict.fromkeys(map(tuple, (*given, *filling)))
        for genome in list(first)[: max(settings.population, len(given))]:
            self.study.enqueue_trial(self._parameters(genome))

    def ask(self, count: int) -> Ints:
        """At most `count` designs [n, axes] not asked for before; fewer where none are left."""
        designs: list[Genome] = []
        repeats = 0
        while len(designs) < count and len(self.seen) < self.space.count:
            trial = self.study.ask(self.distributions)
            genome = tuple(int(trial.params[name]) for name in self.names)
            design = self.space.design(genome)
            if design in self.seen:
                # A model may ask again for what it knows: such a trial is dropped.
                self.study.tell(trial, state=_optuna().trial.TrialState.FAIL)
                repeats += 1
                if repeats % _REPEATS == 0:
                    self.study.enqueue_trial(self._parameters(self._unseen(genome)))
                continue
            self.seen.add(design)
            self.asked.append(trial)
            designs.append(design)
        return np.array(designs, np.int64).reshape(len(designs), len(self.names))

    def tell(self, losses: Floats, violations: Floats) -> None:
        """Losses [n, M] and violations [n] of the genomes asked for last, in their order."""
        for trial, values, violation in zip(self.asked, losses, violations, strict=True):
            trial.set_constraint("violation", float(violation))
            # By constraint domination the losses of a design that breaks a bound decide nothing.
            self.study.tell(trial, np.where(np.isfinite(values), values, 0.0).tolist())
        self.asked = []

    def _sampler(self, optuna: Any) -> Any:
        settings = self.settings
        with warnings.catch_warnings():
            # The strategy of children is an argument that may still change.
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            if settings.method == "nsga2":
                return optuna.samplers.NSGAIISampler(
                    population_size=settings.population,
                    seed=settings.seed,
                    child_generation_strategy=self._child,
                )
            return optuna.samplers.TPESampler(
                n_startup_trials=settings.population, multivariate=True, seed=settings.seed
            )

    def _child(
        self, study: Any, space: Mapping[str, Any], parents: Sequence[Any]
    ) -> dict[str, int]:
        """Parameters of a child that was never asked for: uniform crossover, integer mutation."""
        pool = [tuple(int(p.params[name]) for name in self.names) for p in parents]
        for _ in range(_TRIES):
            first, second = (pool[self.rng.integers(len(pool))] for _ in range(2))
            crossed = self.rng.random() < CROSSOVER
            mask = self.rng.random(len(first)) < 0.5 * crossed
            child = tuple(self._mutated(np.where(mask, second, first)).tolist())
            if self.space.design(child) not in self.seen:
                return self._parameters(child)
        return self._parameters(self._unseen(child))

    def _parameters(self, genome: Genome) -> dict[str, int]:
        return dict(zip(self.names, genome, strict=True))

    def _mutated(self, genome: Ints) -> Ints:
        """Each axis changed with the chance 1 / axes: a step where it is ordered, or any value."""
        made = genome.copy()
        for axis in np.flatnonzero(self.rng.random(len(genome)) < 1 / len(genome)):
            size = self.space.sizes[axis]
            if self.space.ordered[axis] and self.rng.random() < STEP:
                made[axis] = np.clip(made[axis] + self.rng.choice((-1, 1)), 0, size - 1)
            else:
                made[axis] = self.rng.integers(size)
        return made

    def _unseen(self, genome: Genome) -> Genome:
        """A genome of a design never asked for, near the given one where chance finds one."""
        made = list(genome)
        for changed in range(1, len(genome) + 1):
            for _ in range(_TRIES):
                made = list(genome)
                for axis in self.rng.choice(len(genome), changed, replace=False).tolist():
                    made[axis] = int(self.rng.integers(self.space.sizes[axis]))
                if self.space.design(made) not in self.seen:
                    return tuple(made)
        # Almost everything is known: the next in lexicographic order, around the end.
        found = tuple(made)
        while self.space.design(found) in self.seen:
            found = _next(found, self.space.sizes)
        return found


def first_designs(space: Space, count: int, seed: int) -> Ints:
    """Distinct genomes [<= count, axes] to begin with: corners of the space, then Sobol points.

    Corners are all axes at their first or last value, and each axis alone at its other end; they
    take at most half.
    """
    from scipy.stats import qmc

    low, high = (0,) * len(space.sizes), tuple(size - 1 for size in space.sizes)
    flips = [
        (*base[:axis], end[axis], *base[axis + 1 :])
        for axis in range(len(low))
        for base, end in ((low, high), (high, low))
    ]
    chosen = dict.fromkeys([low, high, *flips])
    chosen = dict.fromkeys(list(chosen)[: count // 2])
    sobol = qmc.Sobol(len(low), rng=np.random.default_rng(seed))
    drawn = sobol.random_base2(2 + math.ceil(math.log2(count)))
    filling = np.minimum(np.floor(drawn * space.sizes).astype(np.int64), high)
    chosen |= dict.fromkeys(map(tuple, filling.tolist()))
    return np.array(list(chosen)[:count], np.int64)


def _next(genome: Genome, sizes: Sequence[int]) -> Genome:
    """The genome after this one in lexicographic order; the first after the last."""
    made = list(genome)
    for axis in reversed(range(len(made))):
        made[axis] = (made[axis] + 1) % sizes[axis]
        if made[axis]:
            break
    return tuple(made)


def _optuna() -> Any:
    """The library, quiet; raises BitlaneError where the extra is not installed."""
    try:
        import optuna
    except ImportError:
        raise BitlaneError(_MISSING) from None
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna
