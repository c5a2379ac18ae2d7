"""Many designs at once: the arrays of a sweep, and of an estimate, which is a sweep of one.

Every design goes through the `evaluate` of its machine's kind, which calls that kind's scalar
cost functions; there is no second model.
"""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from simulator.errors import Unsupported
from simulator.machines.actions import (
    ACTIONS,
    COMPONENTS,
    TOO_MANY,
    TOTAL_CYCLES,
    TOTAL_REFUSAL,
    TOTAL_REFUSED_LAYER,
    TOTALS,
)
from simulator.machines.base import CLOCK_HZ, FRACTION, Machine
from simulator.technology.model import Technology
from simulator.work import W_MORE, WORK_FIELDS, Work

Ints: TypeAlias = NDArray[np.int64]
Floats: TypeAlias = NDArray[np.float64]
_CHUNK: Final = 512
_MOST: Final = 1 << 60
"""Of a count in 1/65536: room for sums and for traffic that repeats below 2^63."""


@dataclass(frozen=True)
class Evaluation:
    """Costs of P designs on L layers, in the order of the designs.

    totals : int64 [P, TOTALS], columns as `simulator.machines.actions.TOTAL_NAMES`; a refused
        design has -1 in all but its refusal columns.
    area_mm2 : float64 [P].
    latency_s : float64 [P], NaN where refused.
    actions : int64 [P, L, ACTIONS], or [0, 0, ACTIONS] where layers were not asked for.
    energy_fj : int64 [P, L, COMPONENTS], likewise.
    """

    totals: Ints
    area_mm2: Floats
    latency_s: Floats
    actions: Ints
    energy_fj: Ints

    @property
    def refused(self) -> NDArray[np.bool_]:
        """Which designs cannot run the graph: bool [P]."""
        return np.asarray(self.totals[:, TOTAL_REFUSAL] != 0)


def batched(work: Work, batch: int) -> Work:
    """The work of `batch` inferences run together: weights and biases are read once."""
    return replace(
        work,
        n=work.n * batch,
        input_elements=work.input_elements * batch,
        output_elements=work.output_elements * batch,
        elementwise=work.elementwise * batch,
        requantizations=work.requantizations * batch,
        lookups=work.lookups * batch,
        real_multiplications=work.real_multiplications * batch,
        real_additions=work.real_additions * batch,
        kept_inputs=work.kept_inputs * batch,
        kept_outputs=work.kept_outputs * batch,
    )


def batched_works(works: Sequence[Work], batch: int) -> list[Work]:
    """Each of the works `batched`; raises Unsupported for a batch below 1."""
    if batch < 1:
        raise Unsupported(f"batch must be >= 1; found {batch}")
    return [batched(work, batch) for work in works]


def work_rows(works: Sequence[Work], batch: int = 1) -> Ints:
    """The works as int64 [L, len(WORK_FIELDS)]; raises Unsupported for a batch below 1."""
    rows = [work.row() for work in batched_works(works, batch)]
    return np.stack(rows) if rows else np.zeros((0, len(WORK_FIELDS)), np.int64)


def largest_count(work: Work, machine: Machine) -> tuple[int, int, str]:
    """Of a layer's exact counts the one nearest its limit, that limit, and its name.

    Up to the limit no product of the cost functions passes 2^63. Counts are operations and bits
    moved; where neither operand fits on chip, one is fetched again for each part of the other.
    """
    scales = work.requantizer_scales * machine.datapath.scale_bits
    bits = {
        "input": work.input_elements * work.activation_bits,
        "weight": work.weight_elements * work.weight_bits,
        "bias": work.bias_elements * work.bias_bits + scales,
        "output": work.output_elements * work.output_bits,
    }
    per_mac, per_element, per_output = machine.cycle_scales
    # Where no SRAM is priced by size, a search has bounded its own traffic by the MACs.
    smallest = min(machine.srams().values(), default=max(bits["input"], 1))
    again = bits["input"] * bits["weight"] // (4 * smallest)
    once = [
        (work.macs, _MOST // per_mac, "multiply-accumulates"),
        (work.elementwise, _MOST // per_element, "elementwise operations"),
        (work.requantizations, _MOST // per_output, "requantizations"),
        *((count, _MOST // FRACTION, f"{name} bits") for name, count in bits.items()),
        (again, 16 * _MOST // FRACTION, "bits fetched again"),
    ]
    counts = [(count * work.times, most, what) for count, most, what in once]
    return max(counts, key=lambda count: Fraction(count[0], count[1]))


def uncountable(works: Sequence[Work], machine: Machine, batch: int = 1) -> int | None:
    """The first layer whose counts are too large to stay exact on a machine; None without one."""
    for layer, work in enumerate(works):
        count, most, _ = largest_count(batched(work, batch), machine)
        if count > most:
            return layer
    return None


def evaluate_designs(
    works: Sequence[Work],
    machines: Sequence[Machine],
    batch: int = 1,
    per_layer: bool = False,
    nests: Ints | None = None,
) -> Evaluation:
    """Cost a graph's works on many machines of any kinds, in the order given.

    Works of one operator in several parts (`more`) count as one layer. A machine that cannot run
    them is marked refused, not raised. Memory grows with the number of
    designs alone unless `per_layer` keeps every layer's actions and energies. `nests`, int64
    [P, L, NEST] for `spatial` machines alone, takes the nests that were costed.
    """
    whole = [layer for layer, work in enumerate(works) if not work.more]
    kept = (len(machines), len(whole)) if per_layer else (0, 0)
    result = Evaluation(
        totals=np.zeros((len(machines), TOTALS), np.int64),
        area_mm2=np.zeros(len(machines)),
        latency_s=np.zeros(len(machines)),
        actions=np.zeros((*kept, ACTIONS), np.int64),
        energy_fj=np.zeros((*kept, COMPONENTS), np.int64),
    )
    layers = _uncountable_layers(works, machines, batch)
    for kind, layer in dict.fromkeys(zip(map(type, machines), layers, strict=True)):
        pairs = zip(machines, layers, strict=True)
        places = [i for i, (m, at) in enumerate(pairs) if (type(m), at) == (kind, layer)]
        group = [machines[index] for index in places]
        slots: dict[Technology, int] = {}
        technology_of = [slots.setdefault(m.technology, len(slots)) for m in group]
        part = evaluate_rows(
            kind,
            # Refused for a count: no layer goes through int64, and the area is known all the same.
            work_rows(works if layer is None else (), batch),
            np.stack([machine.row() for machine in group]),
            np.stack([technology.row() for technology in slots]),
            np.array(technology_of),
            per_layer and layer is None,
            nests if layer is None else None,
        )
        for name in ("totals", "area_mm2", "latency_s", "actions", "energy_fj"):
            if getattr(part, name).shape[0]:
                getattr(result, name)[places] = getattr(part, name)
        if layer is not None:
            result.totals[places] = -1
            result.totals[places, TOTAL_REFUSAL] = TOO_MANY
            result.totals[places, TOTAL_REFUSED_LAYER] = sum(at < layer for at in whole)
            result.latency_s[places] = np.nan
    return result


def _uncountable_layers(
    works: Sequence[Work], machines: Sequence[Machine], batch: int
) -> list[int | None]:
    """For each design the first layer whose counts would overflow."""
    found: dict[tuple[tuple[int, int, int], int], int | None] = {}
    layers = []
    for machine in machines:
        key = (machine.cycle_scales, min(machine.srams().values(), default=0))
        if key not in found:
            found[key] = uncountable(works, machine, batch)
        layers.append(found[key])
    return layers


def evaluate_rows(
    kind: type[Machine],
    works: Ints,
    machines: Ints,
    technologies: Floats,
    technology_of: Ints,
    per_layer: bool = False,
    nests: Ints | None = None,
) -> Evaluation:
    """Cost works [L, W] on machine rows [P, M] of one kind, over the available processors.

    `technologies` [T, K] are rows of `Technology.row`, `technology_of` [P] says which is whose.
    """
    designs, layers = machines.shape[0], int((works[:, W_MORE] == 0).sum())
    kept = (designs, layers) if per_layer else (0, 0)
    totals = np.zeros((designs, TOTALS), np.int64)
    area_mm2 = np.zeros(designs)
    actions = np.zeros((*kept, ACTIONS), np.int64)
    energy = np.zeros((*kept, COMPONENTS), np.int64)

    def run(start: int) -> None:
        part = slice(start, start + _CHUNK)
        ours = (totals[part], area_mm2[part], actions[part], energy[part])
        mapped = () if nests is None else (nests[part],)
        kind.evaluate(works, machines[part], technologies, technology_of[part], *ours, *mapped)

    starts = range(0, designs, _CHUNK)
    if len(starts) == 1:
        run(0)
    else:
        # The kernels hold no lock, so plain threads share the work; the first compiles.
        with ThreadPoolExecutor(_processors()) as pool:
            list(pool.map(run, starts))
    refused = totals[:, TOTAL_REFUSAL] != 0
    latency = np.where(refused, np.nan, totals[:, TOTAL_CYCLES] / machines[:, CLOCK_HZ])
    return Evaluation(totals, area_mm2, latency, actions, energy)


def _processors() -> int:
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else (os.cpu_count() or 1)
