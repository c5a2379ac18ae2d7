"""Layers profiled on a Cortex-M33 by its vendor's tool, on the device and in its simulator."""

import csv
from collections.abc import Mapping
from math import prod

import hwconfigs
from simulator.designs import evaluate_designs
from simulator.machines.base import Machine
from simulator.work import Work
from tests.validation.rows import (
    Row,
    Section,
    group_table,
    level_and_shape,
    section_of,
    shared_file,
)
from tests.validation.silicon import fitted_to

FILE = "reference/silicon/layer_profiles_silabs_mltk.csv"
DEVICE, SIMULATOR = "cycles of a layer, device", "cycles of a layer, vendor's simulator"
CLOCK_MHZ = 78
SETS = [("software", "cmsis_nn"), ("clock_mhz", CLOCK_MHZ)]
KINDS = {
    "conv_2d": "convolution",
    "depthwise_conv_2d": "depthwise",
    "fully_connected": "fully connected",
    "average_pool_2d": "average pooling",
    "max_pool_2d": "maximum pooling",
    "softmax": "softmax",
    "pad": "padding",
    "quantize": "quantize",
    "dequantize": "dequantize",
}
Figures = Mapping[str, str]


def work_of(row: Figures) -> Work | None:
    """The work of a profiled layer, counted as our operators count; None where it is no layer."""
    x, *others = (_sizes(text) for text in row["input_shape"].split(","))
    y, op = _sizes(row["output_shape"]), row["op"]
    common = {"input_elements": prod(x), "output_elements": prod(y)}
    if op in ("conv_2d", "depthwise_conv_2d"):
        w, depthwise = others[0], op != "conv_2d"
        return Work(
            oy=y[1],
            ox=y[2],
            oc=1 if depthwise else y[3],
            ky=w[1],
            kx=w[2],
            ic=1 if depthwise else w[3],
            groups=y[3] if depthwise else 1,
            weight_elements=prod(w),
            bias_elements=y[3],
            requantizations=prod(y),
            depthwise=int(depthwise),
            **common,
        )
    if op == "fully_connected":
        w = others[0]
        return Work(
            oc=w[0],
            ky=1,
            kx=1,
            ic=w[1],
            weight_elements=prod(w),
            bias_elements=w[0],
            requantizations=w[0],
            **common,
        )
    # MLTK's pools: the filter is in the options; a softmax counts as our operator's 60.
    taps = {"softmax": 60, "pad": 1, "quantize": 1, "dequantize": 1}.get(op)
    if op.endswith("pool_2d"):
        taps = prod(int(n) for n in row["options"].partition("filter:")[2].split()[0].split("x"))
    if taps is None:
        return None
    return Work(elementwise=taps * prod(y), requantizations=0 if op == "pad" else prod(y), **common)


def _sizes(text: str) -> tuple[int, ...]:
    return tuple(int(size) for size in text.split("x")) if text else ()


def basis(machine: Machine) -> str:
    """Whether this chip's layers are among those that the machine's kernels were fitted to."""
    devices = machine.calibration["cmsis_nn"].devices
    if fitted_to(machine, "cmsis_nn", "EFR32"):
        return "fitted: convolutions and fully connected layers of the device are in the fit"
    return f"no: CMSIS-NN's rates come from {', '.join(devices)}"


def section_rows(machine: Machine) -> list[Row]:
    """Distinct layers that ran on the core alone."""
    found: dict[tuple[str, ...], Row] = {}
    with shared_file(FILE).open(encoding="utf-8") as stream:
        for row in csv.DictReader(stream):
            alone = row["acc_cycles"] in ("", "0.0") and float(row["cpu_cycles"] or 0) > 0
            work = work_of(row) if alone else None
            if work is None:
                continue
            device = row["source_kind"] == "device"
            quantity = DEVICE if device else SIMULATOR
            key = (quantity, row["op"], row["input_shape"], row["output_shape"])
            ours = float(evaluate_designs([work], [machine]).totals[0, 0])
            shape = f"{KINDS[row['op']]} {row['input_shape'].partition(',')[0]} → "
            name = f"{shape}{row['output_shape']}, {row['model']}"
            # The same layer profiled again differs in its last digits: the first is kept.
            found.setdefault(
                key, Row(quantity, name, float(row["cpu_cycles"]), ours, KINDS[row["op"]])
            )
    return sorted(found.values(), key=lambda row: row.quantity)


def per_mac(rows: list[Row]) -> str:
    """Measured cycles a multiply-accumulate of each convolution."""
    parts = []
    with shared_file(FILE).open(encoding="utf-8") as stream:
        macs = {
            (r["op"], r["input_shape"].split(",")[0]): r["macs"] for r in csv.DictReader(stream)
        }
    for row in rows:
        shape = row.name.split()[1]
        if row.group == "convolution":
            parts.append(f"{shape} {row.theirs / float(macs['conv_2d', shape]):.1f}")
    return ", ".join(parts)


def section() -> Section:
    """By kind of operator."""
    machine = hwconfigs.load("cortex_m33", SETS)
    rows = section_rows(machine)
    device = [row for row in rows if row.quantity == DEVICE]
    heavy = [row for row in device if row.group in ("convolution", "fully connected")]
    return section_of(
        title="Layers on a Cortex-M33",
        compares=(
            "Cycles of single layers on the core of an EFR32 at 78 MHz, profiled by the vendor's "
            "tool on the device, and what its own simulator says; layers that ran on the core, not "
            "on the chip's accelerator."
        ),
        source=(
            "Silicon Labs MLTK notebooks (profile_model, image_classification, "
            "model_optimization, onnx_to_tflite), CMSIS-NN kernels in TensorFlow Lite Micro; "
            f"`{FILE}`"
        ),
        machine=f"`cortex_m33` with `--set software=cmsis_nn clock_mhz={CLOCK_MHZ}`",
        basis=basis(machine),
        name="layers",
        rows=rows,
        misses=[
            f"On the device, by operator:\n\n{group_table(device, 'operator')}",
            f"{level_and_shape(heavy)} for convolutions and fully connected layers on the device.",
            f"Cycles of the device for each multiply-accumulate: {per_mac(device)}. The first "
            "convolution has one input channel and nine taps an output.",
            "Padding, quantize and dequantize are loops of single elements in TensorFlow Lite "
            "Micro, and the four MLPerf networks have next to none of them.",
        ],
    )
