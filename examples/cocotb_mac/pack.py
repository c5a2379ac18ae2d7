"""A golden pack as a test bench reads it: the hex words of `$readmemh`, in plain Python."""

import hashlib
import json
from pathlib import Path
from typing import Any


class Pack:
    """A folder that `bitlane golden` wrote."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.manifest: dict[str, Any] = json.loads((folder / "manifest.json").read_text())
        if self.manifest["schema"] != "bitlane.golden/1":
            raise ValueError(f"{folder}: not a golden pack of a version known here")

    def __contains__(self, name: str) -> bool:
        return name in self.manifest["files"]

    def bits(self, name: str) -> int:
        """The width of an element."""
        return int(self.manifest["files"][name]["bits"])

    def shape(self, name: str) -> list[int]:
        """The axes' sizes."""
        return list(self.manifest["files"][name]["shape"])

    def read(self, name: str) -> list[int]:
        """Every element in C order; refuses a file whose bytes are not those of the manifest."""
        about = self.manifest["files"][name]
        data = (self.folder / f"{name}.hex").read_bytes()
        if hashlib.sha256(data).hexdigest() != about["sha256"]["hex"]:
            raise ValueError(f"{name}.hex: sha256 differs from the manifest's; write the pack anew")
        bits, count = about["bits"], 1
        for size in about["shape"]:
            count *= size
        values = []
        for word in data.split():
            packed = int(word, 16)
            for lane in range(about["lanes"]):
                field = packed >> lane * bits & (1 << bits) - 1
                negative = about["encoding"] == "signed" and field >> bits - 1
                values.append(field - (1 << bits) if negative else field)
        return values[:count]

    def table(self, name: str) -> list[list[int]]:
        """The same in rows of the last axis."""
        flat, width = self.read(name), self.shape(name)[-1]
        return [flat[i : i + width] for i in range(0, len(flat), width)]

    def layers(self) -> tuple[list[dict[str, Any]], list[str]]:
        """The layers that the Verilog here computes, and why each other layer is left out."""
        fit, others = [], []
        for layer in self.manifest["layers"]:
            reason = self._unfit(layer)
            if reason:
                others.append(f"{layer['name']}: {reason}")
            else:
                fit.append(layer)
        return fit, others

    def _unfit(self, layer: dict[str, Any]) -> str:
        if "accumulator_bits" not in layer:
            return f"{layer['op']} is no single sum of products"
        rounding = layer["requantize"]["rounding"]
        if rounding != "double_round":
            return f"its requantizer is {rounding}; mac.v has double_round"
        if layer["accumulator_bits"] > 32 or layer["taps_at_once"] != 1:
            return "mac.v takes one product at a time into 32 bits or less"
        if layer["overflow"] == "trap":
            return "mac.v does not trap"
        if f"{layer['name']}/operand_x" not in self:
            return "the pack has no operands; write it with --intermediates"
        return ""
