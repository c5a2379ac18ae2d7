"""Networks of the zoo: layer-by-layer sums by formula, shapes, options, costs on every kind."""

from collections import Counter

import pytest

import hwconfigs
import workloads
from simulator.coding import coded_weight_bits
from simulator.cost import estimate
from simulator.errors import BadFile, Unsupported
from simulator.graph import Graph
from simulator.memory import constant_bytes, plan_arena
from simulator.work import Work
from tests import imagenet
from workloads.topology_csv import require_values
from workloads.zoo.description import Description
from workloads.zoo.mobilenets import eighths
from workloads.zoo.shapes import NETWORKS, description_of

ONE_OF_EACH_KIND = ("systolic_16x16", "gemmini_like", "hvx_1024", "cortex_m4", "systolic_and_m4")
SMALL = ("resnet20_cifar", "vgg_small", "llm_decode,hidden=64,heads=4,kv_heads=2,ffn=96,context=9")
V1 = [(32, 64, 1), (64, 128, 2), (128, 128, 1), (128, 256, 2), (256, 256, 1), (256, 512, 2)]
V1 += [(512, 512, 1)] * 5 + [(512, 1024, 2), (1024, 1024, 1)]
V2 = [(1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1)]
V2 += [(6, 160, 3, 2), (6, 320, 1, 1)]


def graph_of(name: str) -> Graph:
    return workloads.load(f"zoo:{name}")


def described(name: str) -> Description:
    found = description_of(f"zoo:{name}")
    assert found is not None
    return found


def macs(name: str) -> int:
    return sum(work.macs for work in graph_of(name).work)


def test_vgg_16_by_its_table() -> None:
    sizes = [(224, 3, 64), (224, 64, 64), (112, 64, 128), (112, 128, 128), (56, 128, 256)]
    sizes += [(56, 256, 256)] * 2 + [(28, 256, 512)] + [(28, 512, 512)] * 2 + [(14, 512, 512)] * 3
    dense = [(25088, 4096), (4096, 4096), (4096, 1000)]
    products = sum(side**2 * 9 * a * b for side, a, b in sizes) + sum(a * b for a, b in dense)
    weights = sum(9 * a * b + b for _, a, b in sizes) + sum(a * b + b for a, b in dense)
    assert (macs("vgg16"), described("vgg16").parameters) == (products, weights)


@pytest.mark.parametrize(("side", "width"), [(224, 1.0), (160, 0.75), (96, 0.25)])
def test_mobilenet_v1_by_its_table(side: int, width: float) -> None:
    pixels = side // 2
    products = pixels**2 * 27 * int(32 * width)
    weights = 27 * int(32 * width) + 2 * int(32 * width)
    for before, after, stride in V1:
        a, b, pixels = int(before * width), int(after * width), -(-pixels // stride)
        products += pixels**2 * (9 * a + a * b)
        weights += 9 * a + a * b + 2 * a + 2 * b
    last = int(1024 * width)
    name = f"mobilenet_v1,side={side},width={width}"
    assert macs(name) == products + last * 1000
    assert described(name).parameters == weights + last * 1000 + 1000


@pytest.mark.parametrize(("side", "width"), [(224, 1.0), (192, 1.4), (224, 0.35)])
def test_mobilenet_v2_by_its_table(side: int, width: float) -> None:
    a, pixels = eighths(32 * width), side // 2
    products, weights = pixels**2 * 27 * a, 27 * a + 2 * a
    for expansion, channels, repeats, first in V2:
        for repeat in range(repeats):
            inside, b = a * expansion, eighths(channels * width)
            if expansion > 1:
                products += pixels**2 * a * inside
                weights += a * inside + 2 * inside
            pixels = -(-pixels // (first if repeat == 0 else 1))
            products += pixels**2 * (9 * inside + inside * b)
            weights += 9 * inside + 2 * inside + inside * b + 2 * b
            a = b
    last = max(1280, eighths(1280 * width))
    products += pixels**2 * a * last + last * 1000
    weights += a * last + 2 * last + last * 1000 + 1000
    name = f"mobilenet_v2,side={side},width={width}"
    assert (macs(name), described(name).parameters) == (products, weights)


@pytest.mark.parametrize(("channels", "expected"), [(22.4, 24), (11.2, 16), (5.6, 8), (44.8, 48)])
def test_channels_in_eighths_are_never_more_than_a_tenth_below(
    channels: float, expected: int
) -> None:
    assert eighths(channels) == expected


@pytest.mark.parametrize(("width", "half"), [(1.0, False), (0.5, False), (1.0, True)])
def test_resnet_50_by_its_table(width: float, half: bool) -> None:
    """Version 1.5 with filters, and version 1 where `half`: strides before the 3 x 3 taps."""
    products, weights, before, side = 112**2 * 147 * 64, 147 * 64, 64, 56
    for stage, blocks in enumerate((3, 4, 6, 3)):
        f = int(64 * width * 2**stage)
        for block in range(blocks):
            into = side
            side = side // 2 if block == 0 and stage > 0 else side
            products += (side if half else into) ** 2 * before * f + side**2 * 13 * f * f
            weights += before * f + 13 * f * f
            if block == 0:
                products += side**2 * before * 4 * f
                weights += before * 4 * f
            before = 4 * f
    name = "resnet50_v1" if half else f"resnet50_v1.5,width={width}"
    works = graph_of(name).work
    assert sum(work.macs for work in works) == products + before * 1000
    assert sum(work.weight_elements for work in works) == weights + before * 1000


def test_resnet_50_v1_5_has_the_pareto_papers_counts() -> None:
    works = graph_of("resnet50_v1.5").work
    assert sum(work.macs for work in works) == 4_089_184_256
    assert sum(work.weight_elements for work in works) == 25_502_912


def test_densenet_121_by_its_table() -> None:
    products, weights, channels, side = 112**2 * 147 * 64, 147 * 64 + 128, 64, 56
    for stage, layers in enumerate((6, 12, 24, 16)):
        for _ in range(layers):
            products += side**2 * (channels * 128 + 9 * 128 * 32)
            weights += 2 * channels + channels * 128 + 2 * 128 + 9 * 128 * 32
            channels += 32
        weights += 2 * channels
        if stage < 3:
            products += side**2 * channels * (channels // 2)
            weights += channels * (channels // 2)
            channels, side = channels // 2, side // 2
    weights += channels * 1000 + 1000
    assert macs("densenet121") == products + channels * 1000
    assert described("densenet121").parameters == weights


def test_alexnet_by_its_figure() -> None:
    """Layers 2, 4 and 5 see one of two groups each."""
    convs = [(55, 121, 3, 96), (27, 25, 48, 256), (13, 9, 256, 384), (13, 9, 192, 384)]
    convs += [(13, 9, 192, 256)]
    dense = [(9216, 4096), (4096, 4096), (4096, 1000)]
    products = sum(side**2 * taps * a * b for side, taps, a, b in convs)
    assert macs("alexnet") == products + sum(a * b for a, b in dense)
    grouped = [work for work in graph_of("alexnet").work if work.groups == 2]
    assert [(work.ic, work.oc) for work in grouped] == [(48, 128), (192, 192), (192, 128)]


@pytest.mark.parametrize("sequence", [1, 128, 512])
def test_bert_base_by_formula(sequence: int) -> None:
    layer = 4 * sequence * 768**2 + 2 * sequence**2 * 768 + 2 * sequence * 768 * 3072
    assert macs(f"bert_base,sequence={sequence}") == 12 * layer + 768**2
    held = 4 * (768**2 + 768) + (768 * 3072 + 3072) + (3072 * 768 + 768) + 4 * 768
    tables = (30522 + 512 + 2) * 768 + 2 * 768
    assert described("bert_base").parameters == tables + 12 * held + 768**2 + 768


@pytest.mark.parametrize(
    ("name", "sequence", "context"), [("llm_prefill", 96, 0), ("llm_decode", 1, 300)]
)
def test_a_decoder_block_by_formula(name: str, sequence: int, context: int) -> None:
    hidden, heads, shared, ffn = 512, 8, 2, 1408
    size = hidden // heads
    held = 2 * hidden * hidden + 2 * hidden * shared * size + 3 * hidden * ffn
    attention = 2 * heads * sequence * (context + sequence) * size
    model = f"{name},sequence={sequence},context={context},hidden=512,heads=8,kv_heads=2,ffn=1408"
    assert macs(model) == sequence * held + attention
    assert described(model).parameters == held + 2 * hidden
    graph = graph_of(model)
    # Keys and values of the cache are read once, whatever the queries that share them.
    read = [work.weight_elements for work in graph.work if work.macs]
    assert sum(read) == held + 2 * shared * (context + sequence) * size
    assert [graph.tensors[name].shape for name in graph.outputs[1:]] == [
        (1, shared, sequence, size)
    ] * 2


@pytest.mark.parametrize(
    ("name", "op", "shape"),
    [
        ("inception_v3", "CONCATENATION", (1, 8, 8, 2048)),
        ("nasnet_mobile", "CONCATENATION", (1, 7, 7, 1056)),
        ("googlenet", "CONCATENATION", (1, 7, 7, 1024)),
        ("densenet121", "CONCATENATION", (1, 7, 7, 1024)),
        ("alexnet", "MAX_POOL_2D", (1, 6, 6, 256)),
        ("alexnet_one_tower", "MAX_POOL_2D", (1, 6, 6, 256)),
        ("deeplab_v3_mobilenet_v2", "CONCATENATION", (1, 33, 33, 512)),
        ("deeplab_v3_mobilenet_v2,output_stride=8", "CONCATENATION", (1, 65, 65, 512)),
        ("deeplab_v3_mobilenet_v2", "RESIZE_BILINEAR", (1, 513, 513, 21)),
        # 1917 and 2034 boxes: the anchors of TensorFlow's detectors at 300 and 320.
        ("mobilenet_v1_ssd", "CONCATENATION", (1, 1917, 91)),
        ("mobilenet_v2_ssdlite", "CONCATENATION", (1, 2034, 91)),
        ("resnet152_v2,side=299", "CONV_2D", (1, 10, 10, 2048)),
    ],
)
def test_the_last_feature_map_has_its_size(name: str, op: str, shape: tuple[int, ...]) -> None:
    assert [layer.shape for layer in described(name).layers if layer.op == op][-1] == shape


def test_strides_beyond_the_output_stride_become_dilations() -> None:
    layers = described("deeplab_v3_mobilenet_v2,output_stride=8,aspp=1").layers
    rates = [layer.options["dilation_h_factor"] for layer in layers if layer.op.endswith("CONV_2D")]
    depthwise = [
        layer.options["dilation_h_factor"] for layer in layers if layer.op.startswith("DEPTHWISE")
    ]
    # The 64 channels stand at stride 8, where the stages' own strides begin to be rates.
    assert depthwise == [1] * 7 + [2] * 6 + [2] + [4] * 3
    assert [rate for rate in rates if rate > 4] == [12, 24, 36]


@pytest.mark.parametrize("name", NETWORKS)
def test_every_layer_is_read_or_an_output(name: str) -> None:
    graph = graph_of(name)
    read = {tensor for node in graph.nodes for tensor in node.inputs}
    made = {tensor for node in graph.nodes for tensor in node.outputs}
    assert made <= read | set(graph.outputs)
    assert set(graph.inputs) <= read


def test_activations_live_as_long_as_they_are_read() -> None:
    """The widest pair: the first expansion to 96 channels and what its stride leaves of them."""
    assert plan_arena(graph_of("mobilenet_v2")).live_bytes == 96 * (112**2 + 56**2)


def test_bits_are_those_of_weights_and_activations() -> None:
    wide, narrow = graph_of("vgg_small,bits=16"), graph_of("vgg_small,bits=4")
    assert {work.weight_bits for work in wide.work} == {16}
    assert {(w.activation_bits, w.output_bits) for w in narrow.work} == {(4, 4)}
    biases = 4 * (2 * (128 + 256 + 512) + 10)
    assert constant_bytes(wide) - biases == 4 * (constant_bytes(narrow) - biases)


@pytest.mark.parametrize("hw", ONE_OF_EACH_KIND)
@pytest.mark.parametrize("name", SMALL)
def test_every_kind_of_machine_costs_them(name: str, hw: str) -> None:
    found = estimate(graph_of(name), hwconfigs.load(hw))
    assert found.totals.macs == macs(name)
    assert found.totals.cycles > 0
    assert found.totals.energy_fj > 0


@pytest.mark.parametrize("name", NETWORKS)
def test_every_network_is_costed(name: str) -> None:
    found = estimate(graph_of(name), hwconfigs.load("systolic_16x16"))
    assert found.totals.macs == macs(name)
    assert [layer.name for layer in found.layers] == [
        layer.name for layer in described(name).layers
    ]


@pytest.mark.parametrize(
    ("name", "listed"),
    [
        ("mobilenet_v1,classes=1001", imagenet.mobilenet_v1()),
        ("mobilenet_v2,classes=1001", imagenet.mobilenet_v2()),
        ("mobilenet_v1_ssd", imagenet.mobilenet_v1_ssd()),
        ("inception_v3,classes=1001", imagenet.inception_v3()),
        ("resnet50_v1,side=299,classes=1001", imagenet.resnet(50, 1, 299, last=False)),
        ("resnet152_v2,side=299,classes=1001", imagenet.resnet(152, 2, 299)),
    ],
)
def test_the_work_lists_of_the_validation_have_the_same_layers(
    name: str, listed: list[Work]
) -> None:
    """Both are written from the papers; lists have no data flow, so their order may differ."""
    kinds = ("oy", "ox", "oc", "ky", "kx", "ic", "groups", "stride_y", "output_elements")
    ours, theirs = (
        Counter(tuple(getattr(work, kind) for kind in kinds) for work in works if work.macs)
        for works in (graph_of(name).work, listed)
    )
    assert ours == theirs


def test_weights_without_values_are_not_compressed() -> None:
    assert not any(coded_weight_bits(graph_of("vgg_small")))
    assert any(coded_weight_bits(workloads.load("zoo:digits")))


def test_shapes_alone_are_never_run() -> None:
    with pytest.raises(Unsupported, match="holds shapes and no values"):
        require_values(graph_of("mobilenet_v2,bits=16"))


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("mobilenet_v2,side=31", "side must be 32 to 4096; found '31'"),
        ("mobilenet_v2,side=nan", "side must be 32 to 4096; found 'nan'"),
        ("mobilenet_v2,width=nan", "width must be 0.125 to 4; found 'nan'"),
        ("mobilenet_v2,bits=", "bits must be 4, 8 or 16; found ''"),
        ("inception_v3,side=74", "side must be 75 to 4096; found '74'"),
        ("bert_base,sequence=513", "sequence must be 1 to 512; found '513'"),
        (
            "bert_base,seqence=4",
            "options are sequence=1 to 512; bits=4, 8 or 16; and seed=0 to 999999; "
            "found 'seqence=4'. Did you mean 'sequence'?",
        ),
        ("llm_decode,heads=3", "hidden must be a multiple of twice the heads, 6; found 2048"),
        ("llm_decode,kv_heads=3", "heads must be a multiple of kv_heads, 3; found 32"),
        (
            "vgg_small,",
            "options are classes=1 to 100000; bits=4, 8 or 16; and seed=0 to 999999; found ''.",
        ),
    ],
)
def test_an_option_that_is_none_is_refused(model: str, message: str) -> None:
    with pytest.raises(BadFile) as caught:
        workloads.load(f"zoo:{model}")
    assert str(caught.value) == f"zoo:{model}: {message}"


@pytest.mark.parametrize("name", ["inception_v3", "mobilenet_v2", "nasnet_mobile", "resnet50_v2"])
def test_the_least_side_is_built(name: str) -> None:
    least = NETWORKS[name].options["side"].least
    assert all(min(layer.shape) > 0 for layer in described(f"{name},side={least:g}").layers)
    assert macs(f"{name},side={least:g}") > 0
