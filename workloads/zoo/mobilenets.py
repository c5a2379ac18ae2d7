"""MobileNet v1 and v2, and EfficientNet-lite0: depthwise separable networks for images."""

from collections.abc import Iterator
from typing import Final, NamedTuple

from workloads.zoo.description import Builder, Description

V1_CHANNELS: Final = (64, 128, 128, 256, 256, 512, 512, 512, 512, 512, 512, 1024, 1024)
V1_STRIDES: Final = (1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1)


class Stage(NamedTuple):
    """Inverted residuals of one width: the first takes the stride."""

    expansion: int
    channels: int
    repeats: int
    stride: int
    kernel: int = 3


V2_STAGES: Final = (
    Stage(1, 16, 1, 1),
    Stage(6, 24, 2, 2),
    Stage(6, 32, 3, 2),
    Stage(6, 64, 4, 2),
    Stage(6, 96, 3, 1),
    Stage(6, 160, 3, 2),
    Stage(6, 320, 1, 1),
)
LITE0_STAGES: Final = (
    Stage(1, 16, 1, 1, 3),
    Stage(6, 24, 2, 2, 3),
    Stage(6, 40, 2, 2, 5),
    Stage(6, 80, 3, 2, 3),
    Stage(6, 112, 3, 1, 5),
    Stage(6, 192, 4, 2, 5),
    Stage(6, 320, 1, 1, 3),
)


def mobilenet_v1(name: str, side: int, width: float, classes: int) -> Description:
    """MobileNet v1 (Howard et al., arXiv 1704.04861, table 1; filters as in keras.applications)."""
    at = Builder(name, activation="RELU6")
    *_, x = v1_blocks(at, side, width)
    return at.done(at.classify(x, classes))


def v1_blocks(at: Builder, side: int, width: float) -> Iterator[str]:
    """The outputs of the 13 separable convolutions."""
    x = at.conv(at.image(side), int(32 * width), 3, 2)
    for index, (channels, stride) in enumerate(zip(V1_CHANNELS, V1_STRIDES, strict=True), 1):
        at.scope = f"block{index}_"
        x = at.conv(at.depthwise(x, stride=stride), int(channels * width))
        yield x
    at.scope = ""


def mobilenet_v2(name: str, side: int, width: float, classes: int) -> Description:
    """MobileNet v2 (Sandler et al., arXiv 1801.04381, table 2; filters as in keras.applications).

    The last convolution never has fewer than 1280 filters.
    """
    at = Builder(name, activation="RELU6")
    _, x = v2_features(at, side, width)
    return at.done(at.classify(at.conv(x, eighths(1280 * max(width, 1.0))), classes))


def v2_features(at: Builder, side: int, width: float, output_stride: int = 32) -> tuple[str, str]:
    """The expansion of the first block of stride 32, and the 320 channels before the last layer.

    Where `output_stride` is reached, strides become dilations (Chen et al., arXiv 1706.05587).
    """
    x = at.conv(at.image(side), eighths(32 * width), 3, 2)
    reached, rate, expanded = 2, 1, x
    for number, stage in enumerate(V2_STAGES, 1):
        for repeat in range(stage.repeats):
            at.scope = f"stage{number}_{repeat}_"
            stride = stage.stride if repeat == 0 else 1
            if reached * stride > output_stride:
                stride, slower = 1, stride
            else:
                reached, slower = reached * stride, 1
            inside = at.conv(x, at.channels(x) * stage.expansion) if stage.expansion > 1 else x
            if number == 6 and repeat == 0:
                expanded = inside
            x = project(at, x, inside, eighths(stage.channels * width), stride, stage.kernel, rate)
            rate *= slower
    at.scope = ""
    return expanded, x


def project(
    at: Builder, x: str, inside: str, channels: int, stride: int, kernel: int, rate: int
) -> str:
    """Depthwise, then linear; the input is added where it has the same shape."""
    inside = at.depthwise(inside, kernel, stride, dilation=rate)
    found = at.conv(inside, channels, activation="NONE")
    return at.add(x, found) if at.shape(found) == at.shape(x) else found


def efficientnet_lite0(name: str, side: int, classes: int) -> Description:
    """EfficientNet-lite0: EfficientNet-B0 without squeeze-and-excite, RELU6 for swish.

    Tan and Le, arXiv 1905.11946, table 1; tensorflow/tpu models/official/efficientnet/lite.
    """
    at = Builder(name, activation="RELU6")
    x = at.conv(at.image(side), 32, 3, 2)
    for number, stage in enumerate(LITE0_STAGES, 1):
        for repeat in range(stage.repeats):
            at.scope = f"stage{number}_{repeat}_"
            inside = at.conv(x, at.channels(x) * stage.expansion) if stage.expansion > 1 else x
            stride = stage.stride if repeat == 0 else 1
            x = project(at, x, inside, stage.channels, stride, stage.kernel, 1)
    at.scope = ""
    return at.done(at.classify(at.conv(x, 1280), classes))


def eighths(channels: float) -> int:
    """The nearest multiple of 8 that is no more than a tenth below."""
    nearest = max(8, int(channels + 4) // 8 * 8)
    return nearest + 8 if nearest < 0.9 * channels else nearest
