"""One-op models in LiteRT and in bitlane, every dtype and every output: 0 differing values."""

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from random import Random

import numpy as np
import pytest

import workloads
from simulator.execute import run
from simulator.graph import Array
from tests.ops.litert import requires_litert
from tests.ops.structure import OneNode
from tests.ops.test_structure_oracle import KINDS, module_of
from tests.ops.weighted import PAIRS, convolutions, depthwise, fully_connected
from tests.oracle.max_pool_2d import pool_nodes

pytestmark = requires_litert
MODELS = 60
MAKERS = {
    "conv_2d": convolutions,
    "depthwise_conv_2d": depthwise,
    "fully_connected": fully_connected,
}
# LiteRT 2.3.0 refuses a 32-bit bias here, and reads packed int4 weights as bytes.
NOT_DEPTHWISE = (("int16", "int8", "int32"), ("int16", "int4", "int64"), ("int16", "int4", "int32"))


def reference(model: bytes, values: Sequence[Array], resolver: str) -> list[Array]:
    """Every output of `model`, its inputs fed in order."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    interpreter = Interpreter(
        model_content=model,
        experimental_op_resolver_type=getattr(OpResolverType, resolver),
        num_threads=1,
    )
    interpreter.allocate_tensors()
    for detail, value in zip(interpreter.get_input_details(), values, strict=True):
        interpreter.set_tensor(detail["index"], value)
    interpreter.invoke()
    return [interpreter.get_tensor(d["index"]) for d in interpreter.get_output_details()]


def ours(node: OneNode, folder: Path, dialect: str) -> list[Array]:
    """The model written, read back through `workloads.load` and run."""
    path = folder / "one.tflite"
    path.write_bytes(node.model())
    graph = workloads.load(path, dialect)
    outputs, _ = run(graph, dict(zip(graph.inputs, node.fed, strict=True)))
    return [outputs[name] for name in graph.outputs]


def assert_equal(node: OneNode, folder: Path, dialect: str, resolver: str) -> None:
    """No value of any output differs."""
    theirs = reference(node.model(), node.fed, resolver)
    for true, got in zip(theirs, ours(node, folder, dialect), strict=True):
        assert got.dtype == true.dtype
        assert got.shape == true.shape
        if node.op == "SUM" and dialect == "litert-ref" and true.dtype == np.int16:
            # The reference writes the first half of the bytes; the others hold anything.
            got, true = (v.reshape(-1).view(np.uint8)[: v.size] for v in (got, true))
        assert int(np.count_nonzero(got != true)) == 0, node


@pytest.mark.parametrize("kind", KINDS)
def test_random_models_equal_the_reference_kernels(kind: str, tmp_path: Path) -> None:
    for node in islice(module_of(kind).one_ops(Random(f"{kind} litert"), 20), MODELS):
        assert_equal(node, tmp_path, "litert-ref", "BUILTIN_REF")


def test_average_pools_of_every_dtype(tmp_path: Path) -> None:
    for node in islice(pool_nodes(Random("averages"), "AVERAGE_POOL_2D", 20), 3 * MODELS):
        assert_equal(node, tmp_path, "litert-ref", "BUILTIN_REF")


def xnnpack_nodes(kind: str) -> Iterator[OneNode]:
    """Nodes that the delegate takes: no stride larger than the kernel, for one."""
    for node in module_of(kind).one_ops(Random(f"{kind} xnnpack"), 20):
        if kind == "transpose_conv":
            kernel = node.inputs[1].shape[1:3]
            if kernel[0] < node.options["stride_h"] or kernel[1] < node.options["stride_w"]:
                continue
        yield node


@pytest.mark.parametrize("kind", KINDS)
def test_random_models_equal_the_default_resolver(kind: str, tmp_path: Path) -> None:
    for node in islice(xnnpack_nodes(kind), MODELS):
        assert_equal(node, tmp_path, "litert-xnnpack", "BUILTIN")


@pytest.mark.parametrize("pair", PAIRS, ids="x".join)
@pytest.mark.parametrize("kind", MAKERS)
def test_weighted_operators_in_every_width(
    kind: str, pair: tuple[str, str, str], tmp_path: Path
) -> None:
    if kind == "depthwise_conv_2d" and pair in NOT_DEPTHWISE:
        pytest.skip("LiteRT's depthwise convolution does not compute this pair")
    for node in islice(MAKERS[kind](Random(f"{kind} {pair}"), pair), MODELS):
        assert_equal(node, tmp_path, "litert-ref", "BUILTIN_REF")


@pytest.mark.parametrize("dtype", ["int8", "uint8"])
@pytest.mark.parametrize("kind", MAKERS)
def test_weighted_operators_in_xnnpack(kind: str, dtype: str, tmp_path: Path) -> None:
    nodes = MAKERS[kind](Random(f"{kind} {dtype} xnnpack"), (dtype, dtype, "int32"))
    # Without a bias the delegate's depthwise convolution crashes.
    biased = (node for node in nodes if len(node.given) == 3)
    for node in islice(biased, MODELS):
        assert_equal(node, tmp_path, "litert-xnnpack", "BUILTIN")
