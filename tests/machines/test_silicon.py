"""The acceptance figures: public boards left out one by one, and the whitepaper's table 7."""

from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import spearmanr

import hwconfigs
from analysis.calibrate import error_percent, fit, left_out, mape
from analysis.problems import Floats
from simulator.designs import evaluate_designs
from simulator.machines.registry import machine_from
from tests import imagenet
from tests.machines import model_zoo, table7
from tests.machines.layer_profiles import profiles
from tests.machines.silicon import (
    board_rows,
    by_family,
    devices_left_out,
    family_of,
    float_rows,
    software_of,
    split,
    submissions_left_out,
    tinyengine_rows,
)
from tests.machines.uncovered import ACCELERATOR, by_reason

COUNTS = {"mobilenet_v1": 568_741_376, "mobilenet_v2": 300_775_552, "inception_v3": 5_713_218_144}
"""Published multiply-accumulates: TensorFlow's hosted models; TF-Slim's Inception v3."""


def test_boards_left_out_one_by_one(shared: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows, *_ = split(board_rows(shared))
    assert len(rows) == 153
    errors = devices_left_out(rows)
    families = by_family(rows, errors)
    with capsys.disabled():
        print("\nMLPerf Tiny: family, rows, mean absolute error and worst with its device left out")
        for family, (count, mean, worst) in families.items():
            print(f"  {family:32} {count:3} {mean:6.1f} % {worst:6.1f} %")
        print(f"  {'all':32} {int((~np.isnan(errors)).sum()):3} {mape(errors):6.1f} %")
    known = {family for family, (count, _, _) in families.items() if count}
    # Software on one core only has no other device to be predicted from.
    alone = {family.split()[1] for family in families if family not in known}
    assert alone == {"cmsis_nn", "microtvm", "microtvm_cmsis_nn", "tflm_2_3", "tflm_reference"}
    assert mape(errors) <= 10
    assert max(families[family][1] for family in known) <= 20
    assert len(known) == 23


@pytest.mark.slow
def test_submissions_of_one_board_left_out(shared: Path) -> None:
    rows, *_ = split(board_rows(shared))
    errors = submissions_left_out(rows)
    assert mape(errors) <= 20
    alone = {software_of(m) for m, e in zip(rows, errors, strict=True) if np.isnan(e)}
    assert alone == {"tflm_2_3", "tflm_reference"}


def test_a_board_and_a_network_never_seen(shared: Path) -> None:
    # Only the clock and the software are set; neither this chip nor this network was fitted.
    (row,) = tinyengine_rows(shared, {"X-CUBE-AI 7.3.0": "xcube_ai_7_3"})
    made = hwconfigs.load("cortex_m7", row.overrides)
    seconds = evaluate_designs(row.works, [made]).latency_s[0]
    assert seconds == pytest.approx(57e-3, rel=0.2)


def test_every_row_is_covered_or_has_a_reason(shared: Path) -> None:
    counted = by_reason(shared)
    # The accelerators, FPGAs among them; six streaming tests; the rest as docs/calibrate.md says.
    assert sum(counted.values()) == 234
    rows = [m for part in split(board_rows(shared)) for m in part]
    of_mlperf = [m for m in rows if "TinyEngine" not in m.device]
    assert counted[None] == len(of_mlperf) + len(float_rows(shared))
    assert counted[ACCELERATOR] == 39
    assert sum(count for why, count in counted.items() if why not in (None, ACCELERATOR)) == 24


def test_layers_of_a_core_never_fitted(shared: Path) -> None:
    # CMSIS-NN as fitted to whole networks on a Cortex-M4, on the layers of an EFR32's Cortex-M33.
    measured = [p for p in profiles(shared) if p.measured]
    core = hwconfigs.document("cortex_m33")
    rates = hwconfigs.document("cortex_m4").root.plain()["kernels"]["cmsis_nn"]
    made = machine_from(
        core, [("software", "cmsis_nn"), ("clock_mhz", "78"), ("kernels.cmsis_nn", rates)]
    )
    cycles = np.array(
        [evaluate_designs([p.work], [made]).totals[0, 0] for p in measured], np.float64
    )
    truth = np.array([p.cycles for p in measured])
    assert spearmanr(cycles, truth).statistic > 0.9
    assert np.abs(cycles / truth - 1).mean() < 0.3
    # The layer of one channel, known from one network alone, takes most of the time.
    assert measured[0].work.ic == 1
    assert cycles[0] == pytest.approx(truth[0], rel=0.2)


def test_a_small_application_core_by_its_networks(shared: Path) -> None:
    document = model_zoo.starts(hwconfigs.document("cortex_a7"))
    rows, chosen = model_zoo.rows(shared), model_zoo.parameters(document)
    # The zoo's own multiply-accumulates of the three, in the rows' order.
    assert [sum(w.macs for w in m.works) for m in rows] == pytest.approx(
        [40_775_552, 148_987_648, 7_490_432], rel=1e-4
    )
    bases = {"cortex_a7": document}
    unseen = error_percent(left_out(bases, rows, chosen, [m.model for m in rows]), rows)
    record = hwconfigs.load("cortex_a7").calibration["tflite_2_11"].error
    assert record is not None
    assert record.leave_one_row_out_percent == pytest.approx(mape(unseen), abs=0.06)
    assert mape(unseen) <= 20


def test_float32_of_a_microcontroller(shared: Path) -> None:
    rows = float_rows(shared)
    errors = []
    for row in rows:
        made = hwconfigs.load(row.machine, row.overrides)
        errors.append(evaluate_designs(row.works, [made]).totals[0, 0] / row.cycles - 1)
    record = hwconfigs.load("cortex_m7").calibration["hale_2024.float32"]
    assert record.error is not None
    assert 100 * np.abs(errors).mean() == pytest.approx(record.error.fitted_percent, abs=0.06)
    assert len(rows) == len(record.rows) == 3


def test_shipped_kernels_are_the_fitted_ones(shared: Path) -> None:
    # What each YAML's record says of its own rows is what it predicts.
    rows = [m for part in split(board_rows(shared)) for m in part]
    for family in dict.fromkeys(map(family_of, rows)):
        name, software = family.split()
        part = [m for m in rows if family_of(m) == family]
        document = hwconfigs.document(name)
        made = machine_from(document).calibration[software]
        predicted: Floats = np.array(
            [
                evaluate_designs(m.works, [machine_from(document, m.overrides)]).totals[0, 0]
                for m in part
            ],
            np.float64,
        )
        assert made.error is not None
        assert made.date == "2026-11-21"
        assert len(made.rows) == len(part)
        assert mape(error_percent(predicted, part)) == pytest.approx(
            made.error.fitted_percent, abs=0.06
        )


def test_the_networks_of_table_7() -> None:
    for name, count in COUNTS.items():
        assert sum(work.macs for work in table7.works(name, 8)) == count
    # He et al., arXiv 1512.03385, table 1: 3.8 and 11.3 billion, strides in the first convolution.
    for depth, billions in ((50, 3.8), (152, 11.3)):
        works = imagenet.resnet(depth, 1, 224, last=False)
        assert sum(work.macs for work in works) / 1e9 == pytest.approx(billions, rel=0.02)
    # SSD of the TensorFlow detection models: 6.8 million parameters.
    ssd = table7.works("mobilenet_v1_ssd", 8)
    assert sum(w.weight_elements for w in ssd) / 1e6 == pytest.approx(6.8, rel=0.01)
    for bits in (8, 32):
        assert {w.weight_bits for w in table7.works("resnet_v2_50", bits)} == {bits}


@pytest.mark.parametrize("width", table7.WIDTHS)
def test_half_of_table_7_predicts_the_other(width: str) -> None:
    document = table7.starts(hwconfigs.document("cortex_a73"))
    names = list(table7.CPU_MS)
    rows = table7.rows(width, names)
    chosen = table7.parameters(document, width)
    held = []
    for half in combinations(range(8), 4):
        groups = ["fitted" if i in half else "held out" for i in range(8)]
        # Left out together, the held-out half is predicted by a fit to the calibrated one.
        predicted = left_out({"": document}, rows, chosen, groups)
        errors = error_percent(predicted, rows)
        held.append(mape(errors[[i for i in range(8) if i not in half]]))
    assert len(held) == 70
    assert max(held) <= 25


def test_the_speed_ups_of_table_7() -> None:
    core, hvx = hwconfigs.load("cortex_a73"), hwconfigs.load("hvx_1024")
    floats, bytes_ = (
        {n: evaluate_designs(table7.works(n, bits), [core]).latency_s[0] for n in table7.CPU_MS}
        for bits in (32, 8)
    )
    ratios = [floats[name] / bytes_[name] for name in table7.CPU_MS]
    assert min(ratios) >= 1.4
    assert max(ratios) <= 2.7
    for name, measured in table7.HVX_MS.items():
        vector = evaluate_designs(table7.works(name, 8), [hvx]).latency_s[0]
        assert vector * 1e3 == pytest.approx(measured, rel=0.03)
        assert 6 <= floats[name] / vector <= 10


def test_the_shipped_application_core_is_the_fit_to_its_half() -> None:
    shipped = hwconfigs.document("cortex_a73")
    document = table7.starts(shipped)
    for width in table7.WIDTHS:
        rows = table7.rows(width, table7.CALIBRATED)
        found = fit({"": document}, rows, table7.parameters(document, width))
        held = [p.start for p in table7.parameters(shipped, width)]
        assert held == pytest.approx(found.values, rel=0.02)
