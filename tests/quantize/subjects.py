"""Trained networks that experiments quantize: five digits networks, the same rescaled, ResNet-8."""

from abc import ABC, abstractmethod
from functools import cache
from pathlib import Path
from typing import Final, final

import numpy as np

import workloads
from simulator.graph import Array, Graph
from tests.digits_mlp import SEEDS, digits_graph
from tests.quantize.granularity import Batches, batches_of_digits, digits_accuracy
from tests.shared import absence, shared_folder
from workloads.quantize.ptq.calibrate import logits
from workloads.quantize.ptq.measure import classes
from workloads.quantize.ptq.prepare import prepared
from workloads.quantize.ptq.samples import Samples, samples_of

CALIBRATED_ON: Final = 100
"""Images that a seed draws of the 500 that ResNet-8 is calibrated on."""


class Subject(ABC):
    """A network of each seed, what it is calibrated on, and how right it is."""

    name: str
    what_a_seed_is: str

    @abstractmethod
    def graph(self, seed: int) -> Graph:
        """Its float network, folded and fused."""

    @abstractmethod
    def batches(self, seed: int) -> Batches:
        """To calibrate on."""

    @abstractmethod
    def accuracy(self, graph: Graph) -> float:
        """Top-1 in percent of a network with its inputs and outputs."""


@final
class DigitsNetworks(Subject):
    """64-64-64-10 on scikit-learn's digits, one training a seed; 719 test images."""

    what_a_seed_is = "a training"

    def __init__(self, *, rescaled: bool) -> None:
        self.rescaled = rescaled
        self.name = "digits, rescaled" if rescaled else "digits"

    def graph(self, seed: int) -> Graph:
        """Of the seed's training."""
        return _digits(seed, self.rescaled)

    def batches(self, seed: int) -> Batches:
        """The training half: the same for every seed."""
        return batches_of_digits()

    def accuracy(self, graph: Graph) -> float:
        """On the test half."""
        return digits_accuracy(graph)


@final
class ResNet8(Subject):
    """MLCommons' trained float ResNet-8 on 1 000 labelled CIFAR-10 images (JPEG-degraded)."""

    name = "ResNet-8"
    what_a_seed_is = f"a draw of {CALIBRATED_ON} of 500 calibration images"

    def graph(self, seed: int) -> Graph:
        """The same for every seed."""
        return _resnet8()

    def batches(self, seed: int) -> Batches:
        """The seed's draw."""
        images = _images("calibration")
        drawn = np.random.default_rng(seed).permutation(len(images))[:CALIBRATED_ON]
        return _samples(images[drawn])

    def accuracy(self, graph: Graph) -> float:
        """On all test images."""
        found = classes(graph, _samples(_images("x")), logits(graph)[0])
        return float(100 * np.mean(found == _images("y")))


ALL_SEEDS: Final = tuple(SEEDS)


@cache
def _digits(seed: int, rescaled: bool) -> Graph:
    return digits_graph(seed, scaled=rescaled)


@cache
def _resnet8() -> Graph:
    return prepared(workloads.load(_shared("models", "float", "mlperf_ic_resnet8_float.tflite")))


@cache
def _images(key: str) -> Array:
    with np.load(_shared("data", "cifar10_eval.npz")) as held:
        value: Array = held[key]
    return value


def _samples(images: Array) -> Samples:
    graph = _resnet8()
    return samples_of(graph, {graph.inputs[0]: images[:, None]})


def _shared(*parts: str) -> Path:
    folder = shared_folder()
    if folder is None:
        raise SystemExit(absence())
    return folder.joinpath(*parts)
