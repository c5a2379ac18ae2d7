"""What of a machine changes the bits that a graph computes: the key that accuracy is kept under.

Read `Arithmetic`, then `arithmetic_key`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from analysis.accumulators import filled, is_proved, labelled_sums
from simulator.errors import BitlaneError
from simulator.execute import plan_of
from simulator.graph import Graph, Node
from simulator.mac import AccumulatingOperator, MacOperator
from simulator.machines.base import Machine
from simulator.machines.platform import Platform
from simulator.narrow import Change, Datapaths, datapath_of, requantized
from simulator.numeric.datapath import Datapath, Requantizer
from simulator.platforms import datapaths


@dataclass(frozen=True)
class Sums:
    """How a node's sums can leave their registers: what `simulator.numeric.datapath` says of them.

    Absent for a node whose sums fit whatever its inputs: then none of this changes anything.
    `any_order` is a machine whose mapping chooses the order of the products.
    """

    accumulator_bits: int
    overflow: str
    dot_width: int
    zero_point: str
    stages: tuple[object, ...]
    any_order: bool


@dataclass(frozen=True)
class Arithmetic:
    """A key: machines that have it in common compute the same bits of a graph, overflows included.

    changes : the tensors that are re-quantized, and how.
    requantizers : by node, where the machine's differs from the graph's own.
    sums : by node, where a sum might not fit.
    refused : why the datapath cannot run the graph, and then nothing else; empty where it can.
    """

    changes: tuple[Change, ...] = ()
    requantizers: tuple[tuple[str, Requantizer], ...] = ()
    sums: tuple[tuple[str, Sums], ...] = ()
    refused: str = ""


def arithmetic_key(
    graph: Graph, machine: Machine, places: Sequence[int] | None = None
) -> tuple[Arithmetic, Datapaths]:
    """The key of a machine on a graph, and the datapaths that compute it.

    `places` says on which unit of a platform each node runs, where that is known already. Machines
    whose mapping chooses the order of products cannot run sums that saturate, trap or pass through
    stages, unless they are proved to fit: the key is then refused.
    """
    try:
        datapath = datapaths(graph, machine, places)
        made = requantized(graph, datapath)
        plan_of(made.graph, datapath)
    except BitlaneError as error:
        return Arithmetic(refused=str(error)), None
    free = _free_nodes(graph, machine, places)
    requantizers, sums = [], []
    for given, node in zip(graph.nodes, made.graph.nodes, strict=True):
        own = datapath_of(node, datapath)
        if isinstance(given.op, MacOperator) and _changes(given.op, own):
            assert own.requantize is not None
            requantizers.append((node.name, own.requantize))
        if not isinstance(node.op, AccumulatingOperator) or fits(made.graph, node, own):
            continue
        if node.name in free and (own.overflow != "wrap" or own.stages):
            told = f"overflow '{own.overflow}'" if own.overflow != "wrap" else "stages"
            refused = (
                f"{graph.name}, {node.name}: its sums may leave {own.accumulator_bits} bits, and "
                f"with datapath.accumulator {told} they depend on an order of products that "
                f"{machine.name}'s mapping does not fix; widen the accumulator or let it wrap"
            )
            return Arithmetic(refused=refused), None
        parts = (own.accumulator_bits, own.overflow, own.dot_width, own.zero_point, own.stages)
        sums.append((node.name, Sums(*parts, any_order=node.name in free)))
    return Arithmetic(made.changes, tuple(requantizers), tuple(sums)), datapath


def fits(graph: Graph, node: Node, datapath: Datapath) -> bool:
    """True where no sum of a node can leave its registers, whatever its inputs and their order.

    `graph` is re-quantized already. Proved from constant weights and the range of the activations.
    """
    if datapath.graph:
        return True
    folded = datapath.zero_point == "folded"
    found = graph.kept(
        fits, folded, lambda: {n.name: _reach(graph, n, folded) for n in graph.nodes}
    )
    reach = found[node.name]
    if reach is None:
        return False
    (low, high), (part_low, part_high) = reach
    within = _within(low, high, datapath.accumulator_bits)
    return within and all(_within(part_low, part_high, s.bits) for s in datapath.stages)


def _within(low: int, high: int, bits: int) -> bool:
    return -(1 << (bits - 1)) <= low and high < 1 << (bits - 1)


def _reach(
    graph: Graph, node: Node, folded: bool
) -> tuple[tuple[int, int], tuple[int, int]] | None:
    """Bounds on the bias with any of its products, and on any of the products without it."""
    if not is_proved(graph, node):
        return None
    ends = (labelled_sums(node, *filled(graph, node, end), folded) for end in (0, 1))
    totals, parts = [0], [0]
    for (_, low), (_, high) in zip(*ends, strict=True):
        for below, above in zip(low.products, high.products, strict=True):
            least, most = int(below.x.min(initial=0)), int(above.x.max(initial=0))
            w, bias = below.w.astype(np.int64), below.bias.astype(np.int64)
            down = np.minimum(np.minimum(w * least, w * most), 0).sum(axis=1)
            up = np.maximum(np.maximum(w * least, w * most), 0).sum(axis=1)
            parts += [int(down.min(initial=0)), int(up.max(initial=0))]
            totals += [int((bias + down).min(initial=0)), int((bias + up).max(initial=0))]
    return (min(totals), max(totals)), (min(parts), max(parts))


def _changes(op: MacOperator, datapath: Datapath) -> bool:
    """Whether a machine's requantizer may give other bits than the operator's own."""
    by, own = datapath.requantize, op.weighted.requantize.rounding
    if by is None or datapath.graph or own == "none":
        return False
    return by.multiplier_bits != 32 or by.rounding not in (None, own)


def _free_nodes(graph: Graph, machine: Machine, places: Sequence[int] | None) -> frozenset[str]:
    """The nodes that run where the mapping chooses the order of products: on a spatial array."""
    units: Mapping[str, Machine] = machine.machines if isinstance(machine, Platform) else {}
    if not units:
        every = frozenset(node.name for node in graph.nodes)
        return every if machine.model == "spatial" else frozenset()
    spatial = [unit.model == "spatial" for unit in units.values()]
    if not any(spatial):
        return frozenset()
    if places is None:
        from simulator.platforms import evaluate_platforms

        assert isinstance(machine, Platform)
        places = evaluate_platforms(graph, [machine]).places[0].tolist()
    pairs = zip(graph.nodes, places, strict=True)
    return frozenset(node.name for node, place in pairs if spatial[place])
