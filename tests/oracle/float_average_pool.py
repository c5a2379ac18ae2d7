"""No oracle in integers: `float_average_pool` adds float32 in a vector unit's order.

It is compared with ONNX Runtime on random operands instead, in `INSTEAD`.
"""

from typing import Final

INSTEAD: Final = "tests/ops/test_onnx_floats.py"
