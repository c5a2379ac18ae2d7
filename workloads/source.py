"""From what a user types as MODEL to a file that can be read."""

import difflib
import hashlib
from pathlib import Path

import numpy as np

from simulator.errors import BadFile, IllegalGraph, Unsupported
from simulator.graph import Operator, Source
from simulator.numeric.dialect import Dialect
from workloads.topology_csv import no_values
from workloads.zoo import digits
from workloads.zoo.shapes import NETWORKS, description_of

ZOO = {"digits": digits.model_path}
"""Networks that ship with the package, by name."""

SUFFIXES = (".tflite", ".onnx", ".csv")
"""Files that are read, by how their names end."""
FILES = f"{', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]}"


def resolve(model: str | Path) -> Path:
    """The file of `MODEL`; raises BadFile with the way out where there is none to read."""
    text = str(model)
    if text.startswith("zoo:"):
        return _zoo(text.removeprefix("zoo:"))
    if not text:
        raise BadFile(f"MODEL is empty; give a {FILES} file or zoo:NAME, such as zoo:digits")
    path = Path(text)
    if path.is_dir():
        raise BadFile(f"{text}: this is a folder; give a {FILES} file or zoo:NAME")
    if not path.exists():
        raise BadFile(f"{text}: no such file; give a {FILES} file or zoo:NAME, such as zoo:digits")
    if path.suffix.lower() not in SUFFIXES:
        raise BadFile(
            f"{text}: models are read from {FILES} files; found "
            f"'{path.suffix or 'no suffix'}'. Convert the model to one of them, fully quantized."
        )
    return path


def check_dialect(path: Path, dialect: Dialect) -> None:
    """Refuse for a .tflite file a dialect that leaves sums raw for other nodes to requantize."""
    if dialect.default.rounding == "none":
        raise Unsupported(
            f"{path}: dialect {dialect.name} is for .onnx files with its own quantizers; "
            "choose litert-ref, tflm or another one"
        )


def decode(kind: type[Operator], source: Source) -> Operator:
    """The operator of a file's node; refuses scales whose products or quotients are not finite."""
    try:
        with np.errstate(over="raise", divide="raise", invalid="raise"):
            return kind.decode(source)
    except (FloatingPointError, OverflowError, ZeroDivisionError) as error:
        raise IllegalGraph(
            f"{source.place}: its scales or constants are too large or too small to compute with "
            f"({error}); export the model again"
        ) from None


def fingerprint(model: str | Path) -> str:
    """SHA-256 of a model: of its file, or of the name that a network of shapes is built from."""
    text = str(model)
    built = description_of(text) is not None
    return hashlib.sha256(text.encode() if built else resolve(model).read_bytes()).hexdigest()


def _zoo(name: str) -> Path:
    network, *options = name.split(",")
    if network in NETWORKS and any(option.startswith("seed=") for option in options):
        raise Unsupported(
            f"zoo:{name}: its weights are drawn when it is named; there is no file that another "
            "runtime could read: give a .tflite or .onnx file"
        )
    if network in NETWORKS:
        raise Unsupported(no_values(f"zoo:{name}"))
    if name not in ZOO:
        close = difflib.get_close_matches(name.split(",")[0], [*ZOO, *NETWORKS], n=3)
        near = " or ".join(f"zoo:{one}" for one in close)
        known = f"did you mean {near}?" if close else f"there are {_names()}"
        raise BadFile(f"zoo:{name}: no such network in the zoo; {known}")
    return ZOO[name]()


def _names() -> str:
    return ", ".join(sorted([*ZOO, *NETWORKS]))
