"""Networks of convolutions one after the other: AlexNet and VGG, and their forms in LQ-Nets."""

from typing import Final

from workloads.zoo.description import Builder, Description

VGG: Final = {16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}
"""Convolutions of each stage."""


def alexnet(name: str, classes: int) -> Description:
    """AlexNet in its two groups, at 227 (Krizhevsky et al., NIPS 2012, figure 2).

    Local response normalization is left out: it has no multiply-accumulates and no parameters.
    """
    at = Builder(name, norm="none")
    x = at.conv(at.image(227), 96, 11, 4, padding="VALID", bias=True)
    x = at.pool(x, 3, 2, padding="VALID")
    x = at.pool(at.conv(x, 256, 5, groups=2, bias=True), 3, 2, padding="VALID")
    x = at.conv(x, 384, 3, bias=True)
    x = at.conv(x, 384, 3, groups=2, bias=True)
    x = at.pool(at.conv(x, 256, 3, groups=2, bias=True), 3, 2, padding="VALID")
    return at.done(_three_dense(at, x, classes))


def alexnet_one_tower(name: str, classes: int) -> Description:
    """AlexNet without groups, at 224 (Krizhevsky, arXiv 1404.5997; torchvision's)."""
    at = Builder(name, norm="none")
    x = at.conv(at.image(224), 64, 11, 4, padding=(2, 2, 2, 2), bias=True)
    x = at.pool(x, 3, 2, padding="VALID")
    x = at.pool(at.conv(x, 192, 5, bias=True), 3, 2, padding="VALID")
    x = at.conv(at.conv(x, 384, 3, bias=True), 256, 3, bias=True)
    x = at.pool(at.conv(x, 256, 3, bias=True), 3, 2, padding="VALID")
    return at.done(_three_dense(at, x, classes))


def vgg(name: str, side: int, depth: int, classes: int) -> Description:
    """VGG of 16 or 19 layers (Simonyan and Zisserman, arXiv 1409.1556, table 1, D and E)."""
    at = Builder(name, norm="none")
    x = at.image(side)
    for stage, repeats in enumerate(VGG[depth], 1):
        at.scope = f"stage{stage}_"
        for _ in range(repeats):
            x = at.conv(x, min(64 * 2 ** (stage - 1), 512), 3, bias=True)
        x = at.pool(x, 2, 2, padding="VALID")
    at.scope = ""
    return at.done(_three_dense(at, x, classes))


def _three_dense(at: Builder, x: str, classes: int) -> str:
    for _ in range(2):
        x = at.dense(x, 4096, activation="RELU")
    return at.softmax(at.dense(x, classes))


def alexnet_lq(name: str, classes: int) -> Description:
    """AlexNet without groups as in LQ-Nets, normalized (its alexnet_model.py), at 227."""
    at = Builder(name)
    x = at.pool(at.conv(at.image(227), 96, 11, 4, padding="VALID"), 3, 2, padding="VALID")
    x = at.pool(at.conv(x, 256, 5), 3, 2, padding="VALID")
    x = at.conv(at.conv(x, 384, 3), 384, 3)
    x = at.pool(at.conv(x, 256, 3), 3, 2, padding="VALID")
    return at.done(_wide_ends(at, x, classes, 6))


def vgg_variant(name: str, classes: int) -> Description:
    """The VGG variant of LQ-Nets: a 7 x 7 stem, then three stages of three (its vgg_model.py)."""
    at = Builder(name)
    x = at.pool(at.conv(at.image(224), 96, 7, 2), 2, 2, padding="VALID")
    for stage, width in enumerate((256, 512, 512), 2):
        at.scope = f"stage{stage}_"
        for _ in range(3):
            x = at.conv(x, width, 3)
        x = at.pool(x, 2, 2, padding="VALID")
    at.scope = ""
    return at.done(_wide_ends(at, x, classes, 7))


def _wide_ends(at: Builder, x: str, classes: int, taps: int) -> str:
    """Two normalized layers of 4096 as convolutions, then the classifier."""
    x = at.conv(x, 4096, taps, padding="VALID", bias=True)
    x = at.conv(x, 4096, padding="VALID", bias=True)
    return at.softmax(at.dense(x, classes))


def vgg_small(name: str, classes: int) -> Description:
    """The small VGG of LQ-Nets for 32 x 32 images (its cifar10-vgg-small.py)."""
    at = Builder(name)
    x = at.image(32)
    for stage, width in enumerate((128, 256, 512), 1):
        at.scope = f"stage{stage}_"
        x = at.pool(at.conv(at.conv(x, width, 3), width, 3), 2, 2, padding="VALID")
    at.scope = ""
    return at.done(at.softmax(at.dense(x, classes)))
