"""A block of self-attention with its residual sum and normalization, in ONNX."""

from random import Random

import numpy as np

from tests.ops.onnx_runtime import Feeds, model, node
from tests.test_float_onnx import reals

WIDTH, HEADS, TOKENS = 16, 4, 5


def attention(rng: Random) -> tuple[bytes, Feeds]:
    """A real model and an input (1, tokens, width)."""
    constants = {
        **{f"w{k}": reals(rng, (WIDTH, WIDTH), WIDTH) for k in "qkvo"},
        **{f"b{k}": reals(rng, (WIDTH,)) for k in "qkvo"},
        "heads": np.array([1, TOKENS, HEADS, WIDTH // HEADS]),
        "tokens": np.array([1, TOKENS, WIDTH]),
        "scale": np.array((WIDTH / HEADS) ** -0.5, np.float32),
        "gamma": reals(rng, (WIDTH,)),
        "beta": reals(rng, (WIDTH,)),
        "epsilon": np.array(1e-5, np.float32),
        "two": np.array(2, np.float32),
    }
    nodes = []
    for k in "qkv":
        nodes += [
            node("MatMul", ["x", f"w{k}"], [f"{k}0"]),
            node("Add", [f"{k}0", f"b{k}"], [f"{k}1"]),
            node("Reshape", [f"{k}1", "heads"], [f"{k}2"]),
            node("Transpose", [f"{k}2"], [k], perm=[0, 2, 3, 1] if k == "k" else [0, 2, 1, 3]),
        ]
    nodes += [
        node("MatMul", ["q", "k"], ["s0"]),
        node("Mul", ["s0", "scale"], ["s1"]),
        node("Softmax", ["s1"], ["p"], axis=-1),
        node("MatMul", ["p", "v"], ["c0"]),
        node("Transpose", ["c0"], ["c1"], perm=[0, 2, 1, 3]),
        node("Reshape", ["c1", "tokens"], ["c2"]),
        node("MatMul", ["c2", "wo"], ["o0"]),
        node("Add", ["o0", "bo"], ["o1"]),
        node("Add", ["o1", "x"], ["r"]),
        node("ReduceMean", ["r"], ["m"], axes=[-1]),
        node("Sub", ["r", "m"], ["d"]),
        node("Pow", ["d", "two"], ["d2"]),
        node("ReduceMean", ["d2"], ["e0"], axes=[-1]),
        node("Add", ["e0", "epsilon"], ["e1"]),
        node("Sqrt", ["e1"], ["e2"]),
        node("Div", ["d", "e2"], ["n0"]),
        node("Mul", ["n0", "gamma"], ["n1"]),
        node("Add", ["n1", "beta"], ["y"]),
    ]
    shape = (1, TOKENS, WIDTH)
    data = model(nodes, {"x": ("float32", shape)}, {"y": "float32"}, constants, 13)
    return data, {"x": reals(rng, shape)}
