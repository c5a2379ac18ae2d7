"""One step of training, compiled once for networks of one structure."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from typing import Any, Final

import jax
import jax.numpy as jnp
import optax

from workloads.train.forward import SERVING, Mode
from workloads.train.network import Network, Tree
from workloads.train.settings import Settings
from workloads.train.structure import Same, structure

QUANTIZERS: Final = ("scales", "zeros", "weight_scales")
"""Parameters that the quantizers' own optimizer moves."""


_NEUTRAL: Final[dict[str, Any]] = {
    "seed": 0,
    "start": "float",
    "weights": 8,
    "activations": 8,
    "ends": None,
    "calibrate_at": 0.0,
    "freeze_at": 0.0,
    "batch": 1,
    "epochs": 1,
}
"""Settings that no compiled step depends on; widths are values of the state."""


@dataclass(frozen=True)
class Steps:
    """Compiled functions of a network's parameters and state.

    update : (carry, inputs, targets, key, mode, use) -> (carry, loss, correct).
    observe : (parameters, state, inputs, key) -> state, activations left float.
    serve : (parameters, state, inputs) -> logits, [samples, outputs].
    """

    optimizer: optax.GradientTransformation
    update: Callable[..., Any]
    observe: Callable[..., Any]
    serve: Callable[..., Any]


def steps_of(network: Network, total: int) -> Steps:
    """The compiled steps of a network that trains for `total` steps."""
    settings = replace(network.settings, **_NEUTRAL)
    norms = tuple((name, norm.epsilon) for name, norm in network.norms.items())
    places = (tuple(network.tops), tuple(network.bits), tuple(network.known.items()))
    key = (*structure(network.graph), settings, total, norms, places)
    return _steps_of(Same(key, (network, total)))


@lru_cache(maxsize=16)
def _steps_of(given: Same[tuple[Network, int]]) -> Steps:
    network, total = given.value
    layers = frozenset(layer.weights for layer in network.forward.layers.values())
    optimizer = optimizer_of(network.settings, layers, total)
    update = jax.jit(
        partial(_update, network, optimizer), static_argnames=("mode", "use"), donate_argnums=(0,)
    )
    return Steps(
        optimizer,
        update,
        jax.jit(partial(_observe, network)),
        jax.jit(partial(_serve, network)),
    )


def optimizer_of(
    settings: Settings, weights: frozenset[str], total: int
) -> optax.GradientTransformation:
    """The optimizer of `total` steps; of constants, `weights` alone decay."""
    warm = round(settings.warm_up * total)

    def rate(peak: float) -> Any:
        if not warm:
            return optax.cosine_decay_schedule(peak, total)
        return optax.warmup_cosine_decay_schedule(0.0, peak, warm, total)

    def decayed(tree: Tree) -> Any:
        # Masked trees hold other kinds' places too: by name, weights of layers alone.
        return jax.tree_util.tree_map_with_path(
            lambda path, _: (
                str(getattr(path[0], "key", "")) == "constants"
                and str(getattr(path[-1], "key", "")) in weights
            ),
            tree,
        )

    decay = optax.add_decayed_weights(settings.weight_decay, mask=decayed)
    peak = settings.learning_rate
    if settings.optimizer == "sgd":
        main = optax.chain(decay, optax.sgd(rate(peak), momentum=settings.momentum))
    else:
        main = optax.chain(optax.scale_by_adam(), decay, optax.scale_by_learning_rate(rate(peak)))
    quantizers = optax.adam(rate(settings.quantizer_rate))
    return optax.multi_transform({"main": main, "quantizers": quantizers}, _kinds)


def _kinds(tree: Tree) -> Tree:
    """Which optimizer moves each parameter."""
    kinds = {part: "quantizers" if part in QUANTIZERS else "main" for part in tree}
    return {part: jax.tree.map(lambda _, kind=kinds[part]: kind, tree[part]) for part in tree}


def loss_of(settings: Settings, logits: Any, targets: Any) -> Any:
    """The mean over samples of the cross-entropy of classes, or of squared errors."""
    if settings.loss == "squared_error":
        return jnp.mean(jnp.square(logits - targets.reshape(logits.shape)))
    return jnp.mean(optax.softmax_cross_entropy_with_integer_labels(logits, targets))


def _rows(network: Network, found: dict[str, Any]) -> Any:
    logits = found[network.forward.logits]
    return logits.reshape(logits.shape[0], -1)


def _update(
    network: Network,
    optimizer: Any,
    carry: tuple[Tree, Any, Tree, Tree],
    inputs: Any,
    targets: Any,
    key: Any,
    *,
    mode: Mode,
    use: bool,
) -> tuple[Any, Any, Any]:
    parameters, moments, state, average = carry
    settings, wanted = network.settings, (network.forward.logits,)
    keys = jax.random.split(key, len(targets))

    def loss(parameters: Tree) -> tuple[Any, Any]:
        values = network.values(parameters, state, key, mode)
        found, seen = network.forward.run(values, inputs, keys, mode, wanted)
        logits = _rows(network, found)
        return loss_of(settings, logits, targets), (logits, seen)

    (value, (logits, (ends, statistics))), gradients = jax.value_and_grad(loss, has_aux=True)(
        parameters
    )
    changes, moments = optimizer.update(gradients, moments, parameters)
    parameters = optax.apply_updates(parameters, changes)
    state = network.observed(state, ends, statistics, use=use)
    if settings.average:
        kept = settings.average
        average = jax.tree.map(lambda a, p: kept * a + (1 - kept) * p, average, parameters)
    correct = jnp.zeros(())
    if settings.loss == "cross_entropy":
        correct = jnp.mean(jnp.argmax(logits, axis=1) == targets)
    return (parameters, moments, state, average), value, correct


def _observe(network: Network, parameters: Tree, state: Tree, inputs: Any, key: Any) -> Tree:
    mode = Mode(activations=False)
    count = len(next(iter(inputs.values())))
    values = network.values(parameters, state, key, mode)
    keys = jax.random.split(key, count)
    _, (ends, _) = network.forward.run(values, inputs, keys, mode, ())
    return network.observed(state, ends, {}, use=True)


def _serve(network: Network, parameters: Tree, state: Tree, inputs: Any) -> Any:
    key = jax.random.key(0)
    values = network.values(parameters, state, key, SERVING)
    keys = jax.random.split(key, len(next(iter(inputs.values()))))
    found, _ = network.forward.run(values, inputs, keys, SERVING, (network.forward.logits,))
    return _rows(network, found)
