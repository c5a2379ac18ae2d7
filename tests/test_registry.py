"""Operators by name: found once, never defined twice, and refused in a sentence when unknown."""

import subprocess
import sys

import pytest

from simulator.errors import Unsupported
from simulator.registry import find, operators
from tests.shared import ROOT

FIRST = ("add", "average_pool_2d", "conv_2d", "depthwise_conv_2d", "fully_connected", "reshape")


def test_operators_in_alphabetical_order() -> None:
    kinds = list(operators())
    assert kinds == sorted(kinds)
    assert set(FIRST) | {"softmax"} <= set(kinds)
    with pytest.raises(TypeError, match="does not support item assignment"):
        operators()["other"] = operators()["add"]  # type: ignore[index]


def test_found_by_the_name_a_format_gives() -> None:
    for operator in operators().values():
        assert operator.formats
        for name in operator.formats:
            assert find(name, "here") is operator


def test_unknown_operators_are_refused_with_those_there_are() -> None:
    known = sorted(
        name.removeprefix("tflite:")
        for operator in operators().values()
        for name in operator.formats
        if name.startswith("tflite:")
    )
    # A second form is listed only where there is no first.
    known = [n for n in known if "[" not in n or n.split("[")[0] not in known]
    assert "ADD" in known
    assert "ADD[numbers]" not in known
    assert "DIV[numbers]" in known
    with pytest.raises(Unsupported) as caught:
        find("tflite:FFT", "net.tflite, node 3 (FFT)")
    assert str(caught.value) == (
        f"net.tflite, node 3 (FFT): operator FFT is not supported. Supported: {', '.join(known)}."
    )


def test_an_unknown_format_is_refused() -> None:
    with pytest.raises(Unsupported) as caught:
        find("format_of_nobody:FFT", "net.x")
    assert str(caught.value).startswith("net.x: operator FFT is not supported.")


CLASH = """
from simulator.ops.add import Add
from simulator import registry
before = dict(registry._by_kind), dict(registry._by_format)
for kind, formats in (("add", ("x:OTHER",)), ("other", ("x:FREE", "tflite:ADD"))):
    clash = type("Clash", (), {"kind": kind, "formats": formats, "__module__": "elsewhere"})
    try:
        registry.register(clash)
    except ValueError as error:
        print(error)
    assert (registry._by_kind, registry._by_format) == before
print(sorted(registry.operators()) == list(registry.operators()))
"""


def test_a_name_taken_twice_is_refused_and_leaves_no_trace() -> None:
    """In a process of its own: the registry is global."""
    process = subprocess.run(
        [sys.executable, "-W", "error", "-c", CLASH],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert process.returncode == 0, process.stderr
    assert process.stdout.splitlines() == [
        "operator 'add' is defined twice: simulator.ops.add and elsewhere",
        "'tflite:ADD' is claimed twice: simulator.ops.add and elsewhere",
        "True",
    ]
