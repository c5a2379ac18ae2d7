"""Reference runtimes beside ours, each in a process of its own so that its crash is an answer."""

import contextlib
import importlib.util
import pickle
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from simulator.errors import Unsupported
from simulator.graph import Array


@dataclass(frozen=True)
class Runtime:
    """Package and worker (module, options after MODEL) of a reference, and the files it runs.

    `dialect` is what a file is read in where that is not the file's own.
    """

    package: str
    worker: tuple[str, ...]
    suffix: str
    dialect: str | None = None


REFERENCES: Final[Mapping[str, Runtime]] = {
    "litert-ref": Runtime("ai_edge_litert", ("analysis.litert_worker",), ".tflite"),
    "onnxruntime": Runtime("onnxruntime", ("analysis.onnxruntime_worker", "all"), ".onnx"),
    "onnxruntime-unfused": Runtime(
        "onnxruntime",
        ("analysis.onnxruntime_worker", "none"),
        ".onnx",
        dialect="onnxruntime-unfused",
    ),
}
"""Every reference, by the name of the dialect that follows it."""


def own_dialect(against: str | None, model: str | Path) -> str | None:
    """The dialect in which a model is read beside a reference; None: that of its file."""
    runtime = REFERENCES.get(against or "")
    fits = runtime is not None and str(model).lower().endswith(runtime.suffix)
    return runtime.dialect if runtime and fits else None


def _runtime(name: str, model: Path) -> Runtime:
    """The reference; raises Unsupported where it is unknown, not installed or runs other files."""
    if name not in REFERENCES:
        known = ", ".join(sorted(REFERENCES))
        raise Unsupported(f"--against {name}: no such reference. Supported: {known}.")
    runtime = REFERENCES[name]
    found = model.suffix.lower()
    if found != runtime.suffix:
        fitting = " or ".join(n for n, other in REFERENCES.items() if other.suffix == found)
        way_out = f"choose --against {fitting}" if fitting else f"give a {runtime.suffix} file"
        raise Unsupported(
            f"{model.name}: --against {name} runs {runtime.suffix} files; found '{found}'; "
            f"{way_out}"
        )
    if importlib.util.find_spec(runtime.package) is None:
        raise Unsupported(
            f"--against {name}: the package '{runtime.package}' is not installed. "
            "Install bitlane with the extra 'reference': pip install 'bitlane[reference]'"
        )
    return runtime


class Reference:
    """A running reference: `tensors(inputs)` gives every tensor it will show, by key.

    A key is the tensor's index in a .tflite file, its name in an .onnx file. Use as a context
    manager. Raises Unsupported where the runtime is not installed, does not run such files, refuses
    the model or dies.
    """

    def __init__(self, name: str, model: Path) -> None:
        module, *options = _runtime(name, model).worker
        self.name, self.model = name, model
        self._process = subprocess.Popen(
            [sys.executable, "-m", module, str(model), *options],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        accepted, text = self._receive()
        if not accepted:
            self.close()
            raise Unsupported(f"{model.name}: {name} refuses the model: {text}")
        self.version: str = text

    def tensors(self, inputs: Sequence[Array]) -> dict[int | str, Array]:
        """Run once; arrays by the file's key."""
        self.start(inputs)
        return self.collect()

    def start(self, inputs: Sequence[Array]) -> None:
        """Send one set of inputs; the reference computes while the caller does."""
        assert self._process.stdin is not None
        try:
            pickle.dump(list(inputs), self._process.stdin, protocol=pickle.HIGHEST_PROTOCOL)
            self._process.stdin.flush()
        except BrokenPipeError:
            self._died()

    def collect(self) -> dict[int | str, Array]:
        """The tensors of the inputs sent before; raises Unsupported where they are refused."""
        accepted, found = self._receive()
        if not accepted:
            raise Unsupported(
                f"{self.model.name}: {self.name} refuses the inputs: {found.rstrip('.')}. "
                "Is this the same network?"
            )
        tensors: dict[int | str, Array] = found
        return tensors

    def close(self) -> None:
        """End the process."""
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                with contextlib.suppress(BrokenPipeError):
                    stream.close()
        self._process.kill()
        self._process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _receive(self) -> Any:
        assert self._process.stdout is not None
        try:
            return pickle.load(self._process.stdout)
        except (EOFError, pickle.UnpicklingError):
            self._died()

    def _died(self) -> Any:
        code = self._process.wait()
        self.close()
        raise Unsupported(
            f"{self.model.name}: the reference {self.name} died with exit code {code}; "
            "the runtime itself cannot run this model"
        )
