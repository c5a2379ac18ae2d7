"""Configurations: YAML read strictly, every fault at once, in its exact words."""

from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from pydantic import Field

from simulator.config import load_yaml, override, parse_yaml, validate
from simulator.errors import BadFile, BitlaneError
from simulator.schema import Positive, PositiveReal, Schema, Sources, Text


class Array(Schema):
    rows: Positive
    cols: Positive
    flow: Literal["held", "streamed"] = "held"


class Level(Schema):
    bytes: Positive


class Toy(Schema):
    name: Text
    array: Array
    source: Sources = Field(default_factory=lambda: {"": "by hand"})
    gated: bool = False
    rate: PositiveReal = 1
    levels: tuple[Level, ...] = ()
    bits: Positive | Annotated[tuple[Positive, ...], Field(min_length=1)] = 8


GOOD = "name: toy\narray: {rows: 2, cols: 3}\n"


def fault(text: str, *pairs: tuple[str, Any]) -> str:
    """What a user reads when this text is validated as a Toy."""
    with pytest.raises(BitlaneError) as caught:
        validate(parse_yaml(text, "npu.yaml"), Toy, pairs)
    return str(caught.value)


def scalars(text: str) -> Any:
    return parse_yaml(text, "f.yaml").root.plain()


def test_scalars_are_those_of_the_core_schema() -> None:
    text = "a: 5e8\nb: 500e6\nc: 1e-3\nd: on\ne: yes\nf: true\ng: 010\nh: 0x1F\ni: 0o17\nj: .5\n"
    assert scalars(text + "k: ~\nl:\nm: 2001-01-01\nn: 1_000\no: '5'\np: -.inf\nq: 12:30") == {
        "a": 500_000_000,
        "b": 500_000_000,
        "c": 0.001,
        "d": "on",
        "e": "yes",
        "f": True,
        "g": 10,
        "h": 31,
        "i": 15,
        "j": 0.5,
        "k": None,
        "l": None,
        "m": "2001-01-01",
        "n": "1_000",
        "o": "5",
        "p": float("-inf"),
        "q": "12:30",
    }
    assert isinstance(scalars("a: 5e8")["a"], int)


def test_a_number_serves_integer_and_real_fields() -> None:
    made = validate(parse_yaml("name: t\narray: {rows: 5e2, cols: 4.0}\nrate: 3", "t.yaml"), Toy)
    assert (made.array.rows, made.array.cols, made.rate) == (500, 4, 3.0)
    assert isinstance(made.array.rows, int)


def test_every_fault_is_reported_at_once_with_file_and_line() -> None:
    text = """name: 5
array:
  rows: 0
  colz: 3
  rows: 4
  flow: streemed
gated: yes
rate: .inf
levels:
  - {bytes: 1}
  - {bytes: 1.5}
  - {size: 3}
bits: [0, 1]
7: seven
"""
    assert fault(text).splitlines() == [
        "npu.yaml:1: name: must be text (quote it); found 5",
        "npu.yaml:3: array.rows: must be >= 1; found 0",
        "npu.yaml:4: array.colz: unknown field; did you mean 'cols'?",
        "npu.yaml:5: array.rows: duplicate key; first given on line 3; remove one",
        "npu.yaml:6: array.flow: must be 'held' or 'streamed'; found 'streemed'; "
        "did you mean 'streamed'?",
        "npu.yaml:7: gated: must be true or false; found 'yes'",
        "npu.yaml:8: rate: must be finite; found inf",
        "npu.yaml:11: levels.1.bytes: must be an integer; found 1.5",
        "npu.yaml:12: levels.2.bytes: is missing; add it under 'levels.2'",
        "npu.yaml:12: levels.2.size: unknown field; known: bytes",
        "npu.yaml:13: bits.0: must be >= 1; found 0",
        "npu.yaml:14: a field name must be text; found 7",
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "npu.yaml: is empty; expected a mapping of fields"),
        ("# nothing\n", "npu.yaml: is empty; expected a mapping of fields"),
        ("- 1", "npu.yaml:1: must be a mapping of fields (name: value); found a list"),
        ("\n7", "npu.yaml:2: must be a mapping of fields (name: value); found a single value"),
        ("a: b: c", "npu.yaml:1: not valid YAML: mapping values are not allowed here"),
        (
            "a: 1\n\tb: 2",
            "npu.yaml:2: not valid YAML: found character '\\t' that cannot start any token",
        ),
        ("a: 1\n---\nb: 2", "npu.yaml:2: not valid YAML: but found another document"),
        (
            "a: &x 1\nb: *x",
            "npu.yaml:1: not valid YAML: anchors (&) and aliases (*) are not supported; "
            "write the value out",
        ),
        ("a: \x01", "npu.yaml:1: not valid YAML: character U+0001 is not allowed"),
        ("a: " + "[" * 3000, "npu.yaml: not usable: values are nested too deeply"),
        (
            GOOD + "gated: !!python/object:os.system x",
            "npu.yaml:3: gated: cannot be read as 'python/object:os.system'\n"
            "npu.yaml:3: gated: must be true or false; found nothing",
        ),
        (GOOD + "rate: -1", "npu.yaml:3: rate: must be > 0; found -1"),
        (GOOD + "rate: 1e99", "npu.yaml:3: rate: must be <= 1.09951e+12; found 1e+99"),
        (GOOD + "levels: 3", "npu.yaml:3: levels: must be a list; found 3"),
        ("name: x\narray: 7", "npu.yaml:2: array: must be a mapping of fields; found 7"),
        (GOOD + "source: {a: 3}", "npu.yaml:3: source.a: must be text (quote it); found 3"),
        (GOOD + "bits: []", "npu.yaml:3: bits: must not be empty"),
    ],
)
def test_one_clear_line(text: str, message: str) -> None:
    assert fault(text) == message


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    def message(path: Path) -> str:
        with pytest.raises(BadFile) as caught:
            load_yaml(path, path.name)
        return str(caught.value)

    assert message(tmp_path / "none.yaml") == "none.yaml: no such file; check the path"
    (tmp_path / "nine.yaml").write_text("a: 1")
    near = message(tmp_path / "nines.yaml")
    assert near == f"nines.yaml: no such file; did you mean '{tmp_path / 'nine.yaml'}'?"
    (tmp_path / "dir.yaml").mkdir()
    assert message(tmp_path / "dir.yaml") == "dir.yaml: is a directory; give a YAML file"
    (tmp_path / "latin.yaml").write_bytes(b"a: 1\nb: caf\xe9\n")
    assert message(tmp_path / "latin.yaml") == (
        "latin.yaml:2: not UTF-8 text (byte 0xe9); is this a YAML file?"
    )
    (tmp_path / "bom.yaml").write_bytes(b"\xef\xbb\xbfa: 1\r\nb: 2\r\n")
    assert load_yaml(tmp_path / "bom.yaml").root.plain() == {"a": 1, "b": 2}


def test_overrides_are_validated_like_the_file() -> None:
    made = validate(parse_yaml(GOOD, "t"), Toy, [("array.rows", "7"), ("gated", "true")])
    assert (made.array.rows, made.gated) == (7, True)
    again = [("array.rows", 1), ("array.rows", 9), ("bits", [4, 8]), ("array.flow", "streamed")]
    made = validate(parse_yaml(GOOD, "t"), Toy, again)
    assert (made.array.rows, made.bits, made.array.flow) == (9, (4, 8), "streamed")
    listed = GOOD + "levels: [{bytes: 1}, {bytes: 2}]"
    assert validate(parse_yaml(listed, "t"), Toy, [("levels.1.bytes", 5)]).levels[1].bytes == 5


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("array.rows", "0", "--set array.rows=0: array.rows: must be >= 1; found 0"),
        ("array.rowz", "3", "--set array.rowz=3: array.rowz: unknown field; did you mean 'rows'?"),
        (
            "aray.rows",
            "3",
            "--set aray.rows=3: aray: unknown field; did you mean 'array'?",
        ),
        (
            "array.rows.x",
            "3",
            "--set array.rows.x=3: array.rows: holds a value, not fields; there is no 'x' below it",
        ),
        (
            "array..rows",
            "3",
            "--set array..rows=3: 'array..rows' is no dotted path; write it as array.rows=16",
        ),
        ("rate", "[1", "--set rate=[1: '[1' is not a YAML value; quote it"),
        ("rate", "", "--set rate=: rate: must be a number; found nothing"),
        ("array", "3", "--set array=3: array: must be a mapping of fields; found 3"),
        ("levels.x", "3", "--set levels.x=3: levels: is a list; give one of its indices"),
    ],
)
def test_a_faulty_override_names_itself(path: str, value: str, message: str) -> None:
    assert fault(GOOD + "levels: [{bytes: 1}]", (path, value)) == message


def test_faults_of_file_and_overrides_come_together() -> None:
    assert fault(GOOD + "rat: 2", ("array.rows", "x")).splitlines() == [
        "npu.yaml:3: rat: unknown field; did you mean 'rate'?",
        "--set array.rows=x: array.rows: must be an integer; found 'x'",
    ]


def test_an_override_changes_a_copy() -> None:
    document = parse_yaml(GOOD, "t")
    assert override(document, [("array.rows", 5)]).root.plain()["array"]["rows"] == 5
    assert document.root.plain()["array"]["rows"] == 2
