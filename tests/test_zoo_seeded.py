"""Networks of the zoo with drawn weights: float networks that run, fold and are costed."""

from collections.abc import Mapping
from typing import Final

import numpy as np
import pytest

import hwconfigs
import workloads
from analysis.inspect import describe
from simulator import run
from simulator.cost import estimate
from simulator.errors import BadFile, Unsupported
from simulator.execute import run_batch
from simulator.graph import Array, Graph, TensorType
from workloads.float_graph import as_double, fold_batch_norm, fuse_activations, layers
from workloads.source import fingerprint, resolve
from workloads.zoo.shapes import NETWORKS, description_of

SMALL: Final = {
    "bert_base": "sequence=2",
    "inception_v3": "side=75",
    "llm_decode": "hidden=64,heads=4,kv_heads=2,ffn=96,context=9",
    "llm_prefill": "sequence=6,hidden=64,heads=4,kv_heads=2,ffn=96",
    "mobilenet_v1_ssd": "side=64",
    "mobilenet_v1_ssdlite": "side=64",
    "mobilenet_v2_ssd": "side=64",
    "mobilenet_v2_ssdlite": "side=64",
}
LONG: Final = ("resnet101", "resnet152", "vgg_variant", "bert_base", "alexnet", "vgg1")
"""Of hundreds of layers, or more than 50 million weights."""
EVERY: Final = [
    pytest.param(name, marks=pytest.mark.slow if name.startswith(LONG) else ()) for name in NETWORKS
]


def model(name: str, seed: int | None = 3) -> str:
    """A network small enough to run in a second."""
    sized = "side=32" if "side" in NETWORKS[name].options else ""
    parts = (f"zoo:{name}", SMALL.get(name, sized), "" if seed is None else f"seed={seed}")
    return ",".join(part for part in parts if part)


def drawn_inputs(graph: Graph) -> Mapping[str, Array]:
    random = np.random.default_rng(7)

    def values(kind: TensorType) -> Array:
        if kind.dtype == "int32":
            return random.integers(0, 2, kind.shape).astype(np.int32)
        return random.standard_normal(kind.shape).astype(kind.dtype)

    return {name: values(graph.tensors[name]) for name in graph.inputs}


@pytest.mark.parametrize("name", EVERY)
def test_it_runs_and_folding_keeps_its_outputs(name: str) -> None:
    graph = workloads.load(model(name))
    assert "(seeded weights)" in graph.name
    given = drawn_inputs(graph)
    power: dict[str, float] = {}
    found, _ = run(
        graph, given, tap=lambda node, _, out: power.update({node.name: float(np.std(out[0]))})
    )
    assert all(np.all(np.isfinite(value)) for value in found.values())
    assert max(power.values()) < 100
    double = as_double(graph)
    folded = fold_batch_norm(double)
    if folded is double:
        return
    assert not any(node.op.kind == "batch_normalization" for node in folded.nodes)
    wide = {k: v.astype(np.float64) if v.dtype.kind == "f" else v for k, v in given.items()}
    before, after = (run(which, wide)[0] for which in (double, folded))
    for output, value in before.items():
        assert np.max(np.abs(after[output] - value)) <= 1e-9 * np.max(np.abs(value))
        assert np.max(np.abs(found[output] - value)) <= 1e-4 * np.max(np.abs(value))


@pytest.mark.parametrize("name", EVERY)
def test_its_macs_are_those_of_its_shapes(name: str) -> None:
    drawn, shapes = (workloads.load(model(name, seed)) for seed in (3, None))
    macs = sum(work.macs for work in shapes.work)
    assert sum(work.macs for work in drawn.work) == macs
    assert describe(drawn)["macs"] == macs
    assert {n: kind.shape for n, kind in shapes.tensors.items() if n in shapes.outputs} == {
        n: kind.shape for n, kind in drawn.tensors.items() if n in drawn.outputs
    }
    found = estimate(drawn, hwconfigs.load("cortex_m4")).totals
    assert (found.macs, found.cycles > 0) == (macs, True)


@pytest.mark.parametrize("name", ["mobilenet_v2", "inception_v3", "resnet50_v1", "densenet121"])
def test_it_holds_a_value_for_each_variable(name: str) -> None:
    graph, described = workloads.load(model(name)), description_of(model(name))
    assert described is not None
    held = sum(v.size for v in graph.constants.values() if v.dtype == np.float32)
    # Inception's normalizations have no scale: ones are held for it. DenseNet's that stand alone
    # are a product and a sum: two vectors of the four.
    ones = sum(layer.shape[-1] for layer in described.layers if layer.norm == "shift")
    alone = sum(layer.statistics for layer in described.layers)
    assert held == described.variables + ones - alone


def test_one_seed_gives_the_same_bits_and_another_others() -> None:
    first, again, other = (workloads.load(model("mobilenet_v2", seed)) for seed in (3, 3, 4))
    assert all(np.array_equal(again.constants[n], v) for n, v in first.constants.items())
    weights = [layer.weights for layer in layers(first)]
    assert not any(np.array_equal(other.constants[n], first.constants[n]) for n in weights)
    assert fingerprint(model("mobilenet_v2")) != fingerprint(model("mobilenet_v2", 4))


def test_a_normalization_finds_the_statistics_that_it_has() -> None:
    """The mean square behind each is near that of its gamma and beta: none takes off."""
    graph = workloads.load("zoo:mobilenet_v2,side=96,seed=5")
    ratios = []
    batch = np.random.default_rng(1).standard_normal((4, 1, 96, 96, 3)).astype(np.float32)
    named = [node for node in graph.nodes if node.op.kind == "batch_normalization"]
    kept: dict[str, Array] = {}
    for sample in batch:
        run(graph, {"image": sample}, tap=lambda node, _, out: kept.update({node.name: out[0]}))
        for node in named:
            gamma, beta = (graph.constants[name].astype(float) for name in node.inputs[1:3])
            ratios.append(np.mean(np.square(kept[node.name])) / np.mean(gamma**2 + beta**2))
    assert 0.5 < np.median(ratios) < 2
    assert np.quantile(ratios, 0.05) > 0.1
    assert np.quantile(ratios, 0.95) < 10


def test_he_filters_have_their_variance() -> None:
    graph = workloads.load("zoo:resnet18,side=32,seed=2")
    for layer in layers(graph)[:-1]:
        w = graph.constants[layer.weights].astype(float)
        fan_in = w[0].size
        assert np.var(w) * fan_in == pytest.approx(2, rel=0.1)


def test_folded_and_fused_it_is_layers_and_what_joins_them() -> None:
    graph = fuse_activations(fold_batch_norm(workloads.load("zoo:mobilenet_v2,side=32,seed=1")))
    kinds = [node.op.kind for node in graph.nodes]
    assert kinds.count("float_conv_2d") == 52
    assert set(kinds) == {"float_conv_2d", "float_fully_connected", "arithmetic"} | {
        "float_reduce",
        "softmax",
    }


def test_a_batch_is_its_samples() -> None:
    graph = workloads.load("zoo:resnet20_cifar,seed=1")
    batch = np.random.default_rng(2).standard_normal((3, 1, 32, 32, 3)).astype(np.float32)
    (found,) = run_batch(graph, {"image": batch})[0].values()
    for sample, value in zip(batch, found, strict=True):
        (one,) = run(graph, {"image": sample})[0].values()
        assert np.array_equal(one, value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("seed=-1", "seed must be 0 to 999999; found '-1'"),
        ("seed=one", "seed must be 0 to 999999; found 'one'"),
        ("seed=1,bits=8", "seed draws float32 weights, bits are those of codes; leave one of"),
    ],
)
def test_a_seed_that_may_not_be_is_refused(options: str, message: str) -> None:
    with pytest.raises(BadFile, match=f"^zoo:mobilenet_v2,{options}: {message}"):
        workloads.load(f"zoo:mobilenet_v2,{options}")


def test_it_has_no_file() -> None:
    with pytest.raises(Unsupported, match="its weights are drawn when it is named"):
        resolve("zoo:mobilenet_v2,seed=1")
