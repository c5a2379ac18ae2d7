"""Values as YAML text: any loader reads the same value back."""

import math

import pytest
import yaml

from analysis.yaml_text import yaml_scalar


@pytest.mark.parametrize(
    "value",
    ["on", "y", "500e6", "1:30", "", "a b", "# no", 'quote " and \\', "é\u2028\x07😀", "x: y", "~",
     "weight_stationary", 1, -3, 2**70, 1.0, 1e-5, 1e22, 0.1, True, None, [], {},
     [1e-7, ["no", None]], {"a": {"b": [1.5, "2.5"]}}, math.inf],
)  # fmt: skip
def test_yaml_scalar_reads_back_as_the_same_value(value: object) -> None:
    text = yaml_scalar(value)
    back = yaml.safe_load(f"key: {text}\n")["key"]
    assert back == value
    assert type(back) is type(value)
    assert "\n" not in text


def test_yaml_scalar_quotes_what_other_loaders_read_as_numbers() -> None:
    assert (yaml_scalar("500e6"), yaml_scalar("y"), yaml_scalar("wrap")) == (
        '"500e6"',
        '"y"',
        "wrap",
    )
    assert math.isnan(yaml.safe_load(yaml_scalar(math.nan)))
    with pytest.raises(TypeError, match="plain YAML data; got complex"):
        yaml_scalar(1j)
