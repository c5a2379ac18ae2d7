"""No oracle in integers: `arithmetic` is IEEE steps and integer operations of NumPy.

It is compared with ONNX Runtime on random operands instead, in `INSTEAD`.
"""

from typing import Final

INSTEAD: Final = "tests/ops/test_onnx_floats.py"
