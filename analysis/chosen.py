"""What --hw and --set choose: a machine, and the arithmetic it has on a graph."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from simulator.errors import BitlaneError

if TYPE_CHECKING:
    from simulator.graph import Graph
    from simulator.machines.base import Machine
    from simulator.narrow import Datapaths


def machine_of(
    name: str, pairs: list[str] | None, more: Sequence[tuple[str, Any]] = ()
) -> "Machine":
    """The machine of --hw with its --set pairs, then `more` (path, value) of our own.

    Raises BitlaneError where a pair is none.
    """
    import hwconfigs

    overrides: list[tuple[str, Any]] = []
    for pair in pairs or ():
        path, equals, value = pair.partition("=")
        if not equals or not path:
            raise BitlaneError(f"--set {pair}: write PATH=VALUE, as in --set array.rows=32")
        overrides.append((path, value))
    return hwconfigs.load(name, [*overrides, *more])


def optional_machine_of(name: str | None, pairs: list[str] | None) -> "Machine | None":
    """The same where --hw may be left out; then there must be no --set."""
    if name is not None:
        return machine_of(name, pairs)
    if pairs:
        raise BitlaneError(
            f"--set {pairs[0]}: changes a machine's field; give the machine with --hw"
        )
    return None


def datapath_of(machine: "Machine | None", graph: "Graph") -> "Datapaths":
    """A machine's datapath, or one a layer; None for the graph's own arithmetic."""
    if machine is None:
        return None
    from simulator.platforms import datapaths

    return datapaths(graph, machine)
