"""How many bits are set, or change: one instruction where the kernel is compiled."""

from typing import Any, Final

from simulator.jit import JIT_DISABLED, intrinsic, njit, types


def _twin(value: int) -> int:
    return (int(value) & (2**64 - 1)).bit_count()


def _bit_count(typing: Any, value: Any) -> Any:
    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.ctpop(args[0])

    return types.int64(types.int64), emit


bit_count: Final[Any] = _twin if JIT_DISABLED else intrinsic(_bit_count)
"""Bits set in the two's complement of an int64."""


@njit
def toggled(before: int, after: int, bits: int) -> Any:
    """How many of the low `bits` bits (1 to 64) differ between two values of a register."""
    changed = before ^ after
    return bit_count(changed if bits >= 64 else changed & ((1 << bits) - 1))
