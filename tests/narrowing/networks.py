"""Running networks on widths of their own and comparing them in reals."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simulator.decode import value_range
from simulator.execute import run
from simulator.graph import Array, Graph, Node, TensorType
from simulator.narrow import Datapaths, requantized


def real(value: Array, kind: TensorType) -> NDArray[np.float64]:
    """What the codes of a tensor stand for; reals and plain numbers as they are."""
    if kind.quant is None or kind.dtype == "float32":
        return value.astype(np.float64)
    scale, zero = kind.quant.scale[0], kind.quant.zero_point[0]
    return np.asarray((value.astype(np.float64) - zero) * scale)


def computed(graph: Graph, values: Mapping[str, Array], datapath: Datapaths) -> dict[str, Array]:
    """Every computed tensor by name."""
    found: dict[str, Array] = {}

    def keep(node: Node, _: Sequence[Array | None], results: Sequence[Array]) -> None:
        found.update(zip(node.outputs, results, strict=True))

    run(graph, values, datapath, tap=keep)
    return found


def in_reals(
    graph: Graph, values: Mapping[str, Array], datapath: Datapaths
) -> dict[str, NDArray[np.float64]]:
    """Every computed tensor in reals; each is asserted to hold no code outside its width."""
    kinds = requantized(graph, datapath).graph.tensors
    found = computed(graph, values, datapath)
    for name, value in found.items():
        kind = kinds[name]
        assert value.dtype == np.dtype(kind.dtype), name
        if kind.quant is not None and kind.dtype in ("int8", "uint8", "int16", "uint16"):
            low, high = value_range(kind)
            assert low <= value.min(), name
            assert value.max() <= high, name
    return {name: real(value, kinds[name]) for name, value in found.items()}


def random_values(graph: Graph, seed: int = 0) -> dict[str, Array]:
    """Uniform codes over each input's whole range, or normal reals."""
    rng = np.random.default_rng(seed)
    values: dict[str, Any] = {}
    for name in graph.inputs:
        kind = graph.tensors[name]
        if kind.dtype == "float32":
            values[name] = rng.normal(size=kind.shape).astype(np.float32)
        else:
            info = np.iinfo(kind.dtype)
            values[name] = rng.integers(
                info.min, info.max, kind.shape, dtype=kind.dtype, endpoint=True
            )
    return values
