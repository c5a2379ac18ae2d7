"""Sums of int16 products side by side in vector lanes, modulo 2^32.

Numba's loops cannot hold a tile of accumulators in vector registers, so these are written as
vectors of LLVM's own: LANES output channels a vector, several rows or vectors at a time. No
instruction of one processor is named; where there are 16-bit multiply-add pairs, LLVM takes them.
Each has a twin in Python that runs where Numba is switched off. Offsets and steps count elements;
nothing is checked: the callers in `simulator.numeric.direct` size every buffer.
"""

from collections.abc import Callable
from typing import Any, Final

import numpy as np

from simulator.jit import JIT_DISABLED, WIDE_VECTORS, cgutils, intrinsic, ir, types

LANES: Final = 16
"""Output channels that one vector of int32 sums holds."""
ROWS: Final = 8 if WIDE_VECTORS else 4
"""Rows of sums that one tile holds in registers."""
BLOCKS: Final = 4
"""Vectors that one run of `tap_tile` holds in registers."""

I16, I32, I64 = ir.IntType(16), ir.IntType(32), ir.IntType(64)
SUMS: Final = ir.VectorType(I32, LANES)
_PAIRS: Final = ir.VectorType(I16, 2 * LANES)
_PRODUCTS: Final = ir.VectorType(I32, 2 * LANES)
HALF: Final = ir.VectorType(I16, LANES)


def _lanes(indices: Any) -> Any:
    return ir.Constant(ir.VectorType(I32, LANES), list(indices))


def spread(builder: Any, value: Any) -> Any:
    """An int32 in every lane."""
    none = ir.Constant(SUMS, ir.Undefined)
    first = builder.insert_element(none, value, ir.Constant(I32, 0))
    return builder.shuffle_vector(first, none, _lanes([0] * LANES))


class Vectors:
    """Emits loads, stores and products of vectors for one call of an intrinsic."""

    def __init__(self, context: Any, builder: Any, signature: Any, args: Any) -> None:
        self.context, self.builder, self.signature, self.args = context, builder, signature, args

    def array(self, index: int) -> Any:
        """Argument `index` as an array."""
        make = self.context.make_array(self.signature.args[index])
        return make(self.context, self.builder, self.args[index])

    def load(self, array: Any, at: Any, kind: Any, align: int) -> Any:
        """A value of `kind` from element `at` on."""
        place = self.builder.gep(array.data, [at])
        value = self.builder.load(self.builder.bitcast(place, kind.as_pointer()))
        value.align = align
        return value

    def store(self, value: Any, array: Any, at: Any) -> None:
        """Write a vector of sums from element `at` on."""
        place = self.builder.gep(array.data, [at])
        self.builder.store(value, self.builder.bitcast(place, SUMS.as_pointer())).align = 4

    def add(self, value: Any, step: int) -> Any:
        """`value` + `step`."""
        return self.builder.add(value, ir.Constant(I64, step))

    def pair_products(self, pair: Any, weights: Any) -> Any:
        """x0 w[2 i] + x1 w[2 i + 1] in lane i, for a pair (x0, x1) in one int32."""
        b = self.builder
        pairs = b.bitcast(spread(b, pair), _PAIRS)
        products = b.mul(b.sext(pairs, _PRODUCTS), b.sext(weights, _PRODUCTS))
        none = ir.Constant(_PRODUCTS, ir.Undefined)
        even = b.shuffle_vector(products, none, _lanes(range(0, 2 * LANES, 2)))
        odd = b.shuffle_vector(products, none, _lanes(range(1, 2 * LANES, 2)))
        return b.add(even, odd)


def _dot_intrinsic(rows: int) -> Any:
    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        v = Vectors(context, builder, signature, args)
        x, starts, segments, w, bias, out = (v.array(i) for i in (0, 1, 2, 4, 6, 8))
        first = v.load(bias, args[7], SUMS, 4)
        sums = [cgutils.alloca_once_value(builder, first) for _ in range(rows)]
        at = [v.load(starts, ir.Constant(I64, r), I64, 8) for r in range(rows)]
        taps = cgutils.alloca_once_value(builder, args[5])
        (count,) = cgutils.unpack_tuple(builder, segments.shape)
        with cgutils.for_range(builder, count) as segment:
            offset = v.load(segments, segment.index, I64, 8)
            begin = [builder.add(row, offset) for row in at]
            with cgutils.for_range(builder, args[3]) as pair:
                here = builder.load(taps)
                weights = v.load(w, here, _PAIRS, 2)
                builder.store(v.add(here, 2 * LANES), taps)
                step = builder.shl(pair.index, ir.Constant(I64, 1))
                for row, total in zip(begin, sums, strict=True):
                    values = v.load(x, builder.add(row, step), I32, 2)
                    more = v.pair_products(values, weights)
                    builder.store(builder.add(builder.load(total), more), total)
        for r, total in enumerate(sums):
            step = builder.mul(args[10], ir.Constant(I64, r))
            v.store(builder.load(total), out, builder.add(args[9], step))
        return context.get_dummy_value()

    def dot(
        typing: Any,
        x: Any,
        starts: Any,
        segments: Any,
        pairs: Any,
        w: Any,
        w_at: Any,
        bias: Any,
        bias_at: Any,
        out: Any,
        out_at: Any,
        out_step: Any,
    ) -> Any:
        return types.void(
            x, starts, segments, pairs, w, w_at, bias, bias_at, out, out_at, out_step
        ), emit

    return intrinsic(dot)


def _tap_intrinsic(blocks: int) -> Any:
    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        v = Vectors(context, builder, signature, args)
        x, taps, w, bias, out = (v.array(i) for i in (0, 2, 3, 5, 7))
        steps = [LANES * block for block in range(blocks)]
        sums = [
            cgutils.alloca_once_value(builder, v.load(bias, v.add(args[6], s), SUMS, 4))
            for s in steps
        ]
        row = cgutils.alloca_once_value(builder, args[6])
        (count,) = cgutils.unpack_tuple(builder, taps.shape)
        with cgutils.for_range(builder, count) as tap:
            offset = builder.add(args[1], v.load(taps, tap.index, I64, 8))
            weights = builder.load(row)
            builder.store(builder.add(weights, args[4]), row)
            for step, total in zip(steps, sums, strict=True):
                values = builder.sext(v.load(x, v.add(offset, step), HALF, 2), SUMS)
                factors = builder.sext(v.load(w, v.add(weights, step), HALF, 2), SUMS)
                more = builder.mul(values, factors)
                builder.store(builder.add(builder.load(total), more), total)
        for step, total in zip(steps, sums, strict=True):
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
    ) -> Any:
        return types.void(x, x_at, taps, w, w_step, bias, at, out, out_at), emit

    return intrinsic(tap)


def _centre_lanes(
    typing: Any, x: Any, x_at: Any, count: Any, zero: Any, out: Any, out_at: Any
) -> Any:
    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        v = Vectors(context, builder, signature, args)
        source, target = v.array(0), v.array(4)
        code = ir.IntType(signature.args[0].dtype.bitwidth)
        extend = builder.sext if signature.args[0].dtype.signed else builder.zext
        zero = builder.trunc(args[3], I16)
        done: Any = ir.Constant(I64, 0)
        for width in (2 * LANES, LANES // 2, 1):
            left = builder.sub(args[2], done)
            kind, wide = ir.VectorType(code, width), ir.VectorType(I16, width)
            runs = builder.udiv(left, ir.Constant(I64, width))
            zeros = ir.Constant(wide, ir.Undefined)
            for lane in range(width):
                zeros = builder.insert_element(zeros, zero, ir.Constant(I32, lane))
            with cgutils.for_range(builder, runs) as run:
                at = builder.add(done, builder.mul(run.index, ir.Constant(I64, width)))
                value = v.load(source, builder.add(args[1], at), kind, code.width // 8)
                value = extend(value, wide) if code.width < 16 else value
                place = builder.gep(target.data, [builder.add(args[5], at)])
                place = builder.bitcast(place, wide.as_pointer())
                builder.store(builder.sub(value, zeros), place).align = 2
            done = builder.add(done, builder.mul(runs, ir.Constant(I64, width)))
        return context.get_dummy_value()

    return types.void(x, x_at, count, types.int64, out, out_at), emit


def _centre_twin(x: Any, x_at: int, count: int, zero: int, out: Any, out_at: int) -> None:
    values = x[x_at : x_at + count].astype(np.int32) - np.int32(zero)
    out[out_at : out_at + count] = values.astype(np.int16)


def _wrapped(total: Any) -> Any:
    return ((total + 2**31) % 2**32 - 2**31).astype(np.int32)


def _dot_twin(rows: int) -> Callable[..., None]:
    def dot(
        x: Any,
        starts: Any,
        segments: Any,
        pairs: int,
        w: Any,
        w_at: int,
        bias: Any,
        bias_at: int,
        out: Any,
        out_at: int,
        out_step: int,
    ) -> None:
        taps = 2 * pairs
        block = w[w_at : w_at + segments.size * pairs * 2 * LANES].astype(np.int64)
        block = block.reshape(segments.size, pairs, LANES, 2)
        for r in range(rows):
            total = bias[bias_at : bias_at + LANES].astype(np.int64)
            for s, segment in enumerate(segments):
                begin = starts[r] + segment
                values = x[begin : begin + taps].astype(np.int64).reshape(pairs, 1, 2)
                total = total + (block[s] * values).sum(axis=(0, 2))
            place = out_at + r * out_step
            out[place : place + LANES] = _wrapped(total)

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
    ) -> None:
        span = blocks * LANES
        total = bias[at : at + span].astype(np.int64)
        for t, offset in enumerate(taps):
            begin, row = x_at + offset, at + t * w_step
            values = x[begin : begin + span].astype(np.int64)
            total = total + values * w[row : row + span].astype(np.int64)
        out[out_at : out_at + span] = _wrapped(total)

    return tap


centre: Final = _centre_twin if JIT_DISABLED else intrinsic(_centre_lanes)
"""out[out_at + i] = x[x_at + i] - zero as int16, for i below `count`; x of 8 or 16 bits."""
dot_tile: Final = (_dot_twin if JIT_DISABLED else _dot_intrinsic)(ROWS)
"""out[r, lanes] = bias[lanes] + sum over s, p of x[starts[r] + segments[s] + p] w[s, p, lanes].

Arguments: x int16; starts int64 (ROWS,); segments int64; pairs of taps a segment; w int16 laid out
(segments, pairs, LANES, 2) from w_at on; bias int32 from bias_at on; out int32 from out_at on,
out_step from row to row.
"""
dot_row: Final = (_dot_twin if JIT_DISABLED else _dot_intrinsic)(1)
"""`dot_tile` of a single row."""
tap_tile: Final = (_tap_twin if JIT_DISABLED else _tap_intrinsic)(BLOCKS)
"""out[i] = bias[at + i] + sum over t of x[x_at + taps[t] + i] w[at + t w_step + i].

For i below BLOCKS * LANES: every lane has its own operand, as in a depthwise convolution.
"""
tap_block: Final = (_tap_twin if JIT_DISABLED else _tap_intrinsic)(1)
"""`tap_tile` of a single vector."""
