"""A graph as a machine's operands hold it: re-quantized, its weights restricted, its requantizers.

`requantized` makes it. Grids are those of `simulator.regrid`, widths those of `simulator.widths`;
every operator whose tensors change is decoded again, so that tables, clamps and multipliers follow.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from simulator.graph import Array, Graph
from simulator.narrowing import Change, Datapaths, Narrowing, datapath_of
from simulator.numeric.datapath import GRAPH_DATAPATH, Datapath
from simulator.regrid import convert

__all__ = ["Change", "Datapaths", "Requantized", "datapath_of", "requantized"]


@dataclass(frozen=True)
class Requantized:
    """The graph that runs, what was changed, and the graph as its file has it.

    Outputs are on the grids that `graph` declares; `enter` brings inputs there.
    """

    original: Graph
    graph: Graph
    changes: tuple[Change, ...] = ()

    def enter(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Inputs given on the file's grids: real values kept, ties to even, clamped."""
        return {
            name: convert(value, self.original.tensors[name], self.graph.tensors[name])
            if self.graph.tensors[name] != self.original.tensors[name]
            else value
            for name, value in inputs.items()
        }

    @property
    def summary(self) -> str:
        """One line that says what was changed; empty where nothing was."""
        counts: dict[tuple[str, int, int], int] = {}
        for change in self.changes:
            if change.bits != change.new_bits:
                key = (change.role, change.bits, change.new_bits)
                counts[key] = counts.get(key, 0) + 1
        parts = [
            f"{count} {'tensor' if count == 1 else 'tensors'} of {role} from {old} to {new} bits"
            for (role, old, new), count in counts.items()
        ]
        clamped = sum(change.clamped for change in self.changes)
        if clamped:
            parts.append(f"{clamped} weights at the least code moved up by one")
        return f"re-quantized: {', '.join(parts)}" if parts else ""


def requantized(graph: Graph, datapath: Datapaths) -> Requantized:
    """The graph that a datapath (for all nodes, or by node name) runs; `graph` itself if it fits.

    Raises Unsupported, naming the node, where an operator does not run on the new widths.
    """
    used = set(datapath.values()) if isinstance(datapath, Mapping) else {datapath or GRAPH_DATAPATH}
    if not any(_changes_graphs(d) for d in used):
        return Requantized(graph, graph)
    key = frozenset(datapath.items()) if isinstance(datapath, Mapping) else datapath
    return graph.kept(
        requantized, key, lambda: Requantized(graph, *Narrowing(graph, datapath).result())
    )


def _changes_graphs(datapath: Datapath) -> bool:
    asked = datapath.narrow or datapath.widen or datapath.restricted_weights
    return not datapath.graph and (asked or datapath.requantize is not None)
