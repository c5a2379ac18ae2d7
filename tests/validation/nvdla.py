"""NVDLA's published performance sheet: array cycles, DRAM bytes and cycles of each layer."""

from collections import Counter

from tests.machines import nvdla_rows
from tests.validation.rows import Row, Section, section_of, shared_file

FILE = "reference/silicon/nvdla_model_layers.csv"
ARRAY, BYTES, LAYER = "array cycles of a layer", "DRAM bytes of a layer", "cycles of a layer"


def section_rows() -> list[Row]:
    """All layers; cycles in all where the sheet's stand for the same layer, nothing taken out."""
    shared_file(FILE)
    rows = []
    for row in nvdla_rows.rows():
        name = row.name.split(" + ")[0]
        for what, key, theirs, ours in (
            (ARRAY, "macs", row.theirs_macs, row.ours_macs),
            (BYTES, "bytes", row.theirs_bytes, row.ours_bytes),
        ):
            rows.append(Row(what, name, theirs, ours, row.why.get(key, "nothing sets them apart")))
        if row.alone and not row.why:
            rows.append(Row(LAYER, name, row.theirs, row.ours, "the same layer"))
    return rows


def reasons(rows: list[Row], quantity: str) -> str:
    """How many rows are set apart by what."""
    counts = Counter(row.group for row in rows if row.quantity == quantity)
    return "; ".join(f"{count} {group}" for group, count in sorted(counts.items()))


def section() -> Section:
    """With what sets the sheet's own counting apart."""
    rows = section_rows()
    off = [row.ours / row.theirs - 1 for row in rows if row.quantity == LAYER]
    return section_of(
        title="NVDLA, its sheet",
        compares=(
            "Layers of AlexNet and ResNet-50 on 2048 units: cycles of the array, bytes of DRAM, "
            "and the slower of the two. The sheet is its designers' model, no silicon."
        ),
        source=f"nvdla/hw, perf/NVDLA_OpenSource_Performance.xlsx; `{FILE}`",
        machine="`nvdla_large`; array cycles with its first unrolling alone",
        basis="no: sizes and rates are the sheet's",
        name="nvdla",
        rows=rows,
        misses=[
            f"Array cycles: {reasons(rows, ARRAY)}.",
            f"DRAM bytes: {reasons(rows, BYTES)}.",
            "Winograd's 2.25 times fewer products, its 16/9 times larger weights and the second "
            "operand of an addition are taken out of the sheet's figures first: our array has no "
            "such transform, and an addition is an operator of its own.",
            f"Cycles in all are {min(off):.1%} to {max(off):.1%} above the sheet's where the same "
            "layer runs: DRAM bounds each of them, and the sheet moves 1024 bytes in 100 cycles "
            "at 10 bytes a cycle.",
        ],
    )
