"""Converter of Resize: image planes, nearest or linear."""

from typing import Any

from simulator.errors import Unsupported
from workloads.onnx.build import Builder
from workloads.onnx.floats import output
from workloads.onnx.model import OnnxNode

_FIXED = {
    "antialias": 0,
    "exclude_outside": 0,
    "keep_aspect_ratio_policy": "stretch",
}
"""Attributes that must have their defaults."""


def resize(b: Builder, node: OnnxNode) -> None:
    """Resize: scales or sizes are constant inputs and keep batch and channels."""
    for name, default in _FIXED.items():
        if _text(node.get(name, default)) != default:
            found = _text(node.get(name, default))
            raise Unsupported(f"{node.place}: {name} must be {default}; found {found}")
    x = node.required(0)
    image, target = b.kind(x).shape, b.model.types[node.outputs[0]].shape
    if len(image) != 4 or image[:2] != target[:2] or node.get("axes", None) is not None:
        raise Unsupported(
            f"{node.place}: only height and width of images are resized; found {image} to "
            f"{target}. Export it without axes"
        )
    mode = _text(node.get("mode", "nearest"))
    if mode not in ("nearest", "linear"):
        raise Unsupported(f"{node.place}: mode must be nearest or linear; found {mode}")
    old = b.model.opset < 11
    coordinates = _text(node.get("coordinate_transformation_mode", "half_pixel"))
    rounding = _text(node.get("nearest_mode", "round_prefer_floor"))
    options = {
        "size": target[2:],
        "scale": _scale(b, node, image, target),
        "coordinates": "asymmetric" if old else coordinates,
        "nearest": ("floor" if old else rounding) if mode == "nearest" else "",
    }
    b.emit(node, "float_resize", [b.at(x, "nhwc", node)], output(b, node, "nhwc"), options)


def _scale(
    b: Builder, node: OnnxNode, image: tuple[int, ...], target: tuple[int, ...]
) -> tuple[float, float]:
    """The factors of height and width: as stated, else output over input."""
    name = node.input(1 if b.model.opset < 11 else 2)
    if name and b.constant(name, node, "the scales").size == 4:
        factors = b.constant(name, node, "the scales").reshape(-1)
        return float(factors[2]), float(factors[3])
    return target[2] / max(image[2], 1), target[3] / max(image[3], 1)


def _text(value: Any) -> Any:
    return value.decode() if isinstance(value, bytes) else value
