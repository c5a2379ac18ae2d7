"""The fuzzer of both readers: damaged models, each read, priced and run in a child process.

``python -m tests.fuzz.run --minutes 10 --seed 1`` ends with 0 where every file was refused in one
line or worked, and with 1 where one crashed, hung, filled the memory or raised anything else; each
finding is shrunk, saved, and printed with the command that makes it again.
"""

import argparse
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from time import monotonic
from typing import Any, Final

from tests.fuzz.child import Child
from tests.fuzz.recipe import Recipe, drawn, parse
from tests.fuzz.seeds import seeds

HANG_SECONDS: Final = 10.0
SOUND: Final = ("refused", "priced", "ran")


@dataclass
class Report:
    """What became of the files: how many ended how, and the findings by what they said."""

    ends: "Counter[str]" = field(default_factory=Counter)
    findings: dict[str, tuple[Recipe, str]] = field(default_factory=dict)
    slowest: float = 0.0

    @property
    def files(self) -> int:
        """How many were tried."""
        return sum(self.ends.values())


class Fuzzer:
    """Seeds, a folder for the files, and the child that reads them."""

    def __init__(self, folder: Path, readers: str = "both") -> None:
        suffixes = {"both": (".tflite", ".onnx")}.get(readers, (f".{readers}",))
        self.seeds = seeds()
        self.names = [name for name in self.seeds if name.endswith(suffixes)]
        self.folder = folder
        self.child = Child()

    def warm(self) -> None:
        """Every seed is sound: run once, its kernels are compiled before time is taken."""
        for name in self.names:
            found = self._outcome(Recipe(name, ()), 600.0)
            if found["outcome"] not in SOUND:
                print(name, found["text"][-200:])

    def run(self, rng: Random, minutes: float | None, files: int | None) -> Report:
        """Damage and read until the time is over or so many files were tried."""
        report, end = Report(), monotonic() + 60 * (minutes or 1e6)
        while monotonic() < end and report.files < (files or 10**9):
            recipe = drawn(self.names, rng)
            found = self.judged(recipe)
            suffix = recipe.suffix.removeprefix(".")
            report.ends[f"{suffix} {found['outcome']}"] += 1
            report.slowest = max(report.slowest, found["seconds"])
            if found["outcome"] not in SOUND and (key := signature(found)) not in report.findings:
                shrunk = self.shrunk(recipe, key)
                report.findings[key] = (shrunk, found["text"])
                self._keep(shrunk, found, len(report.findings))
        return report

    def judged(self, recipe: Recipe) -> dict[str, Any]:
        """The outcome of one file. A slow one is run again: the first may have compiled."""
        found = self._outcome(recipe, 4 * HANG_SECONDS)
        if found["seconds"] <= HANG_SECONDS:
            return found
        return self._outcome(recipe, HANG_SECONDS)

    def shrunk(self, recipe: Recipe, key: str) -> Recipe:
        """The recipe without the steps that the finding does not need."""
        for index in reversed(range(len(recipe.steps))):
            shorter = recipe.without(index)
            found = self.judged(shorter)
            if found["outcome"] not in SOUND and signature(found) == key:
                recipe = shorter
        return recipe

    def _outcome(self, recipe: Recipe, seconds: float) -> dict[str, Any]:
        path = self.folder / f"damaged{recipe.suffix}"
        path.write_bytes(recipe.make(self.seeds))
        return self.child.ask(path, seconds)

    def _keep(self, recipe: Recipe, found: dict[str, Any], number: int) -> None:
        name = f"finding_{number}{recipe.suffix}"
        (self.folder / name).write_bytes(recipe.make(self.seeds))
        print(f"finding {number}: {found['outcome']}, {self.folder / name}")
        print(f"again: python -m tests.fuzz.run --again '{recipe}'")
        print(found["text"], flush=True)


def signature(found: dict[str, Any]) -> str:
    """What tells one finding from another: the kind, the last lines of ours and the error."""
    lines = found["text"].strip().splitlines()
    places = [line.strip() for line in lines if line.strip().startswith("File ")]
    kind = lines[-1].split(":")[0] if lines else ""
    return " ".join((found["outcome"], *places[-2:], kind))


def main() -> int:
    """Parse, fuzz, print the sums."""
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m tests.fuzz.run")
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--files", type=int, help="stop after so many files instead")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--readers", choices=("both", "tflite", "onnx"), default="both")
    parser.add_argument("--out", type=Path, help="folder for the findings")
    parser.add_argument("--again", metavar="RECIPE", help="one file of an earlier run")
    options = parser.parse_args()
    folder = options.out or Path(tempfile.mkdtemp(prefix="bitlane-fuzz-"))
    folder.mkdir(parents=True, exist_ok=True)
    fuzzer = Fuzzer(folder, options.readers)
    if options.again:
        found = fuzzer.judged(parse(options.again))
        fuzzer.child.close()
        print(f"{found['outcome']} after {found['seconds']:.2f} s: {found['text']}")
        return int(found["outcome"] not in SOUND)
    fuzzer.warm()
    minutes = None if options.files else options.minutes
    report = fuzzer.run(Random(options.seed), minutes, options.files)
    fuzzer.child.close()
    sums = ", ".join(f"{count} {end}" for end, count in sorted(report.ends.items()))
    print(f"{report.files} files of {len(fuzzer.names)} seeds, seed {options.seed}: {sums}")
    print(f"slowest {report.slowest:.2f} s; {len(report.findings)} findings")
    return int(bool(report.findings))


if __name__ == "__main__":
    sys.exit(main())
