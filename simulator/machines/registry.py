"""Machine kinds by the name in `model:`; every module beside this one registers its class."""

import importlib
import json
import pkgutil
from collections.abc import Mapping
from functools import cache
from types import MappingProxyType
from typing import Final, TypeVar

from pydantic import ValidationError

from simulator.config import Overrides, close_match, override, refuse, validate
from simulator.document import LAYERS, Document, Entry, Fault
from simulator.machines.base import Machine
from simulator.technology.built import BUILT
from simulator.technology.model import Technology

_MachineT = TypeVar("_MachineT", bound=type[Machine])
_by_model: dict[str, type[Machine]] = {}
_BUILT: Final = 64
_built: dict[int, tuple[Entry, Technology]] = {}


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
    document = _with_listed_layers(document)
    document, known = _with_built_technologies(_with_derived(document, kind))
    return validate(document, kind, quiet=tuple(kind.derived), known=known)


def _with_listed_layers(document: Document) -> Document:
    """The document with `datapath.layers` as a list where it is a mapping by layer."""
    for machine in ((), *(path[:-1] for path in _technology_paths(document)[1:])):
        path = (*machine, *LAYERS)
        entry = document.at(path)
        if entry is None or not isinstance(entry.value, Mapping):
            continue
        items = []
        for name, own in entry.value.items():
            if isinstance(own.value, Mapping):
                given = {"layer": Entry(name, own.place), **own.value}
                own = Entry(MappingProxyType(given), own.place)
            items.append(own)
        document = document.with_entry(path, Entry(tuple(items), entry.place))
    return document


def _with_built_technologies(document: Document) -> tuple[Document, Mapping[str, Technology]]:
    """The document with a name in place of each technology that was built from it before.

    Variants of one document share its entries, so that a technology's table is checked once and
    not for each of a sweep's designs. One with faults stays where it is, for them to be told.
    """
    known: dict[str, Technology] = {}
    for path in _technology_paths(document):
        entry = document.at(path)
        if entry is None or not isinstance(entry.value, Mapping):
            continue
        built = _technology_of(entry)
        if built is not None:
            name = f"{BUILT}{id(entry)}"
            known[name] = built
            document = document.with_entry(path, Entry(name, entry.place))
    return document, known


def _technology_paths(document: Document) -> list[tuple[str, ...]]:
    units = document.root.child("units")
    below = units.value if units is not None and isinstance(units.value, Mapping) else {}
    return [
        ("technology",),
        ("host", "technology"),
        *(("units", name, "technology") for name in below),
    ]


def _technology_of(entry: Entry) -> Technology | None:
    """The technology of an entry, from those built last; None where it has faults."""
    if id(entry) not in _built:
        try:
            made = Technology.model_validate_json(json.dumps(entry.plain()))
        except ValidationError:
            return None
        if len(_built) >= _BUILT:
            _built.clear()
        # The entry is kept with it: no other one has its id as long as it is here.
        _built[id(entry)] = (entry, made)
    return _built[id(entry)][1]


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
