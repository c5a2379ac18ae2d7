"""Narrowed graphs: one layer against float64, identities, layers of their own, refusals."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

import workloads
from simulator.decode import value_range
from simulator.errors import Unsupported
from simulator.execute import run
from simulator.graph import Array, Graph, Node, TensorType
from simulator.mac import MacOperator
from simulator.narrow import requantized
from simulator.numeric.datapath import Datapath, Requantizer
from tests.narrowing.oracle import Grid, moved, narrower, symmetric

FOUR = Datapath(weight_bits=4, activation_bits=4, narrow=True)
CONV = "conv_2d_0"


@pytest.fixture(scope="module")
def graph() -> Graph:
    return workloads.load("zoo:digits")


def pixels(graph: Graph, seed: int = 0) -> dict[str, Array]:
    """One random image."""
    rng = np.random.default_rng(seed)
    shape = graph.tensors[graph.inputs[0]].shape
    return {graph.inputs[0]: rng.integers(-128, 128, shape, dtype=np.int8)}


def tensors(graph: Graph, values: dict[str, Array], datapath: object) -> dict[str, Array]:
    """Every computed tensor by name."""
    found: dict[str, Array] = {}

    def keep(node: Node, _: object, results: object) -> None:
        found.update(zip(node.outputs, results, strict=True))  # type: ignore[call-overload]

    run(graph, values, datapath, tap=keep)  # type: ignore[arg-type]
    return found


def grid(kind: TensorType, channel: int = 0) -> Grid:
    """A tensor's grid for the oracle."""
    assert kind.quant is not None
    scales, zeros = kind.quant.scale, kind.quant.zero_point
    at = channel if len(scales) > 1 else 0
    return Grid(Fraction(scales[at]), zeros[at], *value_range(kind))


@pytest.mark.parametrize(("weights", "activations"), [(4, 4), (6, 5), (2, 8), (8, 3)])
def test_a_convolution_is_that_of_its_grids(graph: Graph, weights: int, activations: int) -> None:
    """Input, weights, bias and output by the oracle's grids, the sum in float64.

    Within 1 LSB by the graph's double rounding; equal, but for ties, where the machine rounds once.
    """
    node = next(n for n in graph.nodes if n.name == CONV)
    x_kind, w_kind, b_kind = (graph.tensors[n] for n in node.inputs)
    y_kind = graph.tensors[node.outputs[0]]
    x_old, y_old = grid(x_kind), grid(y_kind)
    x_new = narrower(x_old, 8, activations, signed=True) if activations < 8 else x_old
    y_new = narrower(y_old, 8, activations, signed=True) if activations < 8 else y_old
    given = pixels(graph)
    codes = np.array([moved(int(q), x_old, x_new) for q in given[graph.inputs[0]].ravel()])
    x = (codes - x_new.zero).reshape(x_kind.shape) * float(x_new.scale)
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    w, bias = (graph.constants[n] for n in node.inputs[1:])
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(1, 2))[0]
    expected = np.empty(y_kind.shape[1:])
    for channel in range(w.shape[0]):
        old = grid(w_kind, channel)
        new = symmetric(old, 8, weights) if weights < 8 else old
        row = np.array([moved(int(q), old, new) for q in w[channel].ravel()]) * float(new.scale)
        units = Fraction(int(bias[channel])) * x_old.scale * old.scale / x_new.scale / new.scale
        start = round(units) * float(x_new.scale) * float(new.scale)
        taps = row.reshape(w.shape[1:])
        expected[..., channel] = np.einsum("yxikl,kli->yx", windows, taps) + start
    steps = expected / float(y_new.scale)
    real = np.clip(np.rint(steps) + y_new.zero, y_new.least, y_new.greatest)
    datapath = Datapath(weight_bits=weights, activation_bits=activations, narrow=True)
    found = tensors(graph, given, datapath)[node.outputs[0]][0]
    assert b_kind.dtype == "int32"
    assert np.abs(found - real).max() <= 1
    once = replace(datapath, requantize=Requantizer(32, "float64_away"))
    tie = np.abs(steps - np.floor(steps) - 0.5) < 1e-9
    assert ((tensors(graph, given, once)[node.outputs[0]][0] == real) | tie).all()


def test_the_same_widths_change_nothing(graph: Graph) -> None:
    datapath = Datapath(narrow=True)
    assert requantized(graph, datapath).graph is graph
    assert requantized(graph, datapath).summary == ""
    own, hardware = (tensors(graph, pixels(graph), d) for d in (None, datapath))
    assert all(np.array_equal(own[name], hardware[name]) for name in own)
    rather = replace(datapath, requantize=Requantizer(), restricted_weights=True)
    assert requantized(graph, rather).graph is graph


def test_every_value_fits_its_bits_and_the_graph_says_so(graph: Graph) -> None:
    made = requantized(graph, FOUR).graph
    assert made is requantized(graph, FOUR).graph, "it is made once"
    for name, value in {**made.constants, **tensors(graph, pixels(graph), FOUR)}.items():
        kind = made.tensors[name]
        if kind.dtype == "int8":
            assert kind.bits == 4
            assert value_range(kind) == (-8, 7)
            assert -8 <= value.min() <= value.max() <= 7
    assert made.inputs == graph.inputs
    assert [n.name for n in made.nodes] == [n.name for n in graph.nodes]
    assert requantized(made, FOUR).graph is made
    assert requantized(graph, FOUR).summary == (
        "re-quantized: 10 tensors of activations from 8 to 4 bits, 5 tensors of weights from 8 to "
        "4 bits"
    )


def test_run_takes_inputs_on_the_files_grid(graph: Graph) -> None:
    prepared, given = requantized(graph, FOUR), pixels(graph)
    through, _ = run(graph, given, FOUR)
    direct, _ = run(prepared.graph, prepared.enter(given), FOUR)
    assert np.array_equal(through[graph.outputs[0]], direct[graph.outputs[0]])
    name = graph.inputs[0]
    old, new = (grid(g.tensors[name]) for g in (graph, prepared.graph))
    expected = [moved(int(q), old, new) for q in given[name].ravel()]
    assert prepared.enter(given)[name].ravel().tolist() == expected


def test_layers_have_widths_of_their_own(graph: Graph) -> None:
    eight = replace(FOUR, weight_bits=8, activation_bits=8)
    products = [n for n in graph.nodes if isinstance(n.op, MacOperator)]
    first, last = products[0], products[-1]
    datapath = dict.fromkeys((n.name for n in graph.nodes), FOUR)
    datapath |= {first.name: eight, last.name: eight}
    made = requantized(graph, datapath).graph
    bits = {name: kind.bits for name, kind in made.tensors.items()}
    assert bits[first.inputs[0]] == bits[first.inputs[1]] == 8
    assert bits[last.inputs[0]] == bits[last.inputs[1]] == bits[last.outputs[0]] == 8
    middle = products[1:-1]
    assert {bits[n.inputs[i]] for n in middle for i in (0, 1)} == {4}
    # The pool and what it reads share a grid, and so a width.
    pool = next(n for n in graph.nodes if n.op.kind == "average_pool_2d")
    assert bits[pool.inputs[0]] == bits[pool.outputs[0]] == 8
    run(graph, pixels(graph), datapath)


def test_nodes_left_out_of_a_mapping_keep_their_operands(graph: Graph) -> None:
    products = [n for n in graph.nodes if isinstance(n.op, MacOperator)]
    made = requantized(graph, {products[1].name: FOUR}).graph
    narrowed = {name for name, kind in made.tensors.items() if kind != graph.tensors[name]}
    assert narrowed == {*products[1].inputs}
    run(graph, pixels(graph), {products[1].name: FOUR})


def test_a_shared_constant_is_narrowed_for_one_reader_alone() -> None:
    graph = workloads.load("zoo:digits")
    conv = next(n for n in graph.nodes if n.name == CONV)
    twin = replace(conv, name="twin", outputs=("twin",))
    kind = graph.tensors[conv.outputs[0]]
    twice = replace(
        graph,
        nodes=(conv, twin, *graph.nodes[1:]),
        tensors={**graph.tensors, "twin": kind},
        outputs=(*graph.outputs, "twin"),
    )
    datapath = {n.name: Datapath() for n in twice.nodes} | {CONV: replace(FOUR, activation_bits=8)}
    made = requantized(twice, datapath).graph
    nodes = {n.name: n for n in made.nodes}
    assert nodes["twin"].inputs == conv.inputs
    assert nodes[CONV].inputs[1] == f"{conv.inputs[1]}@{CONV}"
    assert made.tensors[nodes[CONV].inputs[1]].bits == 4
    own, _ = run(twice, pixels(graph))
    hardware, _ = run(twice, pixels(graph), datapath)
    assert np.array_equal(own["twin"], hardware["twin"])


def test_a_requantizer_reaches_every_product_and_nothing_else(graph: Graph) -> None:
    datapath = Datapath(requantize=Requantizer(16, "single_round"))
    made = requantized(graph, datapath).graph
    for old, new in zip(graph.nodes, made.nodes, strict=True):
        if isinstance(new.op, MacOperator):
            assert new.op.weighted.requantize.rounding == "single_round"
            assert all(m % 2**16 == 0 for m in new.op.weighted.requantize.multiplier)
        else:
            assert new is old
    assert made.tensors == graph.tensors


def restrictable() -> Graph:
    """The digits network with one weight of -128."""
    graph = workloads.load("zoo:digits")
    conv = next(n for n in graph.nodes if n.name == CONV)
    weights = graph.constants[conv.inputs[1]].copy()
    weights.ravel()[5] = -128
    return replace(graph, constants={**graph.constants, conv.inputs[1]: weights})


def test_restricted_weights_leave_out_the_least_code() -> None:
    graph = restrictable()
    with pytest.raises(Unsupported) as caught:
        requantized(graph, Datapath(restricted_weights=True))
    assert str(caught.value) == (
        "digits_cnn.tflite, conv_2d_0: 1 of its weights have the code -128, which "
        "datapath.restricted_weights leaves out; set datapath.narrow: true to move them up by one"
    )
    prepared = requantized(graph, Datapath(restricted_weights=True, narrow=True))
    assert prepared.summary == "re-quantized: 1 weights at the least code moved up by one"
    name = graph.nodes[0].inputs[1]
    moved_weights = prepared.graph.constants[name].astype(int) - graph.constants[name]
    assert (moved_weights.ravel() == (np.arange(moved_weights.size) == 5)).all()
    run(graph, pixels(graph), Datapath(restricted_weights=True, narrow=True))


def test_more_activation_bits_come_nearer_to_the_reals(graph: Graph) -> None:
    """Widened, the digits network differs from its own bits by a few steps; inputs are exact."""
    wide = Datapath(activation_bits=16, widen=True)
    prepared, given = requantized(graph, wide), pixels(graph)
    name = graph.inputs[0]
    assert prepared.graph.tensors[name].dtype == "int16"
    entered = prepared.enter(given)[name]
    old, new = (grid(g.tensors[name]) for g in (graph, prepared.graph))
    assert [int(q) * new.scale for q in entered.ravel()] == [
        (int(q) - old.zero) * old.scale for q in given[name].ravel()
    ]
    outputs, _ = run(graph, given, wide)
    assert outputs[graph.outputs[0]].dtype == np.int16
    assert requantized(graph, replace(wide, widen=False, narrow=True)).graph is graph


def test_nodes_made_in_memory_are_refused(graph: Graph) -> None:
    bare = replace(graph, nodes=tuple(replace(n, source=None) for n in graph.nodes))
    with pytest.raises(Unsupported) as caught:
        run(bare, pixels(graph), FOUR)
    assert str(caught.value) == (
        "digits_cnn.tflite, conv_2d_0: conv_2d cannot be re-quantized: it was made in memory, and "
        "not read from a file. Set datapath.narrow: false and widen the datapath, or choose a "
        "model without it"
    )
