"""Public networks on widths of their own: they run, they fit, and fewer bits lose more."""

from pathlib import Path
from random import Random
from typing import Final

import numpy as np
import pytest

import workloads
from simulator.errors import Unsupported
from simulator.execute import run
from simulator.graph import Array, Graph
from simulator.mac import MacOperator
from simulator.narrow import requantized
from simulator.numeric.datapath import Datapath, Requantizer
from tests.conformance.cases import cases_root, skip_if_absent
from tests.conformance.goldens import Golden, folder_of
from tests.narrowing.networks import computed, in_reals, random_values

NETWORKS: Final = (
    "mlperf_ic_resnet8_int8",
    "mlperf_ic_resnet8_int16x8",
    "mlperf_kws_dscnn_int8",
    "mlperf_kws_dscnn_int16x8",
    "mlperf_ad_autoencoder_int8",
    "mlperf_vww_mobilenetv1_025_96_int8",
    "person_detect_int8",
    "coral_mobilenet_v1_025_128_uint8",
    "emza_ssd_slim_int8",
)
NARROW: Final = ((8, 8), (4, 8), (4, 4), (6, 6))
STEEP: Final = ("log", "rsqrt", "sqrt", "reduce_sum", "sum_c", "conv", "batch_matmul", "argmax")
"""Cases whose outputs move by more than their inputs, or are no reals."""
NOT_IN_16_BITS: Final = ("hard_swish", "l2norm", "log_softmax", "batch_matmul")


def wide(bits: int) -> Datapath:
    """Activations of `bits` and 8-bit weights."""
    return Datapath(activation_bits=bits, accumulator_bits=48, narrow=True, widen=True)


def samples(shared: Path, name: str) -> tuple[Graph, list[dict[str, Array]]]:
    """A network and its recorded inputs."""
    golden = Golden(folder_of(shared), name)
    graph = workloads.load(golden.model)
    given = [inputs for inputs, _ in golden.samples("REF")]
    return graph, [dict(zip(graph.inputs, inputs, strict=True)) for inputs in given[:2]]


@pytest.mark.parametrize("name", NETWORKS)
def test_every_tensor_fits_its_bits(shared: Path, name: str) -> None:
    graph, given = samples(shared, name)
    for weights, activations in NARROW:
        datapath = Datapath(weight_bits=weights, activation_bits=activations, narrow=True)
        made = requantized(graph, datapath).graph
        in_reals(graph, given[0], datapath)
        operands = [n for n in made.nodes if isinstance(n.op, MacOperator)]
        assert {made.tensors[n.inputs[0]].bits for n in operands} == {activations}
        assert {made.tensors[n.inputs[1]].bits for n in operands} == {weights}


@pytest.mark.parametrize("name", NETWORKS)
def test_the_native_widths_change_nothing(shared: Path, name: str) -> None:
    graph, given = samples(shared, name)
    bits = graph.tensors[graph.inputs[0]].bits
    datapath = Datapath(
        activation_bits=bits, accumulator_bits=64 if bits == 16 else 32, narrow=True, widen=True
    )
    assert requantized(graph, datapath).graph is graph
    own, hardware = (computed(graph, given[0], d) for d in (None, datapath))
    assert [name for name in own if not np.array_equal(own[name], hardware[name])] == []


@pytest.mark.parametrize("name", NETWORKS)
def test_fewer_bits_lose_more(shared: Path, name: str) -> None:
    """Noise of the last product against the network with 16-bit activations, which loses least."""
    graph, given = samples(shared, name)
    last = [n for n in graph.nodes if isinstance(n.op, MacOperator)][-1].outputs[0]
    best = [in_reals(graph, values, wide(16))[last] for values in given]

    def noise(datapath: Datapath) -> float:
        found = [in_reals(graph, values, datapath)[last] for values in given]
        return sum(float(np.square(f - b).sum()) for f, b in zip(found, best, strict=True))

    ladder = [noise(wide(bits)) for bits in (12, 8, 6, 4)]
    assert ladder == sorted(ladder)
    assert ladder[0] < ladder[1] < ladder[2]
    signal = sum(float(np.square(b).sum()) for b in best)
    assert ladder[0] < signal / 1e3, "12 bits are within 30 dB of 16"


def test_accuracy_falls_with_the_bits(shared: Path) -> None:
    """ResNet-8 on 60 images of CIFAR-10: 16, 8 and 6 bits stay, 4-bit weights without retraining
    do not (Krishnamoorthi 2018, table 5).
    """
    graph = workloads.load(folder_of(shared) / "mlperf_ic_resnet8_int8.tflite")
    with np.load(shared / "data" / "cifar10_eval.npz") as arrays:
        images, labels = arrays["x"][:60].astype(np.int16) - 128, arrays["y"][:60]

    def right(datapath: Datapath | None) -> int:
        count = 0
        for image, label in zip(images, labels, strict=True):
            outputs, _ = run(graph, {graph.inputs[0]: image.astype(np.int8)[None]}, datapath)
            count += int(outputs[graph.outputs[0]].argmax() == label)
        return count

    own = right(None)
    assert own > 36
    assert abs(right(wide(16)) - own) <= 3
    assert abs(right(Datapath(requantize=Requantizer(8, "single_round"))) - own) <= 3
    six, four = (Datapath(weight_bits=b, activation_bits=b, narrow=True) for b in (6, 4))
    assert own > right(six) > right(four)


@pytest.mark.parametrize("name", ["ort_resnet8_qdq_s8s8_pc", "mlperf_dscnn_qdq_tf2onnx"])
@pytest.mark.parametrize("widths", NARROW)
def test_real_carriers(shared: Path, name: str, widths: tuple[int, int]) -> None:
    """ONNX: scales that are inputs, weights carried as reals, QLinear operators."""
    graph = workloads.load(shared / "models" / "onnx" / f"{name}.onnx")
    datapath = Datapath(weight_bits=widths[0], activation_bits=widths[1], narrow=True)
    values = random_values(graph)
    found = in_reals(graph, values, datapath)
    made = requantized(graph, datapath).graph
    for node in made.nodes:
        if node.op.kind.startswith(("conv", "grid_conv", "depthwise", "fully")):
            x, w = (made.tensors[n] for n in node.inputs[:2])
            assert (w.bits, x.bits) == widths
            assert w.quant is not None
            shape = [1] * len(w.shape)
            if len(w.quant.scale) > 1:
                shape[w.quant.axis or 0] = -1
            value = made.constants[node.inputs[1]]
            scale = np.reshape(w.quant.scale, shape) if w.dtype == "float32" else 1.0
            codes = np.rint(value.astype(np.float64) / scale)
            assert abs(codes).max() <= 2 ** (widths[0] - 1) - (widths[0] < 8)
    if widths == (8, 8):
        assert made is graph
        own = in_reals(graph, values, Datapath())
        assert all(np.array_equal(own[name], found[name]) for name in own)


MIXED: Final = (
    "tflite/mlperf_ic_resnet8_int8.tflite",
    "tflite/esphome_okay_nabu_v2_stream_int8.tflite",
    "tflite/emza_ssd_slim_int8.tflite",
    "tflite/tinyengine_vww_mcunet_int8.tflite",
    "tflite/mlperf_kws_dscnn_int16x8.tflite",
    "onnx/ort_resnet8_qop_u8s8_pc.onnx",
    "onnx/ort_resnet8_qdq_s8s8_pc.onnx",
)


@pytest.mark.parametrize("model", MIXED)
def test_any_mixture_of_widths_runs(shared: Path, model: str) -> None:
    """A datapath of its own for every node: one grid a tensor, whoever reads it."""
    graph, rng = workloads.load(shared / "models" / model), Random(model)
    values = random_values(graph)
    for _ in range(3):
        datapath = {
            node.name: Datapath(
                weight_bits=rng.randint(2, 8),
                activation_bits=rng.randint(1, 8),
                zero_point=rng.choice(("folded", "subtracted")),
                narrow=True,
                restricted_weights=rng.random() < 0.3,
                requantize=rng.choice((None, Requantizer(rng.randint(2, 32), "single_round"))),
            )
            for node in graph.nodes
        }
        in_reals(graph, values, datapath)
        made = requantized(graph, datapath).graph
        for node in made.nodes:
            if isinstance(node.op, MacOperator):
                x, w = (made.tensors[node.inputs[i]].bits for i in (0, 1))
                mine = datapath[node.name]
                assert x <= mine.activation_bits
                assert w <= mine.weight_bits


def test_who_keeps_a_grid_is_named(shared: Path) -> None:
    graph = workloads.load(shared / "models" / "tflite" / "emza_ssd_slim_int8.tflite")
    six = Datapath(activation_bits=6, narrow=True)
    datapath = dict.fromkeys((n.name for n in graph.nodes), six) | {"pad_0": Datapath()}
    with pytest.raises(Unsupported) as caught:
        requantized(graph, datapath)
    assert str(caught.value) == (
        "emza_ssd_slim_int8.tflite, conv_2d_1: its activations have 8 bits, the datapath 6, and "
        "pad_0 keeps the grid that it shares with them; widen datapath.activation_bits for this "
        "layer"
    )
    plain = workloads.load(shared / "models" / "deeploy_int" / "deeploy_minimobilenet.onnx")
    with pytest.raises(Unsupported, match="datapath 6, and there is no grid to narrow them on"):
        requantized(plain, six)


def small_cases() -> list[str]:
    """Single operators of TFLite, in 8 and in 16 bits."""
    root = cases_root() / "tflite_ops"
    if not root.is_dir():
        return ["every case of the shared folder"]
    return sorted(str(p.relative_to(root)) for p in root.rglob("*.tflite"))


@pytest.mark.parametrize("case", small_cases())
def test_single_operators(case: str) -> None:
    """Within three steps of the coarser grid of what the operator gives on its own."""
    skip_if_absent("tflite_ops")
    path = cases_root() / "tflite_ops" / case
    graph = workloads.load(path)
    values = random_values(graph)
    if any(graph.tensors[n].quant is None for n in graph.inputs):
        pytest.skip("an input is a shape")
    if path.name.startswith(("sqrt", "rsqrt")):
        zeros = {n: graph.tensors[n].quant.zero_point[0] for n in graph.inputs}  # type: ignore[union-attr]
        values = {n: np.maximum(v, zeros[n]).astype(v.dtype) for n, v in values.items()}
    own = in_reals(graph, values, None)[graph.outputs[0]]
    for bits in (4, 6, 8, 12, 16):
        if bits > 8 and path.name.startswith(NOT_IN_16_BITS) and "int16" not in path.name:
            with pytest.raises(Unsupported, match="cannot be re-quantized"):
                in_reals(graph, values, wide(bits))
            continue
        found = in_reals(graph, values, wide(bits))[graph.outputs[0]]
        kinds = [g.tensors[graph.outputs[0]] for g in (graph, requantized(graph, wide(bits)).graph)]
        if not path.name.startswith(STEEP):
            steps = [kind.quant.scale[0] for kind in kinds if kind.quant is not None]
            assert np.abs(found - own).max() <= 3 * max(steps)


@pytest.mark.parametrize("name", ["keyword_scrambled_svdf", "mnist_lstm_int8"])
def test_operators_of_fixed_widths(shared: Path, name: str) -> None:
    graph = workloads.load(folder_of(shared) / f"{name}.tflite")
    kind = {"keyword_scrambled_svdf": "svdf"}.get(name, "unidirectional_sequence_lstm")
    in_reals(graph, random_values(graph), Datapath(narrow=True))
    with pytest.raises(Unsupported, match=f"{kind} has operands of 8 bits, the datapath 4; it can"):
        requantized(graph, Datapath(weight_bits=4, narrow=True))


def test_variables_are_narrowed_too(shared: Path) -> None:
    """A streaming network: its state stays on the narrow grid from one sample to the next."""
    graph, given = samples(shared, "esphome_okay_nabu_v2_stream_int8")
    datapath = Datapath(weight_bits=6, activation_bits=6, narrow=True)
    made = requantized(graph, datapath).graph
    state = None
    for values in given:
        _, state = run(graph, values, datapath, state)
    assert state is not None
    for name, value in state.items():
        assert made.tensors[name].bits == 6
        assert -32 <= value.min() <= value.max() <= 31
    assert any(value.any() for value in state.values())
