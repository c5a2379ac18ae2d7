"""Post-training quantization from end to end, with a report of what each step bought.

Nagel et al. 2021 (arXiv 2106.08295) section 3.5: equalize, quantizers, ranges of weights, AdaRound
or else bias correction, ranges of activations. Read `quantize`, then `_Run`.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from time import perf_counter
from typing import Final, TypeAlias

import numpy as np

from simulator.errors import BadConfig
from simulator.graph import Graph
from workloads.float_graph import layers
from workloads.quantize import Grid
from workloads.quantize.ptq import mending
from workloads.quantize.ptq.biases import with_room_for_biases
from workloads.quantize.ptq.calibrate import RangeSettings, calibrate
from workloads.quantize.ptq.data_free import check_batch_norms, data_free_grids, stated_range
from workloads.quantize.ptq.measure import Judge, Labelled, layer_noise, weight_noise
from workloads.quantize.ptq.places import places
from workloads.quantize.ptq.plan import Plan, Weights
from workloads.quantize.ptq.prepare import prepared
from workloads.quantize.ptq.samples import Samples, samples_of
from workloads.quantize.ptq.settings import Settings
from workloads.quantize.ptq.simulate import simulated
from workloads.quantize.ptq.statistics import LayerStatistics, batch_norm_statistics
from workloads.quantize.ptq.steps import WeightRanges, quantized_weights
from workloads.quantize.ptq.widths import Width, activation_bits, weight_bits, widths

HELD_OUT: Final = 5
"""One sample of so many is not calibrated on, but judged on."""
MOST_HELD: Final = 256
MOST_BETWEEN: Final = 128
"""Samples that the ranges of activations are taken from between two steps, to report on them."""
RANDOM: Final = 32
"""Random inputs to judge on where there is no data."""
Watch: TypeAlias = Callable[[str, int, int], None]
"""Told (step, done, of how many)."""


@dataclass(frozen=True)
class StepReport:
    """A step: what it did in words, how long it took, and the network after it.

    Signal to noise of the logits in dB, with the weights alone on their grids and with activations
    too (min-max ranges until their own step); top-1 of the latter where there are labels.
    """

    name: str
    detail: str
    seconds: float
    weights_db: float
    sqnr_db: float
    top1: float | None


@dataclass(frozen=True)
class LayerReport:
    """A layer: its widths, signal to noise of its weights, and of its output with all before it."""

    name: str
    op: str
    width: Width
    weights_db: float | None
    output_db: float


@dataclass(frozen=True, eq=False)
class Quantized:
    """A plan, the float network that it was made from, and what is known of both.

    `float_graph` is as read, `equalized` folded and equalized, None where that was left out;
    `twin` computes in float what the plan does on its grids, tensor by tensor: folded, equalized,
    absorbed.
    """

    plan: Plan
    float_graph: Graph
    equalized: Graph | None
    twin: Graph
    judge: Judge
    float_top1: float | None
    calibrated: int
    steps: tuple[StepReport, ...]
    layers: tuple[LayerReport, ...]


def quantize(
    graph: Graph,
    settings: Settings,
    samples: Samples | None = None,
    labelled: Labelled | None = None,
    watch: Watch | None = None,
) -> Quantized:
    """An integer network of a float one, by the steps that `settings` name.

    `samples` are split: calibrated on the first four fifths, judged on the rest. Without samples
    everything comes from batch norms and `settings.input_range`, judged on random inputs. Raises
    Unsupported for a network that is quantized already or has nothing to quantize.
    """
    return _Run(graph, settings, samples, labelled, watch or (lambda *_: None)).done()


def split(samples: Samples) -> tuple[Samples, Samples]:
    """(to calibrate on, held out to judge on); a single sample is both."""
    held = min(max(len(samples) // HELD_OUT, 1), MOST_HELD)
    if len(samples) == 1:
        return samples, samples
    return samples.part(0, len(samples) - held), samples.part(len(samples) - held, len(samples))


def random_samples(graph: Graph, settings: Settings) -> Samples:
    """Inputs drawn uniformly from the range that the settings state."""
    low, high = stated_range(graph, settings)
    draw = np.random.default_rng(settings.seed)
    shapes = {name: graph.tensors[name].shape for name in graph.inputs}
    return samples_of(
        graph, {n: draw.uniform(low, high, (RANDOM, *s)).astype("f4") for n, s in shapes.items()}
    )


@dataclass
class _Step:
    """A step at work: what it did, in words, and who hears how far it is."""

    name: str
    watch: Watch
    did: str = ""

    def told(self, done: int, total: int) -> None:
        """Tell how far it is."""
        self.watch(self.name, done, total)


@dataclass
class _Run:
    """The network as far as it has come."""

    float_graph: Graph
    settings: Settings
    samples: Samples | None
    labelled: Labelled | None
    watch: Watch
    steps: list[StepReport] = field(default_factory=list)

    def __post_init__(self) -> None:
        chosen, self.graph = self.settings, prepared(self.float_graph)
        self.widths = widths(self.graph, chosen.policy)
        self.weight_bits = weight_bits(self.graph, self.widths)
        self.bits = activation_bits(self.graph, places(self.graph), self.widths, chosen.policy)
        if (self.samples is None) != chosen.data_free:
            raise BadConfig(f"{self.graph.name}: takes calibration data, or data_free settings")
        self.statistics: LayerStatistics = batch_norm_statistics(self.float_graph)
        if self.samples is None:
            check_batch_norms(self.graph, self.statistics)
            self.data = held = random_samples(self.graph, chosen)
        else:
            self.data, held = split(self.samples)
        self.judge = Judge(self.float_graph, held, self.labelled)
        self.twin = self.graph
        self.weights: Mapping[str, Weights] = {}
        self.activations: Mapping[str, Grid] = {}

    def done(self) -> Quantized:
        """Every step in order."""
        chosen = self.settings
        with self._step("min-max"):
            self._round_weights("minmax")
        folded = self.graph
        if chosen.equalize is not False:
            with self._step("equalize") as step:
                step.did = self._equalize()
                self._round_weights("minmax")
        equalized = self.graph if chosen.equalize or self.graph is not folded else None
        if chosen.absorb:
            self._absorb()
        self.twin = self.graph
        self._weights()
        with self._step("activation ranges") as step:
            step.did = "batch-norm" if chosen.data_free else chosen.activations.method
            self.activations = self._ranges(chosen.activations, len(self.data))
        plan = self._plan(self.activations)
        return Quantized(
            plan=plan,
            float_graph=self.float_graph,
            equalized=equalized,
            twin=self.twin,
            judge=self.judge,
            float_top1=self.judge.top1(self.float_graph),
            calibrated=0 if chosen.data_free else len(self.data),
            steps=tuple(self.steps),
            layers=layer_reports(plan, self.twin, self.judge.held, self.widths),
        )

    def _equalize(self) -> str:
        """Go on with what the judge hears the least noise of: equalized, or as it was."""
        made = mending.equalizations(self.graph, self.statistics)
        if not made:
            return "0 pairs of layers"
        before = mending.Equalized(self.graph, self.statistics, "left out")
        noise = {one: self._tried(one) for one in (before, *made)}
        best = max(made if self.settings.equalize else noise, key=lambda one: noise[one])
        self.graph, self.statistics = best.graph, best.statistics
        with_it = max(noise[one] for one in made)
        return f"{best.told}: {with_it:.1f} dB, {noise[before]:.1f} dB without"

    def _tried(self, one: mending.Equalized) -> float:
        """Signal to noise in dB with the ranges of weights to come, min-max of activations."""
        self.graph, self.statistics = one.graph, one.statistics
        self._round_weights(self.settings.weight_ranges)
        return self.judge.sqnr_db(simulated(self._plan(self._between())))

    def _absorb(self) -> None:
        with self._step("absorb") as step:
            self.graph, self.statistics, step.did = mending.absorbed(
                self.graph, self.statistics, self.data, self.settings
            )
            self._round_weights("minmax")

    def _weights(self) -> None:
        """Ranges, rounding and biases of the layers."""
        chosen = self.settings
        if chosen.weight_ranges != "minmax":
            with self._step("weight ranges") as step:
                step.did = "least squared error"
                self._round_weights(chosen.weight_ranges)
        if chosen.rounds_by == "adaround":
            with self._step("adaround") as step:
                made, step.did = mending.adarounded(self._plan(), self.data, chosen, step.told)
                self.weights = made.weights
        if chosen.corrects_by != "none":
            with self._step("bias correction") as step:
                made, step.did = mending.corrected(self._plan(), self.statistics, self.data, chosen)
                self.graph, self.weights = made.graph, made.weights

    @contextmanager
    def _step(self, name: str) -> Iterator["_Step"]:
        """Time what is done inside, then measure what it bought."""
        step = _Step(name, self.watch)
        step.told(0, 1)
        start = perf_counter()
        yield step
        seconds = perf_counter() - start
        whole = simulated(self._plan(self.activations or self._between()))
        alone = self.judge.sqnr_db(simulated(self._plan()))
        found = self.judge.sqnr_db(whole), self.judge.top1(whole)
        self.steps.append(StepReport(name, step.did, seconds, alone, *found))

    def _plan(self, activations: Mapping[str, Grid] | None = None) -> Plan:
        return with_room_for_biases(Plan(self.graph, self.weights, activations or {}))

    def _round_weights(self, ranges: WeightRanges) -> None:
        self.weights = quantized_weights(
            self.graph, self.weight_bits, ranges, channels=self.settings.per_channel
        )

    def _between(self) -> dict[str, Grid]:
        """Grids of activations while their own step has not been."""
        return self._ranges(RangeSettings("minmax"), min(MOST_BETWEEN, len(self.data)))

    def _ranges(self, ranges: RangeSettings, count: int) -> dict[str, Grid]:
        """Grids of activations, found in the network whose weights are on their grids."""
        if self.settings.data_free:
            return data_free_grids(self.graph, self.statistics, self.bits, self.settings)
        symmetric_grids = self.settings.activations.symmetric_grids
        chosen = replace(ranges, symmetric_grids=symmetric_grids)
        return calibrate(simulated(self._plan()), self.data.part(0, count), self.bits, chosen)


def layer_reports(
    plan: Plan, twin: Graph, held: Samples, found: Mapping[str, Width]
) -> tuple[LayerReport, ...]:
    """Every layer of a plan against its float twin."""
    each = layers(twin)
    outputs = layer_noise(twin, plan, held, [layer.output for layer in each])
    weights = weight_noise(twin, plan)
    return tuple(
        LayerReport(
            layer.node.name,
            layer.node.op.kind,
            found[layer.node.name],
            weights.get(layer.node.name),
            outputs[layer.output],
        )
        for layer in each
    )
