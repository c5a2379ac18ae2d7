"""NASNet-A mobile: cells found by search, each fed by the two before it."""

from workloads.zoo.description import Builder, Description


def nasnet_mobile(name: str, side: int, classes: int) -> Description:
    """NASNet-A (4 @ 1056) (Zoph et al., arXiv 1707.07012, figure 4; keras.applications)."""
    at = Builder(name, activation="NONE")
    x = at.conv(at.image(side), 32, 3, 2, padding="VALID")
    before: str | None = None
    cell = 0
    for reduced, filters, repeats in ((11, 0, 0), (22, 44, 4), (88, 88, 4), (176, 176, 4)):
        at.scope = f"cell{cell}_"
        x, before = _reduction(at, x, before, reduced), x
        cell += 1
        for _ in range(repeats):
            at.scope = f"cell{cell}_"
            x, before = _normal(at, x, before, filters), x
            cell += 1
    at.scope = ""
    return at.done(at.classify(_relu(at, x), classes))


def _relu(at: Builder, x: str) -> str:
    return at.pointwise("RELU", x)


def _separable(at: Builder, x: str, filters: int, kernel: int, stride: int = 1) -> str:
    """Twice: RELU, depthwise, pointwise; the stride is the first's."""
    for step in (stride, 1):
        x = at.conv(at.depthwise(_relu(at, x), kernel, step, norm="none"), filters)
    return x


def _fitted(at: Builder, before: str | None, x: str, filters: int) -> str:
    """The output of the cell before the last, brought to the size of the last one's."""
    if before is None:
        return x
    if at.shape(before)[1] != at.shape(x)[1]:
        active = _relu(at, before)
        # The second half sees the image one pixel further: the same shapes.
        halves = [at.pool(active, 1, 2, average=True) for _ in range(2)]
        return at.concat([at.conv(half, filters // 2) for half in halves])
    if at.channels(before) != filters:
        return at.conv(_relu(at, before), filters)
    return before


def _normal(at: Builder, x: str, before: str | None, filters: int) -> str:
    p = _fitted(at, before, x, filters)
    h = at.conv(_relu(at, x), filters)
    sums = [
        at.add(_separable(at, h, filters, 5), _separable(at, p, filters, 3)),
        at.add(_separable(at, p, filters, 5), _separable(at, p, filters, 3)),
        at.add(at.pool(h, 3, 1, average=True), p),
        at.add(at.pool(p, 3, 1, average=True), at.pool(p, 3, 1, average=True)),
        at.add(_separable(at, h, filters, 3), h),
    ]
    return at.concat([p, *sums])


def _reduction(at: Builder, x: str, before: str | None, filters: int) -> str:
    p = _fitted(at, before, x, filters)
    h = at.conv(_relu(at, x), filters)
    first = at.add(_separable(at, h, filters, 5, 2), _separable(at, p, filters, 7, 2))
    second = at.add(at.pool(h, 3, 2), _separable(at, p, filters, 7, 2))
    third = at.add(at.pool(h, 3, 2, average=True), _separable(at, p, filters, 5, 2))
    fourth = at.add(at.pool(first, 3, 1, average=True), second)
    fifth = at.add(_separable(at, first, filters, 3), at.pool(h, 3, 2))
    return at.concat([second, third, fourth, fifth])
