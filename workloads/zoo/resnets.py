"""Residual networks for images, and DenseNet-121."""

from typing import Final

from workloads.zoo.description import Builder, Description

BLOCKS: Final = {
    18: (2, 2, 2, 2),
    34: (3, 4, 6, 3),
    50: (3, 4, 6, 3),
    101: (3, 4, 23, 3),
    152: (3, 8, 36, 3),
}


def resnet_basic(name: str, side: int, depth: int, classes: int) -> Description:
    """ResNet-18 or -34: two 3 x 3 convolutions a block (He et al., arXiv 1512.03385, table 1)."""
    at = Builder(name)
    x = at.pool(at.conv(at.image(side), 64, 7, 2), 3, 2)
    for stage, blocks in enumerate(BLOCKS[depth]):
        for block in range(blocks):
            at.scope = f"stage{stage + 1}_{block}_"
            stride = 2 if block == 0 and stage > 0 else 1
            x = _basic(at, x, 64 * 2**stage, stride, projected=True)
    at.scope = ""
    return at.done(at.classify(x, classes))


def resnet_cifar(name: str, depth: int, classes: int) -> Description:
    """ResNet of 6n + 2 layers for 32 x 32 images (arXiv 1512.03385, section 4.2).

    Shortcuts have no parameters: every second pixel, and zeros for the new channels.
    """
    at = Builder(name)
    x = at.conv(at.image(32), 16, 3)
    for stage in range(3):
        for block in range((depth - 2) // 6):
            at.scope = f"stage{stage + 1}_{block}_"
            stride = 2 if block == 0 and stage > 0 else 1
            x = _basic(at, x, 16 * 2**stage, stride, projected=False)
    at.scope = ""
    return at.done(at.classify(x, classes))


def _basic(at: Builder, x: str, width: int, stride: int, *, projected: bool) -> str:
    shortcut = x
    if stride > 1 or at.channels(x) != width:
        if projected:
            shortcut = at.conv(x, width, 1, stride, activation="NONE")
        else:
            shortcut = at.pad_channels(at.pool(x, 1, stride), width)
    inside = at.conv(at.conv(x, width, 3, stride), width, 3, activation="NONE")
    return at.add(inside, shortcut, "RELU")


def resnet_v1(
    name: str, side: int, depth: int, classes: int, *, first: bool = True, width: float = 1.0
) -> Description:
    """ResNet of 50, 101 or 152 layers (He et al., arXiv 1512.03385, table 1).

    A stage's stride is in its first block's `first` convolution, or, as in version 1.5, in the
    3 x 3 one. Blocks have int(64 width 2^stage) filters (Abdolrashidi et al., arXiv 2105.03536);
    the stem is never scaled.
    """
    at = Builder(name)
    x = at.pool(at.conv(at.image(side), 64, 7, 2), 3, 2)
    for stage, blocks in enumerate(BLOCKS[depth]):
        filters = int(64 * width * 2**stage)
        for block in range(blocks):
            at.scope = f"stage{stage + 1}_{block}_"
            stride = 2 if block == 0 and stage > 0 else 1
            shortcut = x
            if block == 0:
                shortcut = at.conv(x, 4 * filters, 1, stride, activation="NONE")
            inside = at.conv(x, filters, 1, stride if first else 1)
            inside = at.conv(inside, filters, 3, 1 if first else stride)
            x = at.add(at.conv(inside, 4 * filters, activation="NONE"), shortcut, "RELU")
    at.scope = ""
    return at.done(at.classify(x, classes))


def resnet_digits(name: str, width: float, classes: int) -> Description:
    """A bottleneck network for 8 x 8 digits, small enough to be trained at many widths.

    As `resnet_v1` of version 1.5 with two stages of one block, int(6 width 2^stage) filters, a stem
    of 16 that is never scaled, biases and no normalization.
    """
    at = Builder(name, norm="none")
    x = at.conv(at.input((1, 8, 8, 1)), 16, 3, bias=True)
    for stage in range(2):
        at.scope = f"stage{stage + 1}_"
        filters, stride = int(6 * width * 2**stage), 1 + stage
        shortcut = at.conv(x, 4 * filters, 1, stride, bias=True, activation="NONE")
        inside = at.conv(at.conv(x, filters, bias=True), filters, 3, stride, bias=True)
        inside = at.conv(inside, 4 * filters, bias=True, activation="NONE")
        x = at.add(inside, shortcut, "RELU")
    at.scope = ""
    return at.done(at.classify(x, classes))


def resnet_v2(name: str, side: int, depth: int, classes: int) -> Description:
    """ResNet with normalization and RELU before convolutions (He et al., arXiv 1603.05027).

    A stage's stride is in the 3 x 3 convolution of its last block, as in TF-Slim and
    keras.applications, from which the biases are.
    """
    at = Builder(name)
    stem = at.conv(at.image(side), 64, 7, 2, bias=True, norm="none", activation="NONE")
    x = at.pool(stem, 3, 2)
    for stage, blocks in enumerate(BLOCKS[depth]):
        width = 64 * 2**stage
        for block in range(blocks):
            at.scope = f"stage{stage + 1}_{block}_"
            stride = 2 if block == blocks - 1 and stage < 3 else 1
            before = at.normalize(x)
            if block == 0:
                shortcut = at.conv(before, 4 * width, bias=True, norm="none", activation="NONE")
            else:
                shortcut = at.pool(x, 1, stride) if stride > 1 else x
            inside = at.conv(at.conv(before, width), width, 3, stride)
            inside = at.conv(inside, 4 * width, bias=True, norm="none", activation="NONE")
            x = at.add(inside, shortcut)
    at.scope = ""
    return at.done(at.classify(at.normalize(x), classes))


def densenet_121(name: str, side: int, classes: int) -> Description:
    """DenseNet-121, growth rate 32 (Huang et al., arXiv 1608.06993, table 1)."""
    at = Builder(name)
    x = at.pool(at.conv(at.image(side), 64, 7, 2), 3, 2)
    for stage, layers in enumerate((6, 12, 24, 16), 1):
        for layer in range(layers):
            at.scope = f"stage{stage}_{layer}_"
            inside = at.conv(at.normalize(x), 128)
            grown = at.conv(inside, 32, 3, norm="none", activation="NONE")
            x = at.concat((x, grown))
        at.scope = f"transition{stage}_"
        x = at.normalize(x)
        if stage < 4:
            x = at.conv(x, at.channels(x) // 2, norm="none", activation="NONE")
            x = at.pool(x, 2, 2, average=True)
    at.scope = ""
    return at.done(at.classify(x, classes))
