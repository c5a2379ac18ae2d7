"""Rates of bit-plane products beside int16 pairs, int8 and float32 BLAS, as ratios of one run.

Run with ``python -m tests.bench.bitplane``: one thread, the programs in turn, the best of several
rounds. Rates count products of whole codes, a K_w x K_a bit one being K_w K_a one-bit ones. Sums
are compared before they are timed.
"""

import os
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from typing import Any, Final

import numpy as np

from simulator.graph import Array
from simulator.numeric.bitplane import Planes, pack, plane_dots, weighted_dots
from simulator.numeric.datapath import GRAPH_DATAPATH
from simulator.numeric.direct import WRAP_32, direct_convolution
from simulator.numeric.matmul import Window, matmul
from tests.bench.engine import THREADS, per_call

SIDE: Final = 1024
"""Rows and channels of every product."""
DEPTHS: Final = (1024, 2048, 4096)
"""Taps of every sum."""
WIDTHS: Final = ((1, 1), (1, 2), (2, 2), (3, 3), (4, 4))
"""Bits of weights and activations."""


def signs(codes: Array, dtype: str) -> Array:
    """-1 or 1 for each code of one bit."""
    return np.ascontiguousarray((2 * codes.astype(np.int64) - 1).astype(dtype))


def runtime(x: Array, w: Array) -> Callable[[], Any] | None:
    """ONNX Runtime's MatMulInteger of u8 x s8 on one thread; None where it is not installed."""
    try:
        import onnxruntime
    except ImportError:
        return None
    from onnx import TensorProto, helper, numpy_helper

    graph = helper.make_graph(
        [helper.make_node("MatMulInteger", ["x", "w"], ["y"])],
        "one",
        [helper.make_tensor_value_info("x", TensorProto.UINT8, x.shape)],
        [helper.make_tensor_value_info("y", TensorProto.INT32, (len(x), len(w)))],
        [numpy_helper.from_array(np.ascontiguousarray(w.T), "w")],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        made.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return lambda: session.run(None, {"x": x})[0]


def others(x: Array, w: Array) -> dict[str, Callable[[], Any]]:
    """Products of the same codes as integers and as reals, each operand in its own form."""
    x16, w16, none = signs(x, "int16"), signs(w, "int16"), np.zeros(SIDE, np.int32)
    image = signs(x, "int8").reshape(1, SIDE, 1, -1)
    window = Window((1, 1), (1, 1), (1, 1), (0, 0), (SIDE, 1))
    filters = w16.reshape(SIDE, 1, 1, -1)
    direct = direct_convolution(image.shape, filters, none, window, (0, 0), WRAP_32)
    x32, w32 = signs(x, "float32"), np.ascontiguousarray(signs(w, "float32").T)
    programs: dict[str, Callable[[], Any]] = {
        "int16 pairs": partial(matmul, x16, w16, none, GRAPH_DATAPATH),
        "int8 lanes": partial(direct.all_sums, image),
        "float32 BLAS": lambda: x32 @ w32,
    }
    theirs = runtime(x, signs(w, "int8"))
    if theirs is not None:
        programs["int8 runtime"] = theirs
    return programs


def one_bit(taps: int) -> None:
    """One row of the first table: 1 x 1 bits, packed before and packed within."""
    rng = np.random.default_rng(taps)
    x, w = (rng.integers(0, 2, (SIDE, taps), np.uint8) for _ in range(2))
    packed, filters = pack(x, 1, "bipolar"), pack(w, 1, "bipolar")
    programs = {
        "bit planes": lambda: plane_dots(packed, filters, 0, 0),
        "with packing": lambda: plane_dots(pack(x, 1, "bipolar"), filters, 0, 0),
        **others(x, w),
    }
    expected = programs["int16 pairs"]()
    for name in ("bit planes", "with packing", "int8 lanes", "float32 BLAS"):
        assert np.array_equal(programs[name]().reshape(SIDE, SIDE), expected), name
    took = per_call(programs)
    rates = {name: SIDE * SIDE * taps / seconds / 1e9 for name, seconds in took.items()}
    if taps == DEPTHS[0]:
        print(f"{'GMAC/s of 1 x 1 bits':24}" + "".join(f"{name:>14}" for name in rates))
    print(f"{f'{SIDE} x {SIDE} x {taps}':24}" + "".join(f"{r:14.1f}" for r in rates.values()))
    ours = rates["bit planes"]
    print(f"{'  times as fast':24}" + "".join(f"{ours / r:13.1f}x" for r in rates.values()))


def planes(codes: Array, bits: int) -> Planes:
    """Codes of {-1, 1}."""
    return pack(codes, bits, "bipolar")


def several_bits(taps: int) -> None:
    """The real dots of learned bases, beside float32 BLAS on the values and int16 pairs."""
    print(f"\n{f'real dots, {taps} taps':24}{'GMAC/s':>10}{'of BLAS':>10}{'of pairs':>10}")
    rng = np.random.default_rng(taps)
    reals = rng.normal(size=(SIDE, taps)).astype(np.float32)
    levels = rng.integers(-9, 9, (SIDE, taps), np.int16)
    none = np.zeros(SIDE, np.int32)
    for wide, narrow in WIDTHS:
        x = rng.integers(0, 2**narrow, (SIDE, taps), np.uint8)
        filters = planes(rng.integers(0, 2**wide, (SIDE, taps), np.uint8), wide)
        u, v = rng.normal(size=narrow), rng.normal(size=(SIDE, wide))

        def ours(
            x: Array = x, filters: Planes = filters, bits: int = narrow, u: Any = u, v: Any = v
        ) -> Array:
            return weighted_dots(pack(x, bits, "binary"), filters, u, v)

        took = per_call(
            {
                "ours": ours,
                "blas": lambda: reals @ reals.T,
                "pairs": lambda: matmul(levels, levels, none, GRAPH_DATAPATH),
            }
        )
        rate = SIDE * SIDE * taps / took["ours"] / 1e9
        ratios = "".join(f"{took[name] / took['ours']:9.1f}x" for name in ("blas", "pairs"))
        print(f"{f'  {wide} x {narrow} bits':24}{rate:10.1f}{ratios}")


def main() -> None:
    """Print both tables, in a process that was started for one thread."""
    if any(os.environ.get(name) != "1" for name in THREADS):
        environment = {**os.environ, **dict.fromkeys(THREADS, "1")}
        subprocess.run([sys.executable, "-m", "tests.bench.bitplane"], env=environment, check=True)
        return
    for taps in DEPTHS:
        one_bit(taps)
    several_bits(DEPTHS[0])


if __name__ == "__main__":
    main()
