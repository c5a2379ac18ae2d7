"""Prepared operators and plans: the bits of `Operator.run`, whatever path, batch and threads."""

import tracemalloc
from collections.abc import Sequence
from itertools import islice
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import workloads
from simulator.errors import IllegalValues
from simulator.execute import plan_of, run, run_batch
from simulator.graph import Array, Graph, Node, TensorType
from simulator.jit import FUSED_MULTIPLY_ADD
from simulator.numeric.datapath import GRAPH_DATAPATH, Datapath, Overflow
from simulator.numeric.direct import SUMS_AT_ONCE, direct_convolution, direct_depthwise
from simulator.numeric.float32 import fused_multiply_add
from simulator.numeric.float_direct import float_direct
from simulator.numeric.float_sums import block_of
from simulator.numeric.float_windows import float_patches
from simulator.numeric.matmul import Window
from simulator.ops.quant import Quant
from simulator.prepared import Prepared, Scratch
from tests.ops.oracles import accumulating_oracle_of, nested, oracle_of
from tests.oracle.primitives import Accumulator
from tests.shared import absence, shared_folder

KINDS = ("conv_2d", "depthwise_conv_2d", "fully_connected")
MODELS = ("mlperf_ic_resnet8_int8", "mlperf_vww_mobilenetv1_025_96_int8", "person_detect_int8")


def answer(prepared: Prepared, values: list[Array | None], shape: tuple[int, ...]) -> Array:
    """The prepared operator's output, on scratch that holds what an earlier run left."""
    scratch = Scratch.of(prepared.scratch)
    for buffer in (scratch.centred, scratch.starts, scratch.sums):
        buffer.fill(-21846)
    out = np.full(shape, 77, dtype=np.int8)
    prepared.run(values, out, scratch)
    return out


@pytest.mark.parametrize("kind", KINDS)
def test_prepared_equals_the_oracle(kind: str) -> None:
    seen = 0
    for operator, types, values in islice(oracle_of(kind).cases(Random(f"{kind} ready")), 120):
        prepared = operator.prepare(types, [None, *values[1:]], GRAPH_DATAPATH)
        if prepared is None:
            continue
        seen += 1
        expected, shape = oracle_of(kind).oracle(operator, nested(values))
        got = answer(prepared, list(values), shape)
        assert got.reshape(-1).tolist() == expected, str(operator)
    assert seen > 40


@pytest.mark.parametrize("kind", KINDS)
def test_prepared_on_a_narrow_datapath_equals_the_ordered_sums(kind: str) -> None:
    """Only where the sums provably fit is there a prepared form; there it has the same bits."""
    rng = Random(f"{kind} narrow")
    taken = saturating = 0
    for operator, types, values in islice(oracle_of(kind).cases(rng), 150):
        bits = rng.randint(8, 40)
        overflow: Overflow = "wrap" if rng.random() < 0.5 else "saturate"
        datapath = Datapath(
            accumulator_bits=bits,
            overflow=overflow,
            dot_width=rng.randint(1, 4),
            zero_point=rng.choice(["subtracted", "folded"]),
        )
        prepared = operator.prepare(types, [None, *values[1:]], datapath)
        if prepared is None:
            continue
        taken += 1
        (expected,) = operator.run(values, datapath)
        assert (answer(prepared, list(values), expected.shape) == expected).all()
        saturating += overflow == "saturate" and bits < 20
        if datapath.zero_point == "subtracted":
            accumulator = Accumulator(bits, overflow, datapath.dot_width)
            sums, _ = accumulating_oracle_of(kind).oracle(operator, nested(values), accumulator)
            assert expected.reshape(-1).tolist() == sums
    assert taken > 50
    assert saturating > 10


def plain_sums(
    x: Array, w: Array, bias: Array, window: Window, zero: int, depthwise: bool
) -> Array:
    """The definition in int64, wrapped to 32 bits: every output, every tap inside the input."""
    (oy, ox), (sy, sx), (dy, dx) = window.output, window.stride, window.dilation
    top, left = window.padding
    ky, kx = window.kernel
    channels = w.shape[-1] if depthwise else w.shape[0]
    out = np.zeros((x.shape[0], oy, ox, channels), dtype=np.int64) + bias
    centred = x.astype(np.int64) - zero
    for y, z, i, j in np.ndindex(oy, ox, ky, kx):
        row, column = y * sy - top + i * dy, z * sx - left + j * dx
        if 0 <= row < x.shape[1] and 0 <= column < x.shape[2]:
            pixel = centred[:, row, column]
            if depthwise:
                out[:, y, z] += np.repeat(pixel, channels // x.shape[3], axis=1) * w[i, j]
            else:
                out[:, y, z] += pixel @ w[:, i, j].astype(np.int64).T
    return ((out + 2**31) % 2**32 - 2**31).reshape(-1, channels)


@st.composite
def windows(draw: st.DrawFn) -> tuple[tuple[int, ...], Window]:
    """An input shape and a window with at least one output."""
    small = st.integers(1, 3)
    kernel, stride, dilation = (draw(st.tuples(small, small)) for _ in range(3))
    padding = draw(st.tuples(st.integers(0, 2), st.integers(0, 2)))
    output = draw(st.tuples(st.integers(1, 9), st.integers(1, 9)))
    size = []
    for k, s, d, p, o in zip(kernel, stride, dilation, padding, output, strict=True):
        reach = (o - 1) * s + (k - 1) * d + 1 - p
        size.append(max(reach - draw(st.integers(0, 2)), 1))
    channels = draw(st.integers(1, 40))
    shape = (draw(st.integers(1, 2)), *size, channels)
    return shape, Window(kernel, stride, dilation, padding, output)


@settings(deadline=None, max_examples=120)
@given(
    windows(), st.integers(1, 40), st.integers(0, 2**32 - 1), st.sampled_from(["i1", "u1", "i2"])
)
def test_direct_sums_equal_their_definition(
    case: tuple[tuple[int, ...], Window], filters: int, seed: int, code: str
) -> None:
    """Extremes of operands and biases included; sums are modulo 2^32."""
    shape, window = case
    rng = np.random.default_rng(seed)
    kind = np.dtype(code)
    span = np.iinfo(kind)
    x = rng.integers(span.min, span.max, shape, endpoint=True).astype(kind)
    x[rng.random(shape) < 0.2] = span.min
    zero = 0 if code == "i2" else int(rng.integers(span.min, span.max, endpoint=True))
    bias = rng.integers(-(2**31), 2**31, filters)
    w = rng.integers(-255, 256, (filters, *window.kernel, shape[3])).astype(np.int16)
    got = direct_convolution(shape, w, bias, window, (zero, 0)).all_sums(x)
    assert (got == plain_sums(x, w, bias, window, zero, depthwise=False)).all()
    outputs = shape[3] * (1 + filters % 3)
    w = rng.integers(-255, 256, (*window.kernel, outputs)).astype(np.int16)
    bias = rng.integers(-(2**31), 2**31, outputs)
    got = direct_depthwise(shape, w, bias, window, (zero, 0)).all_sums(x)
    assert (got == plain_sums(x, w, bias, window, zero, depthwise=True)).all()


def test_sums_larger_than_the_scratch_come_in_chunks() -> None:
    """A layer of many outputs holds `SUMS_AT_ONCE` of them at a time."""
    rng = np.random.default_rng(3)
    x = rng.integers(-128, 128, (1, 130, 129, 8)).astype(np.int8)
    window = Window((1, 1), (1, 1), (1, 1), (0, 0), (130, 129))
    w = rng.integers(-127, 128, (9, 1, 1, 8)).astype(np.int16)
    direct = direct_convolution(x.shape, w, np.zeros(9, np.int32), window, (5, 0))
    assert len(direct.chunks) > 1
    assert direct.at_once * 9 <= SUMS_AT_ONCE
    expected = (x.reshape(-1, 8).astype(np.int64) - 5) @ w.reshape(9, 8).T.astype(np.int64)
    assert (direct.all_sums(x) == expected).all()


def images(graph: Graph, count: int, seed: int = 0) -> dict[str, Array]:
    """Random codes for every input, samples in front."""
    rng = np.random.default_rng(seed)
    kinds = {name: graph.tensors[name] for name in graph.inputs}
    return {
        name: rng.integers(-128, 128, (count, *kind.shape)).astype(kind.dtype)
        for name, kind in kinds.items()
    }


def model(name: str) -> Graph:
    if name.startswith("zoo:"):
        return workloads.load(name)
    folder = shared_folder()
    if folder is None:
        pytest.skip(absence())
    return workloads.load(folder / "models" / "tflite" / f"{name}.tflite")


@pytest.mark.parametrize("name", ["zoo:digits", *MODELS])
def test_the_same_bits_for_every_batch_and_thread_count(name: str) -> None:
    """Singles, a batch, 2 and 4 threads, and a tap that keeps every tensor."""
    graph = model(name)
    inputs = images(graph, 6)
    whole, _ = run_batch(graph, inputs)
    for threads in (2, 4):
        shared, _ = run_batch(graph, inputs, threads=threads)
        assert all((shared[output] == whole[output]).all() for output in graph.outputs)
    for index in range(6):
        sample = {key: value[index] for key, value in inputs.items()}
        single, _ = run(graph, sample)
        tapped, _ = run(graph, sample, tap=lambda node, operands, results: None)
        for output in graph.outputs:
            assert (single[output] == whole[output][index]).all()
            assert (tapped[output] == whole[output][index]).all()


@pytest.mark.parametrize("name", ["zoo:digits", *MODELS])
def test_every_tensor_equals_the_operators_own_run(name: str) -> None:
    """Node by node: the prepared answer against `Operator.run` on the same operands."""
    graph = model(name)
    sample = {key: value[0] for key, value in images(graph, 1, seed=7).items()}
    prepared = 0

    def compare(node: Node, operands: Sequence[Array | None], results: Sequence[Array]) -> None:
        nonlocal prepared
        expected = node.op.run(operands, GRAPH_DATAPATH)
        for got, value in zip(results, expected, strict=False):
            assert got.dtype == value.dtype
            assert (got == value).all(), node.name
        prepared += 1

    run(graph, sample, tap=compare)
    assert prepared == len(graph.nodes)


@pytest.mark.parametrize("name", ["zoo:digits", *MODELS])
def test_no_two_living_tensors_share_memory(name: str) -> None:
    """Offsets of the arena against lifetimes read off the steps."""
    graph = model(name)
    plan = plan_of(graph, None)
    ends = {}
    for index, step in enumerate(plan.steps):
        ends.update(dict.fromkeys(step.frees, index))
    spans = []
    for index, offset in plan.offsets.items():
        size = int(np.prod(plan.shapes[index])) * plan.output_type(index).itemsize
        death = ends.get(plan.steps[index].results[0], len(plan.steps))
        spans.append((offset, offset + size, index, death))
    for i, (begin, end, born, dead) in enumerate(spans):
        assert end <= plan.arena_bytes
        for other_begin, other_end, other_born, other_dead in spans[:i]:
            together = born <= other_dead and other_born <= dead
            assert not together or end <= other_begin or other_end <= begin
    assert spans
    assert plan.arena_bytes < sum(end - begin for begin, end, _, _ in spans)


@pytest.mark.parametrize("name", ["zoo:digits", *MODELS])
def test_memory_does_not_grow_with_the_batch(name: str) -> None:
    """Beyond its outputs a batch adds less than one more sample's arrays would take."""
    graph = model(name)
    added = []
    for count in (2, 24):
        inputs = images(graph, count)
        run_batch(graph, inputs)
        tracemalloc.start()
        outputs, _ = run_batch(graph, inputs)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        added.append(peak - sum(value.nbytes for value in outputs.values()))
    plan = plan_of(graph, None)
    assert added[1] <= added[0] + 4096
    assert added[1] < plan.arena_bytes + plan.scratch.bytes + plan.weights_bytes


def test_a_batch_of_unequal_inputs_is_refused() -> None:
    graph = workloads.load("zoo:digits")
    with pytest.raises(IllegalValues, match="same number of samples"):
        run_batch(graph, {graph.inputs[0]: np.zeros((0, 1), np.int8)})


@settings(deadline=None, max_examples=60)
@given(windows(), st.integers(2, 40), st.integers(0, 2**32 - 1))
def test_float_sums_equal_those_of_patches(
    case: tuple[tuple[int, ...], Window], filters: int, seed: int
) -> None:
    """Bit for bit, zeros' signs included, as `convolve_float32` adds them."""
    shape, window = case
    rng = np.random.default_rng(seed)
    x = rng.normal(0, 1, shape).astype(np.float32) * np.float32(2.0) ** rng.integers(-9, 9, shape)
    w = rng.normal(0, 1, (filters, *window.kernel, shape[3])).astype(np.float32)
    direct = float_direct(shape, w, window)
    if direct is None:
        assert not FUSED_MULTIPLY_ADD
        return
    out = np.empty((shape[0] * window.output[0] * window.output[1], filters), np.float32)
    direct.sums(x, np.empty(direct.padded_elements, np.float32), out)
    rows = float_patches(x, window)
    columns = w.transpose(3, 1, 2, 0).reshape(-1, filters)
    order = block_of(window.output[0] * window.output[1], len(columns))
    expected = fused_by_definition(rows.reshape(-1, len(columns)), columns, order)
    assert (out.view(np.int32) == expected.view(np.int32)).all()


def fused_by_definition(x: Array, w: Array, block: int) -> Array:
    """Tap by tap: a + b rounded once from exact fractions of a double product's sum."""
    total = np.zeros((len(x), w.shape[1]), np.float32)
    for start in range(0, len(w), block):
        part = np.zeros_like(total)
        for k in range(start, min(start + block, len(w))):
            a, b = np.broadcast_arrays(x[:, k, None], w[k])
            part = fused_multiply_add(a, b, part)
        total = part + total
    return total


@settings(deadline=None, max_examples=60)
@given(st.integers(2, 16), st.booleans(), st.booleans(), st.integers(0, 2**32 - 1))
def test_a_prepared_quantizer_equals_its_own_run(
    bits: int, signed: bool, narrow: bool, seed: int
) -> None:
    """Ties, both clamps, infinities and a NaN."""
    rng = np.random.default_rng(seed)
    scale = np.float32(rng.uniform(0.01, 3))
    zero = np.float32(rng.integers(-3, 4))
    x = np.concatenate(
        [
            (rng.integers(-(2**bits), 2**bits, 64) + 0.5).astype(np.float32) * scale,
            rng.normal(0, 2**bits, 64).astype(np.float32),
            np.array([np.inf, -np.inf, np.nan, -0.0], np.float32),
        ]
    ).astype(np.float32)
    quant = Quant(signed, narrow, "ROUND")
    constants = [np.array(v, np.float32) for v in (scale, zero, bits)]
    kinds = [TensorType(v.shape, "float32", 32) for v in (x, *constants)]
    prepared = quant.prepare(kinds, [None, *constants], GRAPH_DATAPATH)
    assert prepared is not None
    out = np.empty_like(x)
    prepared.run([x, *constants], out, Scratch.of(prepared.scratch))
    (expected,) = quant.run([x, *constants], GRAPH_DATAPATH)
    assert (out.view(np.int32) == expected.view(np.int32)).all()
