"""The layers that a chunk of a sweep keeps: their actions by design, and new energies for them."""

from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

from analysis.store import Store
from analysis.tables import ACTION_COLUMNS, actions_of
from simulator.designs import Evaluation, Ints
from simulator.errors import BadFile
from simulator.machines.actions import ACTIONS, COMPONENT_NAMES
from simulator.machines.base import Machine

if TYPE_CHECKING:
    import polars as pl

Booleans: TypeAlias = NDArray[np.bool_]


class KeptLayers:
    """Rows of a table of layers, found by design and layer; designs are numbered in their chunk."""

    def __init__(
        self, source: Store, table: "pl.DataFrame", ids: range, refused: "pl.Series"
    ) -> None:
        self._table = table
        place, count = source.folder / "layers", len(source.manifest["layers"])
        ran = refused.is_null().to_numpy()
        if ran.any() and (table.is_empty() or not set(ACTION_COLUMNS) <= set(table.columns)):
            raise BadFile(
                f"{place}: holds no actions to price; run the sweep again with keep_layers: true "
                "and another --out"
            )
        self._rows = np.full((len(ids), count), -1)
        at = table["point"].to_numpy() - ids.start, table["layer"].to_numpy()
        self._rows[at] = np.arange(len(table))
        if (self._rows[ran] < 0).any():
            raise BadFile(f"{place}: lacks layers of some points; run the sweep again")
        self._actions = actions_of(table, 1)[:, 0] if len(table) else np.zeros((0, ACTIONS), int)
        self._left = np.ones(len(table), bool)
        self._energies: dict[str, tuple[Ints, Booleans]] = {}

    def actions(self, start: int, designs: int, first: int, count: int) -> tuple[Ints, Booleans]:
        """Actions [designs, count, ACTIONS] of layers from `first`, and whether a design has them.

        Designs are those from `start`; actions that are not kept are 0.
        """
        rows = self._rows[start : start + designs, first : first + count]
        ran: Booleans = np.all(rows >= 0, axis=1)
        actions = np.zeros((designs, count, ACTIONS), np.int64)
        actions[ran] = self._actions[rows[ran]]
        return actions, ran

    def keep(self, start: int, first: int, result: Evaluation, machine: Machine) -> None:
        """Take the new energies of the layers that `actions` gave, of machines like this one."""
        designs, count = result.energy_fj.shape[:2]
        rows = self._rows[start : start + designs, first : first + count]
        kept = (rows >= 0).all(axis=1)
        for component, name in enumerate((*COMPONENT_NAMES, *machine.levels)):
            if f"{name}_fj" not in self._energies:
                empty = np.zeros(len(self._left), np.int64)
                self._energies[f"{name}_fj"] = (empty, empty != 0)
            values, known = self._energies[f"{name}_fj"]
            values[rows[kept]] = result.energy_fj[kept, :, component]
            known[rows[kept]] = True
        self._left[rows[kept & result.refused]] = False

    def repriced(self) -> "pl.DataFrame":
        """The table with the new energies, without layers of designs that are refused now."""
        import polars as pl

        made = [
            pl.Series(name, values).zip_with(
                pl.Series(known), pl.Series([None] * len(values), dtype=pl.Int64)
            )
            for name, (values, known) in self._energies.items()
        ]
        return self._table.with_columns(made).filter(self._left)
