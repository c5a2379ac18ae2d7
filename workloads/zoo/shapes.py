"""Networks of the zoo, built when they are named: of shapes alone, or with drawn weights.

``zoo:resnet50_v1.5,width=0.5,bits=16``: a name, and options behind commas. They are costed, not
run, as SCALE-Sim topologies are. With ``seed=3`` they are float networks that run, with weights
that nobody trained.
"""

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, TypeAlias

from simulator.errors import BadFile
from simulator.graph import Graph
from workloads.zoo import detection, inceptions, mobilenets, nasnet, plain, resnets, transformers
from workloads.zoo.description import Description

Build: TypeAlias = Callable[..., Description]


@dataclass(frozen=True)
class Option:
    """A number behind the name: its default and the least and greatest it may be, or `choices`."""

    default: float
    least: float = 1
    greatest: float = 1
    choices: tuple[int, ...] = ()

    @property
    def allowed(self) -> str:
        """What a message says."""
        if self.choices:
            first = ", ".join(str(choice) for choice in self.choices[:-1])
            return f"{first} or {self.choices[-1]}"
        return f"{self.least:g} to {self.greatest:g}"

    def read(self, text: str) -> float | None:
        """The number, whole where the default is; None where it may not be."""
        try:
            value = type(self.default)(text)
        except ValueError:
            return None
        inside = value in self.choices if self.choices else self.least <= value <= self.greatest
        return value if inside else None


@dataclass(frozen=True)
class Network:
    """A builder and the options it takes by name."""

    build: Build
    options: Mapping[str, Option]


_WIDTH: Final = Option(1.0, 0.125, 4.0)
_BITS: Final = Option(8, choices=(4, 8, 16))
_NO_SEED: Final = -1
_SEED: Final = Option(_NO_SEED, 0, 999_999)
"""Of drawn weights; without one there are none."""


def _side(default: int, least: int = 32) -> Option:
    return Option(default, least, 4096)


def _classes(default: int = 1000) -> Option:
    return Option(default, 1, 100_000)


def _image(build: Build, side: int = 224, least: int = 32, **options: Option) -> Network:
    """A classifier of images."""
    return Network(build, {"side": _side(side, least), "classes": _classes(), **options})


def _fixed(build: Build, classes: int = 1000) -> Network:
    """A classifier of images of one size."""
    return Network(build, {"classes": _classes(classes)})


def _found(build: Build, side: int, lite: bool) -> Network:
    """A detector; it counts the background among its classes."""
    options = {"side": _side(side, 64), "width": _WIDTH, "classes": _classes(91)}
    return Network(partial(build, lite=lite), options)


def _deep(depth: int) -> dict[str, Network]:
    """The bottleneck networks of a depth."""
    return {
        f"resnet{depth}_v1": _image(partial(resnets.resnet_v1, depth=depth)),
        f"resnet{depth}_v1.5": _image(
            partial(resnets.resnet_v1, depth=depth, first=False), width=_WIDTH
        ),
        f"resnet{depth}_v2": _image(partial(resnets.resnet_v2, depth=depth)),
    }


def _block(sequence: int, context: int) -> Network:
    """A block of a language model; the sizes are TinyLlama's (Zhang et al., arXiv 2401.02385)."""
    return Network(
        transformers.decoder_block,
        {
            "sequence": Option(sequence, 1, 65536),
            "context": Option(context, 0, 1 << 20),
            "hidden": Option(2048, 8, 65536),
            "heads": Option(32, 1, 1024),
            "kv_heads": Option(4, 1, 1024),
            "ffn": Option(5632, 1, 262144),
        },
    )


NETWORKS: Final[Mapping[str, Network]] = {
    "alexnet": _fixed(plain.alexnet),
    "alexnet_lq": _fixed(plain.alexnet_lq),
    "alexnet_one_tower": _fixed(plain.alexnet_one_tower),
    "bert_base": Network(
        partial(transformers.bert, layers=12, hidden=768, heads=12),
        {"sequence": Option(128, 1, transformers.POSITIONS)},
    ),
    "deeplab_v3_mobilenet_v2": Network(
        detection.deeplab_v3,
        {
            "side": _side(513),
            "width": _WIDTH,
            "classes": _classes(21),
            "output_stride": Option(16, choices=(8, 16)),
            "aspp": Option(0, choices=(0, 1)),
        },
    ),
    "densenet121": _image(resnets.densenet_121),
    "efficientnet_lite0": _image(mobilenets.efficientnet_lite0),
    "googlenet": _image(inceptions.googlenet),
    "googlenet_lq": _image(inceptions.googlenet_lq),
    "inception_v3": _image(inceptions.inception_v3, 299, 75),
    "llm_decode": _block(1, 1024),
    "llm_prefill": _block(1024, 0),
    "mobilenet_v1": _image(mobilenets.mobilenet_v1, width=_WIDTH),
    "mobilenet_v1_ssd": _found(detection.ssd_mobilenet_v1, 300, False),
    "mobilenet_v1_ssdlite": _found(detection.ssd_mobilenet_v1, 320, True),
    "mobilenet_v2": _image(mobilenets.mobilenet_v2, width=_WIDTH),
    "mobilenet_v2_ssd": _found(detection.ssd_mobilenet_v2, 300, False),
    "mobilenet_v2_ssdlite": _found(detection.ssd_mobilenet_v2, 320, True),
    "nasnet_mobile": _image(nasnet.nasnet_mobile),
    "resnet18": _image(partial(resnets.resnet_basic, depth=18)),
    "resnet20_cifar": _fixed(partial(resnets.resnet_cifar, depth=20), 10),
    "resnet34": _image(partial(resnets.resnet_basic, depth=34)),
    "resnet_digits": Network(
        resnets.resnet_digits, {"width": Option(1.0, 0.34, 8.0), "classes": _classes(10)}
    ),
    **{name: network for depth in (50, 101, 152) for name, network in _deep(depth).items()},
    "vgg16": _image(partial(plain.vgg, depth=16)),
    "vgg19": _image(partial(plain.vgg, depth=19)),
    "vgg_small": _fixed(plain.vgg_small, 10),
    "vgg_variant": _fixed(plain.vgg_variant),
}
"""By name; every network has `bits` or `seed` besides."""


def network_of(model: str) -> Graph | None:
    """The graph that ``zoo:NAME,options`` names; None where it is none of these networks.

    Raises BadFile for an option that there is not, or a value that it may not have.
    """
    from workloads.zoo.lowering import shapes_alone
    from workloads.zoo.seeded import seeded

    found = _asked(model)
    if found is None:
        return None
    network, values = found
    bits, seed = (values.pop(key) for key in ("bits", "seed"))
    described = network.build(model, **values)
    return shapes_alone(described, bits) if seed == _NO_SEED else seeded(described, seed)


def description_of(model: str) -> Description | None:
    """The network as data, as `network_of` names it; `bits` and `seed` say nothing of it."""
    found = _asked(model)
    if found is None:
        return None
    network, values = found
    for key in ("bits", "seed"):
        values.pop(key)
    return network.build(model, **values)


def _asked(model: str) -> tuple[Network, dict[str, Any]] | None:
    """A network and the values of its options."""
    if not model.startswith("zoo:") or model.removeprefix("zoo:").split(",")[0] not in NETWORKS:
        return None
    name, *given = model.removeprefix("zoo:").split(",")
    network = NETWORKS[name]
    options = {**network.options, "bits": _BITS, "seed": _SEED}
    values: dict[str, Any] = {key: option.default for key, option in options.items()}
    for text in given:
        key, _, value = text.partition("=")
        if key not in options:
            near = difflib.get_close_matches(key, options, n=1)
            hint = f" Did you mean '{near[0]}'?" if near else ""
            known = _either([f"{name}={option.allowed}" for name, option in options.items()])
            raise BadFile(f"{model}: options are {known}; found '{text}'.{hint}")
        found = options[key].read(value)
        if found is None:
            raise BadFile(f"{model}: {key} must be {options[key].allowed}; found '{value}'")
        values[key] = found
    if {"bits", "seed"} <= {text.partition("=")[0] for text in given}:
        raise BadFile(
            f"{model}: seed draws float32 weights, bits are those of codes; leave one of them out"
        )
    _check_heads(model, values)
    return network, values


def _check_heads(model: str, values: Mapping[str, Any]) -> None:
    """Refuse heads that do not divide, and sizes that rotary positions cannot halve."""
    if "kv_heads" not in values:
        return
    hidden, heads, shared = (values[key] for key in ("hidden", "heads", "kv_heads"))
    for what, whole, part in (("hidden", hidden, 2 * heads), ("heads", heads, shared)):
        if whole % part:
            divisor = "twice the heads" if what == "hidden" else "kv_heads"
            raise BadFile(f"{model}: {what} must be a multiple of {divisor}, {part}; found {whole}")


def _either(parts: list[str]) -> str:
    return f"{'; '.join(parts[:-1])}; and {parts[-1]}" if len(parts) > 1 else parts[0]
