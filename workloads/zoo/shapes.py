"""Networks of the zoo that hold shapes and no values, built when they are named.

``zoo:resnet50_v1.5,width=0.5,bits=16``: a name, and options behind commas. They are costed, not
run, as SCALE-Sim topologies are.
"""

import difflib
from collections.abc import Callable, Sequence
from typing import Final

from simulator.errors import BadFile
from simulator.graph import Array, Graph, Node, TensorType
from simulator.work import Work
from workloads.topology_csv import SHAPES_ONLY, TopologyLayer, shape_alone
from workloads.zoo.imagenet import resnet50_v1_5

NETWORKS: Final[dict[str, Callable[[float, int], list[Work]]]] = {"resnet50_v1.5": resnet50_v1_5}
"""By name: the works for a filter multiplier and operand bits."""
_WIDTHS: Final = (0.125, 4.0)
_BITS: Final = ("4", "8", "16")


def network_of(model: str) -> Graph | None:
    """The graph that ``zoo:NAME,options`` names; None where it is none of these networks.

    Raises BadFile for an option that there is not.
    """
    name, *options = model.removeprefix("zoo:").split(",")
    if not model.startswith("zoo:") or name not in NETWORKS:
        return None
    width, bits = 1.0, 8
    for option in options:
        key, _, value = option.partition("=")
        if key == "width":
            width = _width(model, value)
        elif key == "bits" and value in _BITS:
            bits = int(value)
        else:
            near = difflib.get_close_matches(key, ("width", "bits"), n=1)
            hint = f" Did you mean '{near[0]}'?" if near and key != "bits" else ""
            raise BadFile(
                f"{model}: options are width=0.125 to 4 and bits=4, 8 or 16; found '{option}'."
                + hint
            )
    return _graph(model, NETWORKS[name](width, bits))


def _width(model: str, text: str) -> float:
    try:
        width = float(text)
    except ValueError:
        width = 0.0
    if not _WIDTHS[0] <= width <= _WIDTHS[1]:
        raise BadFile(f"{model}: width must be {_WIDTHS[0]:g} to {_WIDTHS[1]:g}; found '{text}'")
    return width


def _graph(model: str, works: Sequence[Work]) -> Graph:
    nodes, tensors, constants = [], dict[str, TensorType](), dict[str, Array]()
    for index, work in enumerate(works):
        kind = "elementwise"
        if work.macs:
            kind = "conv" if work.oy * work.ox > 1 else "fully_connected"
        name = f"{kind}_{index}"
        ofmap = (1, work.output_elements)
        layer = TopologyLayer(work, (1, work.input_elements), ofmap, f"{model}, {name}")
        weights = (f"{name}.weights",) if work.weight_elements else ()
        outputs = (f"{name}.ofmap", f"{name}.ifmap")
        shapes: dict[str, tuple[int, ...]] = dict(zip(outputs, layer.infer(()), strict=True))
        shapes |= dict.fromkeys(weights, (work.weight_elements,))
        for tensor, shape in shapes.items():
            dtype = "int8" if work.weight_bits <= 8 else "int16"
            tensors[tensor] = TensorType(shape, dtype, work.weight_bits)
        constants |= {tensor: shape_alone(shapes[tensor], dtype) for tensor in weights}
        nodes.append(Node(name, layer, weights, outputs))
    return Graph(model, tuple(nodes), tensors, constants, (), (), dialect=SHAPES_ONLY)
