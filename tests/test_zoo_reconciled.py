"""Published counts that count something else: what they count, tried on every row of their tables.

TensorFlow's profiler, halved, is the measure of both. A multiply-add is two operations of it, and
so are two of any other kind (tensorflow/python/profiler/internal/flops_registry.py).
"""

from fractions import Fraction
from math import ceil, prod
from typing import Final

import pytest

from workloads.zoo.description import Builder, Description, Layer
from workloads.zoo.detection import deeplab_v3
from workloads.zoo.lowering import shapes_alone
from workloads.zoo.mobilenets import LITE0_STAGES, eighths, project

WITHIN: Final = Fraction(5, 1000)
M, G = 10**6, 10**9
IN_TRAINING: Final = 1 + 2 + 1 + 1 + 1
"""Operations on an element that an unfused normalization has in a training graph: a mean, a squared
difference (counted as two), a mean, a product and a sum (flops_registry.py; tensorflow/tpu,
models/official/efficientnet/utils.py: TpuBatchNormalization is never fused)."""
SCALES: Final = (0.5, 0.75, 1.0, 1.25, 1.5, 1.75)
"""Of the image, each also mirrored (Chen et al., arXiv 1706.05587, section 4.1)."""


def macs(network: Description) -> int:
    return sum(work.macs for work in shapes_alone(network).work)


def efficientnet_lite(side: int, width: float, depth: float) -> Description:
    """Of a side, width and depth (efficientnet_lite_builder.py): the stem, the head and the
    numbers of first and last blocks are those of lite0.
    """
    at = Builder(f"lite {side}", activation="RELU6")
    x = at.conv(at.image(side), 32, 3, 2)
    for number, stage in enumerate(LITE0_STAGES):
        fixed = number in (0, len(LITE0_STAGES) - 1)
        for repeat in range(stage.repeats if fixed else ceil(depth * stage.repeats)):
            inside = at.conv(x, at.channels(x) * stage.expansion) if stage.expansion > 1 else x
            stride = stage.stride if repeat == 0 else 1
            x = project(at, x, inside, eighths(stage.channels * width), stride, stage.kernel, 1)
    return at.done(at.classify(at.conv(x, 1280), 1000))


@pytest.mark.parametrize(
    ("side", "width", "depth", "published", "parameters"),
    [
        (224, 1.0, 1.0, 407 * M, "4.7"),
        (240, 1.0, 1.1, 631 * M, "5.4"),
        (260, 1.1, 1.2, 899 * M, "6.1"),
        (280, 1.2, 1.4, 1440 * M, "8.2"),
        (300, 1.4, 1.8, 2640 * M, "13.0"),
    ],
)
def test_efficientnet_lite_counts_its_normalizations_in_training(
    side: int, width: float, depth: float, published: int, parameters: str
) -> None:
    """All five rows of tensorflow/tpu's README; products alone are 3 to 5 % below each."""
    network = efficientnet_lite(side, width, depth)
    assert round(Fraction(network.parameters, M), 1) == Fraction(parameters)
    normalized = sum(prod(layer.shape) for layer in network.layers if layer.norm != "none")
    assert abs(macs(network) + IN_TRAINING * normalized // 2 - published) <= WITHIN * published
    assert macs(network) < (1 - 6 * WITHIN) * published


def in_whole_blocks(layer: Layer) -> int:
    """Products of a dilated convolution as TensorFlow runs it: SpaceToBatchND, a plain one, back.

    Each side is rounded up to whole blocks of the rate.
    """
    rate: int = layer.options["dilation_h_factor"]
    _, height, width, filters = layer.shape
    rows, columns = (ceil(size / rate) * rate for size in (height, width))
    (weights,) = (weight for weight in layer.weights if weight.role == "filters")
    taps = prod(weights.shape[1:3])
    deep = 1 if layer.op == "DEPTHWISE_CONV_2D" else weights.shape[3]
    return (rows * columns - height * width) * taps * deep * filters


def profiled(side: int, output_stride: int, aspp: int) -> int:
    network = deeplab_v3(f"deeplab {side}", side, 1.0, 21, output_stride, aspp)
    dilated = [k for k in network.layers if k.options.get("dilation_h_factor", 1) > 1]
    return macs(network) + sum(in_whole_blocks(layer) for layer in dilated)


@pytest.mark.parametrize(("aspp", "published"), [(0, 2750 * M), (1, 5800 * M)])
def test_deeplab_counts_whole_blocks_of_its_rates(aspp: int, published: int) -> None:
    """Sandler et al., table 7, at stride 16 on one image."""
    assert abs(profiled(513, 16, aspp) - published) <= WITHIN * published


@pytest.mark.parametrize(("aspp", "published"), [(0, Fraction("152.6") * G), (1, 387 * G)])
def test_deeplab_on_many_scales_counts_so_too(aspp: int, published: Fraction) -> None:
    """The rows at stride 8, which the zoo's own counts at the 12 images miss where `aspp` is 1."""
    sides = [int(512 * scale) + 1 for scale in SCALES]
    total = 2 * sum(profiled(side, 8, aspp) for side in sides)
    assert abs(total - published) <= WITHIN * published
    alone = 2 * sum(macs(deeplab_v3("alone", side, 1.0, 21, 8, aspp)) for side in sides)
    assert (published - alone > 10 * WITHIN * published) == bool(aspp)
