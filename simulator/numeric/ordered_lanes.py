"""Saturating sums in vector lanes: each lane adds its own products in their order.

As `simulator.numeric.lanes`, with a clamp after every `dot_width` products. int32 holds them: the
callers have bounded accumulator plus one exact dot product.
"""

from collections.abc import Callable
from typing import Any, Final

import numpy as np

from simulator.jit import JIT_DISABLED, cgutils, intrinsic, ir, types
from simulator.numeric.lanes import BLOCKS, HALF, I16, I64, LANES, ROWS, SUMS, Vectors, spread


class _Sums:
    """Accumulators and open dot products of one tile, and how they close."""

    def __init__(self, vectors: Vectors, starts: list[Any], limits: Any, dot_width: Any) -> None:
        builder = vectors.builder
        self.builder, self.dot_width = builder, dot_width
        self.low = spread(builder, vectors.load(limits, ir.Constant(I64, 0), SUMS.element, 4))
        self.high = spread(builder, vectors.load(limits, ir.Constant(I64, 1), SUMS.element, 4))
        zero = ir.Constant(SUMS, None)
        self.totals = [cgutils.alloca_once_value(builder, self._clamped(s)) for s in starts]
        self.dots = [cgutils.alloca_once_value(builder, zero) for _ in starts]
        self.open = cgutils.alloca_once_value(builder, ir.Constant(I64, 0))

    def _clamped(self, value: Any) -> Any:
        b = self.builder
        value = b.select(b.icmp_signed("<", value, self.high), value, self.high)
        return b.select(b.icmp_signed(">", value, self.low), value, self.low)

    def take(self, products: list[Any]) -> None:
        """Add one product to every open dot product; close them after `dot_width`."""
        b = self.builder
        for product, dot in zip(products, self.dots, strict=True):
            b.store(b.add(b.load(dot), product), dot)
        count = b.add(b.load(self.open), ir.Constant(I64, 1))
        b.store(count, self.open)
        with b.if_then(b.icmp_signed("==", count, self.dot_width), likely=True):
            self.close()

    def close(self) -> None:
        """Add the dot products to the accumulators and clamp these."""
        b = self.builder
        for total, dot in zip(self.totals, self.dots, strict=True):
            b.store(self._clamped(b.add(b.load(total), b.load(dot))), total)
            b.store(ir.Constant(SUMS, None), dot)
        b.store(ir.Constant(I64, 0), self.open)


def _ordered_dot(rows: int) -> Any:
    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        v = Vectors(context, builder, signature, args)
        x, starts, segments, w, bias, out, limits = (v.array(i) for i in (0, 1, 2, 4, 6, 8, 11))
        first = v.load(bias, args[7], SUMS, 4)
        sums = _Sums(v, [first] * rows, limits, args[12])
        at = [v.load(starts, ir.Constant(I64, r), I64, 8) for r in range(rows)]
        taps = cgutils.alloca_once_value(builder, args[5])
        (count,) = cgutils.unpack_tuple(builder, segments.shape)
        with cgutils.for_range(builder, count) as segment:
            offset = v.load(segments, segment.index, I64, 8)
            begin = [builder.add(row, offset) for row in at]
            with cgutils.for_range(builder, args[3]) as tap:
                here = builder.load(taps)
                weights = builder.sext(v.load(w, here, HALF, 2), SUMS)
                builder.store(v.add(here, LANES), taps)
                values = [v.load(x, builder.add(row, tap.index), I16, 2) for row in begin]
                wide = [spread(builder, builder.sext(value, SUMS.element)) for value in values]
                sums.take([builder.mul(value, weights) for value in wide])
        sums.close()
        for r, total in enumerate(sums.totals):
            step = builder.mul(args[10], ir.Constant(I64, r))
            v.store(builder.load(total), out, builder.add(args[9], step))
        return context.get_dummy_value()

    def dot(
        typing: Any,
        x: Any,
        starts: Any,
        segments: Any,
        run: Any,
        w: Any,
        w_at: Any,
        bias: Any,
        bias_at: Any,
        out: Any,
        out_at: Any,
        out_step: Any,
        limits: Any,
        dot_width: Any,
    ) -> Any:
        arrays = (x, starts, segments, run, w, w_at, bias, bias_at, out, out_at, out_step, limits)
        return types.void(*arrays, types.int64), emit

    return intrinsic(dot)


def _ordered_tap(blocks: int) -> Any:
    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        v = Vectors(context, builder, signature, args)
        x, taps, w, bias, out, limits = (v.array(i) for i in (0, 2, 3, 5, 7, 9))
        steps = [LANES * block for block in range(blocks)]
        begins = [v.load(bias, v.add(args[6], step), SUMS, 4) for step in steps]
        sums = _Sums(v, begins, limits, args[10])
        row = cgutils.alloca_once_value(builder, args[6])
        (count,) = cgutils.unpack_tuple(builder, taps.shape)
        with cgutils.for_range(builder, count) as tap:
            offset = builder.add(args[1], v.load(taps, tap.index, I64, 8))
            weights = builder.load(row)
            builder.store(builder.add(weights, args[4]), row)
            products = []
            for step in steps:
                values = builder.sext(v.load(x, v.add(offset, step), HALF, 2), SUMS)
                factors = builder.sext(v.load(w, v.add(weights, step), HALF, 2), SUMS)
                products.append(builder.mul(values, factors))
            sums.take(products)
        sums.close()
        for step, total in zip(steps, sums.totals, strict=True):
            v.store(builder.load(total), out, v.add(args[8], step))
        return context.get_dummy_value()

    def tap(
        typing: Any,
        x: Any,
        x_at: Any,
        taps: Any,
        w: Any,
        w_step: Any,
        bias: Any,
        at: Any,
        out: Any,
        out_at: Any,
        limits: Any,
        dot_width: Any,
    ) -> Any:
        arrays = (x, x_at, taps, w, w_step, bias, at, out, out_at, limits)
        return types.void(*arrays, types.int64), emit

    return intrinsic(tap)


def _summed(bias: Any, products: Any, limits: Any, dot_width: int) -> Any:
    """Products (taps, lanes) added in order to the bias (lanes,), clamped as they go."""
    total = np.clip(bias.astype(np.int64), *limits)
    for start in range(0, len(products), dot_width):
        total = np.clip(total + products[start : start + dot_width].sum(axis=0), *limits)
    return total.astype(np.int32)


def _dot_twin(rows: int) -> Callable[..., None]:
    def dot(
        x: Any,
        starts: Any,
        segments: Any,
        run: int,
        w: Any,
        w_at: int,
        bias: Any,
        bias_at: int,
        out: Any,
        out_at: int,
        out_step: int,
        limits: Any,
        dot_width: int,
    ) -> None:
        taps = segments.size * run
        block = w[w_at : w_at + taps * LANES].astype(np.int64).reshape(taps, LANES)
        for r in range(rows):
            places = starts[r] + np.repeat(segments, run) + np.tile(np.arange(run), segments.size)
            products = x[places].astype(np.int64)[:, None] * block
            place = out_at + r * out_step
            first = bias[bias_at : bias_at + LANES]
            out[place : place + LANES] = _summed(first, products, limits, dot_width)

    return dot


def _tap_twin(blocks: int) -> Callable[..., None]:
    def tap(
        x: Any,
        x_at: int,
        taps: Any,
        w: Any,
        w_step: int,
        bias: Any,
        at: int,
        out: Any,
        out_at: int,
        limits: Any,
        dot_width: int,
    ) -> None:
        lanes = np.arange(blocks * LANES)
        values = x[x_at + taps[:, None] + lanes].astype(np.int64)
        rows = w[at + np.arange(taps.size)[:, None] * w_step + lanes].astype(np.int64)
        first = bias[at : at + lanes.size]
        out[out_at : out_at + lanes.size] = _summed(first, values * rows, limits, dot_width)

    return tap


ordered_dot_tile: Final = (_dot_twin if JIT_DISABLED else _ordered_dot)(ROWS)
"""`lanes.dot_tile` in order: w laid out (segments, run, LANES); then limits, int32 (least,
greatest), and the products that are summed before each clamp."""
ordered_dot_row: Final = (_dot_twin if JIT_DISABLED else _ordered_dot)(1)
"""`ordered_dot_tile` of a single row."""
ordered_tap_tile: Final = (_tap_twin if JIT_DISABLED else _ordered_tap)(BLOCKS)
"""`lanes.tap_tile` in order, with limits and dot width as `ordered_dot_tile`."""
ordered_tap_block: Final = (_tap_twin if JIT_DISABLED else _ordered_tap)(1)
"""`ordered_tap_tile` of a single vector."""
