"""What a search finds of a space that is small enough to enumerate, printed and never asserted.

Run with ``python -m tests.bench.search [--seeds N]``. Every design of each space is evaluated
once; a search may evaluate a tenth. Volumes are of the losses that a search compares, scaled so
that the true front spans 0 to 1, from the reference point 1.1 in each objective (Ishibuchi et al.,
Evolutionary Computation 26(3), 2018, on the choice of that point): no part of the volume comes
from the mere distance of bad designs. ``reached`` is the evaluation at which 98 % are reached.
"""

import argparse
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from analysis.front import kept, non_dominated
from analysis.hypervolume import Growing, hypervolume
from analysis.search_scores import losses
from analysis.search_spec import Search
from analysis.searches import SearchRun
from analysis.spec import SweepSpec
from analysis.sweeps import Sweep, sweep
from tests.shared import shared_folder

Floats = NDArray[np.float64]
PART: Final = 0.1
"""Of a space, what a search may evaluate."""
SIZES: Final = [2, 4, 6, 8, 12, 16, 24, 32]
SPACES: Final[dict[str, dict[str, Any]]] = {
    "digits on systolic arrays": {
        "base": "systolic_16x16",
        "workload": "zoo:digits",
        "axes": {
            "array.rows": SIZES,
            "array.cols": SIZES,
            "array.dataflow": ["weight_stationary", "output_stationary"],
            "datapath.narrow": [True],
            "datapath.weight_bits": [2, 4, 8],
            "datapath.accumulator.bits": [16, 20, 24, 32],
            "memory.weight_sram.bytes": [1024, 4096, 16384],
            "clock_mhz": [200, 400, 800],
        },
    },
    "digits on vector processors, at most 1.2 mm2": {
        "base": "hvx_1024",
        "workload": "zoo:digits",
        "axes": {
            "clock_mhz": [200, 300, 400, 500, 800, 1000],
            "vector.bits": [256, 512, 1024, 2048],
            "vector.contexts": [1, 2, 4],
            "vector.multiply_slots": [1, 2],
            "vector.pixel_block": [2, 4, 8],
            "memory.l2.bytes": [131072, 262144, 524288, 1048576],
            "memory.dram.bytes_per_cycle": [4, 8, 16, 32],
        },
        "constraints": ["area_mm2 <= 1.2"],
    },
    "ResNet-8 on systolic arrays": {
        "base": "systolic_16x16",
        "workload": "models/tflite/mlperf_ic_resnet8_int8.tflite",
        "axes": {
            "array.rows": [4, 8, 12, 16, 24, 32, 48],
            "array.cols": [4, 8, 12, 16, 24, 32, 48],
            "array.dataflow": ["weight_stationary", "output_stationary", "input_stationary"],
            "memory.ifmap_sram.bytes": [8192, 16384, 32768, 65536],
            "memory.weight_sram.bytes": [8192, 16384, 32768, 65536],
            "memory.dram.bytes_per_cycle": [2, 4, 8, 16],
        },
    },
}


@dataclass(frozen=True)
class Found:
    """What some evaluations found: part of the true volume, and when 98 % of it were reached."""

    part: float
    reached: int | None


class Enumerated:
    """A space with every design evaluated, and what is the most that can be found in it."""

    def __init__(self, spec: SweepSpec) -> None:
        self.spec = spec
        self.every = sweep(spec)
        costs = losses(kept(self.every), spec.objectives)
        self.front = np.unique(costs[non_dominated(costs)], axis=0)
        self.low, self.high = self.front.min(axis=0), self.front.max(axis=0)
        self.most = hypervolume(self.scaled(self.front), self.reference)

    @property
    def reference(self) -> Floats:
        return np.full(self.front.shape[1], 1.1)

    def scaled(self, costs: Floats) -> Floats:
        spans = np.where(self.high > self.low, self.high - self.low, 1.0)
        return np.asarray((costs - self.low) / spans)

    def found(self, points: pl.DataFrame) -> Found:
        """What a table of points, in the order of their evaluation, holds of the true front."""
        growing, reached = Growing(self.reference), None
        allowed = set(kept(points)["point"])
        rows = self.scaled(losses(points, self.spec.objectives))
        for number, (point, row) in enumerate(zip(points["point"], rows, strict=True)):
            if point in allowed and growing.add(row) >= 0.98 * self.most and reached is None:
                reached = number + 1
        return Found(growing.volume / self.most, reached)

    def searched(self, seed: int, part: float = PART, **settings: Any) -> pl.DataFrame:
        """The designs that a search with this seed evaluates, in order."""
        most = int(part * self.spec.count)
        own = Search(evaluations=most, seed=seed, **({"stall": None} | settings))
        run = SearchRun(Sweep(Path(), self.spec.model_copy(update={"search": own})))
        return pl.concat([points for points, *_ in run.batches(None)])

    def drawn(self, seed: int, part: float = PART) -> pl.DataFrame:
        """As many designs drawn at random, each once."""
        return self.every.sample(int(part * self.spec.count), shuffle=True, seed=seed)


def space(name: str) -> SweepSpec | None:
    """A space by its name; None where its network is in a folder that is absent."""
    fields = dict(SPACES[name])
    if not fields["workload"].startswith("zoo:"):
        folder = shared_folder()
        if folder is None:
            return None
        fields["workload"] = str(folder / fields["workload"])
    return SweepSpec(name=name, **fields)


def line(what: str, found: list[Found], seconds: float) -> str:
    parts = np.array([f.part for f in found])
    reached = [f.reached for f in found if f.reached is not None]
    when = f"98 % after {min(reached)} to {max(reached)}" if reached else "98 %"
    return (
        f"  {what:7} {parts.min():.4f} to {parts.max():.4f}, mean {parts.mean():.4f}, standard "
        f"deviation {parts.std(ddof=1):.4f}; {when} in {len(reached)} of {len(found)} runs; "
        f"{seconds:.1f} s a run"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seeds", type=int, default=10)
    seeds = range(parser.parse_args().seeds)
    for name in SPACES:
        spec = space(name)
        if spec is None:
            print(f"{name}: skipped, the shared folder is absent")
            continue
        every = Enumerated(spec)
        most = int(PART * spec.count)
        print(f"{name}: {spec.count} designs, {len(every.front)} on the front, {most} evaluations")
        for what, run in (("nsga2", every.searched), ("random", every.drawn)):
            start = time.perf_counter()
            found = [every.found(run(seed)) for seed in seeds]
            print(line(what, found, (time.perf_counter() - start) / len(seeds)), flush=True)


if __name__ == "__main__":
    main()
