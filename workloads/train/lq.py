"""Training of LQ-Nets: weights by gradients, bases by QEM, outside the gradient, every step.

Zhang et al., ECCV 2018, arXiv 1807.10029, algorithm 1 with one alternation a step. The forward pass
quantizes with the stored bases; then each becomes decay v + (1 - decay) v*, v* of least squares at
the codes of this pass, with a ridge for weights.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, Final

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax

from simulator.graph import Array, Graph
from workloads.train.checkpoints import digest_of, restore, save
from workloads.train.data import Samples, check_labels, order_of
from workloads.train.loop import Epoch, Report, epoch_of
from workloads.train.lq_forward import LqForward
from workloads.train.lq_network import LqNetwork, lq_network
from workloads.train.lq_quantizers import fitted, moved
from workloads.train.lq_settings import LqSettings
from workloads.train.settings import Settings
from workloads.train.step import loss_of, optimizer_of
from workloads.train.structure import Same, structure

CHUNK: Final = 256
"""Samples of one compiled pass."""


@dataclass(frozen=True, eq=False)
class TrainedLq:
    """A trained network on learned bases, and how that went; `network.served` is executed."""

    network: LqNetwork
    settings: LqSettings
    history: tuple[Epoch, ...]


def train_lq(
    graph: Graph,
    data: Samples,
    settings: LqSettings,
    *,
    held: Samples | None = None,
    checkpoint: Path | None = None,
    report: Report | None = None,
) -> TrainedLq:
    """Train a float network on learned bases; `epochs` 0 gives the first ones.

    With a `checkpoint`, an .npz that is replaced after every epoch, a run that was stopped goes on
    there and ends in the same bits. In each `Epoch`, `bounds` are the least and the greatest level
    of activations. Raises Unsupported for a network without a form in JAX, IllegalValues for
    classes that it does not have, RunFolderBusy for another run's checkpoint.
    """
    start = lq_network(graph, data, settings)
    if settings.loss == "cross_entropy":
        check_labels(graph.name, start.graph.tensors[start.logits].elements, data.targets)
    digest = digest_of(settings, graph, data)
    note: dict[str, Any] = {"digest": digest, "history": []}
    # Bases and thresholds are float64, as in the engine.
    with jax.enable_x64(True):
        run = _Run(start, settings, data, held)
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
        return TrainedLq(run.network(carry), settings, tuple(history))


def lq_predictions(
    network: LqNetwork, inputs: Mapping[str, Array], wanted: Sequence[str] = ()
) -> dict[str, Array]:
    """The network's outputs, or the `wanted` tensors, [samples, *shape], float32.

    The same function as a training step's forward pass; its values are those of `network.served`.
    """
    names, forward = tuple(wanted) or network.graph.outputs, network.forward
    constants, bases = real_constants(network.graph), network.bases
    count = len(next(iter(inputs.values())))
    with jax.enable_x64(True):
        compiled = _passes(Same((*_key(forward), names), forward))
        size, parts = min(CHUNK, count), []
        for k in range(0, count, size):
            # The last part is filled up with the first samples: one shape is compiled.
            rows = np.arange(k, k + size) % count
            parts.append(compiled(constants, bases, {n: v[rows] for n, v in inputs.items()}))
        return {n: np.concatenate([np.asarray(part[n]) for part in parts])[:count] for n in names}


def real_constants(graph: Graph) -> dict[str, Array]:
    """The real constants."""
    return {n: v for n, v in graph.constants.items() if v.dtype == np.float32}


def _key(forward: LqForward) -> tuple[Any, ...]:
    sets = tuple(sorted(forward.activations.items()))
    return (*structure(forward.graph), tuple(sorted(forward.weights)), sets)


@lru_cache(maxsize=16)
def _passes(given: Same[LqForward]) -> Any:
    names: tuple[str, ...] = given.key[-1]  # type: ignore[assignment]

    def run(constants: Any, bases: Any, batch: Mapping[str, Any]) -> dict[str, Any]:
        return given.value.run(constants, bases, batch, names)[0]

    return jax.jit(run)


@dataclass(frozen=True, eq=False)
class _Run:
    """A run's fixed parts. A carry is (parameters, optimizer's moments, bases)."""

    first: LqNetwork
    settings: LqSettings
    data: Samples
    held: Samples | None

    @property
    def per_epoch(self) -> int:
        return max(self.data.count // self.settings.batch, 1)

    def steps(self) -> tuple[optax.GradientTransformation, Callable[..., Any]]:
        settings, forward = self.settings, self.first.forward
        total = max(self.per_epoch * settings.epochs, 1)
        # Of what has no say in the optimizer, nothing is compiled again.
        optimization = replace(settings.optimization, epochs=1, batch=1, seed=0)
        key = (*_key(forward), self.first.logits, total, optimization)
        return _steps_of(Same(key, forward))

    def start(self) -> Any:
        constants = {"constants": real_constants(self.first.graph)}
        carry = (constants, self.steps()[0].init(constants), self.first.bases)
        return jax.tree.map(lambda leaf: jnp.array(leaf, copy=True), carry)

    def epoch(self, carry: Any, epoch: int) -> tuple[Any, Epoch]:
        """Every batch once."""
        settings, (_, update) = self.settings, self.steps()
        losses, correct = [], []
        for rows in order_of(self.data.count, settings.batch, settings.seed, epoch + 1):
            inputs, targets = self.data.batch(rows)
            carry, loss, share = update(carry, inputs, targets, (settings.decay, settings.ridge))
            losses.append(loss)
            correct.append(share)
        now = self.network(carry)
        return carry, Epoch(
            *(epoch + 1, settings.epochs),
            *(float(np.mean(losses)), float(np.mean(correct))),
            None if self.held is None else accuracy(now, self.held),
            {n: _ends(grid) for n, grid in now.activations.items()},
        )

    def network(self, carry: Any) -> LqNetwork:
        return self.first.after(carry[0]["constants"], carry[2])


def accuracy(network: LqNetwork, data: Samples) -> float:
    """The share of samples that it predicts right, 0 to 1."""
    (found,) = lq_predictions(network, data.inputs, (network.logits,)).values()
    return float(np.mean(found.reshape(data.count, -1).argmax(axis=1) == data.targets))


def _ends(grid: Any) -> tuple[float, float]:
    levels = grid.dequantize(np.arange(2**grid.bits))
    return float(levels.min()), float(levels.max())


@lru_cache(maxsize=16)
def _steps_of(given: Same[LqForward]) -> tuple[optax.GradientTransformation, Callable[..., Any]]:
    key: Any = given.key
    logits, total, optimization = key[-3:]
    layers = frozenset(layer.weights for layer in given.value.layers.values())
    optimizer = optimizer_of(optimization, layers, total)
    update = partial(_update, given.value, logits, optimizer, optimization)
    return optimizer, jax.jit(update, donate_argnums=(0,))


def _update(
    forward: LqForward,
    logits: str,
    optimizer: optax.GradientTransformation,
    settings: Settings,
    carry: Any,
    inputs: Any,
    targets: Any,
    factors: tuple[Any, Any],
) -> tuple[Any, Any, Any]:
    parameters, held, bases = carry

    def loss(parameters: Any) -> tuple[Any, Any]:
        found, seen = forward.run(parameters["constants"], bases, inputs, (logits,))
        rows = found[logits].reshape(len(targets), -1)
        return loss_of(settings, rows, targets), (rows, seen)

    (value, (rows, seen)), gradients = jax.value_and_grad(loss, has_aux=True)(parameters)
    changes, held = optimizer.update(gradients, held, parameters)
    made = _moved(forward, parameters["constants"], bases, lax.stop_gradient(seen), *factors)
    parameters = optax.apply_updates(parameters, changes)
    correct = jnp.zeros(())
    if settings.loss == "cross_entropy":
        correct = jnp.mean(jnp.argmax(rows, axis=1) == targets)
    return (parameters, held, made), value, correct


def _moved(
    forward: LqForward, constants: Any, bases: Any, seen: Any, decay: Any, ridge: Any
) -> dict[str, dict[str, Any]]:
    """The bases after a pass: QEM once, averaged."""
    weights, activations = {}, {}
    for name, old in bases["weights"].items():
        found = forward.weight_moments(name, constants[name], old)
        weights[name] = moved(old, fitted(found, old, ridge), decay)
    for name, old in bases["activations"].items():
        activations[name] = moved(old, fitted(seen[name], old[None], 0.0)[0], decay)
    return {"weights": weights, "activations": activations}
