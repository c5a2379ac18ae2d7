"""Learned quantizers in JAX against those in NumPy, and gradients against their formulas."""

from typing import Any

import numpy as np
import pytest

pytest.importorskip("jax", reason="training is tried where the extra `train` is installed")

import jax

from simulator.numeric.levels import CodeSet
from tests.float_builder import RELU, mlp
from tests.train.nets import drawn
from workloads.quantize.lq import RIDGE, LqGrid
from workloads.quantize.quantizer import per_channel
from workloads.train.fakes import TINY
from workloads.train.lq_forward import LqForward
from workloads.train.lq_network import LqNetwork
from workloads.train.lq_quantizers import encode, fitted, gated, moments, planes, rows_of, shaped

SETS: tuple[CodeSet, ...] = ("bipolar", "binary")
families = pytest.mark.parametrize("code_set", SETS)


def found(function: Any, *values: Any) -> Any:
    """The results of a compiled function with x64 enabled, as arrays."""
    with jax.enable_x64(True):
        return jax.tree.map(np.asarray, jax.jit(function)(*values))


@families
@pytest.mark.parametrize("bits", [1, 2, 3, 8])
def test_codes_and_levels_are_the_engines(bits: int, code_set: CodeSet) -> None:
    """On bases of any sign, at every midpoint and a float32 to either side of it."""
    draw = np.random.default_rng(bits)
    bases = draw.integers(-64, 64, (4, bits)) / 16
    grid = LqGrid.of(bases, code_set, per_channel(0))
    reals = np.sort(grid.dequantize(np.tile(np.arange(2**bits), (4, 1))), axis=1)
    middle = ((reals[:, 1:] + reals[:, :-1]) / 2).astype(np.float32)
    sides = [np.nextafter(middle, np.float32(end)) for end in (-99, 99)]
    # Beside 0 lies no normal number: XLA takes it for 0.
    sides = [np.where(middle == 0, np.copysign(TINY, side), side) for side in sides]
    x = np.concatenate([middle, *sides, draw.normal(0, 4, (4, 50)).astype(np.float32)], axis=1)
    codes, levels = found(lambda x, v: encode(x, v, code_set), x, bases)
    np.testing.assert_array_equal(codes, grid.quantize(x))
    np.testing.assert_array_equal(levels, grid.fake_quantize(x))
    each = found(lambda c: planes(c, bits, code_set), codes)
    np.testing.assert_array_equal(np.einsum("jrm,rj->rm", each, bases), levels)


@families
@pytest.mark.parametrize("bits", [1, 2, 4])
def test_fits_are_numpys(bits: int, code_set: CodeSet) -> None:
    """Of weights along another axis; one channel uses one code alone."""
    draw = np.random.default_rng(bits)
    w = draw.laplace(size=(50, 5, 2)).astype(np.float32)
    w[:, 3] = 0.5
    bases = np.abs(draw.normal(size=(5, bits))) * 2.0 ** np.arange(bits)
    grid = LqGrid.of(bases, code_set, per_channel(1))

    def step(w: Any, v: Any, ridge: Any) -> Any:
        codes, _ = encode(rows_of(w, 1), v, code_set)
        return fitted(moments(rows_of(w, 1), codes, bits, code_set), v, ridge)

    with jax.enable_x64(True):
        compiled = jax.jit(step)
        for ridge in (0.0, RIDGE, 0.5):
            expected = grid.fitted(w, grid.quantize(w), ridge).array
            # Where the ridge alone holds a direction, the rounding of B'x grows by 1 / ridge.
            loss = 1e-15 * bits * np.abs(w).sum(axis=(0, 2)).max() / ridge if ridge else 1e-12
            made = np.asarray(compiled(w, bases, ridge))
            np.testing.assert_allclose(made, expected, rtol=1e-10, atol=loss)
    rows = found(lambda w: shaped(rows_of(w, 1), 1, w.shape), w)
    np.testing.assert_array_equal(rows, w)


@pytest.mark.parametrize(
    ("code_set", "passes"), [("binary", [1, 1, 1, 1, 0]), ("bipolar", [0, 1, 1, 1, 0])]
)
def test_gradients_pass_up_to_the_top_level(code_set: CodeSet, passes: list[int]) -> None:
    x = np.array([-4.0, -1.0, 0.5, 3.0, np.nextafter(np.float32(3), np.float32(9))], np.float32)
    gate = jax.grad(lambda x: gated(x, np.array([-3.0, 3.0]), code_set).sum())
    np.testing.assert_array_equal(found(gate, x), passes)


def test_gradients_are_those_of_the_reals_that_codes_stand_for() -> None:
    """Two layers: dL/dW2 = g q(h)', dL/dW1 = (W2' g, where 0 < h <= top) q(x)'; bases get none."""
    w, draw = drawn(0), np.random.default_rng(0)
    held = [(w(12, 8), draw.normal(size=12)), (w(5, 12), draw.normal(size=5))]
    graph = mlp(held)
    assert graph.nodes[0].op.bounds == RELU  # type: ignore[attr-defined]
    hidden = graph.nodes[0].outputs[0]
    names = [node.inputs[1] for node in graph.nodes]
    grids = [
        LqGrid.of(np.abs(draw.normal(size=(n, 2))), "bipolar", per_channel(0)) for n in (12, 5)
    ]
    read = {
        "x": LqGrid.of(np.array([0.4, 1.1]), "bipolar"),
        hidden: LqGrid.of(np.array([0.3, 0.8]), "binary"),
    }
    network = LqNetwork(graph, dict(zip(names, grids, strict=True)), read)
    forward: LqForward = network.forward
    x = draw.normal(size=(6, 1, 8)).astype(np.float32)
    g = draw.normal(size=(6, 1, 5)).astype(np.float32)
    (out,) = graph.outputs

    def loss(constants: Any, bases: Any) -> Any:
        return (forward.run(constants, bases, {"x": x}, (out,))[0][out] * g).sum()

    constants = dict(graph.constants)
    by_weights, by_bases = found(jax.grad(loss, argnums=(0, 1)), constants, network.bases)
    w1, w2 = (grid.fake_quantize(graph.constants[n]) for grid, n in zip(grids, names, strict=True))
    b1 = graph.constants[graph.nodes[0].inputs[2]]
    rows, flat = read["x"].fake_quantize(x.reshape(6, 8)), g.reshape(6, 5)
    h = np.maximum(rows @ w1.T + b1, 0)
    back = (flat @ w2) * ((h > 0) & (h <= 1.1))
    assert (h > 1.1).any()
    assert (h == 0).any()
    np.testing.assert_allclose(
        by_weights[names[1]], flat.T @ read[hidden].fake_quantize(h), rtol=1e-4, atol=1e-5
    )
    np.testing.assert_allclose(by_weights[names[0]], back.T @ rows, rtol=1e-4, atol=1e-5)
    assert not any(v.any() for part in by_bases.values() for v in part.values())
