"""No oracle in integers: `float_unary` is functions of reals.

It is compared with ONNX Runtime on random operands instead, in `INSTEAD`.
"""

from typing import Final

INSTEAD: Final = "tests/ops/test_onnx_floats.py"
