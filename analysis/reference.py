"""Reference runtimes beside ours, each in a process of its own so that its crash is an answer."""

import contextlib
import importlib.util
import pickle
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from simulator.errors import Unsupported
from simulator.graph import Array

REFERENCES: Final[Mapping[str, tuple[str, str]]] = {
    "litert-ref": ("ai_edge_litert", "analysis.litert_worker"),
}
"""Runtime package and worker module of each reference."""


class Reference:
    """A running reference: `tensors(inputs)` gives every tensor it will show, by file index.

    Use as a context manager. Raises Unsupported where the runtime is not installed, refuses the
    model or dies.
    """

    def __init__(self, name: str, model: Path) -> None:
        if name not in REFERENCES:
            known = ", ".join(sorted(REFERENCES))
            raise Unsupported(f"--against {name}: no such reference. Supported: {known}.")
        package, worker = REFERENCES[name]
        if importlib.util.find_spec(package) is None:
            raise Unsupported(
                f"--against {name}: the package '{package}' is not installed. "
                "Install bitlane with the extra 'reference': pip install 'bitlane[reference]'"
            )
        self.name, self.model = name, model
        self._process = subprocess.Popen(
            [sys.executable, "-m", worker, str(model)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        accepted, text = self._receive()
        if not accepted:
            self.close()
            raise Unsupported(f"{model.name}: {name} refuses the model: {text}")
        self.version: str = text

    def tensors(self, inputs: Sequence[Array]) -> dict[int, Array]:
        """Run once; arrays by tensor index."""
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

    def collect(self) -> dict[int, Array]:
        """The tensors of the inputs sent before; raises Unsupported where they are refused."""
        accepted, found = self._receive()
        if not accepted:
            raise Unsupported(
                f"{self.model.name}: {self.name} refuses the inputs: {found.rstrip('.')}. "
                "Is this the same network?"
            )
        tensors: dict[int, Array] = found
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
