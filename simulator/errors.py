"""The errors a user sees: one line that names place, rule, value and way out.

Nothing here prints or exits; the command line turns any of these into exit code 2.
"""


class BitlaneError(Exception):
    """Base of every error that is the input's fault, never the program's."""

    def __str__(self) -> str:
        """The message; control characters, which a damaged file may hold, are escaped."""
        text = super().__str__()
        return "".join(c if c.isprintable() or c == "\n" else ascii(c)[1:-1] for c in text)


class BadFile(BitlaneError):
    """A file cannot be read as what it was given as: missing, empty, truncated, another format."""


class BadConfig(BitlaneError):
    """A YAML document breaks its schema; the message lists every fault, one a line."""


class IllegalGraph(BitlaneError):
    """The graph itself is illegal or not supported: refused at import, before any value is seen."""


class IllegalValues(BitlaneError):
    """The values given at run time do not fit the graph: shape, dtype, range."""


class Unsupported(BitlaneError):
    """Legal, but outside what this machine, operator or dialect can do."""


class RunFolderBusy(BitlaneError):
    """A result folder holds another run, or another process is writing to it."""


class ClusterFault(BitlaneError):
    """A cluster cannot be reached, or cannot run a sweep as this process would."""
