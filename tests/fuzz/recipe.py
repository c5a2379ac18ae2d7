"""A damaged file as text: its seed and the mutations, each with the seed of its own randomness."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from random import Random
from typing import Final

from tests.fuzz.mutations import BLIND, KNOWING, MUTATIONS

LARGEST_BYTES: Final = 1 << 20
"""Mutations that insert may not let a file grow beyond this."""


@dataclass(frozen=True)
class Recipe:
    """How to make one damaged file again: ``digits.tflite+flip:17+truncate:4``."""

    seed: str
    steps: tuple[tuple[str, int], ...]

    @property
    def suffix(self) -> str:
        """The reader it is for."""
        return self.seed[self.seed.rindex(".") :]

    def __str__(self) -> str:
        return "+".join((self.seed, *(f"{name}:{number}" for name, number in self.steps)))

    def make(self, seeds: Mapping[str, bytes]) -> bytes:
        """The bytes."""
        data = seeds[self.seed]
        names = [name for name in seeds if name.endswith(self.suffix)]
        for name, number in self.steps:
            rng = Random(number)
            other = seeds[names[rng.randrange(len(names))]]
            data = MUTATIONS[name](data, rng, other)[:LARGEST_BYTES]
        return data

    def without(self, index: int) -> "Recipe":
        """One step less."""
        return replace(self, steps=(*self.steps[:index], *self.steps[index + 1 :]))


def parse(text: str) -> Recipe:
    """The recipe of its text."""
    seed, *steps = text.split("+")
    pairs = (step.split(":") for step in steps)
    return Recipe(seed, tuple((name, int(number)) for name, number in pairs))


def drawn(names: list[str], rng: Random) -> Recipe:
    """A random recipe: one to four steps, most of them of those that know the format."""
    seed = rng.choice(names)
    knowing = KNOWING[seed[seed.rindex(".") :]]
    count = rng.choice([1, 1, 1, 2, 2, 3, 4])
    steps = (
        (rng.choice(knowing if rng.random() < 0.75 else BLIND), rng.getrandbits(32))
        for _ in range(count)
    )
    return Recipe(seed, tuple(steps))
