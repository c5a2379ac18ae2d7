"""Write the page of results: ``python -m tests.quantize.experiments > docs/ptq_results.md``.

Small analogues of the tables of Krishnamoorthi 2018 (arXiv 1806.08342) and Nagel et al. 2021
(arXiv 2106.08295), on networks that a laptop trains and on one trained network with real images.
Each cell is the mean over five seeds, with the least and the greatest.
"""

import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Final, TypeAlias

import numpy as np

from simulator.graph import Graph
from tests.quantize.granularity import (
    OF_PAPER,
    SYM_CHANNEL,
    SYM_LAYER,
    Batches,
    Scheme,
    quantized,
    with_activations,
)
from tests.quantize.subjects import ALL_SEEDS, DigitsNetworks, ResNet8, Subject
from workloads.quantize.ptq.absorb import absorb
from workloads.quantize.ptq.adaround import adaround
from workloads.quantize.ptq.adaround_fit import AdaRoundSettings
from workloads.quantize.ptq.bias_correction import correct_biases
from workloads.quantize.ptq.equalize import equalize
from workloads.quantize.ptq.plan import Plan
from workloads.quantize.ptq.preactivations import estimated_statistics
from workloads.quantize.ptq.simulate import simulated
from workloads.quantize.ptq.steps import WeightRanges

Row: TypeAlias = tuple[str, ...]
Table: TypeAlias = tuple[str, Row, list[Row]]
"""A title, the head, and rows of cells."""
Measure: TypeAlias = Callable[[int], Plan | Graph]
ITERATIONS: Final = 1000
"""Of AdaRound, a layer: a tenth of the papers' 10 000, for time."""
DIGITS, RESCALED, RESNET = DigitsNetworks(rescaled=False), DigitsNetworks(rescaled=True), ResNet8()
HEAD: Final = """# Results of post-training quantization

Made by `python -m tests.quantize.experiments > docs/ptq_results.md` with the folder of public
models that `BITLANE_SHARED` names. These are small analogues of the papers' tables that
[docs/ptq.md](ptq.md) quotes: other networks, other data, **none of their numbers reproduced**.

Top-1 in percent: the mean over five seeds, then the least and the greatest; one number where they
are the same. For *digits* a seed is a training of a 64-64-64-10 network on scikit-learn's digits
(719 test images: 0.14 points an image); *rescaled* is the same network with hidden unit k times a
factor drawn from 1/64 to 64 and what reads it divided by it, the function kept. For *ResNet-8*
(MLCommons' trained float network, 1 000 real CIFAR-10 images, JPEG-degraded: 0.1 points an image) a
seed draws 100 of 500 calibration images. WxAy is x-bit weights and y-bit activations; A32 leaves
activations in float. Networks compute in float with quantizers where integers are stored
(`workloads.quantize.ptq.simulated`)."""


def cell(subject: Subject, measure: Measure, seeds: Iterable[int] = ALL_SEEDS) -> str:
    """Mean, least and greatest accuracy of what `measure` makes for each seed."""
    found = []
    for seed in seeds:
        made = measure(seed)
        found.append(subject.accuracy(simulated(made) if isinstance(made, Plan) else made))
    print(".", end="", file=sys.stderr, flush=True)
    mean, least, most = np.mean(found), min(found), max(found)
    return f"{mean:.1f}" if least == most else f"{mean:.1f} ({least:.1f} to {most:.1f})"


def on_grids(
    subject: Subject,
    scheme: Scheme,
    weights: int,
    activations: int | None,
    ranges: WeightRanges = "minmax",
) -> Measure:
    """A subject's network rounded to nearest, nothing mended."""

    def measure(seed: int) -> Plan:
        return quantized(
            subject.graph(seed),
            scheme,
            weights,
            activations,
            subject.batches(seed) if activations else (),
            ranges=ranges,
        )

    return measure


def in_float(subject: Subject) -> str:
    """The accuracy of the network itself."""
    seeds = ALL_SEEDS[:1] if subject is RESNET else ALL_SEEDS
    return cell(subject, subject.graph, seeds)


def granularity(subject: Subject) -> Table:
    """Tables 2, 3, 5 and 6 of Krishnamoorthi 2018."""
    widths = (
        ("T2", 8, None),
        ("T3", 8, 8),
        ("T5", 4, 8),
        ("T5, W3", 3, 8),
        ("T5, W2", 2, 8),
        ("T6", 8, 4),
    )
    rows = list[Row]()
    for like, weights, activations in widths:
        bits = f"W{weights}A{activations or 32}"
        cells = (
            cell(subject, on_grids(subject, scheme, weights, activations))
            for scheme in OF_PAPER.values()
        )
        rows.append((like, bits, *cells))

    def activations_alone(seed: int) -> Plan:
        return with_activations(Plan(subject.graph(seed), {}, {}), 8, subject.batches(seed))

    alone = cell(subject, activations_alone)
    rows.insert(2, ("T3, activations alone", "W32A8", alone, "", ""))
    title = f"Widths and granularity, {subject.name}: float {in_float(subject)}"
    return title, ("like table", "widths", *OF_PAPER), rows


def weight_ranges() -> Table:
    """Ranges of weights by least squared error: Nagel et al. 2021, table 1."""
    rows = list[Row]()
    kinds: tuple[WeightRanges, ...] = ("minmax", "mse")
    for subject, bits in ((DIGITS, 3), (DIGITS, 2), (RESNET, 4), (RESNET, 3)):
        cells = (
            cell(subject, on_grids(subject, scheme, bits, None, ranges=ranges))
            for scheme in (SYM_LAYER, SYM_CHANNEL)
            for ranges in kinds
        )
        rows.append((subject.name, f"W{bits}A32", *cells))
    head = ("network", "widths", *("layer min-max", "layer MSE", "channel min-max", "channel MSE"))
    return "Ranges of weights", head, rows


def equalization() -> Table:
    """Equalization, absorption and bias correction: Nagel et al. 2021, tables 3 and 4."""

    def mended(scheme: Scheme, steps: Callable[[Graph, Batches], Graph]) -> Measure:
        def measure(seed: int) -> Plan:
            batches = list(RESCALED.batches(seed))
            graph = steps(RESCALED.graph(seed), batches)
            return quantized(graph, scheme, 8, 8, batches)

        return measure

    def absorbed(graph: Graph, batches: Batches) -> Graph:
        equal = equalize(graph)
        return absorb(equal, estimated_statistics(equal, batches))

    def as_it_is(graph: Graph, batches: Batches) -> Graph:
        return graph

    def equal(graph: Graph, batches: Batches) -> Graph:
        return equalize(graph)

    made: Mapping[str, Measure] = {
        "one grid a layer": mended(SYM_LAYER, as_it_is),
        "biases corrected alone, one grid a layer": mended_biases(
            RESCALED, mended(SYM_LAYER, as_it_is)
        ),
        "equalized, one grid a layer": mended(SYM_LAYER, equal),
        "equalized, absorbed, one grid a layer": mended(SYM_LAYER, absorbed),
        "equalized, absorbed, biases corrected, one grid a layer": mended_biases(
            RESCALED, mended(SYM_LAYER, absorbed)
        ),
        "one grid a channel": mended(SYM_CHANNEL, as_it_is),
        "equalized, one grid a channel": mended(SYM_CHANNEL, equal),
    }
    rows: list[Row] = [(name, cell(RESCALED, measure)) for name, measure in made.items()]
    title = f"Equalization, digits rescaled, W8A8: float {in_float(RESCALED)}"
    return title, ("steps", "top-1"), rows


def rounding() -> Table:
    """Bias correction and AdaRound: Nagel et al. 2021, tables 4 to 6."""
    rows = list[Row]()
    cases = (
        (DIGITS, 4, SYM_LAYER),
        (DIGITS, 3, SYM_LAYER),
        (DIGITS, 2, SYM_LAYER),
        (DIGITS, 2, SYM_CHANNEL),
        (RESNET, 4, SYM_LAYER),
        (RESNET, 4, SYM_CHANNEL),
        (RESNET, 3, SYM_CHANNEL),
    )
    for subject, bits, scheme in cases:
        alone = on_grids(subject, scheme, bits, None, ranges="mse")
        nearest = on_grids(subject, scheme, bits, 8, ranges="mse")
        found = (nearest, mended_biases(subject, alone), rounded(subject, alone))
        which = "channel" if scheme.channels else "layer"
        cells = (cell(subject, measure) for measure in found)
        rows.append((subject.name, f"W{bits}A8", which, *cells))
    title = f"Rounding, ranges of weights by MSE; AdaRound with {ITERATIONS} iterations a layer"
    head = ("network", "widths", "a grid for each", "to nearest", "biases corrected", "AdaRound")
    return title, head, rows


def mended_biases(subject: Subject, rough: Measure) -> Measure:
    """Empirical bias correction of what `rough` makes, then 8-bit activations anew."""

    def measure(seed: int) -> Plan:
        plan = rough(seed)
        assert isinstance(plan, Plan)
        batches = list(subject.batches(seed))
        corrected = correct_biases(replace(plan, activations={}), batches)
        return with_activations(corrected, 8, batches)

    return measure


def rounded(subject: Subject, nearest: Measure) -> Measure:
    """AdaRound of a subject's weights, then 8-bit activations."""

    def measure(seed: int) -> Plan:
        plan = nearest(seed)
        assert isinstance(plan, Plan)
        batches = list(subject.batches(seed))
        made = adaround(plan, batches, AdaRoundSettings(iterations=ITERATIONS, seed=seed))
        return with_activations(replace(made, activations={}), 8, batches)

    return measure


def markdown(table: Table) -> str:
    """A section of the page."""
    title, head, rows = table
    lines = ["", f"## {title}", "", f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows)]) + "\n"


TABLES: Final[Mapping[str, Callable[[], Table]]] = {
    "digits": lambda: granularity(DIGITS),
    "rescaled": lambda: granularity(RESCALED),
    "resnet8": lambda: granularity(RESNET),
    "ranges": weight_ranges,
    "equalization": equalization,
    "rounding": rounding,
}
"""In the order of the page."""


if __name__ == "__main__":
    print(HEAD)
    for name in sys.argv[1:] or TABLES:
        print(markdown(TABLES[name]()), end="", flush=True)
