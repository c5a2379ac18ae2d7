"""Bounds on what may be asked for at once, so that integer counts and prices stay exact."""

from typing import Final

MAX_BATCH: Final = 4096
"""Inferences run together: femtojoules of a network of 10^11 MACs then stay below 2^63."""

MAX_POINTS: Final = 10_000_000
"""Designs of one sweep."""

MAX_WORKERS: Final = 1024
"""Processes that one machine may be asked for."""
