"""The command `bitlane quantize`: its options, and the settings that they make."""

from pathlib import Path
from typing import Annotated, Any, Final, get_args

import typer

from analysis.terminal import integer
from simulator.errors import BadConfig

METHODS: Final = ("pipeline", "minmax")
"""`minmax` is what `pipeline` starts from: min-max ranges, to nearest, nothing mended."""


def _bits(option: str, text: str) -> Any:
    def parse(value: str) -> int:
        from workloads.quantize.ptq.widths import RULE, is_width

        if not (value.isdecimal() and len(value) <= 2 and is_width(int(value))):
            raise BadConfig(f"{option} {value}: must be {RULE}")
        return int(value)

    return typer.Option(parser=parse, metavar="BITS", help=text)


def quantize(
    model: Annotated[
        str, typer.Argument(help="A float .tflite or .onnx file.", metavar="FLOAT_MODEL")
    ],
    calibration: Annotated[
        Path | None,
        typer.Option(help="Samples of the inputs, .npz; none: data-free, by batch norms."),
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="OUT.onnx or OUT.tflite.")] = None,
    weights: Annotated[int | None, _bits("--weights", "Bits of weights: 8.")] = None,
    activations: Annotated[int | None, _bits("--activations", "Bits of activations: 8.")] = None,
    layer: Annotated[
        list[str] | None, typer.Option(help="NAME=W4A8: widths of one layer (repeatable).")
    ] = None,
    first_last: Annotated[
        int | None, _bits("--first-last", "Bits of the first and the last layer.")
    ] = None,
    policy: Annotated[
        Path | None, typer.Option(help="Widths from YAML or JSON; options go before it.")
    ] = None,
    method: Annotated[
        str, typer.Option(help="pipeline, or minmax: what it starts from.")
    ] = "pipeline",
    per_channel: Annotated[
        bool | None,
        typer.Option("--per-channel/--per-tensor", help="Scales of weights.", show_default=False),
    ] = None,
    equalize: Annotated[
        bool | None,
        typer.Option(
            "--equalize/--no-equalize",
            help="Across layers; neither: where it is better.",
            show_default=False,
        ),
    ] = None,
    absorb: Annotated[
        bool | None,
        typer.Option("--absorb/--no-absorb", help="High biases.", show_default=False),
    ] = None,
    weight_ranges: Annotated[str | None, typer.Option(help="mse, minmax.")] = None,
    rounding: Annotated[str | None, typer.Option(help="adaround, nearest.")] = None,
    bias_correction: Annotated[str | None, typer.Option(help="empirical, analytic, none.")] = None,
    activation_ranges: Annotated[
        str | None,
        typer.Option(help="mse, minmax, moving-average, percentile; batch-norm without data."),
    ] = None,
    symmetric: Annotated[
        bool, typer.Option("--symmetric", help="Zero points of activations are 0.")
    ] = False,
    logits: Annotated[
        str | None, typer.Option(help="cross-entropy: judge the logits by their classes.")
    ] = None,
    input_range: Annotated[
        str | None, typer.Option(help="LOW:HIGH of the inputs, where there is no data.")
    ] = None,
    iterations: Annotated[
        int | None,
        typer.Option(
            parser=integer("--iterations", 1), metavar="N", help="Of AdaRound, each layer."
        ),
    ] = None,
    seed: Annotated[
        int, typer.Option(parser=integer("--seed", 0), metavar="N", help="Of what is drawn.")
    ] = 0,
    labels: Annotated[
        Path | None, typer.Option(help="Labelled samples for top-1, .npz with x and y.")
    ] = None,
    format_: Annotated[str | None, typer.Option("--format", help="Of .onnx: qdq, qonnx.")] = None,
    diagnose: Annotated[
        bool, typer.Option("--diagnose", help="Find what loses the most, layer by layer.")
    ] = False,
    json: Annotated[
        Path | None,
        typer.Option("--json", help="Write a JSON document here; - is standard output."),
    ] = None,
    html: Annotated[Path | None, typer.Option(help="Write a page here.")] = None,
) -> None:
    """Quantize a trained float network: ranges, equalization, rounding, and what each bought.

    The steps are those of arXiv 2106.08295 section 3.5, each with a switch.
    """
    from analysis.quantize import Files, quantize_command
    from workloads.quantize.ptq.calibrate import Method, RangeSettings
    from workloads.quantize.ptq.settings import BiasCorrection, Rounding, Settings
    from workloads.quantize.ptq.steps import WeightRanges

    _choose("--method", method, METHODS)
    _choose("--weight-ranges", weight_ranges, get_args(WeightRanges))
    _choose("--rounding", rounding, get_args(Rounding))
    _choose("--bias-correction", bias_correction, get_args(BiasCorrection))
    _choose("--activation-ranges", activation_ranges, (*get_args(Method), "batch-norm"))
    _choose("--logits", logits, ("cross-entropy",))
    _check_data(calibration is not None, activation_ranges, input_range)
    plain = method == "minmax"
    chosen: dict[str, Any] = {
        "per_channel": per_channel,
        "equalize": False if plain and equalize is None else equalize,
        "absorb": False if plain and absorb is None else absorb,
        "weight_ranges": weight_ranges or ("minmax" if plain else None),
        "rounding": rounding or ("nearest" if plain else None),
        "bias_correction": bias_correction or ("none" if plain else None),
        "iterations": iterations,
        "input_range": _range(input_range),
    }
    ranges = RangeSettings(
        method=_method(activation_ranges, plain=plain),
        cross_entropy=logits is not None,
        symmetric_grids=symmetric,
        seed=seed,
    )
    settings = Settings(
        policy=_policy(policy, weights, activations, first_last, layer or []),
        activations=ranges,
        data_free=calibration is None,
        seed=seed,
        **{name: value for name, value in chosen.items() if value is not None},
    )
    files = Files(calibration, labels, out, format_, json, html)
    quantize_command(model, files, settings, diagnosed=diagnose)


def _method(text: str | None, *, plain: bool) -> Any:
    if text is None or text == "batch-norm":
        return "minmax" if plain else "mse"
    return text


def _check_data(given: bool, ranges: str | None, stated: str | None) -> None:
    if given and ranges == "batch-norm":
        raise BadConfig(
            "--activation-ranges batch-norm: is for quantizing without data; leave out "
            "--calibration, or choose ranges that look at it"
        )
    if given and stated is not None:
        raise BadConfig("--input-range: the calibration data says it; leave out one of the two")
    if not given and ranges not in (None, "batch-norm"):
        raise BadConfig(
            f"--activation-ranges {ranges}: needs --calibration IN.npz; without it there is "
            "batch-norm"
        )


def _policy(
    path: Path | None,
    weights: int | None,
    activations: int | None,
    first_last: int | None,
    layers: list[str],
) -> Any:
    """The widths: a file's, and options on top of it."""
    from dataclasses import replace

    from workloads.quantize.ptq.widths import Policy, parse_width, read_policy

    base = read_policy(path) if path is not None else Policy()
    named = {}
    for text in layers:
        name, sign, width = text.rpartition("=")
        if not sign or not name:
            raise BadConfig(f"--layer {text}: write it as NAME=W4A8")
        named[name] = _parsed(text, width, parse_width)
    stated = {"weights": weights, "activations": activations, "first_last": first_last}
    given = {name: value for name, value in stated.items() if value is not None}
    return replace(base, layers={**base.layers, **named}, **given)


def _parsed(text: str, width: str, parse: Any) -> Any:
    try:
        return parse(width)
    except BadConfig as error:
        raise BadConfig(f"--layer {text}: {error}") from None


def _range(text: str | None) -> tuple[float, float] | None:
    if text is None:
        return None
    low, _, high = text.partition(":")
    try:
        ends = float(low), float(high)
    except ValueError:
        ends = 0.0, 0.0
    if not ends[0] < ends[1] or not all(abs(end) < float("inf") for end in ends):
        raise BadConfig(f"--input-range {text}: write it as LOW:HIGH, such as 0:255")
    return ends


def _choose(option: str, value: str | None, allowed: tuple[str, ...]) -> None:
    if value is not None and value not in allowed:
        raise BadConfig(f"{option} {value}: must be one of {', '.join(allowed)}")
