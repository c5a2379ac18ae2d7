"""Inception networks for images: GoogLeNet and its variant in LQ-Nets, Inception v3."""

from collections.abc import Callable
from typing import Final

from workloads.zoo.description import Builder, Description

GOOGLENET: Final = (
    (64, 96, 128, 16, 32, 32),
    (128, 128, 192, 32, 96, 64),
    (192, 96, 208, 16, 48, 64),
    (160, 112, 224, 24, 64, 64),
    (128, 128, 256, 24, 64, 64),
    (112, 144, 288, 32, 64, 64),
    (256, 160, 320, 32, 128, 128),
    (256, 160, 320, 32, 128, 128),
    (384, 192, 384, 48, 128, 128),
)
"""Filters of 1 x 1, before 3 x 3, 3 x 3, before 5 x 5, 5 x 5, behind the pool, from 3a to 5b."""
VARIANT: Final = (
    (96, 128, 32),
    (192, 192, 96),
    (256, 208, 48),
    (224, 224, 64),
    (192, 256, 64),
    (176, 288, 64),
    (384, 320, 128),
    (384, 320, 128),
    (512, 384, 128),
)
"""Filters of 1 x 1, 3 x 3 and 5 x 5; those before a 3 x 3 or 5 x 5 are as many."""
_HALVED_AFTER: Final = (1, 6)


def googlenet(name: str, side: int, classes: int) -> Description:
    """GoogLeNet (Szegedy et al., arXiv 1409.4842, table 1), without its auxiliary classifiers.

    Local response normalization is left out: it has no multiply-accumulates and no parameters.
    """
    at = Builder(name, norm="none")
    x = at.pool(at.conv(at.image(side), 64, 7, 2, bias=True), 3, 2)
    x = at.pool(at.conv(at.conv(x, 64, bias=True), 192, 3, bias=True), 3, 2)
    for index, (one, before3, three, before5, five, pooled) in enumerate(GOOGLENET):
        at.scope = f"inception{index + 1}_"
        parts = [at.conv(x, one, bias=True)]
        parts.append(at.conv(at.conv(x, before3, bias=True), three, 3, bias=True))
        parts.append(at.conv(at.conv(x, before5, bias=True), five, 5, bias=True))
        parts.append(at.conv(at.pool(x, 3, 1), pooled, bias=True))
        x = at.concat(parts)
        x = at.pool(x, 3, 2) if index in _HALVED_AFTER else x
    at.scope = ""
    return at.done(at.classify(x, classes))


def googlenet_lq(name: str, side: int, classes: int) -> Description:
    """The GoogLeNet variant of LQ-Nets: no pooled branch, wider 1 x 1 (its googlenet_model.py).

    A normalization behind a pool is folded into the convolution before, where the largest stays
    the largest (a negative scale apart).
    """
    at = Builder(name)
    x = at.pool(at.conv(at.image(side), 64, 7, 2), 3, 2)
    x = at.pool(at.conv(at.conv(x, 192), 192, 3), 3, 2)
    for index, (one, three, five) in enumerate(VARIANT):
        at.scope = f"inception{index + 1}_"
        parts = [at.conv(x, one), at.conv(at.conv(x, three), three, 3)]
        parts.append(at.conv(at.conv(x, five), five, 5))
        if index in _HALVED_AFTER:
            parts = [at.pool(part, 3, 2) for part in parts]
        x = at.concat(parts)
    at.scope = ""
    return at.done(at.classify(x, classes))


def inception_v3(name: str, side: int, classes: int) -> Description:
    """Inception v3 (Szegedy et al., arXiv 1512.00567, as in keras.applications), one classifier.

    Its normalizations have no scale.
    """
    at = Builder(name, norm="shift")
    x = at.conv(at.image(side), 32, 3, 2, padding="VALID")
    x = at.conv(at.conv(x, 32, 3, padding="VALID"), 64, 3)
    x = at.conv(at.pool(x, 3, 2, padding="VALID"), 80, padding="VALID")
    x = at.pool(at.conv(x, 192, 3, padding="VALID"), 3, 2, padding="VALID")
    modules: list[Callable[[str], list[str]]] = []
    modules += [lambda x, p=p: _five(at, x, p) for p in (32, 64, 64)]  # type: ignore[misc]
    modules.append(lambda x: _halve_first(at, x))
    modules += [lambda x, c=c: _seven(at, x, c) for c in (128, 160, 160, 192)]  # type: ignore[misc]
    modules.append(lambda x: _halve_second(at, x))
    modules += [lambda x: _wide(at, x)] * 2
    for index, module in enumerate(modules):
        at.scope = f"mixed{index}_"
        x = at.concat(module(x))
    at.scope = ""
    return at.done(at.classify(x, classes))


def _five(at: Builder, x: str, pooled: int) -> list[str]:
    parts = [at.conv(x, 64), at.conv(at.conv(x, 48), 64, 5)]
    parts.append(at.conv(at.conv(at.conv(x, 64), 96, 3), 96, 3))
    return [*parts, at.conv(at.pool(x, 3, 1, average=True), pooled)]


def _halve_first(at: Builder, x: str) -> list[str]:
    deep = at.conv(at.conv(x, 64), 96, 3)
    parts = [at.conv(x, 384, 3, 2, padding="VALID"), at.conv(deep, 96, 3, 2, padding="VALID")]
    return [*parts, at.pool(x, 3, 2, padding="VALID")]


def _seven(at: Builder, x: str, inner: int) -> list[str]:
    short = at.conv(at.conv(at.conv(x, inner), inner, (1, 7)), 192, (7, 1))
    long = at.conv(at.conv(at.conv(x, inner), inner, (7, 1)), inner, (1, 7))
    long = at.conv(at.conv(long, inner, (7, 1)), 192, (1, 7))
    return [at.conv(x, 192), short, long, at.conv(at.pool(x, 3, 1, average=True), 192)]


def _halve_second(at: Builder, x: str) -> list[str]:
    parts = [at.conv(at.conv(x, 192), 320, 3, 2, padding="VALID")]
    deep = at.conv(at.conv(at.conv(x, 192), 192, (1, 7)), 192, (7, 1))
    parts.append(at.conv(deep, 192, 3, 2, padding="VALID"))
    return [*parts, at.pool(x, 3, 2, padding="VALID")]


def _wide(at: Builder, x: str) -> list[str]:
    wide, deep = at.conv(x, 384), at.conv(at.conv(x, 448), 384, 3)
    parts = [at.conv(part, 384, taps) for part in (wide, deep) for taps in ((1, 3), (3, 1))]
    return [at.conv(x, 320), *parts, at.conv(at.pool(x, 3, 1, average=True), 192)]
