"""Operators on learned bases against planes one bit at a time: 0 differing values."""

import importlib
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from random import Random
from typing import Any, cast

import numpy as np
import pytest

from simulator.errors import IllegalGraph, IllegalValues, Unsupported
from simulator.graph import Array, TensorType
from simulator.learned import LearnedProduct
from simulator.numeric.datapath import GRAPH_DATAPATH, Basis, Datapath, Overflow
from tests.ops.grids import Case, decoded, kind
from tests.oracle.learned import accumulated, bounded, fixed, widest_fraction
from tests.oracle.singles import exact, single

PRODUCTS = ("lq_conv_2d", "lq_fully_connected")
KINDS = (*PRODUCTS, "lq_quantize")


def module_of(kind: str) -> Any:
    return importlib.import_module(f"tests.oracle.{kind}")


def trials(kind: str, count: int, seed: str = "") -> Iterator[Case]:
    return islice(module_of(kind).cases(Random(f"{kind} {seed}")), count)


def nested(values: tuple[Array | None, ...]) -> list[Any]:
    return [None if value is None else value.tolist() for value in values]


@pytest.mark.parametrize("kind", KINDS)
def test_operator_equals_its_oracle(kind: str) -> None:
    seen = set()
    for number, (operator, types, values) in enumerate(trials(kind, 90)):
        (got,) = operator.run(values, GRAPH_DATAPATH)
        (shape,) = operator.infer(types)
        flat, true_shape = module_of(kind).oracle(operator, nested(values))
        assert got.shape == shape == true_shape, f"case {number}: {operator}"
        assert got.reshape(-1).tolist() == flat, f"case {number}: {operator}"
        bits = cast(TensorType, types[1]).shape[0]
        output = TensorType(shape, str(got.dtype), bits if kind == "lq_quantize" else 32)
        operator.check(types, (output,))
        work = operator.work(types, (output,))
        assert work.output_elements == got.size
        assert (work.macs > 0) == (kind in PRODUCTS and got.size > 0)
        seen.update(flat)
    assert len(seen) > (10 if kind == "lq_quantize" else 500)


@pytest.mark.parametrize("overflow", ["wrap", "saturate"])
@pytest.mark.parametrize("kind", PRODUCTS)
def test_fixed_bases_in_any_accumulator(kind: str, overflow: Overflow) -> None:
    """Each pass adds an exact dot times two fixed-point numbers; then the bias, in reals."""
    rng, narrow = Random(kind), 0
    for operator, _, values in trials(kind, 40, "fixed"):
        assert isinstance(operator, LearnedProduct)
        form = Basis(rng.randint(4, 16), None)
        bits = rng.randint(8, 40)
        datapath = Datapath(accumulator_bits=bits, overflow=overflow, basis=form)
        _, _, u, v, *bias = nested(values)
        shifts = (
            widest_fraction(u, form.bits),
            widest_fraction(np.asarray(values[3]).reshape(-1).tolist(), form.bits),
        )
        rows = module_of(kind).sums(operator, nested(values))
        n, m = fixed(u, shifts[0]), [fixed(own, shifts[1]) for own in v]
        true = [
            [
                accumulated(dots, m[o if len(m) > 1 else 0], n, (bits, overflow))
                for o, dots in enumerate(row)
            ]
            for row in rows
        ]
        sums, fraction = operator.accumulate(values, datapath, form)
        assert sums.tolist() == true
        assert fraction == sum(shifts)
        wide, _ = operator.accumulate(values, replace(datapath, accumulator_bits=60), form)
        narrow += int(not np.array_equal(wide, sums))
        (got,) = operator.run(values, datapath)
        added = bias[0] if bias else [0.0] * len(true[0])
        reals = [
            bounded(
                float(single(exact(float(exact(t) / exact(2.0) ** fraction) + added[o]))),
                operator.bounds,
            )
            for row in true
            for o, t in enumerate(row)
        ]
        assert got.reshape(-1).tolist() == reals
    assert narrow > 5


@pytest.mark.parametrize("kind", PRODUCTS)
def test_wide_bases_come_close_to_the_real_result(kind: str) -> None:
    """Sixteen bits: within the rounding of two bases; without `basis` the real result itself."""
    datapath = Datapath(accumulator_bits=60, basis=Basis(16))
    for operator, _, values in trials(kind, 30, "close"):
        (real,), (got,) = operator.run(values, GRAPH_DATAPATH), operator.run(values, datapath)
        (machine,) = operator.run(values, Datapath())
        assert np.array_equal(machine, real)
        _, w, u, v = (np.asarray(x, np.float64) for x in values[:4])
        taps = w[0].size
        bound = taps * np.abs(u).sum() * np.abs(v).sum(axis=1).max() * 2.0**-11 + 1e-5
        assert np.abs(real - got).max() <= bound


def small(bits: int = 1) -> tuple[Any, tuple[TensorType, ...], tuple[Array, ...]]:
    """One row of 64 ones on bases of 1.5 and 3."""
    x, w = np.full((1, 64), 2**bits - 1, np.uint8), np.full((2, 64), 2**bits - 1, np.uint8)
    u, v = np.full(bits, 1.5), np.full((1, bits), 3.0)
    kinds = (
        kind(x.shape, "uint8", bits=bits),
        kind(w.shape, "uint8", bits=bits),
        kind(u.shape, "float64"),
        kind(v.shape, "float64"),
    )
    return decoded("lq_fully_connected", {}, kinds, kind((1, 2), "float32")), kinds, (x, w, u, v)


def test_what_is_refused_at_run() -> None:
    operator, _, values = small()
    traps = Datapath(accumulator_bits=10, overflow="trap", basis=Basis(6))
    with pytest.raises(
        IllegalValues, match="10-bit accumulator overflows at output position 0, ch"
    ):
        operator.run(values, traps)
    given = Datapath(basis=Basis(6, 4))
    with pytest.raises(IllegalValues, match=r"3 of a basis does not fit 6 bits with 4 of them"):
        operator.run(values, given)
    (exact_sum,) = operator.run(values, Datapath(basis=Basis(6, 3)))
    assert exact_sum.tolist() == [[64 * 4.5] * 2]
    with pytest.raises(ValueError, match=r"basis.bits must be 2..16; found 17"):
        Basis(17)
    broken = (*values[:2], np.array([np.inf]), values[3])
    with pytest.raises(IllegalValues, match="reals of a basis must be finite; found inf"):
        operator.run(broken, Datapath(basis=Basis()))


def test_a_trap_names_the_filter_among_all_groups() -> None:
    """Groups are summed one after the other; only the last filter overflows."""
    x, w = np.ones((1, 1, 1, 4), np.uint8), np.ones((2, 1, 1, 2), np.uint8)
    u, v = np.array([1.0]), np.array([[1.0], [100.0]])
    kinds = [kind(a.shape, str(a.dtype), bits=1 if a.dtype == np.uint8 else None) for a in (x, w)]
    kinds += [kind(u.shape, "float64"), kind(v.shape, "float64")]
    options = {"kernel": (1, 1), "stride": (1, 1), "dilation": (1, 1), "padding": (0, 0, 0, 0)}
    operator = decoded("lq_conv_2d", options, kinds, kind((1, 1, 1, 2), "float32"))
    datapath = Datapath(accumulator_bits=12, overflow="trap", basis=Basis(8, 0))
    operator.run((x, w, u, v), datapath)
    with pytest.raises(IllegalValues, match="output position 0, channel 1, weight plane 0 and"):
        operator.run((x, w, u, v), replace(datapath, accumulator_bits=8))


def test_what_is_refused_at_import() -> None:
    operator, (x, w, u, v), _ = small(2)
    output = kind((1, 2), "float32")
    for kinds, out, message in (
        (
            (x, w, kind((3,), "float32"), v),
            output,
            r"the basis of x must hold reals of shape \(2,\)",
        ),
        ((x, w, u, kind((3, 2), "float32")), output, r"shape \(1, 2\) or \(2, 2\); found float32"),
        ((x, w, u, v, kind((3,), "float32")), output, r"bias must have shape \(2,\)"),
        ((replace(x, bits=9), w, u, v), output, "x must be codes of 1 to 8 bits"),
        ((x, w, u, v), kind((1, 2), "float64"), "the output must be float32"),
    ):
        with pytest.raises(IllegalGraph, match=message):
            operator.check(kinds, (out,))
    options = {"x_codes": "ternary"}
    with pytest.raises(Unsupported, match="x_codes must be bipolar or binary; found ternary"):
        decoded("lq_fully_connected", options, (x, w, u, v), output)
    with pytest.raises(Unsupported, match="input 0 must be uint8; found float32"):
        decoded("lq_fully_connected", {}, (kind((1, 64), "float32"), w, u, v), output)
