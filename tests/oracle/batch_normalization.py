"""No oracle in integers: `batch_normalization` is float32 steps of reals.

It is compared with ONNX Runtime on random operands instead, in `INSTEAD`.
"""

from typing import Final

INSTEAD: Final = "tests/ops/test_onnx_floats.py"
