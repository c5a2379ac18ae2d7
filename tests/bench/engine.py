"""Speed and memory of the engine beside other executors, as ratios from one run on one thread.

Run with ``python -m tests.bench.engine``. Each pair takes turns, the best of several rounds counts
(CPU seconds, so that other work on the machine disturbs little). QONNX needs an environment of its
own: ``BITLANE_QONNX`` names its Python, else that row is left out by name.
"""

import os
import subprocess
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np

import workloads
from simulator.execute import plan_of, run, run_batch
from simulator.graph import Array, Graph
from simulator.numeric.datapath import Datapath
from simulator.numeric.direct import Accumulator, direct_convolution, direct_depthwise
from simulator.numeric.matmul import Window
from tests.bench import qonnx_network
from tests.shared import absence, shared_folder

MODELS: Final = (
    ("ResNet-8", "mlperf_ic_resnet8_int8"),
    ("VWW", "mlperf_vww_mobilenetv1_025_96_int8"),
    ("MobileNetV2-224", "coral_mobilenet_v2_100_224_uint8"),
)
THREADS: Final = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")
ROUNDS: Final = 7
LONGEST: Final = 20.0
"""Seconds after which no further round begins."""
SECONDS: Final = 0.15
"""About how long one round of one program takes."""


def per_call(functions: dict[str, Callable[[], Any]]) -> dict[str, float]:
    """CPU seconds a call of each, the programs in turn, the least of `ROUNDS`."""
    counts = {}
    for name, function in functions.items():
        function()
        started = time.process_time()
        function()
        counts[name] = max(int(SECONDS / max(time.process_time() - started, 1e-6)), 1)
    best = dict.fromkeys(functions, float("inf"))
    begun = time.perf_counter()
    for turn in range(ROUNDS):
        if turn and time.perf_counter() - begun > LONGEST:
            break
        for name, function in functions.items():
            started = time.process_time()
            for _ in range(counts[name]):
                function()
            best[name] = min(best[name], (time.process_time() - started) / counts[name])
    return best


def litert(path: Path, batch: int, x: Array, *, reference: bool) -> Callable[[], None]:
    """One inference of LiteRT on one thread, by its reference kernels or by XNNPACK."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    kernels = OpResolverType.BUILTIN_REF if reference else OpResolverType.AUTO
    runner = Interpreter(str(path), experimental_op_resolver_type=kernels, num_threads=1)
    index = runner.get_input_details()[0]["index"]
    together = x.reshape(batch, *x.shape[2:])
    try:
        runner.resize_tensor_input(index, together.shape)
        runner.allocate_tensors()
        runner.set_tensor(index, together)
        return lambda: runner.invoke()
    except RuntimeError:
        # Its file fixes the shape of a tensor within: samples go one by one.
        runner.resize_tensor_input(index, x.shape[1:])
        runner.allocate_tensors()
        runner.set_tensor(index, x[0])

    def singles() -> None:
        for _ in range(batch):
            runner.invoke()

    return singles


def images(graph: Graph, count: int) -> dict[str, Array]:
    """Random codes, samples in front."""
    (name,) = graph.inputs
    kind = graph.tensors[name]
    span = np.iinfo(kind.dtype)
    rng = np.random.default_rng(0)
    return {
        name: rng.integers(span.min, span.max, (count, *kind.shape), endpoint=True).astype(
            kind.dtype
        )
    }


def networks(folder: Path) -> None:
    """Each network at batch 1 and 64 beside LiteRT's reference kernels and XNNPACK."""
    print(f"{'network':18}{'batch':>6}{'ours':>12}{'BUILTIN_REF':>14}{'XNNPACK':>12}")
    for label, name in MODELS:
        path = folder / "models" / "tflite" / f"{name}.tflite"
        graph = workloads.load(path)
        for batch in (1, 64):
            inputs = images(graph, batch)
            (x,) = inputs.values()
            one = {key: value[0] for key, value in inputs.items()}

            def ours(
                graph: Graph = graph, batch: int = batch, one: Any = one, inputs: Any = inputs
            ) -> None:
                if batch == 1:
                    run(graph, one)
                else:
                    run_batch(graph, inputs)

            programs: dict[str, Callable[[], Any]] = {
                "ours": ours,
                "reference": litert(path, batch, x, reference=True),
                "xnnpack": litert(path, batch, x, reference=False),
            }
            took = per_call(programs)
            ratios = [took[name] / took["ours"] for name in ("reference", "xnnpack")]
            milliseconds = 1e3 * took["ours"] / batch
            print(
                f"{label:18}{batch:6}{milliseconds:9.3f} ms{ratios[0]:11.1f} x{ratios[1]:11.2f} x"
            )
    print("  (ms an inference; then how many times faster than LiteRT's kernels)")


def memory(folder: Path) -> None:
    """Array memory of a batch: the plan's figures, and the peak that Python's arrays reach."""
    print(f"\n{'network':18}{'arena':>10}{'scratch':>10}{'weights':>10}  peak of 1, 16, 64 samples")
    for label, name in MODELS:
        graph = workloads.load(folder / "models" / "tflite" / f"{name}.tflite")
        plan = plan_of(graph, None)
        peaks = []
        for batch in (1, 16, 64):
            inputs = images(graph, batch)
            run_batch(graph, inputs)
            tracemalloc.start()
            outputs, _ = run_batch(graph, inputs)
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
            peaks.append(peak - sum(value.nbytes for value in outputs.values()))
        figures = (plan.arena_bytes, plan.scratch.bytes, plan.weights_bytes)
        cells = "".join(f"{value / 1024:7.0f} kB" for value in figures)
        print(f"{label:18}{cells}  {', '.join(f'{peak / 1024:.0f} kB' for peak in peaks)}")
    print("  (arena, scratch and weights are held by the plan; peaks are what a call adds)")


def saturating() -> None:
    """Multiply-accumulates a second of a 20-bit saturating accumulator."""
    print(f"\n{'20-bit saturating sums':34}{'dot_width 1':>14}{'dot_width 4':>14}")
    rng = np.random.default_rng(1)
    for size, channels, filters, side in (
        (32, 16, 16, 3),
        (8, 64, 64, 3),
        (48, 8, 16, 1),
        (48, 64, 0, 3),
    ):
        shape = (1, size, size, channels)
        window = Window((side, side), (1, 1), (1, 1), (0, 0), (size - side + 1, size - side + 1))
        x = rng.integers(-128, 128, shape).astype(np.int8)
        make = direct_convolution if filters else direct_depthwise
        kernel = (filters, side, side, channels) if filters else (side, side, channels)
        w = rng.integers(-127, 128, kernel).astype(np.int16)
        bias = np.zeros(filters or channels, np.int32)
        rates = []
        for dot_width in (1, 4):
            rule = Accumulator(20, saturates=True, dot_width=dot_width)
            direct = make(shape, w, bias, window, (3, 0), rule)
            took = per_call({"ours": partial(direct.all_sums, x)})["ours"]
            rates.append(direct.rows * w.size / took / 1e9)
        label = f"{size} x {size} x {channels}, {side} x {side}, {filters or 'depthwise'}"
        print(f"{label:34}{rates[0]:9.1f} GMAC/s{rates[1]:7.1f} GMAC/s")


def narrow_network(folder: Path) -> None:
    """A whole network on a 20-bit saturating machine against the graph's own arithmetic."""
    graph = workloads.load(folder / "models" / "tflite" / f"{MODELS[0][1]}.tflite")
    one = {key: value[0] for key, value in images(graph, 1).items()}
    datapath = Datapath(accumulator_bits=20, overflow="saturate")
    took = per_call({"own": lambda: run(graph, one), "narrow": lambda: run(graph, one, datapath)})
    print(
        f"\nResNet-8 on 20 saturating bits: {1e3 * took['narrow']:.3f} ms, "
        f"{took['narrow'] / took['own']:.1f} x its own arithmetic"
    )


def qonnx() -> None:
    """The same W4A4 network beside QONNX's executor, bits compared."""
    python = os.environ.get("BITLANE_QONNX")
    if not python:
        print("\nQONNX left out: set BITLANE_QONNX to a Python with qonnx and onnx 1.19.1")
        return
    import onnx

    with tempfile.TemporaryDirectory() as scratch:
        path, values = Path(scratch) / "network.onnx", Path(scratch) / "input.npy"
        onnx.save(qonnx_network.model(), str(path))
        x = np.random.default_rng(0).normal(0, 1, (1, 3, 32, 32)).astype(np.float32)
        np.save(values, x)
        command = [python, qonnx_network.__file__, str(path), str(values), "5"]
        environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
        done = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
        theirs = float(done.stdout.split()[-1])
        expected = np.load(values.with_suffix(".out.npy"))
        graph = workloads.load(path)
        inputs = {graph.inputs[0]: x}
        outputs, _ = run(graph, inputs)
        differing = int((outputs[graph.outputs[0]] != expected).sum())
        took = per_call({"ours": lambda: run(graph, inputs)})["ours"]
    print(
        f"\nW4A4 of ResNet-8's shape: {1e3 * took:.3f} ms, {theirs / took:.0f} x QONNX's executor "
        f"({1e3 * theirs:.1f} ms); {differing} of {expected.size} outputs differ"
    )


def main() -> None:
    """Print every table, in a process that was started for one thread."""
    if any(os.environ.get(name) != "1" for name in THREADS):
        environment = {**os.environ, **dict.fromkeys(THREADS, "1")}
        subprocess.run([sys.executable, "-m", "tests.bench.engine"], env=environment, check=True)
        return
    folder = shared_folder()
    if folder is None:
        print(absence(), file=sys.stderr)
    else:
        networks(folder)
        memory(folder)
        narrow_network(folder)
    saturating()
    qonnx()


if __name__ == "__main__":
    main()
