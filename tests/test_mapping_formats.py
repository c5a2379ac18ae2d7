"""Mappings to and from Timeloop's and ZigZag's forms: same nest, same counts, clear refusals."""

import itertools
import json
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import hwconfigs
from simulator.document import Document
from simulator.errors import BitlaneError, Unsupported
from simulator.machines.registry import machine_from
from simulator.machines.spatial import Spatial
from simulator.mapped import cost_mapping, is_pinned, map_work
from simulator.mapping.layout import LOOPS, OPERANDS
from simulator.mapping.loopnest import LoopNest
from simulator.work import Work
from tests.machines.works import conv
from tests.machines.zigzag_rows import MACHINES, machine_of, nest_of, rows
from workloads.mappings import ZIGZAG_LOOPS, from_zigzag, read_printed, write_printed
from workloads.mappings.files import FORMS, Pin, form_of, read_pins, write_nest
from workloads.mappings.timeloop_yaml import read_timeloop, write_timeloop
from workloads.mappings.zigzag import read_zigzag_yaml, write_zigzag, write_zigzag_yaml

NAMES = ("timeloop_eyeriss_like", "eyeriss_like", "tpu_like", "meta_prototype", "gemmini_like")
ROOMY = 1 << 40


@cache
def document(name: str) -> Document:
    return hwconfigs.document(name)


@cache
def roomy(name: str, unrolling: str = "") -> Spatial:
    """A shipped machine whose memories hold everything, with one unrolling of its own or as given.

    `unrolling` is JSON, so that machines are made once.
    """
    memories = document(name).root.plain()["memory"]
    sets: list[tuple[str, Any]] = [(f"memory.{k}.bytes", ROOMY) for k in range(len(memories))]
    if unrolling:
        sets.append(("array.unrollings", [json.loads(unrolling)]))
    machine = machine_from(document(name), sets)
    assert isinstance(machine, Spatial)
    return machine


def work_of(nest: LoopNest) -> Work:
    """The layer that a nest covers exactly."""
    size = dict.fromkeys(LOOPS, 1)
    for loop, factor in (*((loop, n) for _, loop, n in nest.spatial), *nest.loops):
        size[loop] *= factor
    return Work(
        n=size["n"],
        groups=size["g"],
        oc=size["oc"],
        ic=size["ic"],
        oy=size["oy"],
        ox=size["ox"],
        ky=size["ky"],
        kx=size["kx"],
    )


def counts(nest: LoopNest, name: str) -> Any:
    unrolling: dict[str, dict[str, int]] = {}
    for dimension, loop, factor in nest.spatial:
        unrolling.setdefault(dimension, {})[loop] = factor
    found = cost_mapping(work_of(nest), roomy(name, json.dumps(unrolling)), nest)
    return found.cycles, found.words, found.energy_fj


factors = st.sampled_from([2, 3, 4])
loop_lists = st.lists(st.tuples(st.sampled_from(LOOPS), factors), max_size=7).map(tuple)


@st.composite
def spatial_parts(draw: st.DrawFn, machine: Spatial) -> tuple[tuple[str, str, int], ...]:
    found = []
    for dimension in machine.array.dimensions:
        loops = draw(st.lists(st.sampled_from(("oc", "ic", "ox", "kx")), max_size=2, unique=True))
        found += [(str(dimension), loop, 2) for loop in loops]
    return tuple(found)


@st.composite
def nests(draw: st.DrawFn, machine: Spatial) -> LoopNest:
    """Any order of loops, each operand cut anywhere."""
    loops = draw(loop_lists)
    chains, cuts = machine.chains(), {}
    for operand in OPERANDS:
        inner = draw(
            st.lists(
                st.integers(0, len(loops)),
                min_size=len(chains[operand]) - 1,
                max_size=len(chains[operand]) - 1,
            )
        )
        cuts[operand] = (*sorted(inner), len(loops))
    return LoopNest(draw(spatial_parts(machine)), loops, cuts, chains)


@st.composite
def level_nests(draw: st.DrawFn, machine: Spatial) -> LoopNest:
    """Loops by memory, each loop once at a level: what Timeloop can say."""
    loops: list[tuple[str, int]] = []
    ends: dict[str, int] = {}
    last = machine.levels[-1]
    for name in machine.levels:
        some = st.lists(st.sampled_from(LOOPS), max_size=3, unique=True)
        loops += [(loop, draw(factors)) for loop in draw(some)]
        ends[name] = len(loops)
    ends[last] = len(loops)
    cuts = {o: tuple(ends[m] for m in chain) for o, chain in machine.chains().items()}
    return LoopNest(draw(spatial_parts(machine)), tuple(loops), cuts, machine.chains())


@pytest.mark.parametrize("name", NAMES)
@given(data=st.data())
@settings(max_examples=25, deadline=None)
def test_our_yaml_and_zigzags_text_read_back_identically(name: str, data: st.DataObject) -> None:
    machine = roomy(name)
    nest = data.draw(nests(machine))
    again = from_zigzag(write_zigzag(nest), machine.chains())
    assert (again.loops, again.cuts) == (nest.loops, nest.cuts)
    text = write_nest(nest, "bitlane", machine, work_of(nest), "conv")
    (pin,) = read_text(text, machine)
    assert pin.spatial == nest.spatial
    assert pin.loops == nest.loops
    assert pin.cuts == {operand: list(cut) for operand, cut in nest.cuts.items()}


def read_text(text: str, machine: Spatial) -> tuple[Pin, ...]:
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        file.write(text)
        file.flush()
        return read_pins(Path(file.name), machine)


@pytest.mark.parametrize("name", NAMES)
@given(data=st.data())
@settings(max_examples=25, deadline=None)
def test_timeloops_forms_read_back_identically(name: str, data: st.DataObject) -> None:
    machine = roomy(name)
    nest = data.draw(level_nests(machine))
    assert read_timeloop(write_timeloop(nest, machine), machine, "map.yaml") == nest
    if len(machine.array.dimensions) <= 2:
        text = write_printed(nest, machine)
        assert read_printed(text, machine, "map.txt") == nest


@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_what_timeloop_can_say_of_any_nest_counts_the_same(data: st.DataObject) -> None:
    """A cut may move over loops that reuse its tile; every word and cycle stays."""
    name = data.draw(st.sampled_from(("timeloop_eyeriss_like", "gemmini_like")))
    machine = roomy(name)
    nest = data.draw(nests(machine))
    try:
        text = write_timeloop(nest, machine)
    except Unsupported:
        return
    again = read_timeloop(text, machine, "map.yaml")
    assert counts(again, name) == counts(nest, name)
    if len(machine.array.dimensions) <= 2:
        printed = read_printed(write_printed(nest, machine), machine, "map.txt")
        assert counts(printed, name) == counts(nest, name)


@given(data=st.data())
@settings(max_examples=40, deadline=None)
def test_zigzags_yaml_keeps_unrolling_and_order(data: st.DataObject) -> None:
    machine = roomy(data.draw(st.sampled_from(NAMES)))
    nest = data.draw(nests(machine))
    text = write_zigzag_yaml(nest, machine, "conv1")
    (order,) = read_zigzag_yaml(text, machine, "mapping.yaml")
    assert (order.name, order.spatial, order.loops) == ("conv1", nest.spatial, nest.loops)


def test_zigzags_own_text_is_written_as_it_was() -> None:
    for row in rows():
        if row["hardware"] == "gemm_l1":
            continue
        machine = machine_of(MACHINES[row["hardware"]])
        assert write_zigzag(nest_of(row, machine)).strip() == row["temporal_mapping"]
    assert set(ZIGZAG_LOOPS.values()) == set(LOOPS)


MAPPER_FILE = """
mapping:
  - {target: psum_spad, type: datatype, keep: [Outputs], bypass: [Weights, Inputs]}
  - target: shared_glb
    type: datatype
    keep:
      - Inputs
      - Outputs
    bypass:
      - Weights
  - target: psum_spad
    type: temporal
    factors: C1 M2 R1 S1 N1 P1 Q1
    permutation: MCRSNPQ
  - target: inter_PE_spatial
    type: spatial
    factors: C3 M1 R1 S3 N1 P1 Q1
    permutation: SCMRNPQ
    split: 0
  - target: inter_PE_spatial
    type: temporal
    factors: C1 M1 R1 S1 N1 P1 Q1
    permutation: CMRSNPQ
  - target: inter_PE_column_spatial
    type: spatial
    factors: [C=1, M=8]
    permutation: [M, C]
    split: 1
  - target: shared_glb
    type: temporal
    factors: C=1, M=1, R=3, P=14, Q = 112
    permutation: Q P R C M S N
  - target: DRAM
    type: temporal
    factors: M2 P8
    permutation: MPCRSNQ
"""
"""The grammar of eyeriss_like's shipped timeloop-mapper.map.yaml and of its documentation."""


def test_a_file_of_timeloops_mapper() -> None:
    machine = hwconfigs.load("timeloop_eyeriss_like")
    assert isinstance(machine, Spatial)
    nest = read_timeloop(MAPPER_FILE, machine, "map.yaml")
    assert nest.spatial == (("x", "oc", 8), ("y", "kx", 3), ("y", "ic", 3))
    assert nest.loops == (("oc", 2), ("ox", 112), ("oy", 14), ("ky", 3), ("oc", 2), ("oy", 8))
    assert nest.cuts == {"weight": (1, 6), "input": (1, 4, 6), "output": (1, 4, 6)}


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("Q = 112", "Q=112,7", "factor 'Q=112,7' has a remainder; give one that divides"),
        ("M2 P8", "M2 P0", "factor 'P0' means what is left; write the number"),
        ("M2 P8", "M2 P<=8", "factor 'P<=8' is none; write it as C=4"),
        ("M2 P8", "Z2 P8", "permutation does not place Z"),
        ("target: DRAM", "target: L3", "no such memory; timeloop_eyeriss_like has psum_spad"),
        ("keep: [Outputs]", "keep: [Sums]", "'Sums' is no dimension; there are Weights"),
        ("bypass: [Weights, Inputs]", "bypass: [Outputs], keep: []", "duplicate key"),
        ("keep: [Outputs], bypass: [Weights, Inputs]", "bypass: [Outputs]", "keeps the outputs in"),
        ("type: datatype, keep", "type: data, keep", "type 'data' is none of temporal, spatial"),
        ("split: 0", "split: zero", "split must be a number; found zero"),
        ("mapping:", "map:", "no list 'mapping'"),
    ],
)
def test_what_timeloops_yaml_may_not_say(old: str, new: str, message: str) -> None:
    machine = hwconfigs.load("timeloop_eyeriss_like")
    assert isinstance(machine, Spatial)
    assert old in MAPPER_FILE
    with pytest.raises(BitlaneError) as caught:
        read_timeloop(MAPPER_FILE.replace(old, new), machine, "map.yaml")
    assert message in str(caught.value)
    assert str(caught.value).startswith("map.yaml")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("| for P in [0:4)", "map.txt:1: '| for P in [0:4)' stands above the first level"),
        ("DRAM [ Weights:1 ]\n| for P in [0:4,3)", "map.txt:2: '[0:4,3)' ends in a remainder"),
        ("DRAM [ Weights:1 ]\nfor P to 4", "map.txt:2: 'for P to 4' is no line of a printed"),
        ("DRAM [ Weights:1 ]\n| for V in [0:4)", "map.txt:2: 'V' is no dimension; there are N"),
        ("DRAM [ Weights:1 (1) ]", "map.txt: keeps the weights in DRAM; the machine in weights"),
    ],
)
def test_what_a_printed_nest_may_not_say(text: str, message: str) -> None:
    machine = hwconfigs.load("timeloop_eyeriss_like")
    assert isinstance(machine, Spatial)
    with pytest.raises(Unsupported) as caught:
        read_printed(text, machine, "map.txt")
    assert message in str(caught.value)


def test_every_form_is_told_from_the_others() -> None:
    machine, work = roomy("timeloop_eyeriss_like", '{"x": {"ox": 4}}'), conv((4, 4), 8, (3, 3), 4)
    nest = map_work(work, machine).nest
    written = {form: write_nest(nest, form, machine, work, "conv1") for form in FORMS}
    assert {form: form_of(text) for form, text in written.items()} == {f: f for f in FORMS}
    for a, b in itertools.combinations(written.values(), 2):
        assert a != b


def test_an_order_without_cuts_is_pinned_and_filled() -> None:
    work = conv((8, 8), 16, (3, 3), 16)
    plain = {"loops": ["kx 3", "ky 3", "ox 8", "oy 8"]}
    names = list(document("tpu_like").root.plain()["array"]["dimensions"])
    unrolling = {names[0]: {"oc": 16}, names[1]: {"ic": 16}}
    sets = [("array.unrollings", [unrolling]), ("mapping.pinned", [plain])]
    machine = hwconfigs.load("tpu_like", sets)
    assert isinstance(machine, Spatial)
    assert is_pinned(work, machine)
    found = map_work(work, machine)
    assert found.costed == 0
    assert found.nest.loops == (("kx", 3), ("ky", 3), ("ox", 8), ("oy", 8))
    assert all(found.nest.cuts[operand][-1] == 4 for operand in OPERANDS)
    again = cost_mapping(work, machine, found.nest)
    assert (again.cycles, again.words) == (found.cycles, found.words)
    assert not is_pinned(conv((8, 8), 16, (3, 3), 32), machine)
