"""The overflow audit: proved widths are tight, observed ones are what was seen, and no wider."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import workloads
from analysis.accumulators import LayerAudit, audit
from analysis.arrays import random_inputs
from simulator.decode import value_range
from simulator.errors import IllegalValues
from simulator.execute import run
from simulator.graph import Array, Graph
from simulator.mac import MacOperator, Product
from simulator.numeric.audit import count_overflows, observe, prove
from simulator.numeric.datapath import Datapath
from simulator.numeric.matmul import matmul
from tests.oracle.primitives import saturate, wrap

Sums = list[list[list[int]]]


def width(low: int, high: int) -> int:
    """The fewest two's complement bits that hold both, by trying."""
    return next(b for b in range(1, 70) if -(2 ** (b - 1)) <= low and high < 2 ** (b - 1))


def prefixes(x: Array, w: Array, bias: Array, dot_width: int) -> Sums:
    """[row][channel]: the bias, then the sum after each group of taps, on Python's integers."""
    found: Sums = []
    for row in x.tolist():
        found.append([])
        for taps, start in zip(w.tolist(), bias.tolist(), strict=True):
            sums = [start]
            for k in range(0, len(taps), dot_width):
                pairs = zip(row[k : k + dot_width], taps[k : k + dot_width], strict=True)
                sums.append(sums[-1] + sum(a * b for a, b in pairs))
            found[-1].append(sums)
    return found


def widths(sums: Sums) -> tuple[list[int], list[int]]:
    """(final, prefix) bits of each channel over all rows."""
    channels = range(len(sums[0]))
    final = [[row[c][-1] for row in sums] for c in channels]
    every = [[value for row in sums for value in row[c]] for c in channels]
    return tuple([width(min(v), max(v)) for v in seen] for seen in (final, every))  # type: ignore[return-value]


@st.composite
def products(
    draw: st.DrawFn,
) -> tuple[NDArray[np.int16], NDArray[np.int16], NDArray[np.int32], int]:
    """X (rows, taps), weights (channels, taps), bias, dot_width."""
    rows, channels, taps = (draw(st.integers(1, n)) for n in (4, 3, 12))
    activations = st.sampled_from([-255, -128, 0, 127, 255]) | st.integers(-255, 255)
    weights = st.sampled_from([-128, 0, 127]) | st.integers(-128, 127)
    biases = st.sampled_from([0, -(2**31), 2**31 - 1]) | st.integers(-5000, 5000)

    def table(values: st.SearchStrategy[int], *shape: int) -> Any:
        size = int(np.prod(shape))
        return np.array(draw(st.lists(values, min_size=size, max_size=size))).reshape(shape)

    return (
        table(activations, rows, taps).astype(np.int16),
        table(weights, channels, taps).astype(np.int16),
        table(biases, channels).astype(np.int32),
        draw(st.integers(1, 5)),
    )


@settings(max_examples=200, deadline=None)
@given(products())
def test_observed_extremes_are_the_oracle_s(case: Any) -> None:
    final, prefix = widths(prefixes(*case))
    found = observe(*case)
    assert found.final_bits.tolist() == final
    assert found.prefix_bits.tolist() == prefix


@settings(max_examples=200, deadline=None)
@given(products(), st.integers(2, 34))
def test_overflows_are_counted_as_the_oracle_does(case: Any, bits: int) -> None:
    x, w, bias, dot_width = case
    expected = []
    sums = prefixes(x, w, bias, dot_width)
    for channel in range(len(w)):
        saturated = wrapped = changed = 0
        for row in sums:
            exact = row[channel]
            held, ring = saturate(exact[0], bits), wrap(exact[0], bits)
            saturated += held != exact[0]
            wrapped += ring != exact[0]
            for before, after in itertools.pairwise(exact):
                clamped, turned = held + after - before, ring + after - before
                held, ring = saturate(clamped, bits), wrap(turned, bits)
                saturated += held != clamped
                wrapped += ring != turned
            changed += held != exact[-1]
        expected.append([saturated, wrapped, changed])
    assert count_overflows(x, w, bias, dot_width, bits).tolist() == expected


def worst(w: Array, low: int, high: int) -> Iterator[NDArray[np.int16]]:
    """For each channel and end: the activations with which each of its products is extreme."""
    for taps in w.tolist():
        for up in (True, False):
            yield np.array([[high if (t > 0) == up else low for t in taps]], dtype=np.int16)


@settings(max_examples=150, deadline=None)
@given(products(), st.tuples(st.integers(-255, 0), st.integers(0, 255)))
def test_proved_widths_are_reached_and_never_passed(case: Any, ends: tuple[int, int]) -> None:
    x, w, bias, dot_width = case
    low, high = ends
    proved = prove(w, bias, low, high, dot_width)
    extreme = np.concatenate(list(worst(w, low, high)))
    final, prefix = widths(prefixes(extreme, w, bias, dot_width))
    assert proved.final_bits.tolist() == final
    assert proved.prefix_bits.tolist() == prefix
    seen = observe(x.clip(low, high), w, bias, dot_width)
    assert (seen.final_bits <= proved.final_bits).all()
    assert (seen.prefix_bits <= proved.prefix_bits).all()


def test_prefixes_may_need_more_than_the_sum() -> None:
    w = np.array([[127] * 4 + [-127] * 4], dtype=np.int16)
    bias = np.zeros(1, dtype=np.int32)
    narrow, wide = prove(w, bias, 200, 201, 1), prove(w, bias, 200, 201, 8)
    assert narrow.prefix_bits[0] == width(0, 4 * 127 * 201)
    assert narrow.final_bits[0] == wide.prefix_bits[0] == width(-4 * 127, 4 * 127)


@pytest.fixture(scope="module")
def graph() -> Graph:
    return workloads.load("zoo:digits")


def blocks(graph: Graph, node: str, folded: bool) -> tuple[MacOperator, list[Product], int, int]:
    """One layer's operator, its weights as products of zeros, and the range of its operands."""
    found = next(n for n in graph.nodes if n.name == node)
    assert isinstance(found.op, MacOperator)
    kind = graph.tensors[found.inputs[0]]
    rest = [graph.constants[name] for name in found.inputs[1:]]
    zeros = np.zeros(kind.shape, dtype=kind.dtype)
    offset = 0 if folded else found.op.weighted.input_zero_point
    low, high = value_range(kind)
    parts = list(found.op.products([zeros, *rest], folded=folded))
    return found.op, parts, low - offset, high - offset


def traps(part: Product, x: Array, channel: int, datapath: Datapath) -> bool:
    """Whether the engine's accumulator overflows on one channel of a layer."""
    one = slice(channel, channel + 1)
    try:
        matmul(x, np.ascontiguousarray(part.w[one]), part.bias[one], datapath)
    except IllegalValues:
        return True
    return False


@pytest.mark.parametrize("folded", [False, True])
@pytest.mark.parametrize("dot_width", [1, 4])
def test_every_layer_of_a_network_is_proved_tightly(
    graph: Graph, folded: bool, dot_width: int
) -> None:
    """The engine itself traps at one bit less, on inputs made for it, and never at the width."""
    for layer in audit(graph, dot_width=dot_width, folded=folded):
        _, parts, low, high = blocks(graph, layer.node, folded)
        at = 0
        for part in parts:
            for channel in range(part.w.shape[0]):
                bits = int(layer.proved_prefix[at])
                at += 1
                xs = [
                    np.where((part.w[channel] > 0) == up, high, low).astype(np.int16)[None, :]
                    for up in (True, False)
                ]
                tight = Datapath(dot_width=dot_width, accumulator_bits=bits, overflow="trap")
                narrow = replace(tight, accumulator_bits=bits - 1)
                assert not any(traps(part, x, channel, tight) for x in xs)
                assert any(traps(part, x, channel, narrow) for x in xs)
        assert at == len(layer.proved_prefix)


def test_a_network_runs_unchanged_at_its_proved_widths(graph: Graph) -> None:
    """Saturating at the proved prefix, wrapping at the proved final width: the bits stay."""
    layers = audit(graph)
    rng = np.random.default_rng(5)
    saturating, wrapping = (
        {
            layer.node: Datapath(accumulator_bits=int(bits.max()), overflow=overflow)
            for layer, bits in pairs
        }
        for overflow, pairs in _pairs(layers)
    )
    for _ in range(5):
        inputs = random_inputs(graph, rng)
        own, _ = run(graph, inputs)
        for datapaths in (saturating, wrapping):
            found, _ = run(graph, inputs, datapath=datapaths)
            assert all(np.array_equal(own[name], found[name]) for name in own)


def _pairs(layers: tuple[LayerAudit, ...]) -> Any:
    return (
        ("saturate", [(layer, layer.proved_prefix) for layer in layers]),
        ("wrap", [(layer, layer.proved_final) for layer in layers]),
    )


def run_all(
    graph: Graph, samples: Sequence[Mapping[str, Array]], datapath: Mapping[str, Datapath]
) -> None:
    for inputs in samples:
        run(graph, inputs, datapath=datapath)


def test_observed_is_within_proved_and_tight_on_its_data(graph: Graph) -> None:
    rng = np.random.default_rng(3)
    samples: list[Mapping[str, Array]] = [random_inputs(graph, rng) for _ in range(8)]
    for layer in audit(graph, samples, bits=16):
        assert layer.observed is not None
        assert layer.overflows is not None
        assert (layer.observed.final_bits <= layer.proved_final).all()
        assert (layer.observed.prefix_bits <= layer.proved_prefix).all()
        fits = layer.observed.prefix_bits <= 16
        assert ((layer.overflows[:, 0] == 0) == fits).all()
    widest = {
        a.node: int(a.observed.prefix_bits.max()) for a in audit(graph, samples) if a.observed
    }
    for node, bits in widest.items():
        tight = {node: Datapath(accumulator_bits=bits, overflow="trap")}
        narrow = {node: Datapath(accumulator_bits=bits - 1, overflow="trap")}
        run_all(graph, samples, tight)
        with pytest.raises(IllegalValues) as caught:
            run_all(graph, samples, narrow)
        assert f"{node}: the {bits - 1}-bit accumulator overflows" in str(caught.value)


def test_more_samples_never_narrow_what_was_observed(graph: Graph) -> None:
    rng = np.random.default_rng(4)
    samples = [random_inputs(graph, rng) for _ in range(4)]
    few, more = audit(graph, samples[:2]), audit(graph, samples)
    for a, b in zip(few, more, strict=True):
        assert a.observed is not None
        assert b.observed is not None
        assert (a.observed.prefix_bits <= b.observed.prefix_bits).all()


def test_layers_without_weights_are_left_out(graph: Graph) -> None:
    names = [layer.node for layer in audit(graph)]
    assert names == [n.name for n in graph.nodes if isinstance(n.op, MacOperator)]
    assert all(layer.observed is None and layer.overflows is None for layer in audit(graph))
