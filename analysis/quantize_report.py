"""What `bitlane quantize` tells: what each step bought, each layer, the file; as text and JSON."""

from dataclasses import asdict
from typing import Any, Final

from analysis.quantize_written import Written
from analysis.text import grouped, table
from workloads.quantize.ptq.diagnose import SANE, Diagnosis, Sensitivity
from workloads.quantize.ptq.pipeline import Quantized
from workloads.quantize.ptq.settings import Settings

SCHEMA: Final = "bitlane.quantize/1"
SHOWN: Final = 12
"""Parts of a ranking that the terminal shows."""


def to_text(made: Quantized, settings: Settings) -> str:
    """Steps and layers for a terminal."""
    policy, judged = settings.policy, made.judge
    kind = "a scale each channel" if settings.per_channel else "a scale each tensor"
    data = "no data, judged on random inputs"
    if made.calibrated:
        data = f"calibrated on {made.calibrated} samples, judged on {len(judged.held)} others"
        if made.calibrated == len(judged.held) == 1:
            data = "calibrated and judged on one sample"
    head = (
        f"{made.float_graph.name}: W{policy.weights}A{policy.activations}, {len(made.layers)} "
        f"layers, {kind}; {data}"
    )
    rows = [("float", "", "", "", _percent(made.float_top1), "")]
    rows += [
        (
            s.name,
            f"{s.seconds:.1f} s",
            _db(s.weights_db),
            _db(s.sqnr_db),
            _percent(s.top1),
            s.detail,
        )
        for s in made.steps
    ]
    steps = table(("after", "time", "weights only", "all", "top-1", "what it did"), rows)
    layers = table(
        ("layer", "width", "weights", "output"),
        [(x.name, str(x.width), _db(x.weights_db), _db(x.output_db)) for x in made.layers],
    )
    return "\n".join(
        [
            head,
            "",
            "signal to noise of the logits against float:",
            steps,
            "",
            "signal to noise of each layer, noise of those before included in its output:",
            layers,
        ]
    )


def written_text(written: Written) -> str:
    """The file and what was found when it was read back."""
    agree = ""
    if written.agreeing is not None:
        agree = f"the largest output agrees on {written.agreeing} of {written.samples} samples, "
    return (
        f"written to {written.path} ({written.format}, {grouped(written.bytes)} bytes); read back "
        f"and run beside the simulation: {agree}{written.outputs_db:.1f} dB"
    )


def diagnosis_text(found: Diagnosis, settings: Settings) -> str:
    """The workflow's findings in its order."""
    lines = ["", "diagnosis"]
    lines += [
        f"  quantizers off, {stage}: the logits differ by {error:.2g} of the largest"
        + ("" if error <= SANE else f", above {SANE:g}")
        for stage, error in found.sanity.items()
    ]
    halves = (
        ("weights alone", found.weights_db, found.weights_top1),
        ("activations alone", found.activations_db, found.activations_top1),
        ("both", found.both_db, found.both_top1),
    )
    lines += [
        f"  {what}: {value:.1f} dB" + (f", top-1 {_percent(top1)}" if top1 is not None else "")
        for what, value, top1 in halves
    ]
    rows = [
        (
            str(rank),
            one.part.name,
            _db(one.alone_db),
            _db(one.weights_db),
            _db(one.activations_db),
            _db(one.without_db),
        )
        for rank, one in enumerate(found.ranking[:SHOWN], 1)
    ]
    header = ("rank", "quantized alone", "logits", "its weights", "its output", "all but it")
    lines += ["", table(header, rows), ""]
    return "\n".join([*lines, *(f"- {line}" for line in suggestions(found, settings))])


def suggestions(found: Diagnosis, settings: Settings) -> list[str]:
    """What to try next, by the flow chart of Nagel et al. 2021 (arXiv 2106.08295) section 3.7."""
    told = []
    if not found.sane:
        told.append(
            "the float network changes before anything is rounded: quantize without equalization "
            "(--no-equalize), and look at ranges of weights beyond float32's"
        )
    if found.weights_db <= found.activations_db:
        told.append("weights lose the most" + _try(_for_weights(settings)))
    else:
        told.append("activations lose the most" + _try(_for_activations(settings)))
    worst = found.ranking[0] if found.ranking else None
    if worst is not None:
        told.append(_of_worst(worst, settings))
    told.append("if none of that is enough, train with the quantizers in place")
    return told


def _for_weights(settings: Settings) -> list[str]:
    wanted = []
    if settings.equalize is False:
        wanted.append("equalize (leave out --no-equalize)")
    if not settings.per_channel:
        wanted.append("--per-channel")
    if settings.weight_ranges == "minmax":
        wanted.append("--weight-ranges mse")
    if settings.rounds_by == "nearest":
        wanted.append("--rounding adaround")
        if settings.corrects_by == "none":
            wanted.append("--bias-correction empirical")
    return wanted


def _for_activations(settings: Settings) -> list[str]:
    off = settings.equalize is False
    wanted = ["equalize (leave out --no-equalize)"] if off else []
    if not off and not settings.absorb:
        wanted.append("absorb high biases (leave out --no-absorb)")
    if settings.data_free:
        wanted.append("ranges from data (--calibration)")
    elif settings.activations.method != "mse":
        wanted.append("--activation-ranges mse")
    if not settings.activations.cross_entropy:
        wanted.append("--logits cross-entropy where the last layer classifies")
    return wanted


def _try(wanted: list[str]) -> str:
    return f": try {', '.join(wanted)}" if wanted else ": every remedy is on; give them more bits"


def _of_worst(worst: Sensitivity, settings: Settings) -> str:
    part, told = worst.part, f"the worst alone is {worst.part.name}"
    if not part.weights:
        return f"{told} ({part.op}): look at the range of {part.group[0]}"
    policy = settings.policy
    weights = worst.weights_db is not None and (
        worst.activations_db is None or worst.weights_db <= worst.activations_db
    )
    wider = (16, policy.activations) if weights else (policy.weights, 16)
    culprit = "its weights" if weights else "its output"
    if not weights:
        return f"{told}, for {culprit}: look at its channels; the layers that read it may take A16"
    return (
        f"{told}, for {culprit}: look at its channels; more bits for it are "
        f"--layer {part.name}=W{wider[0]}A{wider[1]}"
    )


def to_json_dict(
    made: Quantized,
    settings: Settings,
    written: Written | None = None,
    found: Diagnosis | None = None,
) -> dict[str, Any]:
    """The document of `--json`; signal to noise in dB, shares from 0 to 1."""
    document: dict[str, Any] = {
        "schema": SCHEMA,
        "model": made.float_graph.name,
        "settings": _settings(settings),
        "samples": {"calibrated": made.calibrated, "judged": len(made.judge.held)},
        "float_top1": made.float_top1,
        "steps": [
            {
                "name": s.name,
                "detail": s.detail,
                "seconds": s.seconds,
                "weights_sqnr_db": s.weights_db,
                "sqnr_db": s.sqnr_db,
                "top1": s.top1,
            }
            for s in made.steps
        ],
        "layers": [
            {
                "name": x.name,
                "op": x.op,
                "weight_bits": x.width.weights,
                "activation_bits": x.width.activations,
                "weights_sqnr_db": x.weights_db,
                "output_sqnr_db": x.output_db,
            }
            for x in made.layers
        ],
        "output": None,
        "diagnosis": None,
    }
    if written is not None:
        document["output"] = {
            "file": str(written.path),
            "format": written.format,
            "bytes": written.bytes,
            "samples": written.samples,
            "agreeing": written.agreeing,
            "sqnr_db": written.outputs_db,
        }
    if found is not None:
        document["diagnosis"] = _diagnosis(found, settings)
    return document


def _settings(settings: Settings) -> dict[str, Any]:
    policy = settings.policy
    return {
        "weights": policy.weights,
        "activations": policy.activations,
        "first_last": policy.first_last,
        "layers": {name: str(width) for name, width in policy.layers.items()},
        "per_channel": settings.per_channel,
        "equalize": "where better" if settings.equalize is None else settings.equalize,
        "absorb": settings.absorb,
        "weight_ranges": settings.weight_ranges,
        "rounding": settings.rounds_by,
        "bias_correction": settings.corrects_by,
        "activation_ranges": "batch-norm" if settings.data_free else settings.activations.method,
        "logits": "cross-entropy" if settings.activations.cross_entropy else "as others",
        "symmetric_activations": settings.activations.symmetric_grids,
        "seed": settings.seed,
    }


def _diagnosis(found: Diagnosis, settings: Settings) -> dict[str, Any]:
    return {
        "sanity": dict(found.sanity),
        "weights_sqnr_db": found.weights_db,
        "activations_sqnr_db": found.activations_db,
        "sqnr_db": found.both_db,
        "weights_top1": found.weights_top1,
        "activations_top1": found.activations_top1,
        "top1": found.both_top1,
        "ranking": [
            {
                "name": one.part.name,
                "op": one.part.op,
                "alone_sqnr_db": one.alone_db,
                "weights_sqnr_db": one.weights_db,
                "output_sqnr_db": one.activations_db,
                "without_sqnr_db": one.without_db,
            }
            for one in found.ranking
        ],
        "channels": None if found.channels is None else asdict(found.channels),
        "suggestions": suggestions(found, settings),
    }


def _db(value: float | None) -> str:
    return "-" if value is None else f"{value:5.1f} dB"


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{share:.1%}".replace("%", " %")
