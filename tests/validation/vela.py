"""Vela on Ethos-U55: cycles of whole networks, where its rows are at hand."""

from importlib import import_module
from importlib.util import find_spec

from tests.validation.rows import Missing, Section

ROWS = "tests.machines.vela_rows"


def section() -> Section:
    """The section that the module of Vela's rows describes; raises Missing without it."""
    if find_spec(ROWS) is None:
        raise Missing(f"not available: this checkout has no {ROWS}")
    found = import_module(ROWS).section()
    assert isinstance(found, Section)
    return found
