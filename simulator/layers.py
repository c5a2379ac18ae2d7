"""The datapath of each layer, where a machine has overrides for named or classed layers."""

from collections.abc import Mapping

from simulator.config import close_match
from simulator.errors import Unsupported
from simulator.graph import Graph
from simulator.mac import MacOperator
from simulator.machines.datapath_schema import DatapathConfig
from simulator.numeric.datapath import Datapath

CLASSES = ("first", "last", "depthwise")


def datapaths(config: DatapathConfig, graph: Graph) -> Datapath | Mapping[str, Datapath]:
    """The machine's datapath, or one for each node of the graph where `layers` says so.

    Among the layers that multiply, `first` and `last` are those in order of execution, `depthwise`
    the convolutions with a filter a channel. Where several entries meet, the later one's fields
    win. Raises Unsupported for a name that is no node, and for entries that do not fit together.
    """
    if not config.layers:
        return config.datapath()
    made = {}
    for name, layer in configs(config, graph).items():
        try:
            made[name] = layer.datapath()
        except ValueError as error:
            raise Unsupported(
                f"{graph.name}, {name}: datapath.layers: {error}; change one of the entries"
            ) from None
    return made


def configs(config: DatapathConfig, graph: Graph) -> dict[str, DatapathConfig]:
    """The fields of the datapath of each node; raises Unsupported for a name that is no node.

    In a graph of shapes alone, what multiplies are the layers with multiply-accumulates.
    """
    found = {node.name: config for node in graph.nodes}
    pairs = list(zip(graph.nodes, graph.work, strict=True))
    products = [node.name for node in graph.nodes if isinstance(node.op, MacOperator)]
    products = products or [node.name for node, work in pairs if work.macs]
    chosen = {
        "first": products[:1],
        "last": products[-1:],
        "depthwise": [n.name for n, work in pairs if work.depthwise],
    }
    for index, override in enumerate(config.layers):
        if override.layer not in chosen and override.layer not in found:
            raise Unsupported(
                f"{graph.name}: datapath.layers.{index}.layer: no node is named "
                f"'{override.layer}'; {close_match(override.layer, (*CLASSES, *found))}"
            )
        for name in chosen.get(override.layer, [override.layer]):
            found[name] = found[name].overridden(override)
    return found
