"""The same bits for every path, batch and thread count.

Which fast path runs is the engine's choice and none of a datapath's meaning: datapaths that must
give equal sums are compared with each other and with the exact sums on Python's integers.
"""

import os
import subprocess
import sys
from dataclasses import replace
from random import Random
from typing import Final

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.errors import IllegalValues
from simulator.execute import run
from simulator.graph import Array
from simulator.mac import sum_products
from simulator.numeric.datapath import GRAPH_DATAPATH, Datapath, Stage
from tests.ops.mac_cases import (
    MAKERS,
    MacCase,
    datapath_of,
    decoded,
    drawn_node,
    feeds,
    graph_of,
    registers,
    seeds,
)
from tests.ops.structure import Given, OneNode, codes
from tests.oracle.registers import Register, bits_for
from tests.oracle.requantizers import wrapped
from tests.oracle.terms import Terms
from tests.shared import ROOT

BOUNDED = settings(max_examples=30, deadline=None, derandomize=True, database=None)
WIDE: Final = Register(200, "saturate")


def exact(terms: Terms) -> list[list[int]]:
    """The sums without any register."""
    return [[start + sum(products) for start, products in row] for row in terms]


def wrapped_at(bits: int, sums: list[list[int]]) -> list[list[int]]:
    return [[wrapped(value, bits) for value in row] for row in sums]


def sums_of(case: MacCase, datapath: Datapath) -> list[list[int]]:
    found: list[list[int]] = case.operator.accumulate(case.values, datapath).tolist()
    return found


@BOUNDED
@pytest.mark.parametrize("kind", MAKERS)
@given(
    seed=seeds,
    bits=st.integers(8, 64),
    dot_width=st.integers(1, 32),
    zero_point=st.sampled_from(["subtracted", "folded"]),
    stages=st.sampled_from([(), (Stage(2, 40, "saturate"),), (Stage(3, 36, "wrap"),) * 2]),
)
def test_every_path_to_a_wrapping_sum(
    kind: str, seed: int, bits: int, dot_width: int, zero_point: str, stages: tuple[Stage, ...]
) -> None:
    """Modulo 2^bits neither order, grouping, wide stages nor where zero points go matters."""
    case = decoded(kind, drawn_node(kind, seed))
    sums = exact(case.terms())
    assert sums_of(case, GRAPH_DATAPATH) == wrapped_at(
        case.operator.weighted.accumulator_bits, sums
    )
    assert sums_of(case, Datapath()) == wrapped_at(32, sums)
    datapath = Datapath(16, 16, dot_width, bits, "wrap", zero_point, stages)  # type: ignore[arg-type]
    expected = wrapped_at(bits, sums)
    assert sums_of(case, datapath) == expected
    assert sum_products(case.operator, case.values, datapath).tolist() == expected


@BOUNDED
@pytest.mark.parametrize("kind", MAKERS)
@given(seed=seeds, dot_width=st.integers(1, 32), folded=st.booleans())
def test_the_ordered_path_and_the_proved_one_meet(
    kind: str, seed: int, dot_width: int, folded: bool
) -> None:
    """At the width that every prefix just fits, where nothing but the order itself proves it.

    There and at any greater width a register that saturates or traps gives the exact sums; one
    bit less, and it traps.
    """
    case = decoded(kind, drawn_node(kind, seed))
    terms = case.terms(folded=folded)
    register = replace(WIDE, dot_width=dot_width)
    prefixes = [value for row in terms for term in row for value in register.held(*term)]
    tight = max(map(bits_for, prefixes))
    expected = exact(terms)
    for bits in (tight, tight + 1, 48, 64):
        for overflow in ("saturate", "trap"):
            register = Register(max(bits, tight), overflow, dot_width)
            assert sums_of(case, datapath_of(register, folded=folded)) == expected
    if tight > 1:
        with pytest.raises(IllegalValues):
            sums_of(case, datapath_of(Register(tight - 1, "trap", dot_width), folded=folded))


def with_batch(node: OneNode, count: int, rng: Random) -> OneNode:
    """The node with `count` random images, rows or matrices in place of its own."""
    given, (y,) = list(node.given), node.outputs
    place = 2 if node.op == "TRANSPOSE_CONV" else 0

    def resized(i: int, shape: tuple[int, ...], draw: bool) -> None:
        old = given[i]
        assert old is not None
        kind = replace(old.kind, shape=shape)
        value = codes(rng, shape, kind.dtype) if draw else np.array([count, *y.shape[1:]], np.int32)
        given[i] = Given(kind, value, old.stored)

    x = given[place]
    assert x is not None
    shape = (count, *x.kind.shape[1:])
    rest = y.shape[1:]
    options = dict(node.options)
    if node.op == "FULLY_CONNECTED":
        shape, rest = (count, x.kind.shape[-1]), y.shape[-1:]
        options["keep_num_dims"] = False
    elif node.op == "BATCH_MATMUL":
        w = given[1]
        assert w is not None
        shape, rest = (count, *x.kind.shape[-2:]), y.shape[-2:]
        # One matrix for the whole batch: computed at run time or not, it does not grow with it.
        given[1] = Given(
            replace(w.kind, shape=(1, *w.kind.shape[-2:])),
            np.ascontiguousarray(w.value.reshape(-1, *w.kind.shape[-2:])[:1]),
            True,
        )
    resized(place, shape, True)
    y = replace(y, shape=(count, *rest))
    if node.op == "TRANSPOSE_CONV":
        resized(0, (4,), False)
    return replace(node, given=tuple(given), outputs=(y,), options=options)


def single_of(node: OneNode, index: int) -> OneNode:
    """The node on one image of its batch."""
    place = 2 if node.op == "TRANSPOSE_CONV" else 0
    batch = node.given[place]
    assert batch is not None
    one = with_batch(node, 1, Random(0))
    value = np.ascontiguousarray(batch.value[index : index + 1])
    taken = Given(replace(batch.kind, shape=value.shape), value, batch.stored)
    return replace(one, given=(*one.given[:place], taken, *one.given[place + 1 :]))


@BOUNDED
@pytest.mark.parametrize("kind", MAKERS)
@given(
    seed=seeds,
    count=st.integers(2, 6),
    register=registers,
    folded=st.booleans(),
    own=st.booleans(),
)
def test_a_batch_is_its_images_one_by_one(
    kind: str, seed: int, count: int, register: Register, folded: bool, own: bool
) -> None:
    datapath = None if own else datapath_of(register, folded=folded)
    whole = with_batch(drawn_node(kind, seed), count, Random(seed))
    together = outcome(kind, whole, datapath)
    for index in range(count):
        alone = outcome(kind, single_of(whole, index), datapath)
        assert np.array_equal(alone, together[index : index + 1])


def outcome(kind: str, node: OneNode, datapath: Datapath | None) -> Array:
    """The output: of a graph with its own arithmetic, or of the operator in a datapath."""
    if datapath is None:
        graph = graph_of(node)
        return run(graph, feeds(graph, node))[0]["y"]
    return decoded(kind, node).operator.run(node.values, datapath)[0]


THREADS: Final = """
import hashlib, sys
import numpy as np
import numba
import workloads
from analysis.arrays import random_inputs
from simulator.execute import run
from simulator.numeric.datapath import GRAPH_DATAPATH, Datapath, Stage
from simulator.numeric.matmul import matmul

numba.set_num_threads(int(sys.argv[1]))
digest = hashlib.sha256()
datapaths = (
    GRAPH_DATAPATH,
    Datapath(),
    Datapath(accumulator_bits=16, overflow="saturate", zero_point="folded"),
    Datapath(accumulator_bits=18, overflow="saturate", dot_width=4),
    Datapath(accumulator_bits=40, overflow="saturate"),
    Datapath(stages=(Stage(2, 16, "saturate"),), zero_point="folded"),
)
rng = np.random.default_rng(11)
graph = workloads.load("zoo:digits")
x, w = (rng.integers(-255, 256, shape).astype(np.int16) for shape in ((600, 300), (96, 300)))
bias = rng.integers(-(2**20), 2**20, 96).astype(np.int32)
for datapath in datapaths:
    inputs = random_inputs(graph, np.random.default_rng(5))
    outputs, _ = run(graph, inputs, datapath)
    for value in (*outputs.values(), matmul(x, w, bias, datapath).astype(np.int64)):
        digest.update(value.tobytes())
print(digest.hexdigest())
"""
POOLS: Final = ("NUMBA_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def bits_with(threads: int, numba_threads: int, blas_threads: int) -> str:
    """A digest of every output, with that many threads at work."""
    pools = dict.fromkeys(POOLS[1:], str(blas_threads))
    environment = {**os.environ, **pools, POOLS[0]: str(numba_threads), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-W", "error", "-c", THREADS, str(threads)]
    done = subprocess.run(
        command, env=environment, cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_threads_change_no_bit() -> None:
    """Numba's and the linear algebra library's, more of them than a small machine has cores."""
    found = {bits_with(1, 1, 1), bits_with(2, 4, 4), bits_with(4, 4, 2)}
    assert len(found) == 1


def drawn(seed: int, shape: tuple[int, ...], reach: int) -> Array:
    return np.random.default_rng(seed).integers(-reach, reach + 1, shape)


@BOUNDED
@given(
    seed=seeds,
    rows=st.integers(1, 40),
    channels=st.integers(1, 70),
    taps=st.sampled_from([1, 2, 3, 31, 32, 33, 64, 100, 257, 300]),
    reach=st.sampled_from([1, 127, 255, 2**12, 2**15 - 1]),
    register=registers,
    split=st.integers(0, 40),
)
def test_rows_and_channels_are_independent(
    seed: int, rows: int, channels: int, taps: int, reach: int, register: Register, split: int
) -> None:
    """A part of the rows or of the channels has the bits it has in the whole: no tile shows.

    Another part may take another path, for its operands may be smaller.
    """
    from simulator.numeric.matmul import matmul

    x = drawn(seed, (rows, taps), reach).astype(np.int16)
    w = drawn(seed + 1, (channels, taps), min(reach, 255)).astype(np.int16)
    bias = drawn(seed + 2, (channels,), 2**24).astype(np.int32)
    datapath = datapath_of(register)
    whole = matmul(x, w, bias, datapath)
    row, channel = min(split, rows - 1), min(split, channels - 1)
    assert np.array_equal(matmul(x[row:], w, bias, datapath), whole[row:])
    assert np.array_equal(matmul(x, w[channel:], bias[channel:], datapath), whole[:, channel:])
    assert np.array_equal(matmul(x[:1], w[:1], bias[:1], datapath), whole[:1, :1])
