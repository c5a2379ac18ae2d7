"""SCALE-Sim topology files: every form of row, its sizes by hand, and what is refused."""

import csv
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import workloads
from simulator import run
from simulator.cost import count, estimate
from simulator.errors import BadFile, BitlaneError, Unsupported
from simulator.graph import Graph
from simulator.memory import peak_memory_bytes
from tests.machines.works import machine

CONV = (
    "Layer name, IFMAP Height, IFMAP Width, Filter Height, Filter Width, Channels, Num Filter, "
    "Strides,\n"
)
FLOWS = {"ws": "weight_stationary", "os": "output_stationary", "is": "input_stationary"}


def topology(folder: Path, text: str, name: str = "t.csv") -> Graph:
    (folder / name).write_text(text, encoding="utf-8")
    return workloads.load(folder / name)


def sizes(graph: Graph) -> list[tuple[int, ...]]:
    """(output pixels, filters, taps) of a group, and groups, of each layer."""
    return [(w.oy * w.ox, w.oc, w.ky * w.kx * w.ic, w.groups) for w in graph.work]


def test_convolutions(tmp_path: Path) -> None:
    rows = (
        "Conv1, 15, 13, 3, 3, 7, 10, 2,\n\nConv2,5,5,3,3,2,6,1\nTitle,\nConv1,20,20,5,5,3,6,4,#dw\n"
    )
    graph = topology(tmp_path, CONV + rows)
    assert [node.name for node in graph.nodes] == ["Conv1", "Conv2", "Conv1_2"]
    # (15 - 3) / 2 + 1 = 7 and (13 - 3) / 2 + 1 = 6; 15 / 4 is rounded up: 5 by 5.
    assert sizes(graph) == [(42, 10, 63, 1), (9, 6, 18, 1), (25, 6, 75, 1)]
    work = graph.work[0]
    assert (work.input_elements, work.weight_elements) == (15 * 13 * 7, 3 * 3 * 7 * 10)
    assert (work.output_elements, work.macs) == (420, 42 * 10 * 63)
    assert (work.weight_bits, work.activation_bits, work.output_bits) == (8, 8, 8)


def test_a_stride_of_its_own_for_columns(tmp_path: Path) -> None:
    # SCALE-Sim 2.0.2 takes a ninth number as the stride along a row.
    graph = topology(tmp_path, CONV + "Conv, 9, 9, 3, 3, 1, 1, 2, 3,\n")
    assert (graph.work[0].oy, graph.work[0].ox) == (4, 3)


def test_a_batch_shares_the_weights_of_a_convolution(tmp_path: Path) -> None:
    header = CONV.strip() + " Batch Size,\n"
    work = topology(tmp_path, header + "Embedding, 6, 6, 1, 1, 3, 8, 1, 4,\n").work[0]
    assert (work.n, work.macs) == (4, 4 * 36 * 3 * 8)
    assert (work.input_elements, work.weight_elements) == (4 * 36 * 3, 24)


def test_tabs(tmp_path: Path) -> None:
    rows = CONV + "Conv, 9, 9, 3, 3, 1, 1, 2,\n"
    graph = topology(tmp_path, rows.replace(",", "\t"))
    assert graph.work == topology(tmp_path, rows).work


def test_depthwise_is_a_layer_a_channel_with_its_filters(tmp_path: Path) -> None:
    graph = topology(tmp_path, CONV + "Conv2_DP, 10, 10, 3, 3, 12, 1, 1,\nDP3,6,6,3,3,4,2,1,\n")
    assert sizes(graph) == [(64, 1, 9, 12), (16, 2, 9, 4)]
    assert [w.depthwise for w in graph.work] == [1, 1]
    assert graph.work[1].output_elements == 16 * 2 * 4
    # Twelve products of 64 pixels and one filter, each 2 R + C + T - 2 on its own fold.
    target = machine("scalesim_compatible", array__dataflow="weight_stationary")
    assert count(graph, target)[0].cycles.compute == 12 * (2 * 32 + 32 + 64 - 2)


@pytest.mark.parametrize(
    ("header", "row", "expected"),
    [
        ("Layer,M,N,K,", "a,12,3,9,", (12, 3, 9, 1)),
        ("Layer Name, m, n, k", "a, 12, 3, 9", (12, 3, 9, 1)),
        ("Layer,M,N,K,Batch,", "a,12,3,9,4,", (12, 3, 9, 4)),
        ("Layer, M, N, K, Sparsity,", "a,12,3,9,2:4,", (12, 3, 9, 1)),
        ("Layer, M, N, K, Sparsity,", "a,12,3,9,1,", (12, 3, 9, 1)),
        (CONV.strip() + " Sparsity,", "a,5,5,3,3,2,6,1,2:4,", (9, 6, 18, 1)),
        (CONV.strip() + ", Target", "a,5,5,3,3,2,6,1, NPU", (9, 6, 18, 1)),
        ("\ufeffLayer,M,N,K,", "a,12,3,9,", (12, 3, 9, 1)),
    ],
)
def test_products_and_further_columns(
    tmp_path: Path, header: str, row: str, expected: tuple[int, ...]
) -> None:
    assert sizes(topology(tmp_path, f"{header}\r\n{row}\r\n")) == [expected]


def test_layers_depend_on_nothing(tmp_path: Path) -> None:
    graph = topology(tmp_path, "Layer,M,N,K,\na,10,20,30,\nb,50,2,40,\n")
    assert graph.to_networkx().number_of_edges() == 0
    # The largest input and output at once: 50 x 40 and 50 x 2 bytes, each at a multiple of 16.
    assert peak_memory_bytes(graph) == 2000 + 112
    assert estimate(graph, machine("systolic_16x16")).totals.macs == 6000 + 4000


def test_there_are_no_values(tmp_path: Path) -> None:
    graph = topology(tmp_path, "Layer,M,N,K,\na,10,20,30,\n")
    with pytest.raises(Unsupported, match=r"t\.csv:2: a topology holds shapes and no values"):
        run(graph, {})
    with pytest.raises(Unsupported, match="a topology has no arithmetic; leave out the dialect"):
        workloads.load(tmp_path / "t.csv", "tflm")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "t.csv: is empty; give a SCALE-Sim topology .csv"),
        ("Layer,M,N,K,\n", "t.csv: holds no layer; give a SCALE-Sim topology .csv"),
        (
            "a,12,3,9,\n",
            "t.csv:1: the first line must name the columns, as in 'Layer,M,N,K,'; found "
            "'a,12,3,9,'. SCALE-Sim skips that line: add it",
        ),
        (
            "Layer,M,N,K,\na,12,3,\n",
            "t.csv:2: a layer needs its name and 3 numbers (M, N, K); found 2",
        ),
        (
            CONV + "LSTM, 1, B, 1, 1, H, H, 1,\n",
            "t.csv:2: ifmap width must be a whole number from 1; found 'B'. Write one layer a "
            "line, its numbers separated by commas",
        ),
        (
            CONV + "\nConv, 5, 5, 3, 3, 2, 0, 1,\n",
            "t.csv:3: filters must be a whole number from 1; found '0'. Write one layer a line, "
            "its numbers separated by commas",
        ),
        (
            CONV + "Conv, 5, 2, 3, 3, 2, 1, 1,\n",
            "t.csv:2: a filter of 3 x 3 is larger than its ifmap of 5 x 2; enlarge the ifmap by "
            "its padding",
        ),
        (
            "Layer,M,N,K,\na,100000000,10000000,100000,\n",
            "t.csv:2: 100000000000000000000 multiply-accumulates are more than 17592186044416; "
            "split the layer",
        ),
    ],
)
def test_refusals(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(BadFile) as caught:
        topology(tmp_path, text)
    assert str(caught.value).replace(f"{tmp_path}/", "") == message


def test_bytes_that_are_no_text(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes(b"\xff\xfe\x00\x01")
    with pytest.raises(BadFile, match="not a text file; give a SCALE-Sim topology"):
        workloads.load(tmp_path / "t.csv")


@given(
    rows=st.lists(
        st.lists(st.text("0123456789:#-. DPab", max_size=6), max_size=12).map(",".join), max_size=5
    ),
    header=st.sampled_from([CONV, "Layer,M,N,K,\n", ""]),
)
@settings(max_examples=200, deadline=None)
def test_any_text_is_read_or_refused_in_one_line(
    tmp_path_factory: pytest.TempPathFactory, rows: list[str], header: str
) -> None:
    folder = tmp_path_factory.getbasetemp()
    refused = ""
    try:
        graph = topology(folder, header + "\n".join(rows), "any.csv")
        assert estimate(graph, machine("scalesim_compatible")).totals.cycles > 0
    except BitlaneError as error:
        refused = str(error)
    assert "\n" not in refused
    assert len(refused) < 500


_KEYS = ("array_rows", "array_cols", "dataflow", "layer_kind", "ifmap_sram_kb", "filter_sram_kb")


def test_the_public_figures_from_their_own_rows(tmp_path: Path, shared: Path) -> None:
    """Every row of SCALE-Sim's figures as a topology file, on the shipped machine: 0 cycles off.

    So are the reads of both operand SRAMs, and those from DRAM where the figures are marked usable.
    """
    text = (shared / "reference/peers/scalesim_public.csv").read_text(encoding="utf-8")
    rows = list(csv.DictReader(text.splitlines()))
    arrays: dict[tuple[str, ...], list[dict[str, str]]] = {}
    for row in rows:
        arrays.setdefault(tuple(row[key] for key in _KEYS), []).append(row)
    differing: list[Any] = []
    for (height, width, dataflow, kind, ifmap_kb, filter_kb), group in arrays.items():
        fields: tuple[str, ...] = ("M", "N", "K")
        if kind == "conv":
            fields = ("ifmap_h", "ifmap_w", "filt_h", "filt_w", "channels", "num_filters", "stride")
        lines = [",".join(["layer", *(row[f] for f in fields), ""]) for row in group]
        header = CONV if kind == "conv" else "Layer,M,N,K,\n"
        graph = topology(tmp_path, header + "\n".join(lines))
        target = machine(
            "scalesim_compatible",
            array__rows=int(height),
            array__cols=int(width),
            array__dataflow=FLOWS[dataflow],
            memory__ifmap_sram__bytes=1024 * int(ifmap_kb),
            memory__weight_sram__bytes=1024 * int(filter_kb),
        )
        for row, layer in zip(group, count(graph, target), strict=True):
            theirs = [int(row["compute_cycles"])]
            ours = [layer.cycles.compute]
            theirs += [int(row[f"{name}_sram_reads"]) for name in ("ifmap", "filter")]
            ours += [layer.bytes[f"{name}_sram"].read for name in ("ifmap", "weight")]
            if row["trust_memory_columns"] == "if+fi+of":
                theirs.append(int(row["ifmap_dram_reads"]) + int(row["filter_dram_reads"]))
                ours.append(layer.bytes["dram"].read)
            if ours != theirs:
                differing.append((row, ours, theirs))
    assert len(rows) > 250
    assert {row["layer_kind"] for row in rows} == {"conv", "gemm"}
    assert sum(row["trust_memory_columns"] == "if+fi+of" for row in rows) > 50
    assert differing == []
