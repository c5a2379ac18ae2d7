"""The child process that reads damaged files, and what its silence or its death means."""

import json
import os
import select
import subprocess
import sys
import tempfile
from pathlib import Path
from time import monotonic
from typing import Any, Final

START_SECONDS: Final = 120.0
ONE_THREAD: Final = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"), "1")
"""Threads take address space, of which the child has little."""


class Child:
    """One reading process at a time, started again where the last one died or hung."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115  # lives as long as this

    def ask(self, path: Path, seconds: float) -> dict[str, Any]:
        """The answer for one file: that of the child, or `hang` or `crash`."""
        process = self._started()
        assert process.stdin is not None
        start = monotonic()
        process.stdin.write(f"{path}\n".encode())
        process.stdin.flush()
        line = self._line(process, seconds)
        taken = monotonic() - start
        if line is None:
            self.stop()
            return {"outcome": "hang", "text": f"no answer in {seconds:g} s", "seconds": taken}
        if not line:
            code = process.wait()
            self._errors.seek(0)
            text = self._errors.read().decode(errors="replace")
            self.stop()
            return {"outcome": "crash", "text": f"{text}\nexit code {code}", "seconds": taken}
        found: dict[str, Any] = json.loads(line)
        if found["outcome"] == "memory":
            self.stop()
        return found

    def stop(self) -> None:
        """End the process; the next question starts another."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            for stream in (self._process.stdin, self._process.stdout):
                if stream is not None:
                    stream.close()
            self._process = None

    def close(self) -> None:
        """End the process for good."""
        self.stop()
        self._errors.close()

    def _started(self) -> "subprocess.Popen[bytes]":
        if self._process is None:
            self._errors.seek(0)
            self._errors.truncate()
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.fuzz.probe"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                env={**os.environ, **ONE_THREAD},
                bufsize=0,
            )
            if self._line(self._process, START_SECONDS) != b"ready\n":
                self._errors.seek(0)
                raise RuntimeError(f"the child does not start: {self._errors.read().decode()}")
        return self._process

    @staticmethod
    def _line(process: "subprocess.Popen[bytes]", seconds: float) -> bytes | None:
        """A line of its answer; nothing where it died, None where it says none in time."""
        assert process.stdout is not None
        end, line = monotonic() + seconds, b""
        while not line.endswith(b"\n"):
            ready, _, _ = select.select([process.stdout], [], [], max(0.0, end - monotonic()))
            if not ready:
                return None
            piece = os.read(process.stdout.fileno(), 1 << 16)
            if not piece:
                return b""
            line += piece
        return line
