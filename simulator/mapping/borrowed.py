"""Arrays without a count of references, for kernels that pass them a million times a second.

Numba counts references atomically at each call that it cannot prove harmless, which took longer
than the arithmetic of the mapping search (measured). A borrowed array must not outlive its owner.
"""

from typing import Any, Final

from simulator.jit import JIT_DISABLED, cgutils, intrinsic


def _borrow(typing: Any, array: Any) -> Any:
    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        found = context.make_array(signature.args[0])(context, builder, args[0])
        found.meminfo = cgutils.get_null_value(found.meminfo.type)
        found.parent = cgutils.get_null_value(found.parent.type)
        return found._getvalue()

    return array(array), emit


def _itself(array: Any) -> Any:
    return array


borrowed: Final = _itself if JIT_DISABLED else intrinsic(_borrow)
"""The same array, not counted; itself where Numba is switched off."""
