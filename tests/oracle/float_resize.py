"""No oracle in integers: `float_resize` interpolates reals.

It is compared with ONNX Runtime on random operands instead, in `INSTEAD`.
"""

from typing import Final

INSTEAD: Final = "tests/test_float_onnx.py"
