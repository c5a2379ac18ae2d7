"""Boxes from anchors, and non-maximum suppression, in float32 as LiteRT orders the operations.

Facts: LiteRT tflite/kernels/detection_postprocess.cc. Ties of scores go to the lower index; LiteRT
leaves their order open where a box keeps more than one class.
"""

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Boxes: TypeAlias = NDArray[np.float32]
Indices: TypeAlias = NDArray[np.int64]


def dequantize(x: NDArray[Any], scale: float, zero_point: int, lanes: int = 1) -> Boxes:
    """(x - zero_point) * scale in float32; with `lanes`, LiteRT's vector form where it is used.

    That form is x * scale + (-zero_point * scale), each product rounded, for whole groups of
    `lanes` elements; the rest takes the first form (optimized_ops::Dequantize on x86-64: 8).
    """
    real, step = x.astype(np.float32).reshape(-1), np.float32(scale)
    out = (real - np.float32(zero_point)) * step
    whole = 0 if lanes == 1 else real.size - real.size % lanes
    out[:whole] = real[:whole] * step + np.float32(-zero_point) * step
    return out.reshape(x.shape)


def decode_boxes(
    encodings: Boxes, anchors: Boxes, scale: tuple[float, float, float, float]
) -> Boxes:
    """Corners (ymin, xmin, ymax, xmax) of n boxes given as (y, x, h, w) relative to anchors.

    center = encoding / scale * anchor size + anchor center; size = exp(encoding / scale) * anchor
    size: each in double, rounded to float32 once.
    """
    relative = encodings.astype(np.float64) / np.array(scale)
    anchor = anchors.astype(np.float64)
    with np.errstate(over="ignore", invalid="ignore"):
        center = (relative[:, :2] * anchor[:, 2:] + anchor[:, :2]).astype(np.float32)
        half = (0.5 * np.exp(relative[:, 2:]) * anchor[:, 2:]).astype(np.float32)
        return np.concatenate([center - half, center + half], axis=1)


def overlaps(boxes: Boxes, first: int, others: Indices) -> NDArray[np.float32]:
    """Intersection over union of one box with others; 0 where either has no area."""
    one, rest, zero = boxes[first], boxes[others], np.float32(0)
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        areas = (rest[:, 2] - rest[:, 0]) * (rest[:, 3] - rest[:, 1])
        area = (one[2] - one[0]) * (one[3] - one[1])
        height = np.minimum(one[2], rest[:, 2]) - np.maximum(one[0], rest[:, 0])
        width = np.minimum(one[3], rest[:, 3]) - np.maximum(one[1], rest[:, 1])
        shared = np.maximum(height, zero) * np.maximum(width, zero)
        ratio = shared / (area + areas - shared)
    return np.where((areas <= 0) | (area <= 0), zero, ratio)


@dataclass(frozen=True)
class Detections:
    """What is kept, best first: place in the output, box index, class and score of each entry.

    `count` is the number of detections that is reported.
    """

    places: Indices
    boxes: Indices
    classes: Indices
    scores: NDArray[np.float32]
    count: int


@dataclass(frozen=True)
class Suppression:
    """How many detections are kept and by which thresholds.

    `per_class` > 0 suppresses class by class, that many a class; 0 suppresses once, by each box's
    best score, and then gives the `classes_per_box` best classes of each box.
    """

    classes: int
    detections: int
    classes_per_box: int
    per_class: int
    score_threshold: float
    overlap_threshold: float

    def select(self, boxes: Boxes, scores: NDArray[np.float32]) -> Detections:
        """Detections among n boxes of scores (n, classes)."""
        return self._regular(boxes, scores) if self.per_class else self._fast(boxes, scores)

    def _fast(self, boxes: Boxes, scores: NDArray[np.float32]) -> Detections:
        kept = self._suppress(boxes, scores.max(axis=1), self.detections)
        width = min(self.classes_per_box, self.classes)
        best = np.argsort(-scores[kept], axis=1, kind="stable")[:, :width]
        # A box takes `classes_per_box` places, of which those beyond the classes stay empty.
        places = (np.arange(len(kept))[:, None] * self.classes_per_box + np.arange(width)).ravel()
        values = np.take_along_axis(scores[kept], best, axis=1).ravel()
        return Detections(places, np.repeat(kept, width), best.ravel(), values, len(kept))

    def _regular(self, boxes: Boxes, scores: NDArray[np.float32]) -> Detections:
        limit = min(self.per_class, self.detections)
        by_class = [self._suppress(boxes, scores[:, c], limit) for c in range(self.classes)]
        kept = np.concatenate(by_class)
        labels = np.repeat(np.arange(self.classes), [len(k) for k in by_class])
        values = scores[kept, labels]
        order = np.argsort(-values, kind="stable")[: self.detections]
        places = np.arange(len(order))
        return Detections(places, kept[order], labels[order], values[order], len(order))

    def _suppress(self, boxes: Boxes, scores: NDArray[np.float32], limit: int) -> Indices:
        """Indices of at most `limit` boxes in descending score, none overlapping an earlier one."""
        above = np.flatnonzero(scores >= np.float32(self.score_threshold))
        rest = above[np.argsort(-scores[above], kind="stable")]
        kept: list[int] = []
        while rest.size and len(kept) < limit:
            kept.append(int(rest[0]))
            near = overlaps(boxes, kept[-1], rest[1:]) > np.float32(self.overlap_threshold)
            rest = rest[1:][~near]
        return np.array(kept, dtype=np.int64)
