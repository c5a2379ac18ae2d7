"""ImageNet and detection networks as work lists, from their published tables of layers.

Without weights: for latency and energy, not for values. `bits` is 8 or, for float32, 32.
"""

from simulator.work import Work
from tests.layer_works import Layers

_V1 = [(64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2)] + [(512, 1)] * 5
_V1_LAST = [(1024, 2), (1024, 1)]
# Sandler et al., arXiv 1801.04381, table 2: expansion, channels, repeats, stride.
_V2 = [(1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1)]
_V2 += [(6, 160, 3, 2), (6, 320, 1, 1)]
_BLOCKS = {50: (3, 4, 6, 3), 152: (3, 8, 36, 3)}


def mobilenet_v1(side: int = 224, width: float = 1.0, bits: int = 8) -> list[Work]:
    """MobileNet v1 (Howard et al., arXiv 1704.04861, table 1): 569 million MACs at 224."""
    at = Layers(side, bits=bits).conv(int(32 * width), 3, 2)
    for channels, stride in _V1 + _V1_LAST:
        at.depthwise(stride).conv(int(channels * width))
    return at.classify(1001)


def mobilenet_v2(side: int = 224, bits: int = 8) -> list[Work]:
    """MobileNet v2 (Sandler et al., arXiv 1801.04381, table 2): 300 million MACs at 224."""
    at = Layers(side, bits=bits).conv(32, 3, 2)
    for expansion, channels, repeats, first in _V2:
        for repeat in range(repeats):
            stride, before = (first if repeat == 0 else 1), at.channels
            if expansion > 1:
                at.conv(before * expansion)
            at.depthwise(stride).conv(channels)
            if stride == 1 and before == channels:
                at.add()
    return at.conv(1280).classify(1001)


def mobilenet_v1_ssd(side: int = 300, bits: int = 8) -> list[Work]:
    """MobileNet v1 SSD of the TensorFlow detection models: 91 classes, boxes by 1 x 1 taps.

    Layer sizes as Liu et al., arXiv 1512.02325, on the features of layers 11 and 13; its
    non-maximum suppression is not counted.
    """
    at = Layers(side, bits=bits).conv(32, 3, 2)
    for channels, stride in _V1:
        at.depthwise(stride).conv(channels)
    _boxes(at, 3)
    for channels, stride in _V1_LAST:
        at.depthwise(stride).conv(channels)
    _boxes(at, 6)
    for channels in (512, 256, 256, 128):
        at.conv(channels // 2).conv(channels, 3, 2)
        _boxes(at, 6)
    return at.works


def _boxes(at: Layers, anchors: int) -> None:
    """Offsets and class scores of `anchors` boxes at each pixel."""
    at.copy().conv(anchors * 4)
    at.copy().conv(anchors * 91)


def resnet(depth: int, version: int, side: int, bits: int = 8, last: bool = True) -> list[Work]:
    """ResNet of 50 or 152 layers, version 1 or 2 (He et al., arXiv 1512.03385 and 1603.05027).

    A stage's stride is in its `last` block's 3 x 3 taps, as in TF-Slim, or in its first block's
    first convolution, as in the paper. Version 2 normalizes before its convolutions, where nothing
    absorbs it.
    """
    at = Layers(side, bits=bits).conv(64, 7, 2).pool(3, 2)
    for stage, blocks in enumerate(_BLOCKS[depth]):
        width = 64 * 2**stage
        for block in range(blocks):
            if last:
                stride = 2 if block == blocks - 1 and stage < 3 else 1
            else:
                stride = 2 if block == 0 and stage > 0 else 1
            _bottleneck(at, width, stride, version, last)
    if version == 2:
        at.scale_and_shift()
    return at.classify(1001)


def _bottleneck(at: Layers, width: int, stride: int, version: int, last: bool) -> None:
    if version == 2:
        at.scale_and_shift()
    shortcut = at.copy()
    if at.channels != 4 * width:
        shortcut.conv(4 * width, 1, stride)
    elif stride > 1:
        shortcut.pool(1, stride)
    first, second = (1, stride) if last else (stride, 1)
    at.conv(width, 1, first).conv(width, 3, second).conv(4 * width).add()


def inception_v3(side: int = 299, bits: int = 8) -> list[Work]:
    """Inception v3 (Szegedy et al., arXiv 1512.00567, table 1, as in TF-Slim): 5.7 billion MACs."""
    at = Layers(side, bits=bits)
    at.conv(32, 3, 2, valid=True).conv(32, 3, valid=True).conv(64, 3).pool(3, 2, valid=True)
    at.conv(80, valid=True).conv(192, 3, valid=True).pool(3, 2, valid=True)
    for pooled in (32, 64, 64):
        at.copy().conv(64)
        at.copy().conv(48).conv(64, 5)
        at.copy().conv(64).conv(96, 3).conv(96, 3)
        at.copy().pool(3, 1).conv(pooled)
        at.concatenate(224 + pooled)
    at.copy().conv(384, 3, 2, valid=True)
    at.copy().conv(64).conv(96, 3).conv(96, 3, 2, valid=True)
    at.pool(3, 2, valid=True).concatenate(768)
    for inner in (128, 160, 160, 192):
        at.copy().conv(192)
        at.copy().conv(inner).conv(inner, (1, 7)).conv(192, (7, 1))
        tall = at.copy().conv(inner).conv(inner, (7, 1)).conv(inner, (1, 7))
        tall.conv(inner, (7, 1)).conv(192, (1, 7))
        at.copy().pool(3, 1).conv(192)
        at.concatenate(768)
    at.copy().conv(192).conv(320, 3, 2, valid=True)
    at.copy().conv(192).conv(192, (1, 7)).conv(192, (7, 1)).conv(192, 3, 2, valid=True)
    at.pool(3, 2, valid=True).concatenate(1280)
    for _ in range(2):
        at.copy().conv(320)
        wide = at.copy().conv(384)
        wide.copy().conv(384, (1, 3))
        wide.copy().conv(384, (3, 1))
        deep = at.copy().conv(448).conv(384, 3)
        deep.copy().conv(384, (1, 3))
        deep.copy().conv(384, (3, 1))
        at.copy().pool(3, 1).conv(192)
        at.concatenate(2048)
    return at.classify(1001)
