"""What one grid a channel is worth, on networks trained on digits (`-s` prints each seed).

`reference/SEEDS.md` section 4, rows 9 and 10. Plain digits are too easy at 4 bits: there the
networks are rescaled, their channels' ranges drawn apart, the function kept.
"""

from collections.abc import Callable
from functools import cache

import numpy as np
import pytest

from simulator.graph import Graph
from tests.digits_mlp import SEEDS, digits_graph
from tests.quantize.granularity import (
    ASYM_LAYER,
    OF_PAPER,
    SYM_CHANNEL,
    SYM_LAYER,
    Scheme,
    batches_of_digits,
    channel_sqnr_db,
    digits_accuracy,
    plan_accuracy,
    quantized,
)


@cache
def network(seed: int, *, rescaled: bool) -> Graph:
    return digits_graph(seed, scaled=rescaled)


@cache
def of_float(seed: int) -> float:
    return digits_accuracy(network(seed, rescaled=False))


def by_seed(
    title: str, measure: Callable[[int], float], seeds: range = SEEDS, unit: str = "%"
) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Measured for every seed, and printed with its spread."""
    found = np.array([measure(seed) for seed in seeds])
    each = " ".join(f"{value:.1f}" for value in found)
    print(f"{title}: {found.mean():.1f} {unit} ({found.min():.1f} to {found.max():.1f}): {each}")
    return found


def weights_alone(scheme: Scheme, bits: int, *, rescaled: bool) -> Callable[[int], float]:
    return lambda seed: plan_accuracy(quantized(network(seed, rescaled=rescaled), scheme, bits))


def in_8_bits(scheme: Scheme, *, rescaled: bool) -> Callable[[int], float]:
    return lambda seed: plan_accuracy(
        quantized(network(seed, rescaled=rescaled), scheme, 8, 8, batches_of_digits())
    )


def test_rescaling_keeps_the_function() -> None:
    plain = by_seed("float", of_float)
    scaled = by_seed("float, rescaled", lambda s: digits_accuracy(network(s, rescaled=True)))
    assert np.max(np.abs(plain - scaled)) < 0.3
    assert plain.min() > 95


@pytest.mark.parametrize("scheme", OF_PAPER)
def test_8_bits_are_within_2_points_of_float(scheme: str) -> None:
    plain = by_seed("float", of_float)
    found = by_seed(f"W8A8 {scheme}", in_8_bits(OF_PAPER[scheme], rescaled=False))
    assert np.all(plain - found <= 2)


@pytest.mark.parametrize("scheme", [ASYM_LAYER, SYM_LAYER], ids=["affine", "symmetric"])
def test_one_grid_a_layer_fails_on_the_rescaled_network_at_8_bits(scheme: Scheme) -> None:
    found = by_seed("W8A8 a layer, rescaled", in_8_bits(scheme, rescaled=True))
    assert found.mean() < 20


def test_one_grid_a_channel_does_not_mend_input_channels() -> None:
    """It beats one a layer, and stays far from float: what reads a small channel has large weights
    beside small ones in one filter, and activations stay apart.
    """
    plain = by_seed("float", of_float)
    layer = by_seed("W8A8 a layer, rescaled", in_8_bits(SYM_LAYER, rescaled=True))
    whole = by_seed("W8A8 a channel, rescaled", in_8_bits(SYM_CHANNEL, rescaled=True))
    alone = by_seed("W8 a channel, rescaled", weights_alone(SYM_CHANNEL, 8, rescaled=True))
    assert np.all(whole > layer)
    assert np.all(alone < plain - 2)
    assert np.all(whole < plain - 2)


@pytest.mark.parametrize(("bits", "points"), [(3, 0), (2, 20)])
def test_one_grid_a_channel_beats_one_a_layer_below_4_bits(bits: int, points: int) -> None:
    channel = by_seed(f"W{bits} a channel", weights_alone(SYM_CHANNEL, bits, rescaled=False))
    layer = by_seed(f"W{bits} a layer", weights_alone(SYM_LAYER, bits, rescaled=False))
    assert channel.mean() > layer.mean() + points


def test_one_grid_a_channel_beats_one_a_layer_on_the_rescaled_network_at_4_bits() -> None:
    channel = by_seed("W4 a channel, rescaled", weights_alone(SYM_CHANNEL, 4, rescaled=True))
    layer = by_seed("W4 a layer, rescaled", weights_alone(SYM_LAYER, 4, rescaled=True))
    assert np.all(channel > layer)
    assert channel.mean() > layer.mean() + 10


def test_channels_gain_10_db_in_both_hidden_layers_of_the_rescaled_network() -> None:
    def gain(index: int, *, rescaled: bool) -> Callable[[int], float]:
        def measured(seed: int) -> float:
            graph = network(seed, rescaled=rescaled)
            of_layer, of_channel = (
                channel_sqnr_db(quantized(graph, scheme, 4))[index]
                for scheme in (SYM_LAYER, SYM_CHANNEL)
            )
            return float(np.mean(of_channel - of_layer))

        return measured

    for index in (0, 1):
        name = f"gain of hidden layer {index + 1} at W4"
        scaled = by_seed(f"{name}, rescaled", gain(index, rescaled=True), unit="dB")
        plain = by_seed(f"{name}, plain", gain(index, rescaled=False), unit="dB")
        assert np.all(scaled >= 10)
        assert np.all(plain < scaled)
