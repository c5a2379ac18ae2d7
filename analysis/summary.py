"""What a sweep found, in a few lines of text: how many points, and the best of each objective."""

from analysis.spec import SweepSpec
from analysis.store import Store


def summary(store: Store, spec: SweepSpec) -> str:
    """How many points there are, how many are refused, and the best of each objective."""
    from analysis.front import kept, maximised, pareto
    from analysis.text import table

    axes = list(spec.values)
    points = store.points(("point", "refused", "outside", *axes, *spec.objectives))
    valid, refused = kept(points), len(points) - points["refused"].null_count()
    lines = [f"{spec.name}: {len(points)} points in {store.folder}"]
    if refused:
        lines.append(f"{refused} points are refused; see the column 'refused'")
    if len(valid) + refused < len(points):
        outside = len(points) - refused - len(valid)
        lines.append(f"{outside} points break a constraint; see the column 'outside'")
    if valid.is_empty():
        told = "no point can run the network" if refused == len(points) else "no point is left"
        return "\n".join([*lines, told])
    front = pareto(valid, spec.objectives)
    lines.append(f"{len(front)} points on the front of {', '.join(spec.objectives)}")
    rows = []
    for name in spec.objectives:
        most = maximised(name)
        best = front.sort(name, "point", descending=[most, False]).row(0, named=True)
        rows.append(
            (
                f"{'highest' if most else 'lowest'} {name}",
                best["point"],
                *("-" if best[a] is None else best[a] for a in axes),
                *(f"{best[o]:.4g}" for o in spec.objectives),
            )
        )
    return "\n".join([*lines, "", table(("", "point", *axes, *spec.objectives), rows)])
