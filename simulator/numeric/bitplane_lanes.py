"""Words of one-bit products, and their popcount, side by side in vector lanes.

CHANNELS output channels a vector of 64-bit words; a tile holds the sums of ROWS rows times BLOCKS
such vectors in registers. A vector's popcount is LLVM's own: one instruction where the processor
has it (AVX-512 VPOPCNTDQ), a few elsewhere. Each has a twin in Python that runs where Numba is
switched off. Offsets and steps count elements; nothing is checked: the callers in
`simulator.numeric.bitplane` size every buffer.
"""

from collections.abc import Callable
from typing import Any, Final

import numpy as np

from simulator.jit import JIT_DISABLED, WIDE_VECTORS, cgutils, intrinsic, ir, types
from simulator.numeric.lanes import I32, I64, Vectors

WORD_BITS: Final = 64
CHANNELS: Final = 8
"""Output channels that one vector of words holds."""
ROWS: Final = 4
"""Rows of sums that one tile holds in registers."""
BLOCKS: Final = 4 if WIDE_VECTORS else 1
"""Vectors of sums that one row of a tile holds in registers."""

WORDS: Final = ir.VectorType(I64, CHANNELS)
_SUMS: Final = ir.VectorType(I32, CHANNELS)
_BYTES: Final = ir.VectorType(ir.IntType(8), WORD_BITS)
_FLAGS: Final = ir.VectorType(ir.IntType(1), WORD_BITS)


def _in_every_lane(builder: Any, value: Any, kind: Any) -> Any:
    none = ir.Constant(kind, ir.Undefined)
    first = builder.insert_element(none, value, ir.Constant(I32, 0))
    places = ir.Constant(ir.VectorType(I32, kind.count), [0] * kind.count)
    return builder.shuffle_vector(first, none, places)


def _set_bits(builder: Any, words: Any) -> Any:
    """Bits set in each lane."""
    kind = ir.FunctionType(WORDS, [WORDS])
    count = cgutils.get_or_insert_function(builder.module, kind, "llvm.ctpop.v8i64")
    return builder.call(count, [words])


def _tile_intrinsic(rows: int, blocks: int, *, differ: bool) -> Any:
    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        v = Vectors(context, builder, signature, args)
        x, w, out = v.array(0), v.array(4), v.array(7)
        none = ir.Constant(WORDS, [0] * CHANNELS)
        sums = [
            [cgutils.alloca_once_value(builder, none) for _ in range(blocks)] for _ in range(rows)
        ]

        def steps(first: int, count: int) -> list[Any]:
            return [
                builder.add(args[first], builder.mul(args[first + 1], ir.Constant(I64, k)))
                for k in range(count)
            ]

        x_at, w_at, out_at = steps(1, rows), steps(5, blocks), steps(8, rows)
        logic = builder.xor if differ else builder.and_
        with cgutils.for_range(builder, args[3]) as word:
            lane = builder.mul(word.index, ir.Constant(I64, CHANNELS))
            weights = [v.load(w, builder.add(at, lane), WORDS, 8) for at in w_at]
            for at, totals in zip(x_at, sums, strict=True):
                value = v.load(x, builder.add(at, word.index), I64, 8)
                value = _in_every_lane(builder, value, WORDS)
                for factor, total in zip(weights, totals, strict=True):
                    more = _set_bits(builder, logic(value, factor))
                    builder.store(builder.add(builder.load(total), more), total)
        for at, totals in zip(out_at, sums, strict=True):
            for block, total in enumerate(totals):
                place = builder.gep(out.data, [v.add(at, block * CHANNELS)])
                place = builder.bitcast(place, _SUMS.as_pointer())
                builder.store(builder.trunc(builder.load(total), _SUMS), place).align = 4
        return context.get_dummy_value()

    def tile(
        typing: Any,
        x: Any,
        x_at: Any,
        x_step: Any,
        words: Any,
        w: Any,
        w_at: Any,
        w_step: Any,
        out: Any,
        out_at: Any,
        out_step: Any,
    ) -> Any:
        return types.void(x, x_at, x_step, words, w, w_at, w_step, out, out_at, out_step), emit

    return intrinsic(tile)


def _tile_twin(rows: int, blocks: int, *, differ: bool) -> Callable[..., None]:
    logic = np.bitwise_xor if differ else np.bitwise_and

    def tile(
        x: Any,
        x_at: int,
        x_step: int,
        words: int,
        w: Any,
        w_at: int,
        w_step: int,
        out: Any,
        out_at: int,
        out_step: int,
    ) -> None:
        for r in range(rows):
            begin = x_at + r * x_step
            value = x[begin : begin + words].reshape(words, 1)
            for block in range(blocks):
                first = w_at + block * w_step
                factors = w[first : first + words * CHANNELS].reshape(words, CHANNELS)
                place = out_at + r * out_step + block * CHANNELS
                counts = np.bitwise_count(logic(value, factors))
                out[place : place + CHANNELS] = counts.sum(axis=0, dtype=np.int32)

    return tile


def _pack_lanes(
    typing: Any, codes: Any, codes_at: Any, words: Any, plane: Any, out: Any, out_at: Any
) -> Any:
    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        v = Vectors(context, builder, signature, args)
        source, target = v.array(0), v.array(4)
        bit = builder.shl(ir.Constant(I64, 1), args[3])
        mask = _in_every_lane(builder, builder.trunc(bit, ir.IntType(8)), _BYTES)
        none = ir.Constant(_BYTES, [0] * WORD_BITS)
        with cgutils.for_range(builder, args[2]) as word:
            first = builder.mul(word.index, ir.Constant(I64, WORD_BITS))
            values = v.load(source, builder.add(args[1], first), _BYTES, 1)
            flags = builder.icmp_unsigned("!=", builder.and_(values, mask), none)
            place = builder.gep(target.data, [builder.add(args[5], word.index)])
            builder.store(builder.bitcast(flags, I64), place).align = 8
        return context.get_dummy_value()

    return types.void(codes, codes_at, words, types.int64, out, out_at), emit


def _pack_twin(codes: Any, codes_at: int, words: int, plane: int, out: Any, out_at: int) -> None:
    bits = (codes[codes_at : codes_at + words * WORD_BITS] >> plane) & 1
    out[out_at : out_at + words] = np.packbits(bits, bitorder="little").view("<u8")


_tile: Final = _tile_twin if JIT_DISABLED else _tile_intrinsic

pack_words: Final = _pack_twin if JIT_DISABLED else intrinsic(_pack_lanes)
"""Bit `plane` of 64 uint8 codes a word, `words` words from codes_at on: the first code lowest."""
both_tile: Final = _tile(ROWS, BLOCKS, differ=False)
"""out[r, lanes] = sum over words of popcount(x[r, word] & w[word, lanes]).

Arguments: x uint64 from x_at on, x_step from row to row; words a row; w uint64, a block of CHANNELS
channels (words, CHANNELS) from w_at on, w_step from block to block; out int32 from out_at on,
out_step from row to row.
"""
both_column: Final = _tile(ROWS, 1, differ=False)
"""`both_tile` of a single block."""
both_row: Final = _tile(1, BLOCKS, differ=False)
"""`both_tile` of a single row."""
both_block: Final = _tile(1, 1, differ=False)
"""`both_tile` of a single row and block."""
differ_tile: Final = _tile(ROWS, BLOCKS, differ=True)
"""The same of popcount(x[r, word] ^ w[word, lanes]): the complement of the xnor."""
differ_column: Final = _tile(ROWS, 1, differ=True)
"""`differ_tile` of a single block."""
differ_row: Final = _tile(1, BLOCKS, differ=True)
"""`differ_tile` of a single row."""
differ_block: Final = _tile(1, 1, differ=True)
"""`differ_tile` of a single row and block."""
