"""Widths by layer: who wins, what a shared tensor gets, and what is refused."""

from pathlib import Path

import numpy as np
import pytest

from simulator.errors import BadConfig
from tests.float_builder import RELU, FloatNet
from tests.quantize.ptq.nets import conv_net
from workloads.float_graph import layers
from workloads.quantize.ptq import places
from workloads.quantize.ptq.widths import (
    Policy,
    Width,
    activation_bits,
    parse_width,
    read_policy,
    weight_bits,
    widths,
)

GRAPH = conv_net(0)
NAMES = [layer.node.name for layer in layers(GRAPH)]


def test_names_win_over_ends_and_ends_over_all() -> None:
    policy = Policy(4, 6, first_last=8, layers={NAMES[-1]: Width(3, 5)})
    found = widths(GRAPH, policy)
    assert list(found) == NAMES
    assert [str(found[n]) for n in NAMES] == ["W8A8", "W4A6", "W4A6", "W4A6", "W3A5"]
    ends = widths(GRAPH, Policy(4, 6, first_last=8))
    assert [str(ends[n]) for n in NAMES] == ["W8A8", "W4A6", "W4A6", "W4A6", "W8A8"]


def test_a_tensor_has_the_bits_of_the_narrowest_layer_that_reads_it() -> None:
    net = FloatNet((1, 8))
    first = net.dense("x", np.eye(8), bounds=RELU)
    left, right = net.dense(first, np.eye(8)), net.dense(first, np.eye(8))
    graph = net.graph(net.arithmetic("add", left, right))
    names = [layer.node.name for layer in layers(graph)]
    policy = Policy(8, 7, layers={names[1]: Width(8, 4), names[2]: Width(8, 6)})
    bits = activation_bits(graph, places(graph), widths(graph, policy), policy)
    by_tensor = {name: b for group, b in bits.items() for name in group}
    # `left` and `right` are read by a sum alone: they have the widths of the layers that give them.
    assert by_tensor == {"x": 7, first: 4, left: 4, right: 6, graph.outputs[0]: 7}


@pytest.mark.parametrize(("of_the_map", "of_the_pool"), [(4, 6), (6, 4)])
def test_tied_tensors_have_the_bits_of_the_narrowest(of_the_map: int, of_the_pool: int) -> None:
    """A map and its maxima share a grid; layers of two widths read them."""
    net = FloatNet((1, 4, 4, 3))
    kernel = np.ones((3, 1, 1, 3))
    made = net.conv("x", kernel, np.zeros(3), bounds=RELU)
    pooled = net.max_pool(made)
    whole, half = (net.flatten(net.conv(t, kernel, np.zeros(3))) for t in (made, pooled))
    ends = [net.dense(t, np.ones((2, net.shape(t)[1]))) for t in (whole, half)]
    graph = net.graph(net.arithmetic("add", *ends))
    names = {layer.activations: layer.node.name for layer in layers(graph)}
    read = {names[made]: Width(8, of_the_map), names[pooled]: Width(8, of_the_pool)}
    policy = Policy(layers=read)
    bits = activation_bits(graph, places(graph), widths(graph, policy), policy)
    (tied,) = (group for group in bits if made in group)
    assert pooled in tied
    assert bits[tied] == 4


def test_float_layers_have_no_grid() -> None:
    policy = Policy(layers={NAMES[0]: Width(32, 32)})
    found = widths(GRAPH, policy)
    assert layers(GRAPH)[0].weights not in weight_bits(GRAPH, found)
    assert len(weight_bits(GRAPH, found)) == len(NAMES) - 1
    groups = activation_bits(GRAPH, places(GRAPH), found, policy)
    assert ("x",) not in groups
    assert len(groups) == len(places(GRAPH).groups) - 1


@pytest.mark.parametrize("suffix", [".yaml", ".json"])
def test_a_policy_file(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"policy{suffix}"
    text = {
        ".yaml": "weights: 4\nfirst_last: 8\nlayers: {n1: W2A3}\n",
        ".json": '{"weights": 4, "first_last": 8, "layers": {"n1": "W2A3"}}',
    }
    path.write_text(text[suffix], encoding="utf-8")
    found = read_policy(path, Policy(activations=6, layers={"n0": Width(8, 8)}))
    assert found == Policy(4, 6, 8, {"n0": Width(8, 8), "n1": Width(2, 3)})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("weights: 17\n", "weights: must be 2 to 16 bits, or 32 for float; found 17"),
        ("weights: four\n", ":1: weights: "),
        ("wieghts: 4\n", "did you mean 'weights'"),
        ("layers: {n1: 4}\n", ":1: layers.n1: "),
        ("layers: {n1: A4W4}\n", ":1: layers.n1: "),
        ("layers: {n1: W1A8}\n", "weights of n1: must be 2 to 16 bits, or 32 for float; found 1"),
    ],
)
def test_faults_of_a_file(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "policy.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(BadConfig) as refused:
        read_policy(path)
    assert str(refused.value).startswith(str(path))
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


def test_an_unknown_layer_and_a_width_that_is_none() -> None:
    with pytest.raises(BadConfig, match="no layer is named 'n00'; did you mean 'n0'"):
        widths(GRAPH, Policy(layers={"n00": Width(4, 4)}))
    with pytest.raises(BadConfig, match="'4x8' is no width; write W4A8"):
        parse_width("4x8")
    assert parse_width("w4a16") == Width(4, 16)
