"""Speed and memory of the mapping search, printed and never asserted: machines are noisy.

Run with ``python -m tests.bench.mapping``. CPU time of one thread, after compilation. A nest is
*costed* when all of its terms are computed as far as it may still be the best, and *decided* when
it is costed or a bound shows that it cannot be. An order that a bound excludes counts as one nest,
though it may be cut in two ways.
"""

import resource
import time
from typing import Any

import hwconfigs
from simulator.cost import evaluate_designs
from simulator.machines.spatial import Spatial
from simulator.mapped import map_work
from simulator.work import Work
from tests import imagenet

MACHINES = ("tpu_like", "meta_prototype", "eyeriss_like", "gemmini_like", "gemm_l1")
OBJECTIVES = ("latency", "energy", "edp")
ALL: Any = ["weight", "input", "output"]
THREE_LEVELS: list[tuple[str, Any]] = [
    ("array.dimensions", {"columns": {"size": 16}, "rows": {"size": 16}}),
    (
        "array.unrollings",
        [{"columns": {"oc": 16}, "rows": {"ic": 16}}, {"columns": {"g": 16}, "rows": {"ox": 16}}],
    ),
    (
        "memory",
        [
            {"name": "register", "bytes": 32, "bits_per_cycle": 32, "holds": ALL}
            | {"word_bits": 8, "ports": "read_write", "kind": "register"},
            {"name": "sram", "bytes": 524288, "bits_per_cycle": 1024, "holds": ALL}
            | {"word_bits": 64, "shared_along": "all", "ports": "read_write"},
            {"name": "dram", "bytes": 1 << 34, "bits_per_cycle": 64, "holds": ALL}
            | {"shared_along": "all", "kind": "dram"},
        ],
    ),
]
"""Registers, one SRAM for all operands and a DRAM, in the place of what `tpu_like` has."""
LAYER = Work(
    oy=56,
    ox=56,
    oc=64,
    ky=3,
    kx=3,
    ic=64,
    input_elements=56 * 56 * 64,
    weight_elements=64 * 64 * 9,
    output_elements=56 * 56 * 64,
    input_rows=56,
    input_columns=56,
)
"""conv2_x of ResNet-18 (He et al., 2016)."""


def load(name: str, objective: str, orders: int) -> Spatial:
    pairs: list[tuple[str, Any]] = [("mapping.objective", objective), ("mapping.orders", orders)]
    if name == "three_levels":
        name, pairs = "tpu_like", THREE_LEVELS + pairs
    machine = hwconfigs.load(name, pairs)
    assert isinstance(machine, Spatial)
    return machine


def main() -> None:
    """Print candidates a second by machine, then MobileNet v2, then memory."""
    map_work(LAYER, load("tpu_like", "latency", 10))
    for name in (*MACHINES, "three_levels"):
        for objective in OBJECTIVES:
            machine = load(name, objective, 200_000)
            started = time.process_time()
            found = map_work(LAYER, machine)
            taken = time.process_time() - started
            print(
                f"{name:16} {objective:8} {found.costed:8} costed {found.costed / taken:12.0f} /s"
                f" {found.decided:10} decided {found.decided / taken:12.0f} /s"
            )
    works = imagenet.mobilenet_v2()
    # gemm_l1 has no DRAM: the network does not fit it.
    for name in (*MACHINES[:-1], "three_levels"):
        taken_s = []
        for objective in OBJECTIVES:
            machine = load(name, objective, 5040)
            evaluate_designs(works, [machine])
            started = time.process_time()
            assert not evaluate_designs(works, [machine]).refused[0]
            taken_s.append(f"{time.process_time() - started:6.2f} s for {objective}")
        print(f"MobileNet v2 224 on {name:16} {','.join(taken_s)}, warm")
    for orders in (1_000, 1_000_000):
        map_work(LAYER, load("meta_prototype", "latency", orders))
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(f"peak memory after a search of up to {orders} orders: {peak:.0f} MiB")


if __name__ == "__main__":
    main()
