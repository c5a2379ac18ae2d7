"""No oracle in integers: `float_conv_2d` is float32 sums in MLAS's order.

It is compared with ONNX Runtime on random operands instead, in `INSTEAD`.
"""

from typing import Final

INSTEAD: Final = "tests/ops/test_onnx_floats.py"
