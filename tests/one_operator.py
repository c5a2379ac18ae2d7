"""Graphs of one operator, from the cases that its oracle draws."""

from importlib import import_module
from itertools import islice
from random import Random

from simulator.graph import Array, Graph, Node, TensorType
from simulator.mac import AccumulatingOperator
from simulator.numeric.datapath import GRAPH_DATAPATH


def graphs(kind: str, count: int) -> list[tuple[Graph, dict[str, Array]]]:
    """`count` graphs of an accumulating operator with one node `n`, and inputs for each.

    Tensors are called i<position> and o<position>; the activations are the graph's input, what the
    operator updates its variables, and the rest constants.
    """
    oracle = import_module(f"tests.oracle.{kind}")
    found = []
    for operator, types, values in islice(oracle.cases(Random(f"graphs of {kind}")), count):
        assert isinstance(operator, AccumulatingOperator)
        names = [f"i{i}" if value is not None else "" for i, value in enumerate(values)]
        held = {n: v for n, v in zip(names, values, strict=True) if v is not None}
        fed = names[operator.roles.index("input")]
        variables = {names[i]: held[names[i]] for i in operator.updates}
        results = operator.run(values, GRAPH_DATAPATH)
        outputs = results[: len(results) - len(operator.updates)]
        tensors = {n: t for n, t in zip(names, types, strict=True) if t is not None}
        for i, value in enumerate(outputs):
            dtype = value.dtype.name
            tensors[f"o{i}"] = TensorType(value.shape, dtype, 8 * value.dtype.itemsize)
        made = tuple(f"o{i}" for i in range(len(outputs)))
        graph = Graph(
            name=kind,
            nodes=(Node("n", operator, tuple(names), made),),
            tensors=tensors,
            constants={n: v for n, v in held.items() if n != fed and n not in variables},
            inputs=(fed,),
            outputs=made,
            variables=variables,
        )
        found.append((graph, {fed: held[fed]}))
    return found
