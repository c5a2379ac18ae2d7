"""Mappings of other tools as our loop nests, and ours as theirs.

`bitlane` is `LoopNest.to_plain` as YAML. Timeloop has three forms: the YAML of a mapping
(`timeloop_yaml`), the nest that it prints (`printed`), and a short form (`short`). ZigZag prints
each operand's loops by memory, and reads a YAML of unrolling and order (`zigzag`).
"""

from workloads.mappings.names import TIMELOOP_LOOPS, ZIGZAG_LOOPS
from workloads.mappings.printed import read_printed, write_printed
from workloads.mappings.short import from_timeloop
from workloads.mappings.zigzag import from_zigzag

__all__ = [
    "TIMELOOP_LOOPS",
    "ZIGZAG_LOOPS",
    "from_timeloop",
    "from_zigzag",
    "read_printed",
    "write_printed",
]
