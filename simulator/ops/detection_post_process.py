"""Detection post-process of SSD networks: boxes from anchors, then non-maximum suppression."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Final, Self, final

import numpy as np

from simulator.decode import present, refuse, require_dtypes, single_grid
from simulator.errors import IllegalGraph, IllegalValues
from simulator.graph import Array, Operator, Source, TensorType
from simulator.numeric.datapath import Datapath
from simulator.numeric.detection import Suppression, decode_boxes, dequantize
from simulator.registry import register
from simulator.work import Work

SCORE_LANES: Final = 8
"""LiteRT on x86-64 dequantizes scores in groups of 8, boxes and anchors one by one."""
OPERATIONS_PER_BOX: Final = 40
"""ALU operations a box: two exponentials (about 12 each) and 16 multiplies and adds."""
OPERATIONS_PER_OVERLAP: Final = 14
"""Four comparisons, six subtractions and additions, three products, one division."""
PRODUCTS_PER_BOX: Final = 20
PRODUCTS_PER_OVERLAP: Final = 4
"""Of those the products and quotients; half of an exponential's operations and of the 16."""


@register
@final
@dataclass(frozen=True)
class DetectionPostProcess(Operator):
    """The boxes of highest score that overlap none of higher score by more than a threshold.

    Inputs: encodings (1, n, >= 4) as (y, x, h, w), scores (1, n, classes [+ background]), anchors
    (n, 4). Outputs, all float32: boxes (1, d, 4) as (ymin, xmin, ymax, xmax), classes (1, d),
    scores (1, d), how many of them count (1). Not integer arithmetic: quantized inputs become real
    numbers first. Entries beyond the count are 0 here and undefined in LiteRT.
    """

    kind = "detection_post_process"
    formats = ("tflite:CUSTOM:TFLite_Detection_PostProcess",)
    reference = "LiteRT 2.3.0, kernels/detection_postprocess.cc"
    outputs_count: ClassVar[int] = 4

    suppression: Suppression
    box_scale: tuple[float, float, float, float]
    grids: tuple[tuple[float, int], ...]

    @classmethod
    def decode(cls, source: Source) -> Self:
        """From the custom options, of which detections_per_class and use_regular_nms may lack."""
        require_dtypes(source.place, source.inputs, ("uint8", "float32"))
        options = source.options
        threshold = np.float32(options["nms_iou_threshold"])
        if not 0 < threshold <= 1:
            refuse(source.place, "nms_iou_threshold must lie in (0, 1]", threshold, "Re-export it.")
        regular = bool(options.get("use_regular_nms", False))
        suppression = Suppression(
            classes=int(options["num_classes"]),
            detections=int(options["max_detections"]),
            classes_per_box=int(options["max_classes_per_detection"]),
            per_class=int(options.get("detections_per_class", 100)) if regular else 0,
            score_threshold=float(np.float32(options["nms_score_threshold"])),
            overlap_threshold=float(threshold),
        )
        sizes = (suppression.classes, suppression.detections, suppression.classes_per_box)
        if min(sizes) < 1 or (regular and suppression.per_class < 1):
            refuse(
                source.place, "classes and detections must be at least 1", sizes, "Re-export it."
            )
        y, x, h, w = (float(np.float32(options[f"{k}_scale"])) for k in "yxhw")
        return cls(suppression, (y, x, h, w), tuple(_grid(source, i) for i in range(3)))

    def check(self, inputs: Sequence[TensorType | None], outputs: Sequence[TensorType]) -> None:
        """Refuse shapes that do not fit, and boxes and anchors of different dtypes."""
        boxes, scores, anchors = (present(inputs, i) for i in range(3))
        count = boxes.shape[1] if len(boxes.shape) == 3 else 0
        if count < 1 or boxes.shape[0] != 1 or boxes.shape[2] < 4:
            raise IllegalGraph(f"box encodings must be (1, n, >= 4); found {boxes.shape}")
        labels = self.suppression.classes
        if scores.shape not in ((1, count, labels), (1, count, labels + 1)):
            raise IllegalGraph(
                f"scores must be (1, {count}, {labels} or one more); found {scores.shape}"
            )
        if anchors.shape != (count, 4) or anchors.dtype != boxes.dtype:
            raise IllegalGraph(
                f"anchors must be ({count}, 4) {boxes.dtype} as the boxes are; "
                f"found {anchors.shape} {anchors.dtype}"
            )
        if len(outputs) != self.outputs_count or any(y.dtype != "float32" for y in outputs):
            raise IllegalGraph(f"it has four float32 outputs; found {[y.dtype for y in outputs]}")

    def infer(self, inputs: Sequence[TensorType | None]) -> tuple[tuple[int, ...], ...]:
        """(1, d, 4), (1, d), (1, d), (1) with d = detections * classes_per_box."""
        total = self.suppression.detections * self.suppression.classes_per_box
        return (1, total, 4), (1, total), (1, total), (1,)

    def run(self, inputs: Sequence[Array | None], datapath: Datapath) -> tuple[Array, ...]:
        """Decode the boxes, suppress, and lay the rest out."""
        boxes, scores, anchors = (
            x if x.dtype == np.float32 else dequantize(x, *grid, lanes)
            for x, grid, lanes in zip(
                (present(inputs, i) for i in range(3)), self.grids, (1, SCORE_LANES, 1), strict=True
            )
        )
        corners = decode_boxes(boxes[0, :, :4], anchors, self.box_scale)
        if (corners[:, :2] > corners[:, 2:]).any():
            raise IllegalValues("a box has a negative size; anchors must have positive sizes")
        found = self.suppression.select(corners, scores[0, :, -self.suppression.classes :])
        total = self.suppression.detections * self.suppression.classes_per_box
        out = tuple(np.zeros(s, np.float32) for s in ((1, total, 4), (1, total), (1, total), (1,)))
        out[0][0, found.places] = corners[found.boxes]
        out[1][0, found.places] = found.classes
        out[2][0, found.places] = found.scores
        out[3][0] = found.count
        return out

    def work(self, inputs: Sequence[TensorType | None], outputs: Sequence[TensorType]) -> Work:
        """Every box decoded, every score compared, each detection held against every box."""
        boxes, scores, anchors = (present(inputs, i) for i in range(3))
        count = boxes.shape[1]
        overlaps = self.suppression.detections * count
        work = Work(
            activation_bits=boxes.bits,
            output_bits=outputs[0].bits,
            input_elements=boxes.elements + scores.elements + anchors.elements,
            output_elements=sum(y.elements for y in outputs),
            elementwise=OPERATIONS_PER_BOX * count
            + scores.elements
            + OPERATIONS_PER_OVERLAP * overlaps,
        )
        products = PRODUCTS_PER_BOX * count + PRODUCTS_PER_OVERLAP * overlaps
        sums = work.elementwise - products
        return replace(work, real_multiplications=products, real_additions=sums)


def _grid(source: Source, index: int) -> tuple[float, int]:
    """Scale and zero point of an input; those of a real one change nothing."""
    kind = present(source.inputs, index)
    if kind.dtype == "float32":
        return 1.0, 0
    return single_grid(kind, source.place, f"input {index}")
