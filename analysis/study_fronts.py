"""Which networks of a study are on each machine's front, and what that says."""

from typing import TYPE_CHECKING

import numpy as np

from analysis.front import non_dominated
from analysis.study_spec import StudySpec

if TYPE_CHECKING:
    import polars as pl


def means(table: "pl.DataFrame") -> "pl.DataFrame":
    """A row a network and machine: accuracy as the mean over seeds, with least and greatest."""
    import polars as pl

    same = ["machine", "objective", "multiplier", "mode", "bits", "ends"]
    return table.group_by(same, maintain_order=True).agg(
        pl.col("value").first(),
        pl.col("macs").first(),
        pl.col("refused").first(),
        pl.col("accuracy").mean(),
        pl.col("accuracy").min().alias("accuracy_low"),
        pl.col("accuracy").max().alias("accuracy_high"),
    )


def with_fronts(table: "pl.DataFrame") -> "pl.DataFrame":
    """`means` with `front`: no network of the same machine is as good and better in one of both.

    And `dominated_by_fewer_bits`: whether a network of fewer bits beats it in both.
    """
    import polars as pl

    parts = []
    for (_,), part in means(table).group_by(["machine"], maintain_order=True):
        usable = part["value"].is_not_null() & part["accuracy"].is_not_null()
        costs = np.stack(
            [
                part["value"].fill_null(np.nan).to_numpy(),
                1 - part["accuracy"].fill_null(np.nan).to_numpy(),
            ],
            axis=1,
        ).astype(np.float64)
        bits = part["bits"].to_numpy()
        beaten = [
            bool(((bits < bits[i]) & (costs <= costs[i]).all(1) & (costs < costs[i]).any(1)).any())
            for i in range(len(costs))
        ]
        parts.append(
            part.with_columns(
                pl.Series("front", non_dominated(costs) & usable.to_numpy()),
                pl.Series("dominated_by_fewer_bits", beaten),
            )
        )
    return pl.concat(parts)


def told(spec: StudySpec, table: "pl.DataFrame") -> list[str]:
    """Two lines a machine: who is on its front, and whether float networks are beaten."""
    import polars as pl

    lines = list[str]()
    found = with_fronts(table)
    for name, on in spec.machines.items():
        part = found.filter(pl.col("machine") == name)
        refused = part.filter(pl.col("refused").is_not_null())
        costly = f"{name} ({on.objective})"
        if part["accuracy"].is_null().all():
            lines.append(f"{costly}: {len(part) - len(refused)} costs, no accuracies")
            continue
        front = part.filter(pl.col("front"))
        counts = [
            f"{front.filter(pl.col('mode') == mode).height} {mode}" for mode in spec.study.modes
        ]
        lines.append(f"{costly}: {front.height} on the front: {', '.join(counts)}")
        wide = part.filter((pl.col("bits") == pl.col("bits").max()) & pl.col("refused").is_null())
        beaten = int(wide["dominated_by_fewer_bits"].sum())
        if wide.height:
            lines.append(
                f"  {beaten} of {wide.height} {wide['mode'][0]} networks are beaten in both "
                "accuracy and cost by one of fewer bits"
            )
        if refused.height:
            lines.append(f"  {refused.height} not run: {refused['refused'][0]}")
    return lines
