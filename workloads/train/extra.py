"""The libraries that training needs and the rest of bitlane does not."""

from importlib.util import find_spec
from typing import Final

from simulator.errors import Unsupported

NEEDED: Final = ("jax", "optax")


def require_extra() -> None:
    """Raise Unsupported, with the command that installs them, where JAX or optax is absent."""
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        raise Unsupported(
            f"training needs {' and '.join(missing)}, not installed here: "
            "pip install 'bitlane[train]'"
        )
