"""The package's front: everything in it is there, and importing it compiles nothing."""

import subprocess
import sys

import workloads.quantize.ptq as ptq

PROGRAM = """
import gc, sys
import workloads.quantize.ptq
from numba.core.dispatcher import Dispatcher
made = [d.py_func.__name__ for d in gc.get_objects() if isinstance(d, Dispatcher) and d.signatures]
print(made, [name for name in ("scipy.special", "onnx", "jax") if name in sys.modules])
"""


def test_importing_compiles_nothing() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", PROGRAM], capture_output=True, text=True, timeout=120
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "[] []\n", "")


def test_functions_are_not_the_modules_of_their_names() -> None:
    for name in ptq.__all__:
        assert callable(getattr(ptq, name)), name
