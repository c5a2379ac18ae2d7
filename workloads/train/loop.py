"""The training loop: settings and data in, a plan of the integer network out."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np

from simulator.graph import Graph
from workloads.quantize.ptq.plan import Plan
from workloads.train.checkpoints import digest_of, restore, save
from workloads.train.data import Samples, check_labels, order_of
from workloads.train.forward import Mode
from workloads.train.network import Network, Tree, network_of
from workloads.train.plans import plan_of
from workloads.train.settings import Settings
from workloads.train.step import Steps, steps_of

CALIBRATION_BATCHES = 100
"""Krishnamoorthi 2018 section 3.1.2: about a hundred mini-batches set the ranges."""
CHUNK = 512
"""Samples of a held-out set that one compiled pass takes."""


@dataclass(frozen=True)
class Epoch:
    """What is told after an epoch.

    loss, accuracy : means over its batches, in training's own arithmetic; accuracy 0 to 1.
    held : the accuracy on held-out samples as served; None without any.
    bounds : the ends of each activation's range in use, by tensor; (0, 0) where none are yet.
    """

    number: int
    epochs: int
    loss: float
    accuracy: float
    held: float | None
    bounds: Mapping[str, tuple[float, float]]


@dataclass(frozen=True, eq=False)
class Trained:
    """A trained network: its integer form, what it was trained as, and how that went."""

    plan: Plan
    network: Network
    parameters: Tree
    state: Tree
    history: tuple[Epoch, ...]


Report = Callable[[Epoch], None]


def train(
    graph: Graph,
    data: Samples,
    settings: Settings,
    *,
    held: Samples | None = None,
    checkpoint: Path | None = None,
    report: Report | None = None,
) -> Trained:
    """Train a float network on the grids of its integer form.

    With a `checkpoint`, an .npz that is replaced after every epoch, a run that was stopped goes on
    there and ends in the same bits. Raises Unsupported for a network without a form in JAX,
    IllegalValues for classes that it does not have, RunFolderBusy for another run's checkpoint.
    """
    network = network_of(graph, settings)
    if settings.loss == "cross_entropy":
        classes = network.graph.tensors[network.forward.logits].elements
        check_labels(graph.name, classes, data.targets)
    per_epoch = max(data.count // settings.batch, 1)
    steps = steps_of(network, max(per_epoch * settings.epochs, 1))
    run = _Run(network, steps, data, held, per_epoch)
    digest = digest_of(settings, graph, data)
    note: dict[str, Any] = {"digest": digest, "history": []}
    carry = run.start()
    if checkpoint is not None and checkpoint.exists():
        carry, note = restore(checkpoint, carry, digest)
    history = [epoch_of(entry) for entry in note["history"]]
    for epoch in range(len(history), settings.epochs):
        carry, told = run.epoch(carry, epoch)
        history.append(told)
        if checkpoint is not None:
            entries = [asdict(entry) for entry in history]
            save(checkpoint, carry, {"digest": digest, "history": entries})
        if report is not None:
            report(told)
    parameters, state = run.served(carry)
    return Trained(plan_of(network, parameters, state), network, parameters, state, tuple(history))


def epoch_of(entry: Mapping[str, Any]) -> Epoch:
    """From a checkpoint's note."""
    bounds = {name: (low, high) for name, (low, high) in entry["bounds"].items()}
    return Epoch(**{**entry, "bounds": bounds})


@dataclass(frozen=True, eq=False)
class _Run:
    """A run's fixed parts. A carry is (parameters, optimizer's moments, state, average)."""

    network: Network
    steps: Steps
    data: Samples
    held: Samples | None
    per_epoch: int

    def start(self) -> Any:
        """Parameters at the start, and ranges from some batches of them."""
        network, settings = self.network, self.network.settings
        parameters, state = network.parameters(), network.state()
        early = settings.ranges != "one_shot" or self._at(settings.calibrate_at) == 0
        if early and network.tops:
            for n, rows in enumerate(order_of(self.data.count, settings.batch, settings.seed, 0)):
                if n == CALIBRATION_BATCHES:
                    break
                inputs, _ = self.data.batch(rows)
                state = self.steps.observe(parameters, state, inputs, jax.random.key(0))
            parameters = network.learned(parameters, state)
        parameters = jax.tree.map(np.asarray, parameters)
        carry = (parameters, self.steps.optimizer.init(parameters), state, parameters)
        # Buffers are handed over to each step: no two may be one.
        return jax.tree.map(lambda leaf: jax.numpy.array(leaf, copy=True), carry)

    def epoch(self, carry: Any, epoch: int) -> tuple[Any, Epoch]:
        """Every batch once."""
        settings = self.network.settings
        losses, correct = [], []
        first = jax.random.fold_in(jax.random.key(settings.seed), epoch)
        rows_of = order_of(self.data.count, settings.batch, settings.seed, epoch + 1)
        for n, rows in enumerate(rows_of):
            step = epoch * self.per_epoch + n
            if settings.ranges == "one_shot" and step == self._at(settings.calibrate_at):
                carry = _calibrated(carry)
            inputs, targets = self.data.batch(rows)
            key = jax.random.fold_in(first, n)
            carry, loss, share = self.steps.update(
                carry, inputs, targets, key, mode=self._mode(step), use=settings.ranges == "ema"
            )
            losses.append(loss)
            correct.append(share)
        return carry, Epoch(
            *(epoch + 1, settings.epochs),
            *(float(np.mean(losses)), float(np.mean(correct))),
            None if self.held is None else self.accuracy(carry, self.held),
            {n: (float(b[0]), float(b[1])) for n, b in carry[2]["bounds"].items()},
        )

    def _at(self, share: float) -> int:
        return round(share * self.per_epoch * self.network.settings.epochs)

    def _mode(self, step: int) -> Mode:
        settings = self.network.settings
        off = settings.ranges == "one_shot" and step < self._at(settings.calibrate_at)
        batch = bool(self.network.norms) and step < self._at(settings.freeze_at)
        return Mode(
            activations=bool(self.network.tops) and not off,
            batch_statistics=batch,
            noise=settings.rounding == "stochastic",
        )

    def served(self, carry: Any) -> tuple[Tree, Tree]:
        """The parameters that are served, and the state."""
        parameters, _, state, average = carry
        return (average if self.network.settings.average else parameters), state

    def accuracy(self, carry: Any, data: Samples) -> float:
        """Of what is served, 0 to 1."""
        parameters, state = self.served(carry)
        right = 0
        for start in range(0, data.count, CHUNK):
            inputs, targets = data.batch(np.arange(start, min(start + CHUNK, data.count)))
            logits = np.asarray(self.steps.serve(parameters, state, inputs))
            right += int((logits.argmax(axis=1) == targets).sum())
        return right / data.count


def _calibrated(carry: Any) -> Any:
    """The averages of the ends become the bounds: once, and never again."""
    parameters, moments, state, average = carry
    bounds = {name: jax.numpy.array(ends, copy=True) for name, ends in state["ends"].items()}
    return parameters, moments, {**state, "bounds": bounds}, average
