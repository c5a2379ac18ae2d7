"""Networks of the silicon figures that the zoo does not have, as work lists from their papers."""

from simulator.work import Work
from tests.imagenet import mobilenet_v1, mobilenet_v2
from tests.layer_works import Layers
from workloads.zoo.inceptions import GOOGLENET

_V2 = [(1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1)]
_V2 += [(6, 160, 3, 2), (6, 320, 1, 1)]


def mobilenet_v1_of(width: float, side: int, classes: int = 1001, bits: int = 8) -> list[Work]:
    """MobileNet v1 (Howard et al., arXiv 1704.04861) with so many classes."""
    works = mobilenet_v1(side, width, bits)[:-3]
    return [*works, *Layers(-(-side // 32), int(1024 * width), bits).classify(classes)]


def mobilenet_v2_of(width: float, side: int, classes: int = 1001, bits: int = 8) -> list[Work]:
    """MobileNet v2 (Sandler et al., arXiv 1801.04381, table 2) of a width below or above 1.

    Channels are rounded to multiples of 8, never by more than a tenth downwards; the last
    convolution keeps 1280 channels below width 1, as in TF-Slim.
    """
    if width == 1:
        works = mobilenet_v2(side, bits)[:-3]
        return [*works, *Layers(-(-side // 32), 1280, bits).classify(classes)]
    at = Layers(side, bits=bits).conv(_eights(32 * width), 3, 2)
    for expansion, channels, repeats, first in _V2:
        wanted = _eights(channels * width)
        for repeat in range(repeats):
            stride, before = (first if repeat == 0 else 1), at.channels
            if expansion > 1:
                at.conv(before * expansion)
            at.depthwise(stride).conv(wanted)
            if stride == 1 and before == wanted:
                at.add()
    return at.conv(_eights(1280 * max(1.0, width))).classify(classes)


def _eights(channels: float) -> int:
    rounded = max(8, int(channels + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * channels else rounded


def vgg(depth: int, bits: int = 8) -> list[Work]:
    """VGG of 16 or 19 layers (Simonyan and Zisserman, arXiv 1409.1556, table 1, D and E)."""
    at = Layers(224, bits=bits)
    third = 3 if depth == 16 else 4
    for channels, repeats in ((64, 2), (128, 2), (256, third), (512, third), (512, third)):
        for _ in range(repeats):
            at.conv(channels, 3)
        at.pool(2, 2)
    return at.conv(4096, 7, valid=True).conv(4096).conv(1000).works


def inception_v1(bits: int = 8) -> list[Work]:
    """GoogLeNet (Szegedy et al., arXiv 1409.4842, table 1)."""
    at = Layers(224, bits=bits).conv(64, 7, 2).pool(3, 2).conv(64).conv(192, 3).pool(3, 2)
    for number, (one, reduce3, three, reduce5, five, pooled) in enumerate(GOOGLENET):
        if number in (2, 7):
            at.pool(3, 2)
        at.copy().conv(one)
        at.copy().conv(reduce3).conv(three, 3)
        at.copy().conv(reduce5).conv(five, 5)
        at.copy().pool(3, 1).conv(pooled)
        at.concatenate(one + three + five + pooled)
    return at.classify(1001)


def squeezenet(bits: int = 8) -> list[Work]:
    """SqueezeNet 1.0 (Iandola et al., arXiv 1602.07360, table 1)."""
    at = Layers(224, bits=bits).conv(96, 7, 2).pool(3, 2)
    for number, squeeze in enumerate((16, 16, 32, 32, 48, 48, 64, 64)):
        if number in (3, 7):
            at.pool(3, 2)
        at.conv(squeeze)
        at.copy().conv(4 * squeeze)
        at.copy().conv(4 * squeeze, 3)
        at.concatenate(8 * squeeze)
    at.conv(1000)
    return at.pool(at.side, at.side, valid=True).works


def macs(works: list[Work]) -> int:
    """Multiply-accumulates of a network."""
    return sum(work.macs for work in works)
