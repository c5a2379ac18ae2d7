"""Every bad input with the line that answers it, after `bitlane: `: machines, sweeps, results.

The files are those of `tests.cli.workspace`.
"""

from collections.abc import Mapping
from typing import Final, TypeAlias

import hwconfigs

Cases: TypeAlias = Mapping[str, str]
"""Arguments of `bitlane`, and the message."""

YAMLS: Final[Cases] = {
    "hw check nowhere.yaml": (
        f"nowhere.yaml: no such file; these ship with bitlane: {', '.join(hwconfigs.names())}"
    ),
    "hw check machin.yaml": "machin.yaml: no such file; did you mean 'machine.yaml'?",
    "hw check typo.yaml": "typo.yaml:14: array.rowz: unknown field; did you mean 'rows'?",
    "hw check duplicate.yaml": (
        "duplicate.yaml:18: datapath.weight_bits: duplicate key; first given on line 17; remove one"
    ),
    "hw check type.yaml": "type.yaml:15: vector.lanes: must be an integer; found '16'",
    "hw check range.yaml": "range.yaml:12: clock_mhz: must be <= 1e+06; found 500000000",
    "hw check five.yaml": (
        "five.yaml:14: array.rows: must be an integer; found 'sixteen'\n"
        "five.yaml:15: vector.lanes: must be >= 1; found 0\n"
        "five.yaml:18: datapath.weight_bits: duplicate key; first given on line 17; remove one\n"
        "five.yaml:22: datapath.accumulator.overflow: must be 'wrap', 'saturate' or 'trap'; "
        "found 'wrapp'; did you mean 'wrap'?\n"
        "five.yaml:29: memory.ofmap_sram.bites: unknown field; did you mean 'bytes'?"
    ),
    "hw check kind.yaml": (
        "kind.yaml:3: model: unknown machine model 'sistolic'; did you mean 'systolic'?"
    ),
    "hw check priced.yaml": (
        "priced.yaml:31: technology: prices.yaml: no such file; "
        f"these ship with bitlane: {', '.join(hwconfigs.names('technologies'))}"
    ),
    "hw check layers.yaml": (
        "layers.yaml:23: datapath.requantize.multiplier_bits: must be <= 32; found 64\n"
        "layers.yaml:23: datapath.requantize.rounding: must be 'graph', 'double_round', "
        "'double_round_up', 'single_round', 'tosa_double_round', 'q15_round', 'float64_away' or "
        "'float32_even'; found 'singel_round'; did you mean 'single_round'?\n"
        "layers.yaml:25: datapath.layers.0.weigth_bits: unknown field; did you mean "
        "'weight_bits'?\n"
        "layers.yaml:25: datapath.layers.1.bits: unknown field; known: accumulator, "
        "activation_bits, basis, dot_width, layer, narrow, requantize, restricted_weights, "
        "weight_bits, widen, zero_point\n"
        "layers.yaml:25: datapath.layers.1.layer: is missing; add it under 'datapath.layers.1'"
    ),
    "hw check misfit.yaml": (
        "misfit.yaml:16: datapath: double_round takes accumulators of up to 32 bits; found 48"
    ),
    "hw check tab.yaml": (
        "tab.yaml:1: not valid YAML: found character '\\t' that cannot start any token"
    ),
    "hw check list.yaml": ("list.yaml:1: must be a mapping of fields (name: value); found a list"),
    "hw check nothing.yaml": "nothing.yaml: is empty; expected a mapping of fields",
    "hw check binary.yaml": "binary.yaml:1: not UTF-8 text (byte 0xff); is this a YAML file?",
    "sweep nowhere.yaml --out new": "nowhere.yaml: no such file; check the path",
    "sweep sweeps.yaml --out new": "sweeps.yaml: no such file; did you mean 'sweep.yaml'?",
    "sweep axis.yaml --out new": "axis.yaml:5: array.rowz: unknown field; did you mean 'rows'?",
    "sweep impossible.yaml --out new": (
        "impossible.yaml:5: array.rows: must be >= 1; found 0\n"
        "impossible.yaml:5: array.rows: must be <= 65536; found 70000"
    ),
    "sweep empty_axis.yaml --out new": "empty_axis.yaml:5: axes.array.rows: must not be empty",
    "sweep backwards.yaml --out new": (
        "backwards.yaml:6: axes.array.cols: holds no value; last must be >= first"
    ),
    "sweep repeated.yaml --out new": (
        "repeated.yaml:5: axes.array.rows: a value repeats in [4, 8, 4]; give each once"
    ),
    "sweep scalar_axis.yaml --out new": (
        "scalar_axis.yaml:5: axes.array.rows: must be a list of values, or one of values:, range:, "
        "log2: and zip:; found 4"
    ),
    "sweep nested_axis.yaml --out new": (
        "nested_axis.yaml:5: axes.array.rows.1: must be a number, text, true or false; found a "
        "list\n"
        "nested_axis.yaml:5: axes.array.rows.2: must be a number, text, true or false; found "
        "nothing"
    ),
    "sweep quoted.yaml --out new": "quoted.yaml:5: array.rows: must be an integer; found '4'",
    "sweep many.yaml --out new": (
        "many.yaml:4: axes: 3600000000 points are more than 10000000; shorten an axis, or draw a "
        "sample"
    ),
    "sweep endless.yaml --out new": (
        "endless.yaml:5: axes.array.rows: holds 99999999999 values, more than 10000000; take fewer"
    ),
    "sweep objective.yaml --out new": (
        "objective.yaml:8: objectives.1: must be 'latency_s', 'energy_j', 'area_mm2', 'power_w', "
        "'cost', 'cycles', 'throughput_per_s', 'tops_per_w', 'utilization', 'peak_macs_per_cycle', "
        "'accuracy', 'sqnr_db', 'overflow_rate' or 'edp'; found 'energy'; did you mean 'energy_j'?"
    ),
    "sweep lonely.yaml --out new": (
        "lonely.yaml:8: objectives: must name two or more, each once; found latency_s"
    ),
    "sweep twice.yaml --out new": (
        "twice.yaml:8: objectives: must name two or more, each once; found latency_s, latency_s"
    ),
    "sweep batch.yaml --out new": "batch.yaml:8: batch: must be <= 4096; found 1099511627776",
    "sweep no_model.yaml --out new": (
        "no_model.yaml:3: workload: nowhere.tflite: no such file; give a .tflite, .onnx or .csv "
        "file or zoo:NAME, such as zoo:digits"
    ),
    "sweep no_base.yaml --out new": (
        "no_base.yaml:2: base: no machine is named 'systolic_16x15'; did you mean "
        "'systolic_16x16'? (a file's name ends in .yaml)"
    ),
    "sweep faults.yaml --out new": (
        "faults.yaml:1: nam: unknown field; did you mean 'name'?\n"
        "faults.yaml:1: workload: is missing; add it at the top level\n"
        "faults.yaml:2: base: must be text (quote it); found 7\n"
        "faults.yaml:3: axes.array.rows.range.last: is missing; add it under "
        "'axes.array.rows.range'\n"
        "faults.yaml:4: batch: must be an integer; found '2'"
    ),
}
"""Machines and sweeps: a line for each fault."""

FOLDERS: Final[Cases] = {
    "sweep sweep.yaml --out run": (
        "run: holds a run already; go on with it by --resume, or choose another --out"
    ),
    "sweep other.yaml --out run --resume": (
        "run: holds another run (its 'spec' is not this one's); choose another --out for this one"
    ),
    "sweep sweep.yaml --out run_words --resume": (
        "run_words/manifest.json: damaged, not a JSON document; run the sweep again with "
        "another --out"
    ),
    "sweep sweep.yaml --out one.npz": (
        "one.npz: the folder cannot be made (File exists); choose another --out"
    ),
    "sweep sweep.yaml --out one.npz/new": (
        "one.npz/new: the folder cannot be made (Not a directory); choose another --out"
    ),
    "report nowhere": "nowhere: no such folder; give the --out folder of a sweep",
    "report one.npz": "one.npz: no such folder; give the --out folder of a sweep",
    "report emptied": "emptied: holds no manifest.json; give the --out folder of a sweep",
    "report run_words": (
        "run_words/manifest.json: damaged, not a JSON document; run the sweep again with "
        "another --out"
    ),
    "report run_foreign": (
        "run_foreign/manifest.json: not a manifest of schema bitlane.sweep/1; give the --out "
        "folder of a sweep"
    ),
    "report run_half": (
        "run_half/manifest.json: damaged, 'spec' is missing or not what a sweep writes; run the"
        " sweep again with another --out"
    ),
    "report run_cut": (
        "run_cut/points/part-00001.parquet: damaged, it cannot be read as Parquet; run the "
        "sweep again with --resume, which makes it anew"
    ),
    "report run_layers": (
        "run_layers/layers/part-00002.parquet: damaged, it cannot be read as Parquet; run the "
        "sweep again with --resume, which makes it anew"
    ),
    "report run_begun": (
        "run_begun: holds no finished points yet; run the sweep again with --resume"
    ),
    "report run --out one.npz/page.html": (
        "one.npz/page.html: cannot be written (Not a directory); choose another place"
    ),
    "demo --out one.npz": (
        "one.npz: the folder cannot be made (File exists); choose another --out"
    ),
    "demo --out run": "run: holds '.lock', which is not of a demo; choose another --out",
}
"""Folders that hold a run, none, or a damaged one."""
