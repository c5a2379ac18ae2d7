"""What every sum of a multiplying operator adds: its start and its products, one after the other.

Written from the arithmetic contract and not from the engine. Products come in the order ky, kx,
ic. With `folded`, activations are raw, padding has the value zx, and the start takes
-zx sum(w - zw); else activations are x - zx and padding adds 0.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from tests.oracle.indexing import at, every
from tests.oracle.nested import leaves, shape_of
from tests.oracle.windows import positions

Term = tuple[int, list[int]]
"""Where the accumulator starts, and the products."""
Terms = list[list[Term]]
"""One list of output channels for every output position, as the engine lays accumulators out."""
Pixel = list[int] | None
"""The channels under one tap; None where it is padding."""


def term(xs: Sequence[int | None], ws: Sequence[int], bias: int, zero: int, folded: bool) -> Term:
    """One sum of activations (None: padding) and weights less their zero point."""
    if folded:
        products = [(zero if x is None else x) * w for x, w in zip(xs, ws, strict=True)]
        return bias - zero * sum(ws), products
    return bias, [0 if x is None else (x - zero) * w for x, w in zip(xs, ws, strict=True)]


def _biases(inputs: Sequence[Any], place: int, channels: int) -> list[int]:
    given = inputs[place] if len(inputs) > place else None
    return [0] * channels if given is None else list(given)


def _windows(operator: Any, x: Any, ky: int, kx: int) -> Iterator[list[Pixel]]:
    """The pixels under every window, ky and then kx."""
    (sy, sx), (dy, dx) = operator.stride, operator.dilation
    rows, columns = len(x[0]), len(x[0][0])
    for image in x:
        for top in positions(rows, ky, sy, dy, operator.padding):
            for left in positions(columns, kx, sx, dx, operator.padding):
                taps = [(top + i * dy, left + j * dx) for i in range(ky) for j in range(kx)]
                inside = [r in range(rows) and c in range(columns) for r, c in taps]
                yield [image[r][c] if ok else None for (r, c), ok in zip(taps, inside, strict=True)]


def _channels(pixels: Sequence[Pixel], channels: range) -> list[int | None]:
    return [None if pixel is None else pixel[k] for pixel in pixels for k in channels]


def conv_2d(operator: Any, inputs: Sequence[Any], folded: bool) -> Terms:
    """Block g of filters reads block g of input channels."""
    x, w = inputs[0], inputs[1]
    filters, ky, kx, each = shape_of(w)
    block = filters // (len(x[0][0][0]) // each)
    by, bias = operator.weighted, _biases(inputs, 2, filters)
    zeros = by.weight_zero_points
    found: Terms = []
    for pixels in _windows(operator, x, ky, kx):
        found.append([])
        for o in range(filters):
            first = o // block * each
            ws = [w[o][i][j][k] for i in range(ky) for j in range(kx) for k in range(each)]
            ws = [value - zeros[o % len(zeros)] for value in ws]
            xs = _channels(pixels, range(first, first + each))
            found[-1].append(term(xs, ws, bias[o], by.input_zero_point, folded))
    return found


def depthwise_conv_2d(operator: Any, inputs: Sequence[Any], folded: bool) -> Terms:
    """Filter o reads input channel o // multiplier."""
    x, (w,) = inputs[0], inputs[1]
    ky, kx, filters = shape_of(w)
    multiplier = filters // len(x[0][0][0])
    by, bias = operator.weighted, _biases(inputs, 2, filters)
    zeros = by.weight_zero_points
    found: Terms = []
    for pixels in _windows(operator, x, ky, kx):
        found.append([])
        for o in range(filters):
            ws = [w[i][j][o] - zeros[o % len(zeros)] for i in range(ky) for j in range(kx)]
            xs = _channels(pixels, range(o // multiplier, o // multiplier + 1))
            found[-1].append(term(xs, ws, bias[o], by.input_zero_point, folded))
    return found


def fully_connected(operator: Any, inputs: Sequence[Any], folded: bool) -> Terms:
    """Rows of as many elements as a filter has."""
    x, w = leaves(inputs[0]), inputs[1]
    by, bias, taps = operator.weighted, _biases(inputs, 2, len(w)), len(w[0])
    zeros = by.weight_zero_points
    return [
        [
            term(
                x[first : first + taps],
                [value - zeros[o % len(zeros)] for value in w[o]],
                bias[o],
                by.input_zero_point,
                folded,
            )
            for o in range(len(w))
        ]
        for first in range(0, len(x), taps)
    ]


def batch_matmul(operator: Any, inputs: Sequence[Any], folded: bool) -> Terms:
    """Every row of the first operand; its columns of one batch after the other."""
    x, y = inputs
    by, first, second = operator.weighted, shape_of(x), shape_of(y)
    (zero,) = by.weight_zero_points
    m, k = (first[-1], first[-2]) if operator.adj_x else first[-2:]
    n = second[-2] if operator.adj_w else second[-1]
    lead = tuple(b if a == 1 else a for a, b in zip(first[:-2], second[:-2], strict=True))

    def element(batch: tuple[int, ...], i: int, j: int) -> Term:
        left = tuple(0 if s == 1 else b for b, s in zip(batch, first[:-2], strict=True))
        right = tuple(0 if s == 1 else b for b, s in zip(batch, second[:-2], strict=True))
        xs = [at(x, (*left, t, i) if operator.adj_x else (*left, i, t)) for t in range(k)]
        ws = [at(y, (*right, j, t) if operator.adj_w else (*right, t, j)) for t in range(k)]
        return term(xs, [w - zero for w in ws], 0, by.input_zero_point, folded)

    return [[element(batch, i, j) for batch in every(lead) for j in range(n)] for i in range(m)]


def transpose_conv(operator: Any, inputs: Sequence[Any], folded: bool) -> Terms:
    """Ascending input elements, so descending taps; one that meets no element is as padding."""
    w, x = inputs[1], inputs[2]
    filters, ky, kx, each = shape_of(w)
    by, bias = operator.weighted, _biases(inputs, 3, filters)
    zeros = by.weight_zero_points
    taps = [(i, j) for i in reversed(range(ky)) for j in reversed(range(kx))]
    shifts = [
        _before(size, kernel, stride, operator.padding)
        for size, kernel, stride in zip(operator.size, (ky, kx), operator.stride, strict=True)
    ]
    found: Terms = []
    for image in x:
        for y in range(operator.size[0]):
            for z in range(operator.size[1]):
                pixels = [
                    _reaching(image, operator.stride, (y + shifts[0] - i, z + shifts[1] - j))
                    for i, j in taps
                ]
                xs = _channels(pixels, range(each))
                found.append([])
                for o in range(filters):
                    ws = [w[o][i][j][k] for i, j in taps for k in range(each)]
                    ws = [value - zeros[o % len(zeros)] for value in ws]
                    found[-1].append(term(xs, ws, bias[o], by.input_zero_point, folded))
    return found


def _before(size: int, kernel: int, stride: int, padding: object) -> int:
    """How much of the scatter lies before the output: as the convolution back would pad."""
    if padding == "VALID":
        return 0
    steps = (size + stride - 1) // stride
    return max((steps - 1) * stride + kernel - size, 0) // 2


def _reaching(image: Any, stride: tuple[int, int], place: tuple[int, int]) -> Pixel:
    """The pixel that scatters from `place`, counted in output elements, if one does."""
    (row, y), (column, z) = (divmod(p, s) for p, s in zip(place, stride, strict=True))
    if y or z or row not in range(len(image)) or column not in range(len(image[0])):
        return None
    pixel: list[int] = image[row][column]
    return pixel


TERMS: dict[str, Callable[[Any, Sequence[Any], bool], Terms]] = {
    "conv_2d": conv_2d,
    "depthwise_conv_2d": depthwise_conv_2d,
    "fully_connected": fully_connected,
    "batch_matmul": batch_matmul,
    "transpose_conv": transpose_conv,
}
