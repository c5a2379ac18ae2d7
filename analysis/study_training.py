"""The networks of a study, trained and executed: what `analysis.study` keeps of each.

Integers are executed by the engine on the graph that is exported; bfloat16 as float32 on operands
rounded to it. Needs the extra `train`.
"""

from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

import workloads
from analysis.files import replacing
from analysis.study import Outcome, Point
from analysis.study_spec import StudySpec
from simulator.errors import IllegalValues
from simulator.execute import run_batch
from simulator.graph import Array, Graph
from workloads.float_graph.bfloat16 import as_bfloat16
from workloads.quantize.export.qdq import integer, to_qdq
from workloads.train import Samples, Settings, Trained, predictions, samples_of
from workloads.train import train as train_network
from workloads.zoo.digits.train import PIXEL_MAX, load_split


def train(spec: StudySpec, point: Point, folder: Path) -> Outcome:
    """Train one network, execute it on the held-out digits, and keep it as ONNX.

    `accuracy` is what the engine computes; `trained_as` what the training's own forward pass does,
    `differing` on how many samples their predictions differ.
    """
    network = f"{spec.study.network},width={point.multiplier:g}"
    graph = workloads.load(f"{network},seed={spec.study.seed + point.seed}")
    data, held = digits(graph)
    trained = train_network(graph, data, settings_of(spec, point))
    mode = spec.study.modes[point.mode]
    served = as_bfloat16(trained.plan.graph) if mode.is_float else integer(trained.plan)
    found = _classes(served, held)
    as_trained = _trained_classes(trained, held)
    with replacing(folder / f"{point.key}.onnx") as place:
        place.write_bytes(to_qdq(trained.plan).SerializeToString(deterministic=True))
    return {
        "accuracy": float((found == held.targets).mean()),
        "trained_as": float((as_trained == held.targets).mean()),
        "differing": int((found != as_trained).sum()),
        "samples": held.count,
        "loss": trained.history[-1].loss,
    }


def settings_of(spec: StudySpec, point: Point) -> Settings:
    """How a network of a mode is trained: from scratch, activation bounds set once."""
    training, mode = spec.study.training, spec.study.modes[point.mode]
    assert training is not None
    bits = 0 if mode.is_float else mode.bits
    return Settings(
        weights=bits,
        activations=bits,
        ends=None if mode.is_float else mode.ends,
        ranges="one_shot",
        calibrate_at=training.calibrate_at,
        learning_rate=training.learning_rate,
        weight_decay=training.weight_decay,
        start="scratch",
        epochs=training.epochs,
        batch=training.batch,
        seed=spec.study.seed + point.seed,
    )


def digits(graph: Graph) -> tuple[Samples, Samples]:
    """Digits to train on and 360 held out, pixels from 0 to 1; raises IllegalValues elsewhere."""
    (name,) = graph.inputs
    if graph.tensors[name].shape != (1, 8, 8, 1):
        raise IllegalValues(
            f"{graph.name}: digits are images (1, 8, 8, 1); found an input of shape "
            f"{graph.tensors[name].shape}"
        )
    images, labels, held_images, held_labels = _split()
    return (
        samples_of(graph, {name: images}, labels),
        samples_of(graph, {name: held_images}, held_labels),
    )


@lru_cache(maxsize=1)
def _split() -> tuple[Array, Array, Array, Array]:
    images, labels, held_images, held_labels = load_split()
    reals = [part.astype(np.float32) / np.float32(PIXEL_MAX) for part in (images, held_images)]
    return reals[0], labels.astype(np.int64), reals[1], held_labels.astype(np.int64)


def _classes(graph: Graph, held: Samples) -> Array:
    (given,) = held.inputs.values()
    outputs, _ = run_batch(graph, {graph.inputs[0]: given})
    return _largest(outputs[graph.outputs[0]])


def _trained_classes(trained: Trained, held: Samples) -> Array:
    outputs: dict[str, Any] = predictions(trained.plan, held.inputs)
    return _largest(outputs[trained.plan.graph.outputs[0]])


def _largest(rows: Array) -> Array:
    return np.asarray(rows.reshape(len(rows), -1).argmax(axis=1))
