"""Which public silicon figures no section compares, and why: every source is named once."""

from collections import Counter

from tests.validation.silicon import figures

USED = {
    ("Coral", "Dev Board Edge TPU (PCIe, i.MX8M host)"),
    ("TFLite hosted models", "Pixel3 NNAPI (Hexagon 685 DSP)"),
    ("TF-slim MobileNet README", "Pixel1 SD821 1 big core"),
    ("TinyEngine README", "STM32H743 Cortex-M7"),
    ("STM32 model zoo", "STM32H747I-DISCO Cortex-M7"),
    ("Eyeriss v1 (JSSC 2017)", "Eyeriss 65nm 168 PE"),
}
"""Sources and devices of which sections compare rows; what they leave out they say themselves."""
NO_MACHINE = "no machine of ours describes the device"
THREADS = "several cores at once, which the `cpu` model does not have"
PEAK = "a peak, an efficiency or a power of the whole chip: no network to cost"
UNVERIFIED = "marked unverified, and no layers are given"
REASONS = {
    "Coral": "a desktop processor: " + NO_MACHINE,
    "TFLite hosted models": THREADS,
    "TF-slim MobileNet README": "MobileNet v3, which the zoo does not have",
    "TF1 detection zoo": "detectors whose layers are not in the zoo",
    "XNNPACK README": THREADS + ", or a library whose kernels no machine of ours has",
    "ESP-DL": "an Xtensa core: " + NO_MACHINE,
    "STM32 model zoo": "a Neural-ART accelerator and a Cortex-A7: " + NO_MACHINE,
    "TPUv1 (ISCA 2017)": "the paper gives no layer sizes of its networks",
    "NVDLA performance spreadsheet": "sums over the layers of the section NVDLA, with Winograd's "
    "transform in them",
    "NVDLA primer": UNVERIFIED,
    "UNPU": PEAK,
    "Envision": PEAK,
    "Bit Fusion RTL synth: fixed-precision PE (1x1 array)": "energy of one unit after synthesis: a "
    "price of the technology, not a figure of a network",
    "PULP-NN on GAP8 (8x RI5CY XpulpV2)": THREADS,
    "GAP8 DORY MobileNetV1-1.0-128": THREADS,
    "Gemmini 16x16 int8": UNVERIFIED,
    "Google Edge TPU": PEAK,
    "Simba chiplet": PEAK,
    "DianNao": PEAK,
    "ShiDianNao": PEAK,
    "EIE": PEAK,
    "MAX78000": UNVERIFIED,
    "Arm Ethos-U55-256": PEAK,
}


def lines() -> list[str]:
    """The end of the page; raises Missing without the figures, KeyError for a source unnamed."""
    counts: Counter[str] = Counter()
    devices: dict[str, list[str]] = {}
    for row in figures():
        if (row["source"], row["device"]) not in USED:
            counts[row["source"]] += 1
            devices.setdefault(row["source"], []).append(row["device"])
    found = [
        "## Figures at hand that are not compared",
        "",
        "Rows of `reference/silicon/silicon.csv`; what a section leaves out of its own source it "
        "says itself.",
        "",
        "| source | device | rows | why not |",
        "|---|---|---:|---|",
    ]
    for source, count in counts.items():
        names = ", ".join(dict.fromkeys(devices[source]))
        found.append(f"| {source} | {names} | {count} | {REASONS[source]} |")
    return found
