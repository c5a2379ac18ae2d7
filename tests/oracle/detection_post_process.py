"""Detection post-process, box by box: Python floats are doubles, and `single` rounds them.

Every sum, product and quotient of LiteRT's float32 arithmetic is one double operation, which is
exact enough, rounded once.
"""

from collections.abc import Iterator, Sequence
from math import exp
from random import Random
from typing import Any

import numpy as np

from simulator.graph import Array, QuantParams, TensorType
from simulator.ops.detection_post_process import DetectionPostProcess
from tests.ops.structure import Case, Given, OneNode, cases_of, single

OP = "CUSTOM:TFLite_Detection_PostProcess"
LANES = 8
Result = tuple[list[float], tuple[int, ...]]
Box = tuple[float, float, float, float]


def _given(rng: Random, shape: tuple[int, ...], quantized: bool, spread: float) -> Given:
    """Random values, normal or uint8 on a grid; never constant."""
    count = int(np.prod(shape))
    if not quantized:
        drawn = [rng.gauss(0, spread) for _ in range(count)]
        value: Array = np.array(drawn, dtype=np.float32).reshape(shape)
        return Given(TensorType(shape, "float32", 32), value)
    value = np.array([rng.randint(0, 255) for _ in range(count)], dtype=np.uint8).reshape(shape)
    return Given(_grid(shape, single(spread / 40), rng.randint(100, 140)), value)


def _grid(shape: tuple[int, ...], scale: float, zero: int) -> TensorType:
    return TensorType(shape, "uint8", 8, QuantParams((scale,), (zero,)))


def one_ops(rng: Random, largest: int = 30) -> Iterator[OneNode]:
    """Both suppressions, real or uint8 inputs, with and without a background class."""
    while True:
        quantized, count = rng.random() < 0.4, rng.randint(1, largest)
        labels, detections, width = rng.randint(1, 5), rng.randint(1, 8), rng.choice([1, 1, 2])
        if quantized:
            # Equal scores leave the order of a box's classes open in LiteRT.
            width = 1
        options = {
            "max_detections": detections,
            "max_classes_per_detection": width,
            "num_classes": labels,
            "nms_score_threshold": rng.choice([0.0, 0.2, -5.0]),
            "nms_iou_threshold": rng.choice([0.5, 0.1, 1.0]),
            **{f"{k}_scale": v for k, v in zip("yxhw", (10.0, 10.0, 5.0, 5.0), strict=True)},
        }
        if rng.random() < 0.5:
            options |= {"use_regular_nms": True, "detections_per_class": rng.choice([1, 3, 100])}
        boxes = _given(rng, (1, count, 4), quantized, 2.0)
        scores = _given(rng, (1, count, labels + rng.randint(0, 1)), quantized, 1.0)
        if quantized:
            anchors = np.array([[rng.randint(1, 255) for _ in range(4)] for _ in range(count)])
            anchor = Given(_grid((count, 4), single(1 / 255), 0), anchors.astype(np.uint8), True)
        else:
            real = [[rng.random() + 0.01 for _ in range(4)] for _ in range(count)]
            kind = TensorType((count, 4), "float32", 32)
            anchor = Given(kind, np.array(real, dtype=np.float32), True)
        total = detections * width
        outputs = tuple(
            TensorType(s, "float32", 32) for s in ((1, total, 4), (1, total), (1, total), (1,))
        )
        yield OneNode(OP, options, (boxes, scores, anchor), outputs)


def cases(rng: Random) -> Iterator[Case]:
    """Decoded operators with types and values."""
    return cases_of(one_ops(rng))


def corners(operator: DetectionPostProcess, encoding: Sequence[float], anchor: Any) -> Box:
    """(ymin, xmin, ymax, xmax) of one box."""
    sizes = anchor[2:]
    center = [
        single(e / s * size + a)
        for e, s, size, a in zip(encoding[:2], operator.box_scale[:2], sizes, anchor, strict=False)
    ]
    half = [
        single(0.5 * exp(e / s) * size)
        for e, s, size in zip(encoding[2:4], operator.box_scale[2:], sizes, strict=True)
    ]
    low = [single(c - h) for c, h in zip(center, half, strict=True)]
    high = [single(c + h) for c, h in zip(center, half, strict=True)]
    return low[0], low[1], high[0], high[1]


def area(box: Box) -> float:
    """Height times width."""
    return single(single(box[2] - box[0]) * single(box[3] - box[1]))


def overlap(a: Box, b: Box) -> float:
    """Intersection over union."""
    if area(a) <= 0 or area(b) <= 0:
        return 0.0
    height = max(single(min(a[2], b[2]) - max(a[0], b[0])), 0.0)
    width = max(single(min(a[3], b[3]) - max(a[1], b[1])), 0.0)
    shared = single(height * width)
    return single(shared / single(single(area(a) + area(b)) - shared))


def suppress(
    operator: DetectionPostProcess, boxes: list[Box], scores: list[float], most: int
) -> Any:
    """Boxes by descending score, without those that overlap one taken before."""
    by = operator.suppression
    order = sorted(range(len(boxes)), key=lambda i: -scores[i])
    kept: list[int] = []
    for i in order:
        clear = all(overlap(boxes[k], boxes[i]) <= by.overlap_threshold for k in kept)
        if scores[i] >= by.score_threshold and clear and len(kept) < most:
            kept.append(i)
    return kept


def real(values: Any, quantized: bool, grid: tuple[float, int], lanes: int) -> list[Any]:
    """Rows of real numbers; whole groups of `lanes` codes in the form x s + (-z s)."""
    if not quantized:
        return list(values)
    (scale, zero), width = grid, len(values[0])
    flat = [v for row in values for v in row]
    whole = len(flat) - len(flat) % lanes if lanes > 1 else 0
    shift = single(-zero * scale)
    found = [
        single(single(v * scale) + shift) if i < whole else single((v - zero) * scale)
        for i, v in enumerate(flat)
    ]
    return [found[i : i + width] for i in range(0, len(found), width)]


def oracle(operator: DetectionPostProcess, inputs: Sequence[Any]) -> list[Result]:
    """Boxes, classes, scores and count, each in order with its shape."""
    quantized = isinstance(inputs[0][0][0][0], int)
    by, grids = operator.suppression, operator.grids
    encodings = real(inputs[0][0], quantized, grids[0], 1)
    scores = real(inputs[1][0], quantized, grids[1], LANES)
    anchors = real(inputs[2], quantized, grids[2], 1)
    scores = [row[-by.classes :] for row in scores]
    boxes = [corners(operator, e, a) for e, a in zip(encodings, anchors, strict=True)]
    found: list[tuple[int, int, int]] = []
    if by.per_class:
        most = min(by.per_class, by.detections)
        for c in range(by.classes):
            kept = suppress(operator, boxes, [row[c] for row in scores], most)
            found += [(0, box, c) for box in kept]
        found.sort(key=lambda entry: -scores[entry[1]][entry[2]])
        found = [(place, box, c) for place, (_, box, c) in enumerate(found[: by.detections])]
        count = len(found)
    else:
        kept = suppress(operator, boxes, [max(row) for row in scores], by.detections)
        for n, box in enumerate(kept):
            best = sorted(range(by.classes), key=[-v for v in scores[box]].__getitem__)
            width = min(by.classes, by.classes_per_box)
            found += [(n * by.classes_per_box + k, box, best[k]) for k in range(width)]
        count = len(kept)
    total = by.detections * by.classes_per_box
    out: list[list[float]] = [[0.0] * total * 4, [0.0] * total, [0.0] * total, [float(count)]]
    for place, box, c in found:
        out[0][4 * place : 4 * place + 4] = boxes[box]
        out[1][place], out[2][place] = float(c), scores[box][c]
    shapes = ((1, total, 4), (1, total), (1, total), (1,))
    return list(zip(out, shapes, strict=True))
