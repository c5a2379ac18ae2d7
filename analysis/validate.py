"""Compare our bits with a reference's, tensor by tensor, and name the first that differs."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.arrays import drawn_from, load_npz, match_inputs, random_inputs, samples
from analysis.diverge import first_difference
from analysis.reference import Reference
from analysis.text import grouped, table
from simulator.errors import Unsupported
from simulator.execute import run
from simulator.graph import Array, Graph, Node


@dataclass(frozen=True)
class Difference:
    """One element where the two sides disagree."""

    sample: int
    index: tuple[int, ...]
    ours: float
    reference: float


@dataclass
class LayerComparison:
    """One node's output over all samples; `first` is its earliest differing element."""

    node: str
    op: str
    tensor: str
    values: int = 0
    differing: int = 0
    max_abs_difference: float = 0
    first: Difference | None = None

    def add(self, sample: int, ours: Array, reference: Array) -> None:
        """Compare one sample's tensor; the shapes must agree."""
        if ours.shape != reference.shape or ours.dtype != reference.dtype:
            raise Unsupported(
                f"{self.node}: tensor '{self.tensor}' is {ours.dtype} {ours.shape} here and "
                f"{reference.dtype} {reference.shape} in the reference; are these one model?"
            )
        self.values += ours.size
        unequal = _unequal(ours, reference)
        count = int(np.count_nonzero(unequal))
        if not count:
            return
        self.differing += count
        whole = np.issubdtype(ours.dtype, np.integer)
        wide = np.int64 if whole else np.float64
        gap = np.abs(ours[unequal].astype(wide) - reference[unequal].astype(wide)).max()
        self.max_abs_difference = max(self.max_abs_difference, gap.item())
        if self.first is None:
            index = tuple(int(i) for i in np.argwhere(unequal)[0])
            self.first = Difference(sample, index, ours[index].item(), reference[index].item())


def _unequal(ours: Array, reference: Array) -> NDArray[np.bool_]:
    """Where a bit differs, the sign of a zero too; one NaN is like another."""
    if ours.dtype.kind != "f":
        return np.asarray(ours != reference)
    bits = f"u{ours.dtype.itemsize}"
    both = np.isnan(ours) & np.isnan(reference)
    return np.asarray((ours.view(bits) != reference.view(bits)) & ~both)


def _finite(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """Without infinities and NaN, which JSON cannot hold: null."""
    return {k: None if isinstance(v, float) and not isfinite(v) else v for k, v in pairs}


@dataclass(frozen=True)
class Validation:
    """The outcome: every computed tensor, compared; `unseen` are those the reference hides."""

    model: str
    against: str
    runtime: str
    samples: int
    seed: int | None
    layers: tuple[LayerComparison, ...]
    drawn: str | None = None
    """How the random inputs were drawn; None where they were given."""
    unseen: tuple[str, ...] = field(default=())
    explanation: str | None = None
    """Accumulator, multiplier, shift and the rules behind the first difference, where known."""

    @property
    def differing(self) -> int:
        """Differing values over all tensors and samples."""
        return sum(layer.differing for layer in self.layers)

    @property
    def values(self) -> int:
        """Compared values over all tensors and samples."""
        return sum(layer.values for layer in self.layers)

    @property
    def first(self) -> LayerComparison | None:
        """The first layer, in order of execution, with a difference."""
        return next((layer for layer in self.layers if layer.differing), None)

    def to_json_dict(self) -> dict[str, Any]:
        """The document of schema `bitlane.validate/1`."""
        return {
            "schema": "bitlane.validate/1",
            "bit_exact": self.differing == 0,
            "values": self.values,
            "differing": self.differing,
            "first_differing_node": self.first.node if self.first else None,
            **asdict(self, dict_factory=_finite),
        }


def validate(
    graph: Graph,
    model: Path,
    against: str,
    *,
    count: int = 10,
    seed: int = 0,
    inputs: Path | None = None,
) -> Validation:
    """Run `graph` and the reference runtime on the file `model`, on the same inputs.

    Inputs are `count` random ones from `seed`, drawn as `random_inputs` says, or those of an
    `.npz`. Every tensor that a node computes and the reference shows is compared, in our layout.
    Raises Unsupported where the reference cannot run or hides them all.
    """
    layers = {
        name: LayerComparison(node.name, node.op.kind, name)
        for node in graph.nodes
        for name in node.outputs
    }
    seen: set[str] = set()
    explanation: str | None = None
    ran = 0
    state: Mapping[str, Array] | None = None
    with Reference(against, model) as reference:
        for sample, values in enumerate(sample_inputs(graph, count, seed, inputs)):
            reference.start([values[name] for name in graph.inputs])
            before = state
            ours, state = _all_tensors(graph, values, before)
            theirs = reference.collect()
            named = dict(_in_our_layout(graph, ours, theirs))
            for name, value in named.items():
                seen.add(name)
                layers[name].add(sample, ours[name], value)
            first = next((c for c in layers.values() if c.first), None)
            if first is not None and first.first is not None and first.first.sample == sample:
                explanation = _explain(graph, first.tensor, values, named, before)
            ran = sample + 1
        runtime = reference.version
    if not seen:
        raise Unsupported(f"{graph.name}: {against} shows no tensor to compare")
    return Validation(
        model=graph.name,
        against=against,
        runtime=runtime,
        samples=ran,
        seed=None if inputs else seed,
        drawn=None if inputs else drawn_from(graph),
        layers=tuple(layers.values()),
        unseen=tuple(sorted(set(layers) - seen)),
        explanation=explanation,
    )


def _explain(
    graph: Graph,
    tensor: str,
    values: Mapping[str, Array],
    theirs: Mapping[str, Array],
    state: Mapping[str, Array] | None,
) -> str | None:
    """Why `tensor`, the first that differs, does; None where what its layer read is hidden."""
    found = first_difference(graph, values, theirs, state)
    if found is None or found.tensor != tensor:
        return None
    computed = {name for node in graph.nodes for name in node.outputs}
    read = next(node.inputs for node in graph.nodes if node.name == found.node)
    return None if computed.intersection(read).difference(theirs) else found.reason


def _in_our_layout(
    graph: Graph, names: Iterable[str], theirs: Mapping[int | str, Array]
) -> Iterator[tuple[str, Array]]:
    """The reference's tensors under our names, axes as ours; those that it does not show not."""
    for name in names:
        stored, order = graph.source_view.get(name, (name, ()))
        value = theirs.get(graph.source_index.get(name, stored))
        if value is not None:
            yield name, value.transpose(np.argsort(order)) if order else value


def sample_inputs(
    graph: Graph, count: int, seed: int, path: Path | None
) -> Iterator[Mapping[str, Array]]:
    """The samples of an `.npz`, or `count` of `random_inputs` from `seed`."""
    if path is not None:
        yield from samples(graph, match_inputs(graph, load_npz(path), str(path)), str(path))
        return
    rng = np.random.default_rng(seed)
    for _ in range(count):
        yield random_inputs(graph, rng)


def _all_tensors(
    graph: Graph, values: Mapping[str, Array], state: Mapping[str, Array] | None
) -> tuple[dict[str, Array], dict[str, Array]]:
    """(every computed tensor, the state after); a reference keeps its variables between runs."""
    found: dict[str, Array] = {}

    def keep(node: Node, _: Sequence[Array | None], results: Sequence[Array]) -> None:
        found.update(zip(node.outputs, results, strict=True))

    _, after = run(graph, values, state=state, tap=keep)
    return found, after


def to_text(outcome: Validation) -> str:
    """The outcome for a terminal: one line where all agrees, the differing layers otherwise."""
    lines = [f"{outcome.model} against {outcome.runtime}: {_counted(outcome)}"]
    if outcome.unseen:
        lines.append(_shown(outcome))
    layer = outcome.first
    if layer is None or layer.first is None:
        return "\n".join([*lines, "0 values differ: bit-exact."])
    at = layer.first
    lines.append(
        f"first difference: {layer.node}, tensor '{layer.tensor}', sample {at.sample}, "
        f"element {list(at.index)}: {at.ours}, reference {at.reference}"
    )
    if outcome.explanation:
        lines.append(outcome.explanation)
    rows = [
        (c.node, c.values, c.differing, c.max_abs_difference) for c in outcome.layers if c.differing
    ]
    return "\n".join([*lines, "", table(("node", "values", "differing", "max |diff|"), rows)])


def _shown(outcome: Validation) -> str:
    """What the reference hides, or what it shows where that is less."""
    shown = [c.tensor for c in outcome.layers if c.tensor not in outcome.unseen]
    if len(outcome.unseen) <= len(shown):
        return f"not shown by the reference: {', '.join(outcome.unseen)}"
    return f"compared: {', '.join(shown)}; the reference shows no other of {len(outcome.layers)}"


def _counted(outcome: Validation) -> str:
    origin = "given inputs" if outcome.seed is None else f"{outcome.drawn}, seed {outcome.seed}"
    tensors = len(outcome.layers) - len(outcome.unseen)
    return (
        f"{outcome.samples} samples ({origin}), {tensors} tensor{'s' * (tensors != 1)}, "
        f"{grouped(outcome.values)} values, {grouped(outcome.differing)} differ"
    )
