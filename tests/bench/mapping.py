"""Speed and memory of the mapping search, printed and never asserted: machines are noisy.

Run with ``python -m tests.bench.mapping``. CPU time of one thread, after compilation. A nest is
*costed* when all of its terms are computed as far as it may still be the best, and *decided* when
it is costed or a bound shows that it cannot be.
"""

import resource
import time

import hwconfigs
from simulator.cost import evaluate_designs
from simulator.machines.spatial import Spatial
from simulator.mapped import map_work
from simulator.work import Work
from workloads.zoo import imagenet

MACHINES = ("tpu_like", "meta_prototype", "eyeriss_like", "gemmini_like")
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
    pairs = [("mapping.objective", objective), ("mapping.orders", orders)]
    machine = hwconfigs.load(name, pairs)
    assert isinstance(machine, Spatial)
    return machine


def main() -> None:
    """Print candidates a second by machine, then MobileNet v2, then memory."""
    map_work(LAYER, load("tpu_like", "latency", 10))
    for name in MACHINES:
        for objective in ("latency", "energy"):
            machine = load(name, objective, 200_000)
            started = time.process_time()
            found = map_work(LAYER, machine)
            taken = time.process_time() - started
            print(
                f"{name:16} {objective:8} {found.costed:8} costed {found.costed / taken:12.0f} /s"
                f" {found.decided:10} decided {found.decided / taken:12.0f} /s"
            )
    works = imagenet.mobilenet_v2()
    for name in MACHINES:
        machine = load(name, "latency", 5040)
        evaluate_designs(works, [machine])
        started = time.perf_counter()
        evaluate_designs(works, [machine])
        print(f"MobileNet v2 224 on {name:16} {time.perf_counter() - started:6.2f} s warm")
    for orders in (1_000, 1_000_000):
        map_work(LAYER, load("meta_prototype", "latency", orders))
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(f"peak memory after a search of up to {orders} orders: {peak:.0f} MiB")


if __name__ == "__main__":
    main()
