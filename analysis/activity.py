"""`bitlane estimate --inputs`: energy by what the operands do, beside the data-blind one."""

from collections.abc import Mapping, Sequence
from typing import Any

from analysis.text import si, table
from simulator.activity import GraphEnergy, LayerEnergy
from simulator.stepper.counted import Activity

_HEADER = (
    "node",
    "zero activations",
    "weights",
    "products",
    "toggles",
    "data-blind",
    "energy",
    "±",
)


def to_text(name: str, found: GraphEnergy) -> str:
    """A table of the layers that multiply, and the totals.

    `toggles` are those of all registers over those of uniform operands; ± is a standard error.
    """
    rows = [_row(layer) for layer in found.layers]
    total = ("total", "", "", "", "", *_energies(found.blind_fj, found.energy_fj))
    rows.append((*total, _error(found.standard_error_fj)))
    notes = "".join(f"\nnote, {name}: {note}" for note in found.notes)
    return f"{name}, by what the operands do\n" + table(_HEADER, rows) + notes


def _row(layer: LayerEnergy) -> tuple[object, ...]:
    real, products = layer.real, layer.real.products
    shares = (real.zero_activations, real.zero_weights, real.zero_products)
    toggles = sum(real.toggles.values()) / max(sum(layer.uniform.toggles.values()), 1)
    return (
        layer.name,
        *(f"{share / products:.1%}" for share in shares),
        f"{toggles:.2f}" if real.toggles else "-",
        *_energies(sum(layer.blind_fj.values()), sum(layer.energy_fj.values())),
        _error(layer.standard_error_fj),
    )


def _energies(*femtojoules: int) -> tuple[str, ...]:
    return tuple(si(fj * 1e-15, "J") for fj in femtojoules)


def _error(femtojoules: float) -> str:
    return si(femtojoules * 1e-15, "J") if femtojoules else "-"


def to_json_dict(found: GraphEnergy, seed: int) -> dict[str, Any]:
    """The `activity` of a machine in the document `bitlane.estimate/1`."""
    return {
        "seed": seed,
        "energy_fj": found.energy_fj,
        "data_blind_fj": found.blind_fj,
        "standard_error_fj": found.standard_error_fj,
        "notes": list(found.notes),
        "layers": [_layer(layer) for layer in found.layers],
    }


def _layer(layer: LayerEnergy) -> dict[str, Any]:
    return {
        "name": layer.name,
        **({"unit": layer.unit} if layer.unit else {}),
        **_activity(layer.real),
        "uniform": _activity(layer.uniform),
        "energy_fj": dict(layer.energy_fj),
        "data_blind_fj": dict(layer.blind_fj),
        "standard_error_fj": layer.standard_error_fj,
    }


def _activity(found: Activity) -> dict[str, Any]:
    plain: Sequence[str] = (
        *("products", "zero_activations", "zero_weights", "zero_products", "essential_bits"),
        *("product_toggles", "gated_product_toggles", "gated_accumulator_writes", "sampled"),
    )
    maps: Mapping[str, Mapping[str, Any]] = {
        "toggles": found.toggles,
        "writes": found.writes,
        "standard_error": found.standard_error,
    }
    made: dict[str, Any] = {name: getattr(found, name) for name in plain}
    return made | {name: dict(value) for name, value in maps.items()}
