"""SCALE-Sim's public figures: cycles, SRAM reads and DRAM reads of every row."""

import csv
from pathlib import Path
from tempfile import TemporaryDirectory

import workloads
from simulator.cost import count
from tests.machines.works import machine
from tests.validation.rows import Row, Section, grouped, section_of, shared_file

CONV = "Layer, H, W, R, S, Channels, Filters, Stride,\n"
CONV_FIELDS = ("ifmap_h", "ifmap_w", "filt_h", "filt_w", "channels", "num_filters", "stride")
FLOWS = {"ws": "weight_stationary", "os": "output_stationary", "is": "input_stationary"}
KEYS = ("array_rows", "array_cols", "dataflow", "layer_kind", "ifmap_sram_kb", "filter_sram_kb")


def section_rows() -> list[Row]:
    """Rows by array: one topology file for the layers that ran on the same one."""
    text = shared_file("reference/peers/scalesim_public.csv").read_text(encoding="utf-8")
    arrays: dict[tuple[str, ...], list[dict[str, str]]] = {}
    for row in csv.DictReader(text.splitlines()):
        arrays.setdefault(tuple(row[key] for key in KEYS), []).append(row)
    found = []
    for key, layers in arrays.items():
        found += _on_one_array(key, layers)
    return found


def _on_one_array(key: tuple[str, ...], layers: list[dict[str, str]]) -> list[Row]:
    height, width, dataflow, kind, ifmap_kb, filter_kb = key
    fields = CONV_FIELDS if kind == "conv" else ("M", "N", "K")
    lines = [",".join(["layer", *(row[field] for field in fields), ""]) for row in layers]
    header = CONV if kind == "conv" else "Layer,M,N,K,\n"
    with TemporaryDirectory() as folder:
        path = Path(folder) / "layers.csv"
        path.write_text(header + "\n".join(lines), encoding="utf-8")
        graph = workloads.load(path)
    target = machine(
        "scalesim_compatible",
        array__rows=int(height),
        array__cols=int(width),
        array__dataflow=FLOWS[dataflow],
        memory__ifmap_sram__bytes=1024 * int(ifmap_kb),
        memory__weight_sram__bytes=1024 * int(filter_kb),
    )
    found = []
    for row, layer in zip(layers, count(graph, target), strict=True):
        where = f"{row['topology']} {row['layer']}, {height} x {width} {dataflow}"
        pairs = [
            ("compute cycles", row["compute_cycles"], layer.cycles.compute),
            ("ifmap SRAM reads", row["ifmap_sram_reads"], layer.bytes["ifmap_sram"].read),
            ("filter SRAM reads", row["filter_sram_reads"], layer.bytes["weight_sram"].read),
        ]
        if row["trust_memory_columns"] == "if+fi+of":
            reads = int(row["ifmap_dram_reads"]) + int(row["filter_dram_reads"])
            pairs.append(("DRAM reads", str(reads), layer.bytes["dram"].read))
        found += [Row(what, where, float(a), float(b), dataflow) for what, a, b in pairs]
    return found


def section() -> Section:
    """Equal in every row, dataflow by dataflow."""
    rows = section_rows()
    cycles = [row for row in rows if row.quantity == "compute cycles"]
    flows = grouped(cycles, lambda row: row.group).items()
    differing = sum(row.error != 0 for row in rows)
    counted = ", ".join(f"{FLOWS[flow].replace('_', ' ')} {len(part)}" for flow, part in flows)
    return section_of(
        title="SCALE-Sim",
        compares=(
            "Cycles of a layer on an array, and words read from both operand SRAMs and, where the "
            "public figures are marked usable, from DRAM."
        ),
        source=(
            "SCALE-Sim 2.0.2 and 3.0.0 runs (Samajdar et al., ISPASS 2020); "
            "`reference/peers/scalesim_public.csv`"
        ),
        machine=(
            "`scalesim_compatible` with `--set array.rows, array.cols, array.dataflow, "
            "memory.ifmap_sram.bytes, memory.weight_sram.bytes` as each row has them"
        ),
        basis="no: its timing is `scalesim`, which counts folds as that simulator does",
        name="scalesim",
        rows=rows,
        misses=[
            f"Layers by dataflow: {counted}. Figures that differ: {differing}.",
            "The default `timing: physical` adds the drain of output-stationary results, which "
            "SCALE-Sim leaves out and its own paper counts; it is not what is compared here.",
        ],
    )
