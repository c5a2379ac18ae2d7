"""What all commands share at the terminal: bounds of integer options, and how a run ends."""

import contextlib
import io
import os
import sys
from collections.abc import Callable
from typing import Any

from simulator.errors import BitlaneError


class Interrupted(Exception):
    """A run stopped by Ctrl-C; the message says what of it is kept."""


def integer(option: str, low: int, high: int | None = None) -> Callable[[str], int]:
    """A parser of an integer option; what it refuses is told with option, value and bounds."""
    rule = f"an integer >= {low}" if high is None else f"an integer from {low} to {high}"

    def parse(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = low - 1
        if value < low or (high is not None and value > high):
            raise BitlaneError(f"{option} {text}: must be {rule}")
        return value

    return parse


def run(command: Callable[..., Any]) -> int:
    """Run the command line; its exit code, after at most a line on standard error.

    0 done, 1 mismatch, 2 bad input, 130 interrupted, 141 where whoever read the output went away
    (as a shell says of any program). Text that the terminal's encoding lacks is shown as `?`.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    try:
        code = int(command(prog_name="bitlane", standalone_mode=False) or 0)
        if sys.stdout is not None:
            sys.stdout.flush()
    except BitlaneError as error:
        return _fail(str(error), 2)
    except Interrupted as error:
        return _fail(str(error), 130)
    except KeyboardInterrupt:
        return _fail("interrupted", 130)
    except BrokenPipeError:
        return _output_gone()
    except SystemExit as error:
        # The command-line library ends the program itself where its output is a closed pipe.
        if isinstance(error.__context__, BrokenPipeError):
            return _output_gone()
        raise
    except OSError as error:
        if error.filename is None:
            _discard_output()
        return _fail(f"{error.filename or 'the output'}: {error.strerror or error}", 2)
    except Exception as error:
        return _usage_error(error)
    return _fail("interrupted", 130) if code == 130 else code


def _output_gone() -> int:
    """End quietly: nobody reads."""
    _discard_output()
    return 141


def _discard_output() -> None:
    """Send what is still buffered nowhere: the interpreter's last flush must not complain."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _usage_error(error: Exception) -> int:
    """The command-line library's own complaint as one line; anything else is raised again."""
    kind, show = type(error).__name__, getattr(error, "format_message", None)
    if kind == "Abort":
        return _fail("interrupted", 130)
    if show is None:
        raise error
    if kind == "NoArgsIsHelpError":
        print(show(), file=sys.stderr)
        return 2
    context = getattr(error, "ctx", None)
    path = context.command_path if context else "bitlane"
    return _fail(f"{show()} (see {path} --help)".replace("\n", " "), 2)


def _fail(text: str, code: int) -> int:
    print(f"bitlane: {text}", file=sys.stderr)
    return code
