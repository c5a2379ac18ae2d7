"""Networks trained on learned bases: served as they were trained, resumed, priced, refused."""

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("jax", reason="training is tried where the extra `train` is installed")
pytest.importorskip("sklearn", reason="scikit-learn has the digits")

import hwconfigs
from simulator.cost import estimate
from simulator.errors import BadConfig, IllegalValues, RunFolderBusy, Unsupported
from simulator.execute import run_batch
from simulator.graph import Graph
from simulator.learned import LearnedProduct
from tests.digits_mlp import digits, digits_graph
from tests.float_builder import mlp
from tests.train.nets import cnn, drawn, halves, resnet, share
from workloads.float_graph.edit import with_outputs
from workloads.quantize.lq import RIDGE, moving_average, qem
from workloads.train import Samples, Settings, train
from workloads.train.lq import lq_predictions, train_lq
from workloads.train.lq_network import LqNetwork, lq_network
from workloads.train.lq_settings import LqSettings


def float_network(net: Callable[[int], Graph]) -> Graph:
    """Trained in float, normalizations folded."""
    graph = net(0)
    if net is digits_graph:
        return graph
    norm: Any = "correction" if net is resnet else "static"
    given = Settings(0, 0, batch_norm=norm, start="scratch", learning_rate=1e-2, epochs=6)
    return train(graph, halves(graph)[0], given).plan.graph


def mismatches(network: LqNetwork, held: Samples) -> tuple[int, int]:
    """Values of training's pass that are not the engine's, of all tensors that both have."""
    served = network.served
    names = [n for node in network.graph.nodes for n in node.outputs if n in served.tensors]
    passed = lq_predictions(network, held.inputs, names)
    found = run_batch(with_outputs(served, names), held.inputs)[0]
    wrong = sum(int((found[n].reshape(passed[n].shape) != passed[n]).sum()) for n in names)
    return wrong, sum(passed[n].size for n in names)


@pytest.mark.parametrize("net", [digits_graph, cnn, resnet])
def test_predictions_are_those_of_the_engine(net: Callable[[int], Graph]) -> None:
    """W2A2, every value of every tensor for the whole held-out set: 0 differ."""
    graph = float_network(net)
    data, held = halves(graph)
    network = train_lq(graph, data, LqSettings(2, 2, epochs=3, learning_rate=5e-3)).network
    wrong, total = mismatches(network, held)
    (logits,) = run_batch(network.served, held.inputs)[0].values()
    right = share(logits, digits().test_labels)
    print(f"\n{net.__name__} W2A2: {right:.2f} %, {wrong} of {total} values differ")
    assert wrong == 0
    assert right > 60
    products = [n for n in network.served.nodes if isinstance(n.op, LearnedProduct)]
    assert len(products) == len(network.forward.layers) - 2


def test_ends_of_eight_bits_run_in_planes_alone() -> None:
    """Priced: passes of K_w K_a planes; what stays float is refused by a machine of integers."""
    graph = digits_graph(0)
    data, held = halves(graph)
    machine = hwconfigs.load("bismo_8x256x8")
    compute = {}
    for weights, activations in ((1, 2), (2, 2), (3, 3)):
        settings = LqSettings(weights, activations, ends=8, epochs=0)
        network = lq_network(graph, data, settings)
        works = [w for w in network.served.work if w.macs]
        widths = [(w.weight_bits, w.activation_bits) for w in works]
        assert widths == [(8, 8), (weights, activations), (8, 8)]
        report = estimate(network.served, machine)
        layers = [layer for layer in report.layers if layer.macs]
        compute[weights, activations] = layers[1].cycles.compute
    # 64 x 64 in one word: 8 folds of 8 channels, a pass a pair of planes.
    gains = {bits: compute[bits] - compute[1, 2] for bits in compute}
    assert gains[3, 3] * (2 * 2 - 1 * 2) == gains[2, 2] * (3 * 3 - 1 * 2) > 0
    assert mismatches(network, held)[0] == 0
    plain = lq_network(graph, data, LqSettings(2, 2)).served
    with pytest.raises(Unsupported, match="multiplies real numbers of 32 bits"):
        estimate(plain, machine)


@pytest.mark.parametrize("bases", ["uniform", "published"])
def test_one_step_is_qem_and_a_moving_average(bases: Any) -> None:
    """One batch of all samples: against NumPy's fits to the values before the step."""
    graph = digits_graph(0)
    data = halves(graph)[0]
    settings = LqSettings(2, 3, bases=bases, epochs=1, batch=data.count, learning_rate=1e-3)
    first = lq_network(graph, data, settings)
    made = train_lq(graph, data, settings).network
    (name,), (read,) = first.weights, first.activations
    w = first.graph.constants[name]
    expected = moving_average(first.weights[name], qem(w, first.weights[name], ridge=RIDGE))
    np.testing.assert_allclose(made.weights[name].array, expected.array, rtol=1e-8, atol=1e-10)
    x = lq_predictions(first, data.inputs, (read,))[read]
    expected = moving_average(first.activations[read], qem(x, first.activations[read]))
    np.testing.assert_allclose(made.activations[read].array, expected.array, rtol=1e-9)
    assert (made.graph.constants[name] != w).any()
    # A decay of 1 keeps the bases.
    kept = train_lq(graph, data, LqSettings(2, 3, bases=bases, decay=1.0, epochs=1)).network
    np.testing.assert_array_equal(kept.bases["weights"][name], first.bases["weights"][name])


def test_a_stopped_run_ends_in_the_same_bits(tmp_path: Path) -> None:
    w, sizes = drawn(1), (64, 12, 12, 10)
    graph = mlp([(w(n, m), np.zeros(n)) for m, n in pairwise(sizes)])
    data, place = halves(graph)[0], tmp_path / "c.npz"
    settings = LqSettings(2, 2, epochs=2)
    told: list[Any] = []
    whole = train_lq(graph, data, settings, report=told.append)
    again = train_lq(graph, data, settings)

    class StopError(Exception):
        pass

    def stop(epoch: Any) -> None:
        raise StopError

    with pytest.raises(StopError):
        train_lq(graph, data, settings, checkpoint=place, report=stop)
    resumed = train_lq(graph, data, settings, checkpoint=place)
    for other in (again, resumed):
        assert other.history == whole.history == tuple(told)
        for mine, its in zip(_arrays(whole.network), _arrays(other.network), strict=True):
            np.testing.assert_array_equal(mine, its)
    with pytest.raises(RunFolderBusy, match="of other settings, data or another network"):
        train_lq(graph, data, LqSettings(2, 2, epochs=4), checkpoint=place)
    low, high = whole.history[-1].bounds[next(iter(whole.network.activations))]
    assert low == 0 < high


def _arrays(network: LqNetwork) -> list[Any]:
    held = [network.graph.constants, *network.bases.values()]
    return [value for part in held for value in part.values()]


def test_what_is_refused() -> None:
    for given, message in (
        ({"weights": 0}, "weights must be 1 to 8 bits; found 0"),
        ({"ends": 9}, "ends must be 0 to 8 bits; found 9"),
        ({"bases": "best"}, "bases must be one of uniform, published; found 'best'"),
        ({"decay": 1.5}, "decay must be from 0 to 1; found 1.5"),
        ({"ridge": -1.0}, "ridge must be 0 or more, and finite"),
        ({"epochs": -1}, "epochs must be 0 or more; found -1"),
    ):
        settings: dict[str, Any] = dict(given)
        with pytest.raises(BadConfig, match=message):
            LqSettings(**settings)
    one = mlp([(drawn(0)(10, 64), np.zeros(10))])
    data = halves(one)[0]
    with pytest.raises(Unsupported, match="first and last layers are all that it has"):
        train_lq(one, data, LqSettings())
    graph = digits_graph(0)
    wrong = Samples(data.inputs, data.targets + 1)
    with pytest.raises(IllegalValues, match="labels must be 0 to 9; found 1 to 10"):
        train_lq(graph, wrong, LqSettings())
