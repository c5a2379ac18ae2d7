"""No oracle in integers: `float_fully_connected` sums reals.

It is compared with LiteRT and with sums in double on random operands instead, in `INSTEAD`.
"""

from typing import Final

INSTEAD: Final = "tests/test_float_tflite.py"
