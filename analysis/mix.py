"""Several networks on one design: what a weighted mix of them costs."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import TYPE_CHECKING, Final

from analysis.spec import Workload
from simulator.graph import Graph

if TYPE_CHECKING:
    import polars as pl

OWN: Final = ("latency_s", "energy_j", "cost", "cycles", "utilization")
"""What is told of each network too, in columns called ``<network>.<metric>``."""
_ENDS: Final = ("energy_j_low", "energy_j_high", "cost_low", "cost_high")
_SUMS: Final = ("latency_s", "energy_j", "cost", *_ENDS, "cycles", "energy_fj", "macs")


@dataclass(frozen=True)
class Network:
    """One network of a sweep: its title, how often it runs, its file or `zoo:` name, its graph."""

    title: str
    weight: float
    model: str
    graph: Graph


def mixed(
    parts: Sequence["pl.DataFrame"], networks: Sequence[Network | Workload], batch: int
) -> "pl.DataFrame":
    """One table of costs from those of each network on the same designs, rows alike.

    Latency, energy, cost, cycles and multiply-accumulates are sums, each network's times its
    weight; power, throughput (inferences of any network), efficiency and utilization follow from
    them. A design that one network is refused on is refused. One network stays as it is.
    """
    import polars as pl

    if len(parts) == 1:
        return parts[0]
    ran = pl.all_horizontal(*(~part["refused"].is_not_null() for part in parts))
    sums = [name for name in _SUMS if name in parts[0].columns]
    weights = [network.weight for network in networks]
    totals = {name: _weighted([part[name] for part in parts], weights) for name in sums}
    busy = [part["utilization"] * part["cycles"] for part in parts]
    latency, energy = totals["latency_s"], totals["energy_j"]
    made = totals | {
        "power_w": energy / latency,
        "throughput_per_s": batch * sum(weights) / latency,
        "tops_per_w": 2e-12 * totals["macs"] / energy,
        "utilization": _weighted(busy, weights) / totals["cycles"],
        "refused": parts[0].select(pl.coalesce(*(part["refused"] for part in parts))).to_series(),
    }
    table = parts[0].with_columns(series.alias(name) for name, series in made.items())
    costs = [name for name in made if name != "refused"]
    table = table.with_columns(pl.when(ran).then(pl.col(name)).alias(name) for name in costs)
    own = [
        part[name].alias(f"{network.title}.{name}")
        for part, network in zip(parts, networks, strict=True)
        for name in OWN
        if name in part.columns
    ]
    return table.with_columns(own)


def mixed_layers(parts: Sequence["pl.DataFrame"], networks: Sequence[Network]) -> "pl.DataFrame":
    """One table of layers: those of each network are numbered after those before it."""
    import polars as pl

    if len(parts) == 1:
        return parts[0]
    before, moved = 0, []
    for part, network in zip(parts, networks, strict=True):
        moved.append(part.with_columns(pl.col("layer") + before))
        before += len(network.graph.nodes)
    return pl.concat(moved).sort("point", "layer")


def layer_names(networks: Sequence[Network]) -> list[list[str]]:
    """Name and operator of every layer, in the order of `mixed_layers`."""
    several = len(networks) > 1
    return [
        [f"{network.title}: {node.name}" if several else node.name, node.op.kind]
        for network in networks
        for node in network.graph.nodes
    ]


def _weighted(columns: Sequence["pl.Series"], weights: Sequence[float]) -> "pl.Series":
    return reduce(add, (column * weight for column, weight in zip(columns, weights, strict=True)))
