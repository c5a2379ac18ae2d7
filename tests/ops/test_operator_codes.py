"""Which field of a file names the operator: builtin codes old and new, custom codes."""

from pathlib import Path
from typing import Any

import pytest

from simulator.errors import Unsupported
from tests.ops.models import KNOWN, conv, load
from workloads.tflite import writer


@pytest.mark.parametrize(("code", "name"), [(None, ""), ("MyOp", "MyOp")])
def test_custom_operators(
    code: str | None, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def operator_code(builder: Any, op: str, version: int) -> int:
        text = {} if code is None else {"CustomCode": builder.CreateString(code)}
        return writer._table(
            builder, "OperatorCode", DeprecatedBuiltinCode=32, BuiltinCode=32, **text
        )

    monkeypatch.setattr(writer, "_operator_code", operator_code)
    with pytest.raises(Unsupported) as caught:
        load(conv(), tmp_path)
    assert str(caught.value) == (
        f"m.tflite, node 0 (CUSTOM:{name}): operator CUSTOM:{name} is not supported. "
        f"Supported: {KNOWN}."
    )


def test_a_code_that_only_the_newer_field_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """TFLite takes the larger of the two fields (schema_utils.cc GetBuiltinCode)."""

    def operator_code(builder: Any, op: str, version: int) -> int:
        return writer._table(builder, "OperatorCode", BuiltinCode=3, Version=version)

    monkeypatch.setattr(writer, "_operator_code", operator_code)
    (node,) = load(conv(), tmp_path).nodes
    assert node.op.kind == "conv_2d"
