"""Machine kinds by the name in `model:`; every module beside this one registers its class."""

import importlib
import pkgutil
from collections.abc import Mapping
from functools import cache
from types import MappingProxyType
from typing import TypeVar

from simulator.config import Overrides, close_match, override, refuse, validate
from simulator.document import Document, Entry, Fault
from simulator.machines.base import Machine

_MachineT = TypeVar("_MachineT", bound=type[Machine])
_by_model: dict[str, type[Machine]] = {}


def register(machine: _MachineT) -> _MachineT:
    """Class decorator: make a kind known under the one value its `model` field accepts.

    Raises ValueError where the name is taken: two files may not define one kind.
    """
    model = machine.kind()
    if model in _by_model:
        raise ValueError(
            f"machine '{model}' is defined twice: "
            f"{_by_model[model].__module__} and {machine.__module__}"
        )
    _by_model[model] = machine
    return machine


def registered() -> tuple[type[Machine], ...]:
    """The kinds whose modules are imported so far."""
    return tuple(_by_model[name] for name in sorted(_by_model))


@cache
def kinds() -> Mapping[str, type[Machine]]:
    """Every kind of machine by the name its YAML gives in `model:`, in alphabetical order."""
    package = importlib.import_module("simulator.machines")
    for module in pkgutil.iter_modules(package.__path__, "simulator.machines."):
        importlib.import_module(module.name)
    return MappingProxyType(dict(sorted(_by_model.items())))


def machine_from(document: Document, overrides: Overrides = ()) -> Machine:
    """Validate a document as the kind of machine that its `model` names.

    Raises BadConfig with every fault. `technology` must already be a mapping, not a name.
    """
    document = override(document, overrides)
    entry = document.root.child("model")
    model = entry.value if entry else None
    if not isinstance(model, str) or model not in kinds():
        if entry is None:
            text = f"is missing; {close_match('', kinds())}"
        else:
            text = f"unknown machine model '{model}'; {close_match(str(model), kinds())}"
        refuse((*document.faults, Fault(document.place(("model",)), "model", text)))
    kind = kinds()[str(model)]
    return validate(_with_derived(document, kind), kind, quiet=tuple(kind.derived))


def _with_derived(document: Document, kind: type[Machine]) -> Document:
    """The document with the fields that a kind takes from elsewhere in it; refuses given ones."""
    for name, path in kind.derived.items():
        given, origin = document.root.child(name), document.root
        if given is not None:
            text = f"is that of {path[0]} on a {kind.kind()}; set {'.'.join(path)} and remove this"
            refuse((*document.faults, Fault(given.place, name, text)))
        for step in path:
            origin = origin.child(step) or Entry(None, origin.place)
        if origin.value is not None:
            document = document.with_entry((name,), origin)
    return document
