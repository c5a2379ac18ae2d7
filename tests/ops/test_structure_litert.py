"""One-op models in LiteRT and in bitlane, every dtype and every output: 0 differing values."""

from collections.abc import Sequence
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
from tests.ops.weighted import PAIRS, convolutions, depthwise, fully_connected, spaced
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


@pytest.mark.parametrize("kind", KINDS)
def test_random_models_equal_the_default_resolver(kind: str, tmp_path: Path) -> None:
    for node in islice(module_of(kind).one_ops(Random(f"{kind} xnnpack"), 20), MODELS):
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


@pytest.mark.parametrize("pair", PAIRS, ids="x".join)
@pytest.mark.parametrize("kind", MAKERS)
def test_weighted_operators_in_the_default_resolver(
    kind: str, pair: tuple[str, str, str], tmp_path: Path
) -> None:
    """Whether XNNPACK takes the node or LiteRT's own kernels: the 8-bit ones know vectors."""
    if kind == "depthwise_conv_2d" and pair in NOT_DEPTHWISE:
        pytest.skip("LiteRT's depthwise convolution does not compute this pair")
    nodes = MAKERS[kind](Random(f"{kind} {pair} xnnpack"), pair)
    for node in islice((node for node in nodes if delegable(node)), 2 * MODELS):
        assert_equal(node, tmp_path, "litert-xnnpack", "BUILTIN")


def delegable(node: OneNode) -> bool:
    """No depthwise node without bias: the delegate crashes.

    No int4 layer with a bias from 2^27: XNNPACK's sums are those of 16 times the weights.
    """
    bias = node.given[2] if len(node.given) > 2 else None
    if bias is None:
        return node.op != "DEPTHWISE_CONV_2D"
    weights = node.inputs[1]
    narrow = node.op == "FULLY_CONNECTED" and weights is not None and weights.dtype == "int4"
    return not narrow or int(np.abs(bias.value).max()) < 2**27


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16"])
def test_spaced_transposed_convolutions(dtype: str, tmp_path: Path) -> None:
    """Strides over the kernel, up to 20 filters: full vectors of them and what is left over."""
    for node in islice(spaced(Random(f"spaced {dtype}"), dtype), MODELS):
        for dialect, resolver in (("litert-ref", "BUILTIN_REF"), ("litert-xnnpack", "BUILTIN")):
            assert_equal(node, tmp_path, dialect, resolver)
