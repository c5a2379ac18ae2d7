"""`bitlane calibrate`: a machine's rates fitted to a CSV of measurements, written as YAML.

The YAML records what was fitted, to which rows, when, and how far off each row and each device is
when it is left out.
"""

import datetime
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import hwconfigs
from analysis.calibrate import WIDTH, Fit, error_percent, fit, left_out, mape, with_values
from analysis.files import write_text
from analysis.measurements import Measurement, read
from analysis.parameters import Parameter, parameter
from analysis.problems import Floats
from analysis.text import table
from simulator.document import Document
from simulator.errors import BitlaneError
from simulator.machines.platform import Platform
from simulator.machines.registry import machine_from

RATES = ("convolution", "depthwise", "fully_connected")


def calibrate_command(
    base: str, measurements: Path, out: Path, paths: Sequence[str], date: str | None
) -> None:
    """Fit, print the errors, write the YAML."""
    day = _day(date)
    document = hwconfigs.document(base)
    machine = machine_from(document)
    platform = isinstance(machine, Platform)
    rows = read(measurements, machine.clock_mhz, "host.clock_mhz" if platform else "clock_mhz")
    bases = {"": document}
    parameters = [_parameter(bases, text) for text in paths or default_paths(document)]
    found = fit(bases, rows, parameters)
    errors = leave_out_errors(bases, rows, found)
    print(report(found, rows, errors))
    fitted = with_values(document, "", found)
    plain = fitted.root.plain()
    if not platform:
        plain["technology"] = _technology(plain["technology"])
    key = f"fit of {measurements.name}"
    record(plain, key, found, rows, errors, day)
    text = to_yaml(plain, f"{machine.name}, calibrated by bitlane calibrate.")
    write_text(out, text)
    print(f"written to {out}")


def _day(text: str | None) -> str:
    """A date as YYYY-MM-DD, today's where none is given."""
    try:
        day = datetime.date.fromisoformat(text) if text else datetime.date.today()
    except ValueError:
        raise BitlaneError(f"--date {text}: write a date as 2026-11-21") from None
    return day.isoformat()


def default_paths(document: Document) -> list[str]:
    """What is fitted where nothing is named: rates that whole networks can tell apart."""
    plain = document.root.plain()
    if plain["model"] == "cpu":
        software = plain.get("aliases", {}).get(plain["software"], plain["software"])
        width = "integer" if plain["kernels"][software].get("integer") else "float32"
        prefix = f"kernels.{software}.{width}"
        return [*(f"{prefix}.per_multiply.{name}" for name in RATES), f"{prefix}.per_output"]
    if plain["model"] == "dsp":
        return ["dispatch.cycles_per_inference"]
    raise BitlaneError(f"--fit: name a field to fit; a {plain['model']} has no customary ones")


def _parameter(bases: Mapping[str, Document], text: str) -> Parameter:
    """A parameter as `PATH` or `PATH=LOW:HIGH`."""
    path, equals, bounds = text.partition("=")
    if not equals:
        return parameter(bases, path)
    low, colon, high = bounds.partition(":")
    try:
        limits = (float(low), float(high))
    except ValueError:
        limits = (math.nan, math.nan)
    if not colon or not all(map(math.isfinite, limits)):
        raise BitlaneError(f"--fit {text}: write PATH or PATH=LOW:HIGH with two numbers")
    return parameter(bases, path, limits)


def leave_out_errors(
    bases: Mapping[str, Document], rows: Sequence[Measurement], found: Fit, width: float = WIDTH
) -> dict[str, Floats]:
    """Signed errors in percent, by how they were found: fitted, and row or device left out."""
    each = [str(i) for i in range(len(rows))]
    devices = [m.device for m in rows]
    return {
        "fitted": error_percent(found.predicted, rows),
        "row left out": error_percent(left_out(bases, rows, found.parameters, each, width), rows),
        "device left out": error_percent(
            left_out(bases, rows, found.parameters, devices, width), rows
        ),
    }


def report(found: Fit, rows: Sequence[Measurement], errors: Mapping[str, Floats]) -> str:
    """The fitted values, then each row with its errors, then the means."""
    values = [
        (p.path, f"{p.start:g}", f"{value:.4g}", f"{p.low:.3g} to {p.high:.3g}")
        for p, value in zip(found.parameters, found.values, strict=True)
    ]
    measured = [
        (m.model, m.device, f"{m.cycles:.6g}", *(_percent(e[i]) for e in errors.values()))
        for i, m in enumerate(rows)
    ]
    means = ("mean absolute", "", "", *(_percent(mape(e), sign=False) for e in errors.values()))
    return "\n".join(
        (
            table(("field", "start", "fitted", "bounds"), values),
            "",
            table(("model", "device", "cycles", *errors), [*measured, means]),
        )
    )


def _percent(value: float, sign: bool = True) -> str:
    if math.isnan(value):
        return "none other"
    return f"{value:+.1f} %" if sign else f"{value:.1f} %"


def record(
    plain: dict[str, Any],
    key: str,
    found: Fit,
    rows: Sequence[Measurement],
    errors: Mapping[str, Floats],
    date: str,
) -> None:
    """Add the calibration under `key` to a machine's plain document, and name it as a source."""
    paths = [path for p in found.parameters for path in (p.path, *p.ties)]
    means = {
        name: round(mape(values), 1)
        for name, values in zip(
            ("fitted_percent", "leave_one_row_out_percent", "leave_one_device_out_percent"),
            errors.values(),
            strict=True,
        )
        if not math.isnan(mape(values))
    }
    plain.setdefault("calibration", {})[key] = {
        "date": date,
        "fields": paths,
        "devices": sorted({m.device for m in rows}),
        "rows": [m.row for m in rows],
        "error": means,
    }
    source = plain["source"] if isinstance(plain["source"], dict) else {"": plain["source"]}
    source.update(dict.fromkeys(paths, f"fitted to measurements: calibration.{key}"))
    source.setdefault("calibration", "computed by the calibration from its rows")
    plain["source"] = source


def _technology(resolved: Any) -> Any:
    """The name of a shipped technology, which reads better than its tables; else the tables."""
    name = resolved.get("name") if isinstance(resolved, dict) else resolved
    return name if name in hwconfigs.names("technologies") else resolved


def to_yaml(plain: Mapping[str, Any], comment: str) -> str:
    """A machine's document as YAML text, fields in the order given, short leaves on one line."""
    import yaml

    class Dumper(yaml.SafeDumper):
        pass

    def leaves(dumper: Any, value: Any) -> Any:
        short = "\n" not in str(value) and len(str(value)) <= 120
        items = value.values() if isinstance(value, dict) else value
        flat = all(isinstance(item, int | float | str) for item in items)
        if isinstance(value, dict):
            node = dumper.represent_dict(value)
        else:
            node = dumper.represent_list(value)
        node.flow_style = short and flat
        return node

    Dumper.add_representer(dict, leaves)
    Dumper.add_representer(list, leaves)
    body = yaml.dump(dict(plain), Dumper=Dumper, sort_keys=False, width=10_000, allow_unicode=True)
    return f"# {comment}\n{body}"
