"""Ethos-U55 in four YAML files beside the cycles that Arm's own compiler expects."""

from collections.abc import Sequence

import numpy as np
import pytest
from scipy.stats import spearmanr

from simulator.coding import coded_weight_bits
from tests.machines.vela_rows import ACCELERATORS, MODELS, Row, graph_of, published, rows, unmatched


def rank_correlation(chosen: Sequence[Row]) -> float:
    return float(spearmanr([row.ours for row in chosen], [row.theirs for row in chosen]).statistic)


def errors(chosen: Sequence[Row]) -> list[float]:
    return [row.ours / row.theirs - 1 for row in chosen]


def test_every_row_ranks_as_vela_ranks_it(capsys: pytest.CaptureFixture[str]) -> None:
    found, off = rows(), np.abs(errors(rows()))
    with capsys.disabled():
        print(
            f"\nVela, Ethos-U55: {len(found)} rows, Spearman {rank_correlation(found):.3f}, ",
            end="",
        )
        print(f"MAPE {off.mean():.1%}, median {np.median(off):.1%}, worst {off.max():.1%}")
        for name in ACCELERATORS:
            chosen = [row for row in found if row.accelerator == name]
            off = np.abs(errors(chosen))
            print(f"  {name:16} Spearman {rank_correlation(chosen):.3f}, MAPE {off.mean():.1%}")
        print(f"  rows without a model, system or mode of ours: {len(unmatched())}")
    assert len(found) + len(unmatched()) == len(published())
    assert rank_correlation(found) >= 0.95


@pytest.mark.parametrize("accelerator", ACCELERATORS)
def test_on_one_array_the_networks_rank_as_vela_ranks_them(accelerator: str) -> None:
    chosen = [row for row in rows() if row.accelerator == accelerator]
    assert len(chosen) == len(rows()) // 4
    assert rank_correlation(chosen) >= 0.95


@pytest.mark.parametrize("model", MODELS)
def test_of_one_network_the_arrays_systems_and_modes_rank_as_vela_ranks_them(model: str) -> None:
    """No size of a network helps here."""
    chosen = [row for row in rows() if row.model == model]
    assert rank_correlation(chosen) >= 0.95


def test_the_speed_up_from_32_to_256_multipliers(capsys: pytest.CaptureFixture[str]) -> None:
    """What eight times the multipliers gain, and what a slower memory costs, within a fifth."""
    by_key = {(r.model, r.system, r.mode, r.accelerator): r for r in rows()}
    off = []
    for model, system, mode, accelerator in by_key:
        if accelerator != "ethos-u55-32":
            continue
        small, large = (by_key[model, system, mode, f"ethos-u55-{n}"] for n in (32, 256))
        ours, theirs = small.ours / large.ours, small.theirs / large.theirs
        off.append(ours / theirs - 1)
        with capsys.disabled():
            end = "\n" if len(off) % 4 == 0 else "; "
            print(f"{model} {system[10:14]} {mode}: x{ours:.2f}, Vela x{theirs:.2f}", end=end)
    assert len(off) == len(rows()) // 4
    assert max(map(abs, off)) < 0.2


def test_the_networks_are_the_same() -> None:
    """Vela also counts the taps of poolings and of softmax's sums; the rest is equal."""
    for row in published():
        if row["model"] in MODELS:
            ours = sum(work.macs for work in graph_of(row["model"]).work)
            assert ours <= int(row["macs"]) <= 1.01 * ours
            weights = sum(w.weight_elements for w in graph_of(row["model"]).work if w.macs)
            assert 0.999 < int(row["orig_weight_bytes"]) / weights < 1.001


def test_entropy_bounds_what_vela_codes() -> None:
    """From below, and by no more than a fourth of it."""
    for row in published():
        if row["model"] in MODELS:
            ours = sum(coded_weight_bits(graph_of(row["model"]))) / 8
            assert ours <= int(row["encoded_weight_bytes"]) <= 1.25 * ours
