"""MobileNet v1 and v2 at 224 x 224 as works: their published tables of layers."""

from simulator.work import Work

_V1 = [(64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2)] + [(512, 1)] * 5
_V1 += [(1024, 2), (1024, 1)]
# Sandler et al., arXiv 1801.04381, table 2: expansion, channels, repeats, stride.
_V2 = [(1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1)]
_V2 += [(6, 160, 3, 2), (6, 320, 1, 1)]


def _conv(side: int, kernel: int, stride: int, ic: int, oc: int) -> Work:
    out = -(-side // stride)
    return Work(
        oy=out,
        ox=out,
        oc=oc,
        ky=kernel,
        kx=kernel,
        ic=ic,
        stride_y=stride,
        stride_x=stride,
        input_elements=side * side * ic,
        weight_elements=kernel * kernel * ic * oc,
        bias_elements=oc,
        output_elements=out * out * oc,
        requantizations=out * out * oc,
    )


def _depthwise(side: int, stride: int, channels: int) -> Work:
    out = -(-side // stride)
    outputs = out * out * channels
    return Work(
        oy=out,
        ox=out,
        groups=channels,
        ky=3,
        kx=3,
        ic=1,
        stride_y=stride,
        stride_x=stride,
        input_elements=side * side * channels,
        weight_elements=9 * channels,
        bias_elements=channels,
        output_elements=outputs,
        requantizations=outputs,
        depthwise=1,
    )


def _add(elements: int) -> Work:
    return Work(
        input_elements=2 * elements,
        output_elements=elements,
        elementwise=elements,
        requantizations=3 * elements,
    )


def _classifier(side: int, channels: int) -> list[Work]:
    classes, pixels = 1001, side * side * channels
    pool = Work(
        input_elements=pixels,
        output_elements=channels,
        elementwise=pixels,
        requantizations=channels,
    )
    dense = Work(
        oc=classes,
        ky=1,
        kx=1,
        ic=channels,
        input_elements=channels,
        weight_elements=channels * classes,
        bias_elements=classes,
        output_elements=classes,
        requantizations=classes,
    )
    flat = Work(input_elements=classes, output_elements=classes)
    softmax = Work(
        input_elements=classes,
        output_elements=classes,
        elementwise=60 * classes,
        requantizations=classes,
    )
    return [pool, dense, flat, softmax]


def v1() -> list[Work]:
    """MobileNet v1 (Howard et al., arXiv 1704.04861, table 1): 569 million MACs."""
    works, side, channels = [_conv(224, 3, 2, 3, 32)], 112, 32
    for oc, stride in _V1:
        works.append(_depthwise(side, stride, channels))
        side //= stride
        works.append(_conv(side, 1, 1, channels, oc))
        channels = oc
    return works + _classifier(side, channels)


def v2() -> list[Work]:
    """MobileNet v2: 301 million MACs."""
    works, side, channels = [_conv(224, 3, 2, 3, 32)], 112, 32
    for expansion, oc, repeats, first_stride in _V2:
        for repeat in range(repeats):
            stride, ic = (first_stride if repeat == 0 else 1), channels
            if expansion > 1:
                works.append(_conv(side, 1, 1, ic, ic * expansion))
            works.append(_depthwise(side, stride, ic * expansion))
            side //= stride
            works.append(_conv(side, 1, 1, ic * expansion, oc))
            if stride == 1 and ic == oc:
                works.append(_add(side * side * oc))
            channels = oc
    works.append(_conv(side, 1, 1, channels, 1280))
    return works + _classifier(side, 1280)
