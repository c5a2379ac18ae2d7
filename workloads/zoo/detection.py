"""Detection and segmentation on MobileNets: SSD, SSDLite, DeepLab v3."""

from collections.abc import Sequence

from workloads.zoo.description import Builder, Description
from workloads.zoo.mobilenets import eighths, v1_blocks, v2_features

EXTRAS = (512, 256, 256, 128)
"""Filters of the feature maps behind the network, each half as large as the one before."""
ANCHORS = (3, 6, 6, 6, 6, 6)
ATROUS = (6, 12, 18)


def ssd_mobilenet_v1(
    name: str, side: int, width: float, classes: int, *, lite: bool = False
) -> Description:
    """SSD on MobileNet v1 (Liu et al., arXiv 1512.02325; Howard et al., arXiv 1704.04861, 4.6).

    Features of layers 11 and 13 and four more; boxes and classes by 1 x 1 taps, or `lite` by
    separable 3 x 3 ones (Sandler et al., arXiv 1801.04381, 6.2). `classes` counts the background.
    Non-maximum suppression is left out.
    """
    at = Builder(name, activation="RELU6")
    blocks = tuple(v1_blocks(at, side, width))
    return _heads(at, [blocks[10], blocks[12]], classes, lite=lite)


def ssd_mobilenet_v2(
    name: str, side: int, width: float, classes: int, *, lite: bool = True
) -> Description:
    """SSD on MobileNet v2: as on v1, on the expansion of stride 16 and the last convolution."""
    at = Builder(name, activation="RELU6")
    expanded, x = v2_features(at, side, width)
    last = at.conv(x, eighths(1280 * max(width, 1.0)))
    return _heads(at, [expanded, last], classes, lite=lite)


def _heads(at: Builder, maps: Sequence[str], classes: int, *, lite: bool) -> Description:
    maps = list(maps)
    for index, filters in enumerate(EXTRAS):
        at.scope = f"extra{index}_"
        inside = at.conv(maps[-1], filters // 2)
        if lite:
            maps.append(at.conv(at.depthwise(inside, stride=2), filters))
        else:
            maps.append(at.conv(inside, filters, 3, 2))
    boxes: list[str] = []
    scores: list[str] = []
    for index, (x, anchors) in enumerate(zip(maps, ANCHORS, strict=True)):
        at.scope = f"head{index}_"
        n, height, width, _ = at.shape(x)
        for size, found in ((4, boxes), (classes, scores)):
            taken = at.depthwise(x) if lite else x
            y = at.conv(taken, anchors * size, bias=True, norm="none", activation="NONE")
            found.append(at.reshape(y, n, height * width * anchors, size))
    at.scope = ""
    return at.done(at.concat(boxes, axis=1), at.pointwise("LOGISTIC", at.concat(scores, axis=1)))


def deeplab_v3(
    name: str, side: int, width: float, classes: int, output_stride: int, aspp: int
) -> Description:
    """DeepLab v3 on MobileNet v2 (Chen et al., arXiv 1706.05587; arXiv 1801.04381, 6.3).

    The head has the pooled image, 1 x 1 taps and, where `aspp` is 1, the three dilated 3 x 3 ones
    of atrous spatial pyramid pooling; logits are resized to the image.
    """
    at = Builder(name, activation="RELU6")
    _, x = v2_features(at, side, width, output_stride)
    at.scope, at.activation = "head_", "RELU"
    pooled = at.conv(at.mean(x, 1, 2, keep_dims=True), 256)
    size = at.shape(x)[1:3]
    parts = [at.resize(pooled, (size[0], size[1])), at.conv(x, 256)]
    if aspp:
        parts += [at.conv(x, 256, 3, dilation=rate * 16 // output_stride) for rate in ATROUS]
    y = at.conv(at.concat(parts), 256)
    y = at.conv(y, classes, bias=True, norm="none", activation="NONE")
    at.scope = ""
    return at.done(at.resize(y, (side, side)))
