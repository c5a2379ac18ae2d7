"""Sums of float32 products by fused multiply-adds in vector lanes, each lane in its own order.

The processor's fused multiply-add rounds once, as IEEE 754 defines it; where it has none,
`simulator.numeric.float_sums` computes the same bits in double.
"""

from typing import Any, Final

import numpy as np

from simulator.jit import cgutils, intrinsic, ir, njit, types
from simulator.numeric.lanes import I32, I64, LANES, ROWS, Vectors, spread

_FLOAT = ir.FloatType()
_FLOATS: Final = ir.VectorType(_FLOAT, LANES)


def _fused_tile(rows: int) -> Any:
    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        v = Vectors(context, builder, signature, args)
        x, starts, offsets, w, out = (v.array(i) for i in (0, 1, 2, 3, 7))
        block = args[5]
        kind = ir.FunctionType(_FLOATS, [_FLOATS] * 3)
        fma = cgutils.get_or_insert_function(builder.module, kind, f"llvm.fma.v{LANES}f32")
        none = ir.Constant(_FLOATS, ir.Undefined)
        lanes = ir.Constant(ir.VectorType(I32, LANES), [0] * LANES)
        first = builder.insert_element(none, args[6], ir.Constant(I32, 0))
        alpha = builder.shuffle_vector(first, none, lanes)
        zero = ir.Constant(_FLOATS, [0.0] * LANES)
        at = [v.load(starts, ir.Constant(I64, r), I64, 8) for r in range(rows)]
        places = [
            builder.add(args[8], builder.mul(args[9], ir.Constant(I64, r))) for r in range(rows)
        ]
        totals = [cgutils.alloca_once_value(builder, v.load(out, p, _FLOATS, 4)) for p in places]
        sums = [cgutils.alloca_once_value(builder, zero) for _ in range(rows)]
        (taps,) = cgutils.unpack_tuple(builder, offsets.shape)
        count = builder.udiv(builder.sub(builder.add(taps, block), ir.Constant(I64, 1)), block)
        with cgutils.for_range(builder, count) as part:
            begin = builder.mul(part.index, block)
            left = builder.sub(taps, begin)
            size = builder.select(builder.icmp_signed("<", left, block), left, block)
            for total in sums:
                builder.store(zero, total)
            with cgutils.for_range(builder, size) as step:
                tap = builder.add(begin, step.index)
                offset = v.load(offsets, tap, I64, 8)
                here = builder.add(args[4], builder.mul(tap, ir.Constant(I64, LANES)))
                weights = v.load(w, here, _FLOATS, 4)
                for row, total in zip(at, sums, strict=True):
                    value = v.load(x, builder.add(row, offset), I32, 4)
                    values = builder.bitcast(spread(builder, value), _FLOATS)
                    more = builder.call(fma, [values, weights, builder.load(total)])
                    builder.store(more, total)
            for part_sum, total in zip(sums, totals, strict=True):
                scaled = builder.call(fma, [alpha, builder.load(part_sum), builder.load(total)])
                builder.store(scaled, total)
        for place, total in zip(places, totals, strict=True):
            target = builder.bitcast(builder.gep(out.data, [place]), _FLOATS.as_pointer())
            builder.store(builder.load(total), target).align = 4
        return context.get_dummy_value()

    def fused(
        typing: Any,
        x: Any,
        starts: Any,
        offsets: Any,
        w: Any,
        w_at: Any,
        block: Any,
        alpha: Any,
        out: Any,
        out_at: Any,
        out_step: Any,
    ) -> Any:
        numbers = (types.int64, types.int64, types.float32)
        return types.void(x, starts, offsets, w, *numbers, out, out_at, out_step), emit

    return intrinsic(fused)


_tile = _fused_tile(ROWS)
_row = _fused_tile(1)


@njit
def _sum_rows(
    x: Any, starts: Any, offsets: Any, w: Any, block: int, alpha: float, out: Any, columns: int
) -> None:
    # A tile goes on from the totals it finds; these and its sums pass through `held`, so that spare
    # lanes touch nothing.
    rows = starts.size
    blocks = (columns + LANES - 1) // LANES
    span = offsets.size * LANES
    held = np.zeros((ROWS, LANES), dtype=np.float32)
    flat = held.reshape(-1)
    for i in range(blocks):
        first = i * LANES
        width = min(LANES, columns - first)
        row = 0
        while row < rows:
            count = ROWS if rows - row >= ROWS else 1
            for r in range(count):
                for c in range(width):
                    held[r, c] = out[(row + r) * columns + first + c]
            here = starts[row:]
            if count == ROWS:
                _tile(x, here, offsets, w, i * span, block, alpha, flat, 0, LANES)
            else:
                _row(x, here, offsets, w, i * span, block, alpha, flat, 0, LANES)
            for r in range(count):
                for c in range(width):
                    out[(row + r) * columns + first + c] = held[r, c]
            row += count


def lane_weights(w: Any) -> Any:
    """W (taps, columns) laid out (blocks, taps, LANES), flat; zeros in the spare lanes."""
    taps, columns = w.shape
    blocks = -(-columns // LANES)
    laid = np.zeros((taps, blocks * LANES), dtype=np.float32)
    laid[:, :columns] = w
    return np.ascontiguousarray(laid.reshape(taps, blocks, LANES).transpose(1, 0, 2)).reshape(-1)


def fused_sums(x: Any, starts: Any, offsets: Any, w: Any, block: int, alpha: Any, out: Any) -> None:
    """out[r, o] += alpha sum over k of x[starts[r] + offsets[k]] w[k, o], blocks of taps in order.

    x flat float32, w as `lane_weights` lays it out, out (rows, columns) contiguous. Only where
    `FUSED_MULTIPLY_ADD`.
    """
    _sum_rows(x, starts, offsets, w, block, np.float32(alpha), out.reshape(-1), out.shape[1])
